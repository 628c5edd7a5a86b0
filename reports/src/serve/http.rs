//! As much of HTTP/1.1 as a browser on the same machine needs: one request a connection, without a body.

use std::io::{self, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use results::escaped;

/// The greatest head of a request, in bytes.
const HEAD: usize = 8 << 10;
/// How long a request may take to come, and how long its answer may wait to be taken.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked for.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) host: String,
}

/// A page with its status.
#[derive(Debug)]
pub(super) struct Response {
    status: u16,
    body: String,
}

impl Response {
    pub(super) fn page(body: String) -> Self {
        Self { status: 200, body }
    }

    /// A page that says what is wrong.
    pub(super) fn problem(status: u16, text: &str) -> Self {
        let body = format!(
            "<section><header><h1>{}</h1><p class=\"verdict doubtful\">{}</p></header><p><a href=\"/\">All runs</a></p></section>",
            reason(status),
            escaped(text)
        );
        Self { status, body: crate::page::page(reason(status), &body) }
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        422 => "Unprocessable Content",
        431 => "Request Header Fields Too Large",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    }
}

/// Reads a request; or what to answer to something else.
pub(super) fn read(stream: &mut TcpStream) -> io::Result<Result<Request, Response>> {
    let begun = Instant::now();
    let mut head = Vec::new();
    let mut some = [0; 1024];
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if head.len() > HEAD {
            return Ok(Err(Response::problem(431, "A request here has a head of at most 8 KiB.")));
        }
        // However slowly they come, all bytes share one patience.
        let left = PATIENCE.saturating_sub(begun.elapsed());
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        match stream.read(&mut some)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ if begun.elapsed() > PATIENCE => return Err(io::ErrorKind::TimedOut.into()),
            n => head.extend_from_slice(&some[..n]),
        }
    };
    let request = std::str::from_utf8(&head[..end]).ok().and_then(parse);
    Ok(request.ok_or_else(|| Response::problem(400, "Found something that is no request of HTTP/1.1.")))
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !["HTTP/1.1", "HTTP/1.0"].contains(&version) || !target.starts_with('/') {
        return None;
    }
    let hosts = lines.filter_map(|line| line.split_once(':'));
    let mut hosts =
        hosts.filter(|(name, _)| name.eq_ignore_ascii_case("host")).map(|(_, value)| value.trim());
    let host = hosts.next()?;
    if hosts.next().is_some() {
        return None;
    }
    Some(Request { method: method.to_owned(), target: target.to_owned(), host: host.to_owned() })
}

/// A part of a query without its escapes; none where that is no text.
pub(super) fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
                rest = &rest[2..];
                u8::from_str_radix(digits, 16).ok()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

/// A text as a part of a query.
pub(super) fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Writes an answer. The page may do nothing but what is in it: no request to anywhere.
pub(super) fn write(mut stream: TcpStream, response: &Response, with_body: bool) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let allow = if response.status == 405 { "allow: GET, HEAD\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
         form-action 'self'; base-uri 'none'; frame-ancestors 'none'\r\n{allow}\r\n",
        response.status,
        reason(response.status),
        response.body.len()
    );
    stream.write_all(head.as_bytes())?;
    if with_body {
        stream.write_all(response.body.as_bytes())?;
    }
    stream.shutdown(std::net::Shutdown::Write)
}

/// Sends a connection away without reading from it.
pub(super) fn refuse(stream: TcpStream) -> io::Result<()> {
    write(stream, &Response::problem(503, "Too many pages are being drawn: try again."), true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_go_both_ways() {
        for text in ["20260101-120000-quickstart-sim", "a b/../ü&=%", ""] {
            assert_eq!(decoded(&encoded(text)).as_deref(), Some(text));
        }
        assert_eq!(decoded("a+b%2"), None);
        assert_eq!(decoded("%ff"), None, "it is no text");
    }

    #[test]
    fn requests_need_one_host_and_a_path() {
        let host = |head: &str| parse(head).map(|request| request.host);
        assert_eq!(host("GET / HTTP/1.1\r\nHost: localhost:80").as_deref(), Some("localhost:80"));
        for wrong in [
            "GET / HTTP/1.1",
            "GET / HTTP/1.1\r\nhost: a\r\nhost: b",
            "GET http://a/ HTTP/1.1\r\nhost: a",
            "GET /",
        ] {
            assert_eq!(host(wrong), None, "{wrong}");
        }
    }
}
