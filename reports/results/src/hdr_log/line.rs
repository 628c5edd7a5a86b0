//! One line of an interval log.
//!
//! The rules are those of *HdrHistogram/src/main/java/org/HdrHistogram/HistogramLogReader.java*: comments start with `#`, two
//! of which state times; a head in quotes; then `[Tag=…,]start,length,max,histogram`.

/// A line that is not empty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Line<'a> {
    /// Where times count from, in seconds since 1970.
    Base(f64),
    /// When the log was begun, in seconds since 1970.
    Start(f64),
    /// Comments, and the names of the columns.
    Other,
    /// A histogram.
    Interval(Interval<'a>),
}

/// A histogram and where it stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Interval<'a> {
    /// What it is of; empty where the log does not say.
    pub(super) tag: &'a str,
    /// Its start, in seconds.
    pub(super) start: f64,
    /// Its length, in seconds.
    pub(super) length: f64,
    /// In base64.
    pub(super) histogram: &'a [u8],
}

/// Reads a line, without its end.
///
/// # Errors
/// The problem.
pub(super) fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    if line.is_empty() || line.starts_with(b"\"") {
        return Ok(Line::Other);
    }
    if line.starts_with(b"#") {
        let time = |key: &str| {
            let rest = line.strip_prefix(key.as_bytes())?;
            let end = rest.iter().position(|b| !(b.is_ascii_digit() || *b == b'.')).unwrap_or(rest.len());
            number(&rest[..end]).ok()
        };
        let base = time("#[BaseTime: ").map(Line::Base);
        return Ok(base.or_else(|| time("#[StartTime: ").map(Line::Start)).unwrap_or(Line::Other));
    }
    let (tag, rest) = match line.strip_prefix(b"Tag=") {
        Some(tagged) => {
            let (tag, rest) = field(tagged)?;
            (std::str::from_utf8(tag).map_err(|_| "tag is not UTF-8".to_owned())?, rest)
        }
        None => ("", line),
    };
    let (start, rest) = field(rest)?;
    let (length, rest) = field(rest)?;
    let (_, histogram) = field(rest)?;
    let (start, length) = (number(start)?, number(length)?);
    if length < 0.0 {
        return Err(format!("found an interval of {length} seconds, expected none shorter than 0"));
    }
    Ok(Line::Interval(Interval { tag, start, length, histogram }))
}

/// Up to the next comma, and what follows it.
fn field(text: &[u8]) -> Result<(&[u8], &[u8]), String> {
    let comma = text.iter().position(|b| *b == b',');
    let comma = comma.ok_or_else(|| {
        let start: String = String::from_utf8_lossy(text).chars().take(40).collect();
        format!("found {start:?}, expected [Tag=…,]start,length,max,histogram")
    })?;
    Ok((&text[..comma], &text[comma + 1..]))
}

fn number(text: &[u8]) -> Result<f64, String> {
    let text = String::from_utf8_lossy(text);
    let number = text.trim().parse::<f64>().ok().filter(|n| n.is_finite() && n.abs() < 1e12);
    number.ok_or_else(|| {
        format!("found {:?}, expected a number of seconds", text.chars().take(40).collect::<String>())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(
            parse(b"#[BaseTime: 1441812279.474 (seconds since epoch)]"),
            Ok(Line::Base(1441812279.474))
        );
        assert_eq!(parse(b"#[StartTime: 12.5 (seconds since epoch), Wed]\r"), Ok(Line::Start(12.5)));
        assert_eq!(parse(b"\"StartTimestamp\",\"Interval_Length\""), Ok(Line::Other));
        let line = parse(b"Tag=A b,0.127,1.007,2.769,HISTFAAA").expect("it is right");
        let expected = Interval { tag: "A b", start: 0.127, length: 1.007, histogram: b"HISTFAAA" };
        assert_eq!(line, Line::Interval(expected));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert!(parse(b"hello").expect_err("no fields").contains("found \"hello\""));
        assert!(parse(b"a,1,2,HIST").expect_err("no time").contains("found \"a\", expected a number"));
        assert!(parse(b"1,-1,2,HIST").expect_err("too short").contains("-1 seconds"));
    }
}
