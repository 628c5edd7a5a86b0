//! Recorded requests in the formats of others: access logs, HAR, JSON lines. Each becomes times, classes and keys.
//!
//! Owns the formats; refuses to know what the requests are for: a [`Matcher`] finds the class of a method and a path.

use std::io::{BufRead, Read};

use serde_json::Value;

use crate::fit::line::{Line, days};
use crate::trace::{BadTrace, Row};

/// No line is longer, in bytes.
const LINE_LIMIT: u64 = 1 << 20;
/// No HAR file is longer, in bytes: it is one document.
const HAR_LIMIT: u64 = 512 << 20;

/// Finds the class of a request by its method and path, without its query; and its first key, where its path has one.
pub(crate) type Matcher<'a> = dyn Fn(&str, &str) -> Option<(String, Option<u64>)> + 'a;

/// What becomes of requests that no class fits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Unmatched {
    /// The file is refused.
    #[default]
    Refuse,
    /// They are left out, and so are lines that are none of the format's, unless nothing else is there.
    Skip,
}

/// A row for each request of an access log in the Common or Combined format. Such logs tell seconds: the requests of one
/// second are spread evenly over it, in the log's order. Servers write a line when the answer is done, so lines may be
/// somewhat out of order; they are sorted by their second.
pub(crate) fn access_log(
    input: impl BufRead,
    matcher: &Matcher<'_>,
    unmatched: Unmatched,
) -> Result<Vec<Row>, BadTrace> {
    let mut found: Vec<(i64, u64, String, Option<u64>)> = Vec::new();
    each_line(input, unmatched, |number, text| {
        let expected = || "a line of the Common or Combined log format".to_owned();
        let line = Line::read(text.as_bytes()).ok_or_else(|| bad(number, text, expected()))?;
        let (method, path) = (String::from_utf8_lossy(line.method), String::from_utf8_lossy(line.path));
        if let Some((class, key)) = matched(number, &method, &path, matcher, unmatched)? {
            found.push((line.local_seconds - line.zone_seconds, number, class, key));
        }
        Ok(())
    })?;
    found.sort_by_key(|(second, ..)| *second);
    let mut rows = Vec::with_capacity(found.len());
    let mut at = 0;
    while at < found.len() {
        let second = found[at].0;
        let same = found[at..].iter().take_while(|(other, ..)| *other == second).count();
        for (place, (_, line, class, key)) in found[at..at + same].iter().enumerate() {
            let within = (2 * place as u64 + 1) * 1_000_000_000 / (2 * same as u64);
            let nanos = second.max(0) as u64 * 1_000_000_000 + within;
            rows.push(Row { line: *line, nanos, class: class.clone(), key: *key });
        }
        at += same;
    }
    Ok(rows)
}

/// A row for each line of JSON: `time_s` (or `time_ms`, `time_us`), and `class`, perhaps with `key`, or `method` and `path`.
pub(crate) fn json_lines(
    input: impl BufRead,
    matcher: &Matcher<'_>,
    unmatched: Unmatched,
) -> Result<Vec<Row>, BadTrace> {
    let mut rows = Vec::new();
    each_line(input, unmatched, |number, text| {
        let value: Value =
            serde_json::from_str(text).map_err(|e| bad(number, text, format!("JSON ({e})")))?;
        let units = [("time_s", 1e9), ("time_ms", 1e6), ("time_us", 1e3)];
        let time = units.iter().find_map(|(name, factor)| Some(value.get(*name)?.as_f64()? * factor));
        let time = time.filter(|nanos| (0.0..1e19).contains(nanos));
        let nanos =
            time.ok_or_else(|| bad(number, text, "a time_s (or time_ms, time_us) of at least 0".to_owned()))?;
        let text_of = |name: &str| value.get(name).and_then(Value::as_str);
        let of_class =
            text_of("class").map(|class| Some((class.to_owned(), value.get("key").and_then(Value::as_u64))));
        let found = match (of_class, text_of("path")) {
            (Some(found), _) => found,
            (None, Some(path)) => {
                matched(number, text_of("method").unwrap_or("GET"), without_query(path), matcher, unmatched)?
            }
            (None, None) => return Err(bad(number, text, "a class, or a path".to_owned())),
        };
        rows.extend(found.map(|(class, key)| Row { line: number, nanos: nanos as u64, class, key }));
        Ok(())
    })?;
    rows.sort_by_key(|row| row.nanos);
    Ok(rows)
}

/// A row for each entry of a HAR file (HTTP Archive 1.2): when it was started, its method and the path of its URL.
pub(crate) fn har(
    input: impl Read,
    matcher: &Matcher<'_>,
    unmatched: Unmatched,
) -> Result<Vec<Row>, BadTrace> {
    let document: Value = serde_json::from_reader(input.take(HAR_LIMIT)).map_err(|e| BadTrace {
        line: e.line() as u64,
        found: e.to_string(),
        expected: "JSON".to_owned(),
    })?;
    let entries = document.pointer("/log/entries").and_then(Value::as_array);
    let entries = entries.ok_or_else(|| bad(1, "no log.entries", "a HAR file".to_owned()))?;
    let mut rows = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        let number = place as u64 + 1;
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let started = text("/startedDateTime");
        let expected = || format!("a time such as 2026-01-31T12:00:00.5Z in entry {number}");
        let nanos = match date_nanos(started) {
            Some(nanos) => nanos,
            None if unmatched == Unmatched::Skip => continue,
            None => return Err(bad(number, started, expected())),
        };
        let url = text("/request/url");
        let after_scheme = url.split_once("://").map_or(url, |(_, rest)| rest);
        let path = after_scheme.find('/').map_or("/", |slash| &after_scheme[slash..]);
        let found = matched(number, text("/request/method"), without_query(path), matcher, unmatched)?;
        rows.extend(found.map(|(class, key)| Row { line: number, nanos, class, key }));
    }
    rows.sort_by_key(|row| row.nanos);
    Ok(rows)
}

fn matched(
    line: u64,
    method: &str,
    path: &str,
    matcher: &Matcher<'_>,
    unmatched: Unmatched,
) -> Result<Option<(String, Option<u64>)>, BadTrace> {
    match (matcher(method, path), unmatched) {
        (None, Unmatched::Refuse) => {
            let expected = "the method and path of a request class; unmatched = \"skip\" leaves others out";
            Err(bad(line, &format!("{method} {path}"), expected.to_owned()))
        }
        (found, _) => Ok(found),
    }
}

fn without_query(target: &str) -> &str {
    target.split(['?', '#']).next().unwrap_or_default()
}

fn bad(line: u64, found: &str, expected: String) -> BadTrace {
    let shown: String = found.chars().take(120).collect();
    BadTrace { line, found: format!("{shown:?}"), expected }
}

/// Calls `each` with every line that is not empty and its number. Where what is none of the format's is left out, the first such
/// line is refused only if no other is better: then the file is something else.
fn each_line(
    mut input: impl BufRead,
    unmatched: Unmatched,
    mut each: impl FnMut(u64, &str) -> Result<(), BadTrace>,
) -> Result<(), BadTrace> {
    let mut line = Vec::new();
    let (mut first_bad, mut any_good) = (None, false);
    for number in 1.. {
        line.clear();
        let read = Read::take(&mut input, LINE_LIMIT).read_until(b'\n', &mut line);
        let read = read.map_err(|e| bad(number, &e.to_string(), "a readable file".to_owned()))?;
        if read == 0 {
            return first_bad.filter(|_| !any_good).map_or(Ok(()), Err);
        }
        let text = String::from_utf8_lossy(line.trim_ascii());
        if read as u64 == LINE_LIMIT {
            return Err(bad(number, &text, "lines of at most 1MiB".to_owned()));
        }
        if text.is_empty() {
            continue;
        }
        match each(number, &text) {
            Ok(()) => any_good = true,
            Err(bad) if unmatched == Unmatched::Skip => _ = first_bad.get_or_insert(bad),
            Err(bad) => return Err(bad),
        }
    }
    Ok(())
}

/// A date and time of ISO 8601 with its zone, as HAR has it, in nanoseconds since 1970.
fn date_nanos(text: &str) -> Option<u64> {
    let bytes = text.as_bytes();
    let part = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<i64>().ok()).flatten()
    };
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if !separators.iter().all(|(place, byte)| bytes.get(*place) == Some(byte)) {
        return None;
    }
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let rest = text.get(19..)?;
    let zone = rest.find(['Z', '+', '-'])?;
    let fraction = rest[..zone].strip_prefix('.').unwrap_or_default();
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: u64 = format!("{:0<9.9}", fraction).parse().ok()?;
    let offset = match &rest[zone..] {
        "Z" => 0,
        signed => {
            let (hours, minutes) = signed[1..].split_once(':')?;
            let seconds = hours.parse::<i64>().ok()? * 3600 + minutes.parse::<i64>().ok()? * 60;
            if signed.starts_with('-') { -seconds } else { seconds }
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    Some(u64::try_from(seconds).ok()? * 1_000_000_000 + nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(method: &str, path: &str) -> Option<(String, Option<u64>)> {
        match (method, path) {
            ("GET", "/home") => Some(("home".to_owned(), None)),
            ("GET", path) => {
                Some(("product".to_owned(), Some(path.strip_prefix("/products/")?.parse().ok()?)))
            }
            _ => None,
        }
    }

    fn short(rows: &[Row]) -> Vec<(u64, &str, Option<u64>)> {
        rows.iter().map(|row| (row.nanos % 10_000_000_000, row.class.as_str(), row.key)).collect()
    }

    #[test]
    fn requests_of_a_second_are_spread_over_it() {
        let log = "1.1.1.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /home?x HTTP/1.1\" 200 1\n\
            1.1.1.1 - - [10/Oct/2000:13:55:38 -0700] \"GET /products/7 HTTP/1.1\" 200 1\n\
            1.1.1.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /products/3 HTTP/1.1\" 200 1\n\
            1.1.1.1 - - [10/Oct/2000:13:55:37 -0700] \"GET /logo.png HTTP/1.1\" 200 1\n";
        let rows = access_log(log.as_bytes(), &class, Unmatched::Skip).expect("it is a log");
        let second = 971_211_336 % 10 * 1_000_000_000;
        assert_eq!(
            short(&rows),
            [
                (second + 250_000_000, "home", None),
                (second + 750_000_000, "product", Some(3)),
                (second + 2_500_000_000, "product", Some(7))
            ]
        );
        let refused = access_log(log.as_bytes(), &class, Unmatched::Refuse).expect_err("a line has no class");
        assert_eq!((refused.line, refused.found.as_str()), (4, "\"GET /logo.png\""));
        assert_eq!(access_log(&b"hello\n"[..], &class, Unmatched::Skip).expect_err("no log").line, 1);
    }

    #[test]
    fn broken_lines_are_left_out_with_the_requests_that_no_class_fits() {
        let good = "1.1.1.1 - - [10/Oct/2000:13:55:36 -0700] \"GET /home HTTP/1.1\" 200 1\n";
        let log = format!("{good}1.1.1.1 - - [10/Oct/2000:13:55:36 -0700] \"\\x16\\x03\nnonsense\n{good}");
        assert_eq!(access_log(log.as_bytes(), &class, Unmatched::Skip).map(|rows| rows.len()), Ok(2));
        assert_eq!(
            access_log(log.as_bytes(), &class, Unmatched::Refuse).expect_err("a line is broken").line,
            2
        );
        let lines = "{\"time_s\": 1, \"path\": \"/home\"}\n{\"time_s\": 2, \"pa\n";
        assert_eq!(json_lines(lines.as_bytes(), &class, Unmatched::Skip).map(|rows| rows.len()), Ok(1));
        assert_eq!(json_lines(lines.as_bytes(), &class, Unmatched::Refuse).expect_err("it is cut").line, 2);
    }

    #[test]
    fn json_lines_name_a_class_or_a_path() {
        let text = "{\"time_s\": 1.5, \"class\": \"product\", \"key\": 4}\n\n{\"time_ms\": 20, \"path\": \"/home?a=b\"}\n";
        let rows = json_lines(text.as_bytes(), &class, Unmatched::Refuse).expect("they are rows");
        assert_eq!(short(&rows), [(20_000_000, "home", None), (1_500_000_000, "product", Some(4))]);
        for (text, expected) in [
            ("{}", "time_s"),
            ("{\"time_s\": 1}", "a class"),
            ("nonsense", "JSON"),
            ("{\"time_s\": -1}", "at least 0"),
        ] {
            let bad = json_lines(text.as_bytes(), &class, Unmatched::Skip).expect_err("no row");
            assert!(bad.expected.contains(expected), "{text}: {}", bad.expected);
        }
    }

    #[test]
    fn a_har_file_has_its_entries_in_order_of_their_start() {
        let entry = |time: &str, url: &str| {
            format!(
                "{{\"startedDateTime\": \"{time}\", \"request\": {{\"method\": \"GET\", \"url\": \"{url}\"}}}}"
            )
        };
        let entries = [
            entry("2024-03-01T01:00:01.25+01:00", "https://shop.test/products/9?from=mail"),
            entry("2024-03-01T00:00:00.000Z", "https://shop.test/home"),
        ];
        let text = format!("{{\"log\": {{\"entries\": [{}]}}}}", entries.join(","));
        let rows = har(text.as_bytes(), &class, Unmatched::Refuse).expect("it is an archive");
        assert_eq!(rows[0].nanos, 1_709_251_200_000_000_000);
        assert_eq!(rows[1].nanos - rows[0].nanos, 1_250_000_000);
        assert_eq!((rows[1].class.as_str(), rows[1].key), ("product", Some(9)));
        assert!(har(&b"{}"[..], &class, Unmatched::Skip).is_err());
    }
}
