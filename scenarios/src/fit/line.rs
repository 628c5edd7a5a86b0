//! One line of an access log in the Common or the Combined log format.
//!
//! `host ident user [day/month/year:hour:minute:second zone] "request" status bytes`, and in the Combined format
//! `"referer" "user-agent"` after it: Apache HTTP Server, mod_log_config, "Common Log Format" and "Combined Log Format".
//! nginx's `combined` is the same.

/// What a line says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Line<'a> {
    pub(crate) address: &'a [u8],
    /// Seconds since 1970 on the log's own clock, its zone not taken off.
    pub(crate) local_seconds: i64,
    /// The zone, in seconds to take off.
    pub(crate) zone_seconds: i64,
    pub(crate) method: &'a [u8],
    /// Without the query.
    pub(crate) path: &'a [u8],
    pub(crate) status: u16,
    /// Bytes of the body.
    pub(crate) bytes: u64,
    pub(crate) agent: Option<&'a [u8]>,
}

impl<'a> Line<'a> {
    /// Reads a line; none where it is of another format.
    pub(crate) fn read(line: &'a [u8]) -> Option<Self> {
        let (address, rest) = word(line)?;
        // What is between may hold spaces in a user's name, so the time's bracket is looked for.
        let start = rest.windows(2).position(|w| w == b" [")? + 2;
        let rest = &rest[start..];
        let end = rest.iter().position(|b| *b == b']')?;
        let (local_seconds, zone_seconds) = time(&rest[..end])?;
        let (request, rest) = quoted(&rest[end + 1..])?;
        let (status, rest) = word(rest.trim_ascii_start())?;
        let rest = rest.trim_ascii_start();
        let (bytes, rest) = word(rest).unwrap_or((rest.trim_ascii_end(), b""));
        let (method, request) = word(request)?;
        let (target, version) = word(request.trim_ascii_start())?;
        if !version.trim_ascii_start().starts_with(b"HTTP/") || !method.iter().all(u8::is_ascii_uppercase) {
            return None;
        }
        let path = target.split(|b| matches!(b, b'?' | b'#')).next()?;
        let agent = quoted(rest).and_then(|(_, rest)| quoted(rest)).map(|(agent, _)| agent);
        Some(Self {
            address,
            local_seconds,
            zone_seconds,
            method,
            path: if path.starts_with(b"/") { path } else { return None },
            status: number(status).filter(|s| (100..600).contains(s))? as u16,
            bytes: if bytes == b"-" { 0 } else { number(bytes)? as u64 },
            agent,
        })
    }
}

/// Up to the next space, and what follows it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|b| *b == b' ')?;
    (end > 0).then(|| (&text[..end], &text[end..]))
}

/// What stands between quotes, and what follows; a backslash takes a quote's meaning away.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start().strip_prefix(b"\"")?;
    let mut escaped = false;
    for (i, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some((&text[..i], &text[i + 1..])),
            _ => {}
        }
    }
    None
}

fn number(text: &[u8]) -> Option<i64> {
    if text.is_empty() || text.len() > 15 {
        return None;
    }
    text.iter().try_fold(0, |sum, byte| byte.is_ascii_digit().then(|| sum * 10 + i64::from(byte - b'0')))
}

/// `10/Oct/2000:13:55:36 -0700` as seconds on the local clock, and the zone's.
fn time(text: &[u8]) -> Option<(i64, i64)> {
    const MONTHS: [&[u8]; 12] =
        [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];
    let part = |from: usize, to: usize| number(text.get(from..to)?);
    let separators = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if !separators.iter().all(|(i, b)| text.get(*i) == Some(b)) {
        return None;
    }
    let month = MONTHS.iter().position(|m| Some(*m) == text.get(3..6))? as i64 + 1;
    let (day, year) = (part(0, 2)?, part(7, 11)?);
    let (hour, minute, second) = (part(12, 14)?, part(15, 17)?, part(18, 20)?);
    if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let zone = part(22, 24)? * 3600 + part(24, 26)? * 60;
    let zone = match text.get(21)? {
        b'+' => zone,
        b'-' => -zone,
        _ => return None,
    };
    Some((days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second, zone))
}

/// Days from 1970-01-01 in the Gregorian calendar (H. Hinnant, "chrono-compatible low-level date algorithms").
pub(crate) fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_formats_are_read() {
        let common = br#"203.0.113.7 - frank [10/Oct/2000:13:55:36 -0700] "GET /a/7?x=1 HTTP/1.0" 200 2326"#;
        let line = Line::read(common).expect("it is a line");
        // 2000-10-10 13:55:36 on the log's clock; 20:55:36 in UTC is 971211336.
        assert_eq!((line.local_seconds - line.zone_seconds, line.zone_seconds), (971_211_336, -25_200));
        assert_eq!((line.method, line.path, line.status, line.bytes), (&b"GET"[..], &b"/a/7"[..], 200, 2326));
        assert_eq!((line.address, line.agent), (&b"203.0.113.7"[..], None));
        let combined =
            br#"::1 - - [01/Mar/2024:00:00:00 +0000] "POST /b HTTP/1.1" 503 - "-" "Mozilla \"5\" (X)""#;
        let line = Line::read(combined).expect("it is a line");
        assert_eq!((line.status, line.bytes), (503, 0));
        assert_eq!(line.agent, Some(&br#"Mozilla \"5\" (X)"#[..]));
        // 2024 is a leap year: 1 March is its 61st day.
        assert_eq!(line.local_seconds, 1_709_251_200);
    }

    #[test]
    fn broken_lines_are_none() {
        for text in [
            "",
            "hello",
            r#"h - - [10/Oct/2000:13:55:36 -0700] "-" 408 0"#,
            r#"h - - [10/Okt/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 1"#,
            r#"h - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 2000 1"#,
            r#"h - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0" 200 x"#,
            r#"h - - [10/Oct/2000:13:55:36 -0700] "GET / HTTP/1.0"#,
            r#"h - - [10/Oct/2000 13:55:36 -0700] "GET / HTTP/1.0" 200 1"#,
        ] {
            assert_eq!(Line::read(text.as_bytes()), None, "{text}");
        }
    }
}
