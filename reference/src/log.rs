//! What components write to their logs: one JSON object a line, with a level and a channel, on standard error, where that is a file.
//! On a terminal it would drown what the user has to read, so nothing is written there.

use std::cell::Cell;
use std::io::{self, Write};
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, fstat};
use serde_json::{Map, Value};

/// Lines a second at most: a log is to be read, and a storm of failures is not to fill a disk.
const LINES_A_SECOND: u64 = 200;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Info,
    Warning,
    Error,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Whether anybody reads it.
pub(crate) fn is_on() -> bool {
    static ON: OnceLock<bool> = OnceLock::new();
    *ON.get_or_init(|| {
        fstat(io::stderr()).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile)
    })
}

/// Writes a line; `more` are further fields of it.
pub(crate) fn write(level: Level, channel: &str, component: &str, message: &str, more: &[(&str, &str)]) {
    if !is_on() {
        return;
    }
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    if let Some(left_out) = is_admitted(now.as_secs()) {
        let line = line(now.as_millis() as u64, level, channel, component, message, more, left_out);
        // Who cannot log goes on without.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }
}

/// How many lines were left out before this one; none where it is one too many itself.
fn is_admitted(second: u64) -> Option<u64> {
    // The second, lines in it, and those left out since the last that was written.
    thread_local!(static SEEN: Cell<(u64, u64, u64)> = const { Cell::new((0, 0, 0)) });
    let (at, lines, left_out) = SEEN.get();
    let lines = if at == second { lines } else { 0 };
    if lines >= LINES_A_SECOND {
        SEEN.set((second, lines, left_out + 1));
        return None;
    }
    SEEN.set((second, lines + 1, 0));
    Some(left_out)
}

fn line(
    unix_ms: u64,
    level: Level,
    channel: &str,
    component: &str,
    message: &str,
    more: &[(&str, &str)],
    left_out: u64,
) -> String {
    let mut object = Map::new();
    let mut put = |name: &str, value: Value| drop(object.insert(name.to_owned(), value));
    put("unix_ms", unix_ms.into());
    put("level", level.name().into());
    put("channel", channel.into());
    put("component", component.into());
    put("message", message.into());
    more.iter().for_each(|(name, value)| put(name, (*value).into()));
    if left_out > 0 {
        put("left_out", left_out.into());
    }
    let mut line = Value::Object(object).to_string();
    line.push('\n');
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_json_object_whatever_the_message_holds() {
        let text = line(5, Level::Error, "request", "shop[1]", "a \"b\"\nc", &[("class", "page")], 3);
        assert_eq!(text.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!((value["level"].as_str(), value["message"].as_str()), (Some("error"), Some("a \"b\"\nc")));
        assert_eq!((value["class"].as_str(), value["left_out"].as_u64()), (Some("page"), Some(3)));
    }

    #[test]
    fn a_storm_of_lines_has_a_limit_and_says_how_many_are_missing() {
        let admitted = (0..1000).filter(|_| is_admitted(7).is_some()).count() as u64;
        assert_eq!(admitted, LINES_A_SECOND);
        assert_eq!(is_admitted(8), Some(1000 - LINES_A_SECOND));
        assert_eq!(is_admitted(8), Some(0));
    }
}
