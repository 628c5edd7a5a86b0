//! The runs of a directory.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use askama::Template;
use results::IntervalLog;
use results::writer::{JOURNAL, RECORD};

use crate::web::encoded;

/// Of a directory with more runs, the newest.
const MOST: usize = 500;
/// As much of a record as is read for the list: what is asked for stands at its beginning.
const HEAD: u64 = 1 << 14;

/// What something in the directory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A directory with a record or a journal.
    Run,
    /// An interval log.
    Log,
}

/// A run as it stands in the list.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    kind: Kind,
    title: String,
    what: String,
    outcome: &'static str,
    class: &'static str,
}

impl Entry {
    fn link(&self) -> String {
        format!("/run?name={}", encoded(&self.name))
    }

    fn is_run(&self) -> bool {
        self.kind == Kind::Run
    }
}

#[derive(Template)]
#[template(path = "list.html")]
struct Page<'a> {
    root: String,
    runs: &'a [Entry],
}

/// The page of a list.
pub(super) fn page(root: &Path, runs: &[Entry]) -> String {
    let page = Page { root: root.display().to_string(), runs };
    crate::page::page("Runs", &page.render().expect("writing to memory does not fail"))
}

/// What is in the directory and can be drawn, the last name first, which is the newest where names begin with a time.
pub(super) fn list(root: &Path) -> io::Result<Vec<Entry>> {
    let mut names: Vec<String> =
        fs::read_dir(root)?.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort_unstable_by(|a, b| b.cmp(a));
    let entry = |name: String| {
        let (path, kind) = kind_of(root, &name)?;
        Some(entry(name, &path, kind))
    };
    Ok(names.into_iter().filter_map(entry).take(MOST).collect())
}

/// Where something of this name lies, if it is in the directory and can be drawn.
pub(super) fn find(root: &Path, name: &str) -> Option<(PathBuf, Kind)> {
    let known = fs::read_dir(root).ok()?.flatten().any(|entry| entry.file_name() == *name);
    known.then(|| kind_of(root, name)).flatten()
}

/// Links that lead out of the directory are not followed.
fn kind_of(root: &Path, name: &str) -> Option<(PathBuf, Kind)> {
    let path = root.join(name).canonicalize().ok().filter(|path| path.starts_with(root))?;
    if path.is_dir() {
        let inside =
            |file: &str| path.join(file).canonicalize().is_ok_and(|f| f.is_file() && f.starts_with(root));
        (inside(RECORD) || inside(JOURNAL)).then_some((path, Kind::Run))
    } else {
        IntervalLog::is_one(&path).then_some((path, Kind::Log))
    }
}

fn entry(name: String, path: &Path, kind: Kind) -> Entry {
    let mut entry = Entry {
        name,
        kind,
        title: String::new(),
        what: "an interval log".to_owned(),
        outcome: "–",
        class: "neutral",
    };
    if kind == Kind::Log {
        return entry;
    }
    let head = beginning(&path.join(RECORD)).unwrap_or_default();
    // A record is written line by line, and these lines stand before anything long.
    let value = |key: &str| {
        let line = head.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
        line.and_then(|line| serde_json::from_str::<serde_json::Value>(line.trim_end_matches(',')).ok())
    };
    let text = |key: &str| value(key).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default();
    entry.title = text("\"title\"");
    entry.what = match text("\"world\"").as_str() {
        "sim" => "simulated".to_owned(),
        "loadgen" => "measured".to_owned(),
        _ => "not ended, or killed".to_owned(),
    };
    (entry.outcome, entry.class) = match value("\"exit_code\"").and_then(|value| value.as_u64()) {
        Some(0) => ("✓ good", "good"),
        Some(99) => ("✗ not good", "bad"),
        Some(105) => ("⚠ incomplete", "doubtful"),
        Some(111) => ("⚠ invalid", "doubtful"),
        _ => ("–", "neutral"),
    };
    entry
}

fn beginning(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(HEAD).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
