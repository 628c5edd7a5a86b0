//! Whether an answer is what the scenario asks for, and what a user keeps of it.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::{GzDecoder, ZlibDecoder};
use regex::Regex;
use results::Failure;
use scenarios::scenario::{Extract, RequestClass};
use serde_json::Value;

/// So much of a body is looked at.
const BODY_BYTES: usize = 1 << 20;
/// No value that is kept is longer: an answer with a longer one fails its check.
const VALUE_BYTES: usize = 16 << 10;
/// So many codings of a body are undone: each takes a pass over what is looked at.
const CODINGS: usize = 3;
/// The codings that are undone (RFC 9110, section 8.4.1).
pub(crate) const UNDONE: [&str; 4] = ["gzip", "x-gzip", "deflate", "identity"];

/// An answer to be judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// Status line and fields, where they are wanted.
    pub(crate) head: &'a [u8],
    /// As much of the body as is wanted.
    pub(crate) body: &'a [u8],
}

/// The judge of one request class.
#[derive(Debug)]
pub(crate) struct Judge {
    statuses: Vec<u16>,
    contains: Option<String>,
    header: Option<String>,
    json: Option<String>,
    extract: Vec<(u16, How)>,
    /// What of an answer is looked at.
    pub(crate) wanted: Wanted,
}

/// How a value is found.
#[derive(Debug)]
enum How {
    Json(String),
    Header(String),
    Regex(Regex),
}

/// What is kept of an answer until it was judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The head, as it came.
    pub head: bool,
    /// This many bytes of the body.
    pub body_bytes: usize,
}

impl Judge {
    /// # Panics
    /// Where a regular expression is none: [`crate::supports::check`] rules it out.
    pub(crate) fn new(class: &RequestClass) -> Self {
        let check = &class.exchange.check;
        let how = |extract: &Extract| match extract {
            Extract::Json(pointer) => How::Json(pointer.clone()),
            Extract::Header(name) => How::Header(name.clone()),
            Extract::Regex(text) => How::Regex(Regex::new(text).expect("the scenario was checked")),
            other => unreachable!("{other:?} is not known here"),
        };
        let extract: Vec<(u16, How)> =
            class.exchange.extract.iter().map(|(number, extract)| (*number, how(extract))).collect();
        let of_head = |how: &How| matches!(how, How::Header(_));
        let body =
            check.contains.is_some() || check.json.is_some() || extract.iter().any(|(_, how)| !of_head(how));
        let head = check.header.is_some() || extract.iter().any(|(_, how)| of_head(how));
        Self {
            statuses: check.statuses.clone(),
            contains: check.contains.clone(),
            header: check.header.clone(),
            json: check.json.clone(),
            extract,
            // The head says how the body is encoded.
            wanted: Wanted { head: head || body, body_bytes: if body { BODY_BYTES } else { 0 } },
        }
    }

    /// Judges an answer, and adds what is kept of it.
    #[inline]
    pub(crate) fn judge(&self, answer: Answer<'_>, kept: &mut Vec<(u16, String)>) -> Result<(), Failure> {
        let status = answer.status;
        let good = if self.statuses.is_empty() { status < 400 } else { self.statuses.contains(&status) };
        if !good {
            return Err(Failure::Status);
        }
        if self.wanted == Wanted::default() {
            return Ok(());
        }
        self.look(answer, kept).ok_or(Failure::Check)
    }

    /// Looks into an answer; none where something is not there.
    fn look(&self, answer: Answer<'_>, kept: &mut Vec<(u16, String)>) -> Option<()> {
        if let Some(name) = &self.header {
            field(answer.head, name)?;
        }
        if self.wanted.body_bytes == 0 && self.extract.is_empty() {
            return Some(());
        }
        // What nobody looks into may be coded in any way.
        let looks = self.wanted.body_bytes > 0;
        let body = if looks { decoded(answer)? } else { Cow::Borrowed(answer.body) };
        let text = std::cell::OnceCell::new();
        let text = || text.get_or_init(|| String::from_utf8_lossy(&body));
        if let Some(wanted) = &self.contains
            && !text().contains(wanted.as_str())
        {
            return None;
        }
        let of_json = |how: &How| matches!(how, How::Json(_));
        let json: Option<Value> = (self.json.is_some() || self.extract.iter().any(|(_, how)| of_json(how)))
            .then(|| serde_json::from_slice(&body).ok())
            .flatten();
        if let Some(pointer) = &self.json {
            json.as_ref()?.pointer(pointer)?;
        }
        for (number, how) in &self.extract {
            let value = match how {
                How::Json(pointer) => match json.as_ref()?.pointer(pointer)? {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                },
                How::Header(name) => String::from_utf8_lossy(field(answer.head, name)?).into_owned(),
                How::Regex(regex) => regex.captures(text())?.get(1)?.as_str().to_owned(),
            };
            if value.len() > VALUE_BYTES {
                return None;
            }
            kept.push((*number, value));
        }
        Some(())
    }
}

/// The body without its compression; none where that is not known here or broken.
fn decoded(answer: Answer<'_>) -> Option<Cow<'_, [u8]>> {
    let of_coding = |(name, _): &(&[u8], &[u8])| name.eq_ignore_ascii_case(b"content-encoding");
    let listed = fields(answer.head).filter(of_coding);
    let codings: Vec<&[u8]> = listed
        .flat_map(|(_, list)| list.split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|coding| !coding.is_empty())
        .collect();
    if codings.len() > CODINGS {
        return None;
    }
    // They are listed in the order in which they were applied.
    codings.iter().rev().try_fold(Cow::Borrowed(answer.body), |body, coding| undone(coding, body))
}

/// A body without one of its codings.
fn undone<'a>(coding: &[u8], body: Cow<'a, [u8]>) -> Option<Cow<'a, [u8]>> {
    let whole = |reader: &mut dyn Read| {
        let mut body = Vec::new();
        reader.take(BODY_BYTES as u64).read_to_end(&mut body).ok().map(|_| Cow::Owned(body))
    };
    match coding.to_ascii_lowercase().as_slice() {
        b"identity" => Some(body),
        b"gzip" | b"x-gzip" => whole(&mut GzDecoder::new(&*body)),
        // The name stands for the format of zlib (RFC 9110, section 8.4.1.2).
        b"deflate" => whole(&mut ZlibDecoder::new(&*body)),
        _ => None,
    }
}

/// The fields of a head as it came, without its status line.
pub(crate) fn fields(head: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    head.split(|byte| *byte == b'\n').skip(1).filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..at], line[at + 1..].trim_ascii()))
    })
}

/// The cookies that an answer set, where its head was to be kept.
pub(crate) fn cookies(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let of_cookies = |(name, _): &(&[u8], &[u8])| name.eq_ignore_ascii_case(b"set-cookie");
    fields(head).filter(of_cookies).map(|(_, value)| value)
}

/// The first field of a name.
fn field<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    fields(head).find(|(found, _)| found.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{Limits, Progress, Reader};
    use scenarios::Scenario;

    fn judge(lines: &str) -> Judge {
        let text = format!(
            "title = \"t\"\n[run]\nduration = \"1s\"\n[hosts.a]\n[components.w]\nkind = \"service\"\nhost = \"a\"\n\
             workers = 1\n[requests.r]\npath = \"/\"\n{lines}\n[traffic.t]\nto = \"w\"\n\
             executor = \"constant-arrival-rate\"\nrate = \"1/s\"\nmix = {{ r = 1 }}\n"
        );
        let scenario = Scenario::parse("t.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        Judge::new(&scenario.requests[0])
    }

    fn judged(judge: &Judge, answer: &[u8]) -> (Result<(), Failure>, Vec<(u16, String)>) {
        let mut reader = Reader::new(Limits::default());
        reader.keep(judge.wanted);
        let Ok(Progress::Done { status, .. }) = reader.feed(answer) else { panic!("it is a whole answer") };
        let mut kept = Vec::new();
        (judge.judge(Answer { status, head: reader.head(), body: reader.body() }, &mut kept), kept)
    }

    const TOKEN: &[u8] = b"HTTP/1.1 200 OK\r\nX-Token: abc\r\ntransfer-encoding: chunked\r\n\r\n\
        5\r\n{\"id\"\r\n1b\r\n:17,\"name\":\"a \\\"b\\\"\",\"x\":0}\r\n0\r\n\r\n";

    #[test]
    fn an_answer_is_held_against_every_part_of_a_check() {
        assert_eq!(judged(&judge(""), TOKEN).0, Ok(()));
        assert_eq!(judged(&judge("check = { status = [201] }"), TOKEN).0, Err(Failure::Status));
        for (check, good) in [
            ("contains = \":17\"", true),
            ("contains = \":18\"", false),
            ("header = \"x-token\"", true),
            ("header = \"x-other\"", false),
            ("json = \"/id\"", true),
            ("json = \"/di\"", false),
        ] {
            let found = judged(&judge(&format!("check = {{ {check} }}")), TOKEN).0;
            assert_eq!(found, if good { Ok(()) } else { Err(Failure::Check) }, "{check}");
        }
    }

    #[test]
    fn what_a_body_is_coded_in_is_undone_or_fails_its_check() {
        use flate2::Compression;
        use flate2::write::{GzEncoder, ZlibEncoder};
        use std::io::Write as _;

        let text = b"{\"id\": 17}";
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        let mut zlib = ZlibEncoder::new(Vec::new(), Compression::fast());
        let written = gzip.write_all(text).and_then(|()| zlib.write_all(text));
        written.expect("writing to memory does not fail");
        let (gzip, zlib) = (gzip.finish(), zlib.finish());
        let (gzip, zlib) = (gzip.expect("it is in memory"), zlib.expect("it is in memory"));
        let mut twice = ZlibEncoder::new(Vec::new(), Compression::fast());
        twice.write_all(&gzip).expect("writing to memory does not fail");
        let twice = twice.finish().expect("it is in memory");
        let judge = judge("check = { json = \"/id\" }");
        for (coding, body, good) in [
            ("identity", &text[..], true),
            ("gzip", &gzip[..], true),
            ("X-GZIP", &gzip[..], true),
            ("deflate", &zlib[..], true),
            ("deflate", &gzip[..], false),
            ("gzip", &text[..], false),
            ("br", &text[..], false),
            ("gzip, Deflate", &twice[..], true),
            ("gzip\r\ncontent-encoding: deflate, identity", &twice[..], true),
            ("deflate, gzip", &twice[..], false),
            ("gzip, gzip, gzip, gzip", &gzip[..], false),
            ("", &text[..], true),
        ] {
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            let answer = [head.as_bytes(), body].concat();
            assert_eq!(judged(&judge, &answer).0.is_ok(), good, "{coding}");
        }
    }

    #[test]
    fn who_looks_at_fields_alone_minds_no_coding() {
        let judge = judge("check = { header = \"x-token\" }\nextract = { token = { header = \"X-Token\" } }");
        for coding in ["gzip", "br", "zstd"] {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nx-token: abc\r\ncontent-encoding: {coding}\r\ncontent-length: 2\r\n\r\nhi"
            );
            assert_eq!(judged(&judge, answer.as_bytes()), (Ok(()), vec![(0, "abc".to_owned())]), "{coding}");
        }
    }

    #[test]
    fn values_are_kept_from_json_header_and_text() {
        let judge = judge(
            "extract = { name = { json = \"/name\" }, id = { json = \"/id\" }, token = { header = \"X-Token\" }, \
             n = { regex = '\"id\":([0-9])' } }",
        );
        let (result, kept) = judged(&judge, TOKEN);
        let values: Vec<&str> = kept.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!((result, values), (Ok(()), vec!["a \"b\"", "17", "abc", "1"]));
        let long = format!("{{\"name\":\"{}\"}}", "x".repeat(VALUE_BYTES + 1));
        let long = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{long}", long.len());
        assert_eq!(judged(&judge, long.as_bytes()).0, Err(Failure::Check));
        let none = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(judged(&judge, none).0, Err(Failure::Check));
    }
}
