//! A recorded sequence of requests, read from CSV: when, what, and with which key.
//!
//! Owns the file's format and its limits; refuses to know what the requests are for.

use std::fmt;
use std::io::Read;

use crate::scenario::ClassId;

/// The most rows that a file may have.
pub const ROWS_LIMIT: usize = 20_000_000;
/// The key of a request that has none.
const NO_KEY: u64 = u64::MAX;
/// No time of a file is later, in nanoseconds: a hundred years.
const TIME_LIMIT: u64 = 100 * 365 * 86_400 * 1_000_000_000;

/// Requests in order of their times: 10 bytes each in memory, 18 with keys.
#[derive(Clone, PartialEq, Eq)]
pub struct Trace {
    nanos: Vec<i64>,
    classes: Vec<ClassId>,
    keys: Vec<u64>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace").field("rows", &self.nanos.len()).finish_non_exhaustive()
    }
}

/// Why a file is no trace: where, what was found, what was expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadTrace {
    /// The line, from 1.
    pub line: u64,
    /// What stands there.
    pub found: String,
    /// What should.
    pub expected: String,
}

/// How the rows of a file become requests.
pub(crate) struct Reading<'a> {
    /// The class of this name and the number of keys that its least keyspace has.
    pub(crate) class: &'a dyn Fn(&str) -> Option<(ClassId, u64)>,
    /// The names of all classes, for messages.
    pub(crate) classes: String,
    /// How many times as fast as recorded.
    pub(crate) speed: f64,
    /// Whether the first row falls on the timeline's zero.
    pub(crate) from_first_row: bool,
    /// Whether the row of this number is kept.
    pub(crate) keep: &'a dyn Fn(u64) -> bool,
}

impl Trace {
    /// Reads CSV with a header of `time_s` (or `time_ms`, `time_us`), `class` and perhaps `key`.
    pub(crate) fn read(input: impl Read, reading: &Reading<'_>) -> Result<Self, BadTrace> {
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).comment(Some(b'#')).from_reader(input);
        let mut record = csv::StringRecord::new();
        let columns = Columns::of(reader.headers().map_err(|e| of_csv(&e))?)?;
        let mut trace = Self { nanos: Vec::new(), classes: Vec::new(), keys: Vec::new() };
        let (mut zero, mut last, mut number) = (None, 0, 0);
        while reader.read_record(&mut record).map_err(|e| of_csv(&e))? {
            let line = record.position().map_or(0, csv::Position::line);
            let bad =
                |found: &str, expected: String| BadTrace { line, found: format!("{found:?}"), expected };
            let text = &record[columns.time];
            let nanos =
                decimal_nanos(text, columns.digits).filter(|n| *n <= TIME_LIMIT).ok_or_else(|| {
                    bad(text, "a time as a decimal number, such as 12.5, of at most 100 years".to_owned())
                })?;
            if nanos < last {
                return Err(bad(text, "a time not before that of the row above".to_owned()));
            }
            last = nanos;
            let zero = *zero.get_or_insert(if reading.from_first_row { nanos } else { 0 });
            let name = &record[columns.class];
            let (class, keys) = (reading.class)(name)
                .ok_or_else(|| bad(name, format!("one of the request classes {}", reading.classes)))?;
            let key = match columns.key.map(|column| &record[column]) {
                None => None,
                Some(text) => match text.parse::<u64>() {
                    Ok(key) if key < keys => Some(key),
                    _ => return Err(bad(text, format!("a key's number, from 0 to {}", keys - 1))),
                },
            };
            number += 1;
            if !(reading.keep)(number) {
                continue;
            }
            if trace.nanos.len() == ROWS_LIMIT {
                return Err(bad(text, format!("at most {ROWS_LIMIT} rows")));
            }
            trace.nanos.push(((nanos - zero) as f64 / reading.speed).round() as i64);
            trace.classes.push(class);
            trace.keys.extend(key);
        }
        Ok(trace)
    }

    /// Takes rows of another format than CSV, in order of their times. Either all of them have keys or none is kept: a path
    /// without a key takes any.
    pub(crate) fn of_rows(rows: Vec<Row>, reading: &Reading<'_>) -> Result<Self, BadTrace> {
        let mut trace = Self { nanos: Vec::new(), classes: Vec::new(), keys: Vec::new() };
        let zero = if reading.from_first_row { rows.first().map_or(0, |row| row.nanos) } else { 0 };
        let keyed = rows.iter().any(|row| row.key.is_some());
        for (number, row) in (1..).zip(rows) {
            let Row { line, nanos, class: name, key } = row;
            let bad = |found: String, expected: String| BadTrace { line, found, expected };
            let (class, keys) = (reading.class)(&name).ok_or_else(|| {
                bad(format!("{name:?}"), format!("one of the request classes {}", reading.classes))
            })?;
            if let Some(key) = key.filter(|key| *key >= keys) {
                return Err(bad(key.to_string(), format!("a key's number, from 0 to {}", keys - 1)));
            }
            if nanos > TIME_LIMIT + zero {
                return Err(bad(format!("{nanos} ns"), "a time of at most 100 years".to_owned()));
            }
            if !(reading.keep)(number) {
                continue;
            }
            if trace.nanos.len() == ROWS_LIMIT {
                return Err(bad(format!("row {number}"), format!("at most {ROWS_LIMIT} rows")));
            }
            trace.nanos.push(((nanos - zero) as f64 / reading.speed).round() as i64);
            trace.classes.push(class);
            if keyed {
                trace.keys.push(key.unwrap_or(NO_KEY));
            }
        }
        Ok(trace)
    }

    /// How many requests there are.
    pub fn len(&self) -> usize {
        self.nanos.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.nanos.is_empty()
    }

    /// When the request of a row is due, in nanoseconds on the timeline.
    #[inline]
    pub fn nanos(&self, row: usize) -> Option<i64> {
        self.nanos.get(row).copied()
    }

    /// What kind it is.
    ///
    /// # Panics
    /// Where there is no such row.
    #[inline]
    pub fn class(&self, row: usize) -> ClassId {
        self.classes[row]
    }

    /// Its first key, where the file has keys.
    #[inline]
    pub fn key(&self, row: usize) -> Option<u64> {
        self.keys.get(row).copied().filter(|key| *key != NO_KEY)
    }

    /// The first row that is due at this nanosecond of the timeline or later.
    pub fn first_at(&self, nanos: i64) -> usize {
        self.nanos.partition_point(|at| *at < nanos)
    }

    /// How many rows each class has, in the classes' order.
    pub(crate) fn shares(&self, classes: usize) -> Vec<(ClassId, f64)> {
        let mut counts = vec![0_u64; classes];
        self.classes.iter().for_each(|class| counts[class.index()] += 1);
        let all = self.len().max(1) as f64;
        let share = |(i, count): (usize, u64)| (count > 0).then_some((ClassId(i as u16), count as f64 / all));
        counts.into_iter().enumerate().filter_map(share).collect()
    }

    /// The rate over the timeline, for those who want one: the rows counted in a thousand equal spans, at least a second
    /// each, as corners in seconds and rows per second.
    pub(crate) fn rate(&self) -> Vec<(f64, f64)> {
        let end = self.nanos.last().map_or(0.0, |n| *n as f64 / 1e9);
        let span = (end / 1000.0).max(1.0);
        let first = self.nanos.first().map_or(0.0, |n| (*n as f64 / 1e9 / span).floor() * span);
        let mut corners = vec![(first.min(0.0), 0.0)];
        let mut at = first;
        while at <= end {
            let nanos = |t: f64| (t * 1e9) as i64;
            let count = self.first_at(nanos(at + span)) - self.first_at(nanos(at));
            // A step: a corner at each end, a thousandth of a span apart from the next one's.
            corners.push((at + span * 0.0005, count as f64 / span));
            corners.push((at + span * 0.9995, count as f64 / span));
            at += span;
        }
        corners.push((at + span * 0.0005, 0.0));
        corners
    }
}

/// A request as a file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// The line of the file, or the number of the entry.
    pub(crate) line: u64,
    /// When, since the file's own zero.
    pub(crate) nanos: u64,
    /// The name of its class.
    pub(crate) class: String,
    pub(crate) key: Option<u64>,
}

struct Columns {
    time: usize,
    /// Decimal digits from its unit to the nanosecond.
    digits: u32,
    class: usize,
    key: Option<usize>,
}

impl Columns {
    fn of(header: &csv::StringRecord) -> Result<Self, BadTrace> {
        let place = |name: &str| header.iter().position(|h| h.trim_start_matches('\u{feff}') == name);
        let time = [("time_s", 9), ("time_ms", 6), ("time_us", 3)]
            .into_iter()
            .find_map(|(name, digits)| place(name).map(|column| (column, digits)));
        match (time, place("class")) {
            (Some((time, digits)), Some(class)) => Ok(Self { time, digits, class, key: place("key") }),
            _ => Err(BadTrace {
                line: 1,
                found: format!("the columns {}", header.iter().collect::<Vec<_>>().join(",")),
                expected: "a header with time_s (or time_ms, time_us), class and perhaps key".to_owned(),
            }),
        }
    }
}

/// Reads a decimal number as a count of 10^-`digits`; what is finer is cut off.
fn decimal_nanos(text: &str, digits: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |t: &str| t.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) {
        return None;
    }
    let kept = &fraction[..fraction.len().min(digits as usize)];
    let part =
        if kept.is_empty() { 0 } else { kept.parse::<u64>().ok()? * 10_u64.pow(digits - kept.len() as u32) };
    whole.parse::<u64>().ok()?.checked_mul(10_u64.pow(digits))?.checked_add(part)
}

fn of_csv(error: &csv::Error) -> BadTrace {
    let line = error.position().map_or(0, csv::Position::line);
    BadTrace {
        line,
        found: error.to_string(),
        expected: "CSV in UTF-8 with as many columns in each row".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Trace, BadTrace> {
        read_with(text, 1.0, true, &|_| true)
    }

    fn read_with(
        text: &str,
        speed: f64,
        from_first_row: bool,
        keep: &dyn Fn(u64) -> bool,
    ) -> Result<Trace, BadTrace> {
        let class = |name: &str| match name {
            "a" => Some((ClassId(0), 10)),
            "b" => Some((ClassId(1), 1000)),
            _ => None,
        };
        Trace::read(
            text.as_bytes(),
            &Reading { class: &class, classes: "a, b".to_owned(), speed, from_first_row, keep },
        )
    }

    #[test]
    fn rows_are_read_with_their_unit_speed_and_zero() {
        let text =
            "time_s,class,key\n1700000000.5,a,7\n# a remark\n1700000000.500000001, b ,999\n1700000002,a,0\n";
        let trace = read(text).expect("it is a trace");
        let times = |trace: &Trace| (0..3).map(|i| trace.nanos(i).expect("a row")).collect::<Vec<_>>();
        assert_eq!(times(&trace), [0, 1, 1_500_000_000]);
        assert_eq!((trace.class(1).index(), trace.key(1)), (1, Some(999)));
        let fast = read_with(text, 3.0, true, &|_| true).expect("it is a trace");
        assert_eq!(times(&fast)[2], 500_000_000);
        let other =
            read_with("class,time_ms\nb,0\nb,2.5\nb,2.5", 1.0, false, &|_| true).expect("it is a trace");
        assert_eq!((times(&other), other.key(0)), (vec![0, 2_500_000, 2_500_000], None));
        assert_eq!(
            (trace.first_at(0), trace.first_at(1), trace.first_at(2), trace.first_at(i64::MAX)),
            (0, 1, 2, 3)
        );
    }

    #[test]
    fn a_share_of_the_rows_can_be_kept() {
        let trace =
            read_with("time_s,class\n0,a\n1,b\n2,a\n3,b\n", 1.0, true, &|n| n % 2 == 0).expect("a trace");
        assert_eq!((trace.len(), trace.nanos(0), trace.class(0)), (2, Some(1_000_000_000), ClassId(1)));
    }

    #[test]
    fn what_is_no_trace_is_told_with_its_line() {
        for (text, line, found) in [
            ("time,class\n0,a\n", 1, "the columns time,class"),
            ("time_s,class\n0,a\n1,c\n", 3, "\"c\""),
            ("time_s,class\n5,a\n4,a\n", 3, "\"4\""),
            ("time_s,class\n-1,a\n", 2, "\"-1\""),
            ("time_s,class\n1e3,a\n", 2, "\"1e3\""),
            ("time_s,class\n99999999999999,a\n", 2, "\"99999999999999\""),
            ("time_s,class,key\n0,a,10\n", 2, "\"10\""),
            ("time_s,class,key\n0,a,\n", 2, "\"\""),
        ] {
            let bad = read(text).expect_err("it is no trace");
            assert_eq!((bad.line, bad.found.as_str()), (line, found), "{text}");
        }
        let short = read("time_s,class\n0\n").expect_err("a column is missing");
        assert_eq!(short.line, 2);
    }
}
