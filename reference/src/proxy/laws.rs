//! What must hold of every message that the proxy lets through, whatever was sent: a reader that shares no code with it, and
//! knows one way only to read a message, reads the same one.
//!
//! `PROPTEST_CASES=2000000 cargo test --release -p reference laws` looks for longer.

use std::net::{Ipv4Addr, SocketAddr};

use proptest::prelude::*;

use super::rewrite::{self, From, RequestFrame, Rules};
use crate::edge::Arrival;
use crate::http::{Body, Framing};

const REQUESTS: [&str; 6] = [
    "GET /a?b=c HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, X-Hop\r\nX-Hop: 1\r\nCookie: a=b; SRV=s1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h:80\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    "PUT /x HTTP/1.1\r\nhost: h\r\nTransfer-Encoding: chunked\r\nTrailer: a\r\nTE: trailers\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    "GET http://a:1/b HTTP/1.1\r\nHost: c\r\nX-Forwarded-For: 1.2.3.4\r\nUpgrade: h2c\r\n\r\n",
    "HEAD / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
    "OPTIONS * HTTP/1.1\r\nHost: \r\nContent-Length: 0\r\nProxy-Connection: close\r\n\r\n",
];

const RESPONSES: [&str; 4] = [
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSet-Cookie: SRV=x\r\nKeep-Alive: timeout=5\r\n\r\nhello",
    "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\nX-Hop: 1\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 200 \r\nConnection: close\r\n\r\nuntil the end",
    "HTTP/1.1 304 Not Modified\r\nContent-Length: 500\r\nETag: \"x\"\r\n\r\n",
];

const CHUNKS: [&str; 3] = [
    "5\r\nhello\r\n0\r\n\r\n",
    "a;name=\"v\"\r\n0123456789\r\n1\r\n!\r\n0\r\nX-Trailer: 1\r\n\r\nGET / HTTP/1.1\r\n",
    "000F;x\r\n0123456789abcde\r\n00\r\n\r\n",
];

/// What is put into a message to make it another.
const PIECES: [&str; 24] = [
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ",",
    ";",
    "\0",
    "\u{b}",
    "0",
    "f",
    "-",
    "\"",
    "\r\n\r\n",
    "chunked",
    "identity",
    "Content-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Connection: host, content-length\r\n",
    "Host: x\r\n",
    "HTTP/1.0",
    "SRV=s2; ",
    "X: y\r\n z\r\n",
];

/// A message of these with up to five changes: a piece put in, bytes taken out, a byte replaced, a part said twice.
fn changed(messages: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let change = (0_u8..4, any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>());
    let parts = (prop::sample::select(messages), prop::collection::vec(change, 0..6));
    parts.prop_map(|(message, changes)| {
        let mut bytes = message.as_bytes().to_vec();
        for (kind, place, other, byte) in changes {
            let at = place.index(bytes.len() + 1);
            let end = (at + other.index(12)).min(bytes.len());
            match kind {
                0 => drop(bytes.splice(at..at, PIECES[other.index(PIECES.len())].bytes())),
                1 => drop(bytes.drain(at..end)),
                2 if at < bytes.len() => bytes[at] = byte,
                _ => {
                    let part = bytes[at..end].to_vec();
                    drop(bytes.splice(end..end, part));
                }
            }
        }
        bytes
    })
}

/// A head as the simplest reader sees it: its first line and its fields, all of it up to the first empty line.
#[derive(Debug)]
struct Plain {
    line: String,
    fields: Vec<(String, String)>,
}

impl Plain {
    /// Reads what must be a head and nothing else.
    fn read(bytes: &[u8]) -> Self {
        let text: String = bytes.iter().map(|byte| char::from(*byte)).collect();
        let body = text.find("\r\n\r\n").map(|at| at + 4);
        assert_eq!(body, Some(text.len()), "it ends with its first empty line: {text:?}");
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let line = lines.next().expect("there is a first line").to_owned();
        let fields = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap_or_else(|| panic!("a field in {line:?}"));
            (name.to_ascii_lowercase(), value.to_owned())
        });
        let plain = Self { fields: fields.collect(), line };
        let all = plain.fields.iter().flat_map(|(name, value)| [name, value]).chain([&plain.line]);
        for part in all {
            assert!(!part.contains(['\r', '\n', '\0']), "{part:?}");
        }
        for (name, _) in &plain.fields {
            assert!(!name.is_empty() && !name.contains([' ', '\t', ',', ';', '"', '\u{b}']), "{name:?}");
        }
        plain
    }

    fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The one thing that it says about the length of its body; none where it says nothing.
    fn framing(&self) -> Option<Framing> {
        match (&self.all("content-length")[..], &self.all("transfer-encoding")[..]) {
            ([], []) => None,
            ([length], []) => Some(Framing::Length(length.trim().parse().expect("a decimal number"))),
            ([], ["chunked"]) => Some(Framing::Chunked),
            other => panic!("two lengths: {other:?}"),
        }
    }

    fn is_without(&self, names: &[&str]) {
        for name in names {
            assert!(self.all(name).is_empty(), "{name} concerns one hop: {self:?}");
        }
    }
}

/// The data of a chunked body by the simplest reader, and how long it is with its chunks.
fn plain_chunks(bytes: &[u8]) -> (Vec<u8>, usize) {
    let line = |at: usize| {
        let end = at + bytes[at..].windows(2).position(|pair| pair == b"\r\n").expect("a line ends");
        (String::from_utf8_lossy(&bytes[at..end]).into_owned(), end + 2)
    };
    let (mut data, mut at) = (Vec::new(), 0);
    loop {
        let (size, start) = line(at);
        let digits = size.split(';').next().expect("there is a first part");
        let size = usize::from_str_radix(digits, 16).unwrap_or_else(|error| panic!("{digits:?}: {error}"));
        at = start;
        if size == 0 {
            break;
        }
        data.extend_from_slice(&bytes[at..at + size]);
        assert_eq!(&bytes[at + size..at + size + 2], b"\r\n");
        at += size + 2;
    }
    loop {
        let (trailer, next) = line(at);
        at = next;
        if trailer.is_empty() {
            return (data, at);
        }
    }
}

fn rules(cookie: bool) -> Rules {
    Rules { cookie: cookie.then(|| "SRV".to_owned()) }
}

fn read_request(bytes: &[u8], cookie: bool, out: &mut Vec<u8>) -> Option<RequestFrame> {
    let place = SocketAddr::from((Ipv4Addr::LOCALHOST, 80));
    let from = From::new(Arrival { from: place, to: place }, None);
    rewrite::request(bytes, &from, &rules(cookie), out).ok().flatten()
}

proptest! {
    #[test]
    fn a_request_that_is_let_through_is_one_request_for_every_reader(
        bytes in changed(&REQUESTS), cookie in any::<bool>()
    ) {
        let mut out = Vec::new();
        if let Some(frame) = read_request(&bytes, cookie, &mut out) {
            assert!(bytes[..frame.head_len].ends_with(b"\r\n\r\n"));
            let plain = Plain::read(&out);
            let words: Vec<&str> = plain.line.split(' ').collect();
            assert!(words.len() == 3 && words[2] == "HTTP/1.1" && words[1].starts_with(['/', '*']), "{plain:?}");
            assert_eq!(plain.framing().unwrap_or(Framing::Length(0)), frame.framing);
            assert_eq!(plain.all("x-forwarded-for").len(), 1);
            assert_eq!(plain.all("host").len(), 1, "{plain:?}");
            plain.is_without(&["connection", "keep-alive", "proxy-connection", "te", "trailer", "upgrade", "expect"]);
            assert!(!cookie || plain.all("cookie").iter().all(|c| !c.split("; ").any(|c| c.starts_with("SRV="))));
        }
    }

    #[test]
    fn an_answer_that_is_let_through_is_one_answer_for_every_reader(
        bytes in changed(&RESPONSES), to in prop::sample::select(&REQUESTS[..]), cookie in any::<bool>()
    ) {
        let mut out = Vec::new();
        let request = read_request(to.as_bytes(), cookie, &mut out).expect("a good request");
        if let Ok(Some(frame)) = rewrite::response(&bytes, &request, 1, &rules(cookie), &mut out) {
            let plain = Plain::read(&out);
            assert!(plain.line.starts_with("HTTP/1.1 "));
            let has_body = !request.is_head && frame.status >= 200 && frame.status != 204 && frame.status != 304;
            match frame.framing {
                Framing::UntilClose => assert!(has_body && plain.framing().is_none()),
                Framing::Chunked if frame.without_chunks => assert!(plain.framing().is_none()),
                framing if has_body => assert_eq!(plain.framing(), Some(framing)),
                framing => assert_eq!(framing, Framing::Length(0)),
            }
            assert!(plain.framing().is_some() || !has_body || !frame.client_keep_alive, "{plain:?}");
            let connection = plain.all("connection");
            assert_eq!(connection == ["close"], !frame.client_keep_alive, "{plain:?}");
            plain.is_without(&["keep-alive", "proxy-connection", "te", "trailer", "upgrade"]);
        }
    }

    #[test]
    fn a_chunked_body_that_is_let_through_is_one_body_for_every_reader(
        bytes in changed(&CHUNKS), cut in 1_usize..40
    ) {
        let mut body = Body::new(Framing::Chunked);
        let (mut taken, mut data) = (0, Vec::new());
        for piece in bytes.chunks(cut) {
            match body.take_data(piece, &mut data) {
                Ok(n) => taken += n,
                Err(_) => return Ok(()),
            }
            if body.is_done() {
                assert_eq!((data, taken), plain_chunks(&bytes));
                break;
            }
        }
    }
}
