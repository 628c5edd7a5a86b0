//! As much of HTTP/1.1 as a browser on the same machine needs: one request a connection, without a body.
//!
//! A browser that no longer wants an answer closes the connection, which whoever works for the answer can see.

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
pub struct Request {
    pub(super) method: String,
    target: String,
    pub(super) host: String,
    /// What the browser says of who asks, and what for.
    fetch_site: Option<String>,
    fetch_destination: Option<String>,
    stream: Option<TcpStream>,
}

impl Request {
    fn split(&self) -> (&str, &str) {
        self.target.split_once('?').unwrap_or((&self.target, ""))
    }

    /// The path, as it came.
    pub fn path(&self) -> &str {
        self.split().0
    }

    /// The value of an argument of the query; none where it is not there or no text.
    pub fn argument(&self, key: &str) -> Option<String> {
        let pair = self.split().1.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
        pair.and_then(decoded)
    }

    /// All arguments of the query in their order; none where one of them is no text.
    pub fn arguments(&self) -> Option<Vec<(String, String)>> {
        let pairs = self.split().1.split('&').filter(|pair| !pair.is_empty());
        let decoded = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decoded(key)?, decoded(value)?))
        };
        pairs.map(decoded).collect()
    }

    /// Whether another site asks, for anything but to show the page as such.
    pub(super) fn is_foreign(&self) -> bool {
        let own = self.fetch_site.as_deref().is_none_or(|site| ["same-origin", "none"].contains(&site));
        !own && self.fetch_destination.as_deref() != Some("document")
    }

    /// Whether whoever asked no longer waits for the answer: a browser that asks for something newer closes the connection.
    pub fn is_abandoned(&self) -> bool {
        let Some(stream) = &self.stream else { return false };
        if stream.set_nonblocking(true).is_err() {
            return true;
        }
        let gone = match stream.peek(&mut [0]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        // The connection's thread is the one that asks, so nobody reads or writes in between.
        gone || stream.set_nonblocking(false).is_err()
    }
}

/// A page, or a part of one, with its status.
#[derive(Debug)]
pub struct Response {
    status: u16,
    body: String,
    asks: bool,
}

impl Response {
    /// A whole page.
    pub fn page(body: String) -> Self {
        Self::of(200, body)
    }

    /// A body with a status.
    pub fn of(status: u16, body: String) -> Self {
        Self { status, body, asks: false }
    }

    /// The same page, whose script may ask this server, and nobody else.
    pub fn that_asks(self) -> Self {
        Self { asks: true, ..self }
    }

    /// A page that says what is wrong.
    pub fn problem(status: u16, text: &str) -> Self {
        let body = format!(
            "<section><header><h1>{}</h1><p class=\"verdict doubtful\">{}</p></header><p><a href=\"/\">Back to the beginning</a></p></section>",
            reason(status),
            escaped(text)
        );
        Self::of(status, crate::page::page(reason(status), &body))
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
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

/// Reads a request; or what to answer to something else. The connection comes back with it.
pub(super) fn read(mut stream: TcpStream) -> io::Result<(TcpStream, Result<Request, Response>)> {
    let begun = Instant::now();
    let mut head = Vec::new();
    let mut some = [0; 1024];
    let end = loop {
        if let Some(end) = head.windows(4).position(|four| four == b"\r\n\r\n") {
            break end;
        }
        if head.len() > HEAD {
            return Ok((stream, Err(Response::problem(431, "A request here has a head of at most 8 KiB."))));
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
    let request = request.map(|request| Request { stream: stream.try_clone().ok(), ..request });
    let wrong = || Response::problem(400, "Found something that is no request of HTTP/1.1.");
    Ok((stream, request.ok_or_else(wrong)))
}

fn parse(head: &str) -> Option<Request> {
    let mut lines = head.split("\r\n");
    let mut words = lines.next()?.split(' ');
    let (method, target, version) = (words.next()?, words.next()?, words.next()?);
    if words.next().is_some() || !["HTTP/1.1", "HTTP/1.0"].contains(&version) || !target.starts_with('/') {
        return None;
    }
    let fields: Vec<(&str, &str)> =
        lines.filter_map(|line| line.split_once(':')).map(|(name, value)| (name, value.trim())).collect();
    let all = |name: &'static str| fields.iter().filter(move |field| field.0.eq_ignore_ascii_case(name));
    let [(_, host)] = all("host").collect::<Vec<_>>()[..] else { return None };
    let first = |name: &'static str| all(name).next().map(|(_, value)| (*value).to_owned());
    Some(Request {
        method: method.to_owned(),
        target: target.to_owned(),
        host: (*host).to_owned(),
        fetch_site: first("sec-fetch-site"),
        fetch_destination: first("sec-fetch-dest"),
        stream: None,
    })
}

/// A part of a query without its escapes; none where that is no text.
fn decoded(text: &str) -> Option<String> {
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
pub(crate) fn encoded(text: &str) -> String {
    let one = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(one).collect()
}

/// Writes an answer. The page may do nothing but what is in it: no request to anywhere, or to this server alone.
pub(super) fn write(mut stream: &TcpStream, response: &Response, with_body: bool) -> io::Result<()> {
    stream.set_write_timeout(Some(PATIENCE))?;
    let allow = if response.status == 405 { "allow: GET, HEAD\r\n" } else { "" };
    let asks = if response.asks { "connect-src 'self'; " } else { "" };
    let head = format!(
        "HTTP/1.1 {} {}\r\ncontent-type: text/html; charset=utf-8\r\ncontent-length: {}\r\nconnection: close\r\n\
         cache-control: no-store\r\nx-content-type-options: nosniff\r\nreferrer-policy: no-referrer\r\n\
         cross-origin-resource-policy: same-origin\r\n\
         content-security-policy: default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; {asks}\
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
    write(&stream, &Response::problem(503, "Too many pages are being drawn: try again."), true)
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
    fn other_sites_may_link_and_nothing_else() {
        let foreign = |fields: &str| {
            let head = format!("GET / HTTP/1.1\r\nhost: localhost:80\r\n{fields}");
            parse(&head).expect("it is a request").is_foreign()
        };
        assert!(!foreign(""), "it is no browser");
        assert!(!foreign("Sec-Fetch-Site: same-origin\r\nSec-Fetch-Dest: empty"));
        assert!(!foreign("sec-fetch-site: none\r\nsec-fetch-dest: document"));
        assert!(!foreign("sec-fetch-site: cross-site\r\nsec-fetch-dest: document"), "a link was followed");
        assert!(foreign("sec-fetch-site: cross-site\r\nsec-fetch-dest: image"));
        assert!(foreign("sec-fetch-site: same-site\r\nsec-fetch-dest: iframe"));
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
