//! Heads on their way through: what concerns one hop is taken out, the client's address is added, and the cookie that binds
//! to a server is set, read and hidden.

use std::io::Write;

use httparse::Header;
use scenarios::scenario::ProxyVersion;

use super::choice::{Key, hash_of_address, hash_of_target};
use super::cookie;
use crate::edge::{Arrival, announcement};
use crate::http::Framing;
use crate::http::head::{Bad, NO_FIELDS, connection_options, is_hop_by_hop, parse_request, parse_response};

/// What is to be done to heads, of all connections.
#[derive(Debug)]
pub(super) struct Rules {
    /// The cookie that binds to a server.
    pub(super) cookie: Option<String>,
}

/// The client of a connection.
#[derive(Debug)]
pub(super) struct From {
    address: String,
    hash: u64,
    /// What servers are told first of whose connection it is; empty where they are told nothing.
    announcement: Vec<u8>,
}

impl From {
    pub(super) fn new(arrival: Arrival, announce: Option<ProxyVersion>) -> Self {
        let address = arrival.from.ip().to_canonical();
        let mut announcement = Vec::new();
        if let Some(version) = announce {
            announcement::write(version, arrival.from, arrival.to, &mut announcement);
        }
        Self { address: address.to_string(), hash: hash_of_address(address), announcement }
    }

    /// What servers are told first of whose connection it is; empty where they are told nothing.
    pub(super) fn announcement(&self) -> &[u8] {
        &self.announcement
    }
}

/// What the proxy must know about a request that it rewrote.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestFrame {
    pub(super) head_len: usize,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) is_head: bool,
    /// Of HTTP/1.0: it knows no chunks, and is told that its connection stays.
    pub(super) is_old: bool,
    /// The client waits for a go-ahead before it sends the body.
    pub(super) expects_continue: bool,
    /// What a hash is taken of.
    pub(super) key: Key,
    /// The server that its cookie names.
    pub(super) bound: Option<usize>,
}

/// What the proxy must know about a response that it rewrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseFrame {
    pub(super) head_len: usize,
    pub(super) framing: Framing,
    /// Whether the server's connection stays open.
    pub(super) keep_alive: bool,
    /// Whether the client's does.
    pub(super) client_keep_alive: bool,
    /// Whether the client can be sent data alone, where the server sends chunks.
    pub(super) without_chunks: bool,
    pub(super) status: u16,
}

/// Rewrites a request's head into `out`; none where it is not complete yet.
///
/// # Errors
/// Where it is malformed.
pub(super) fn request(
    input: &[u8],
    from: &From,
    rules: &Rules,
    out: &mut Vec<u8>,
) -> Result<Option<RequestFrame>, Bad> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut fields = NO_FIELDS;
    let Some(head) = parse_request(input, &mut fields)? else { return Ok(None) };
    out.clear();
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    if let Some(authority) = head.authority {
        field("host", authority.as_bytes(), out);
    } else if head.is_old && crate::http::head::field(head.headers, "host").is_none() {
        // What goes on as HTTP/1.1 must have one, and an empty one where no host is named (RFC 9112, section 3.2).
        field("host", b"", out);
    }
    let mut forwarded = Vec::new();
    let mut expects_continue = false;
    let mut bound = None;
    for header in passed_on(head.headers) {
        if header.name.eq_ignore_ascii_case("x-forwarded-for") {
            forwarded.extend_from_slice(header.value);
            forwarded.extend_from_slice(b", ");
        } else if header.name.eq_ignore_ascii_case("expect") {
            expects_continue = header.value.eq_ignore_ascii_case(b"100-continue") && !head.is_old;
        } else if let Some(name) = &rules.cookie
            && header.name.eq_ignore_ascii_case("cookie")
        {
            bound = cookie::take_out(name, header.value, out).or(bound);
        } else if head.authority.is_none() || !header.name.eq_ignore_ascii_case("host") {
            field(header.name, header.value, out);
        }
    }
    out.extend_from_slice(b"x-forwarded-for: ");
    out.extend_from_slice(&forwarded);
    out.extend_from_slice(from.address.as_bytes());
    out.extend_from_slice(b"\r\n");
    end(head.framing == Framing::Chunked, out);
    Ok(Some(RequestFrame {
        head_len: head.len,
        framing: head.framing,
        keep_alive: head.keep_alive,
        is_head: head.method == "HEAD",
        is_old: head.is_old,
        expects_continue,
        key: Key { source: from.hash, uri: hash_of_target(head.target) },
        bound,
    }))
}

/// Rewrites a server's response to a request into `out`; none where it is not complete yet.
///
/// # Errors
/// Where it is malformed.
pub(super) fn response(
    input: &[u8],
    request: &RequestFrame,
    server: usize,
    rules: &Rules,
    out: &mut Vec<u8>,
) -> Result<Option<ResponseFrame>, Bad> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut fields = NO_FIELDS;
    let Some(head) = parse_response(input, &mut fields, request.is_head)? else { return Ok(None) };
    out.clear();
    status_line(head.status, head.reason, out);
    for header in passed_on(head.headers) {
        let sets_ours = |name: &String| {
            header.name.eq_ignore_ascii_case("set-cookie") && cookie::sets(name, header.value)
        };
        if !rules.cookie.as_ref().is_some_and(sets_ours) {
            field(header.name, header.value, out);
        }
    }
    if let Some(name) = &rules.cookie
        && request.bound != Some(server)
    {
        cookie::set(name, server, out);
    }
    let without_chunks = request.is_old && head.framing == Framing::Chunked;
    let client_keep_alive = request.keep_alive && head.framing != Framing::UntilClose && !without_chunks;
    if !client_keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    } else if request.is_old {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    end(head.framing == Framing::Chunked && !without_chunks, out);
    Ok(Some(ResponseFrame {
        head_len: head.len,
        framing: head.framing,
        keep_alive: head.keep_alive,
        client_keep_alive,
        without_chunks,
        status: head.status,
    }))
}

fn status_line(status: u16, reason: &str, out: &mut Vec<u8>) {
    // By far the most frequent one.
    if status == 200 && reason == "OK" {
        return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n");
    }
    write!(out, "HTTP/1.1 {status} {reason}\r\n").expect("writing to a vector cannot fail");
}

/// The fields that are not for this hop alone.
fn passed_on<'h, 'b>(headers: &'h [Header<'b>]) -> impl Iterator<Item = &'h Header<'b>> {
    let common =
        |option: &[u8]| [&b"close"[..], b"keep-alive"].iter().any(|o| option.eq_ignore_ascii_case(o));
    let lists_fields = connection_options(headers).any(|option| !common(option));
    let listed = move |name: &str| {
        lists_fields && connection_options(headers).any(|o| o.eq_ignore_ascii_case(name.as_bytes()))
    };
    // The length is never this hop's to hide, nor the host: without them the two sides would read different messages.
    let is_essential =
        |name: &str| name.eq_ignore_ascii_case("content-length") || name.eq_ignore_ascii_case("host");
    headers.iter().filter(move |h| is_essential(h.name) || !(is_hop_by_hop(h.name) || listed(h.name)))
}

fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn end(chunked: bool, out: &mut Vec<u8>) {
    if chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn from() -> From {
        let place = std::net::SocketAddr::from(([127, 0, 0, 9], 80));
        From::new(Arrival { from: place, to: place }, None)
    }

    fn rewritten(head: &str, rules: &Rules) -> (RequestFrame, String) {
        let mut out = Vec::new();
        let frame = request(head.as_bytes(), &from(), rules, &mut out).expect("well-formed").expect("whole");
        (frame, String::from_utf8_lossy(&out).into_owned())
    }

    fn answered(head: &str, request: &RequestFrame, rules: &Rules) -> (ResponseFrame, String) {
        let mut out = Vec::new();
        let frame =
            response(head.as_bytes(), request, 1, rules, &mut out).expect("well-formed").expect("whole");
        (frame, String::from_utf8_lossy(&out).into_owned())
    }

    const PLAIN: Rules = Rules { cookie: None };

    #[test]
    fn hop_by_hop_fields_are_stripped_and_the_client_is_named() {
        let head = "POST /a?b HTTP/1.1\r\nHost: h\r\nConnection: X-Secret, Content-Length, host\r\nX-Secret: 1\r\n\
                    Upgrade: h2c\r\nTE: trailers\r\nX-Forwarded-For: 10.0.0.1\r\nContent-Length: 3\r\n\r\nabc";
        let (frame, out) = rewritten(head, &PLAIN);
        assert_eq!(frame.framing, Framing::Length(3));
        assert_eq!(frame.head_len, head.len() - 3);
        let expected = "POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\
                        x-forwarded-for: 10.0.0.1, 127.0.0.9\r\n\r\n";
        assert_eq!(out, expected);
    }

    #[test]
    fn the_host_of_an_absolute_target_replaces_the_field() {
        let (_, out) = rewritten("GET http://a/b HTTP/1.1\r\nHost: c\r\n\r\n", &PLAIN);
        assert_eq!(out, "GET /b HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 127.0.0.9\r\n\r\n");
    }

    #[test]
    fn a_request_of_http_1_0_goes_on_with_a_host() {
        let (_, out) = rewritten("GET / HTTP/1.0\r\n\r\n", &PLAIN);
        assert_eq!(out, "GET / HTTP/1.1\r\nhost: \r\nx-forwarded-for: 127.0.0.9\r\n\r\n");
        let (_, out) = rewritten("GET / HTTP/1.0\r\nHost: h\r\n\r\n", &PLAIN);
        assert_eq!(out, "GET / HTTP/1.1\r\nHost: h\r\nx-forwarded-for: 127.0.0.9\r\n\r\n");
    }

    #[test]
    fn a_client_of_http_1_0_is_told_that_its_connection_stays_and_gets_no_chunks() {
        let (old, _) = rewritten("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", &PLAIN);
        let (frame, out) = answered("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", &old, &PLAIN);
        assert!(frame.client_keep_alive);
        assert_eq!(out, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: keep-alive\r\n\r\n");
        let (frame, out) = answered("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", &old, &PLAIN);
        assert!(frame.without_chunks && !frame.client_keep_alive && frame.keep_alive);
        assert_eq!(out, "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n");
    }

    #[test]
    fn a_user_is_bound_by_a_cookie_that_no_server_sees() {
        let rules = Rules { cookie: Some("SRV".to_owned()) };
        let ok = "HTTP/1.1 200 OK\r\nSet-Cookie: SRV=theirs\r\nSet-Cookie: a=b\r\ncontent-length: 0\r\n\r\n";
        let (first, _) = rewritten("GET / HTTP/1.1\r\nHost: h\r\n\r\n", &rules);
        assert_eq!(first.bound, None);
        let (_, out) = answered(ok, &first, &rules);
        assert!(out.contains("set-cookie: SRV=s2; path=/\r\ncache-control: private\r\n"), "{out}");
        assert!(out.contains("Set-Cookie: a=b") && !out.contains("theirs"), "{out}");
        let (second, out) = rewritten("GET / HTTP/1.1\r\nHost: h\r\nCookie: SRV=s2; a=b\r\n\r\n", &rules);
        assert_eq!(second.bound, Some(1));
        assert!(out.contains("cookie: a=b\r\n") && !out.contains("SRV"), "{out}");
        let (_, out) = answered(ok, &second, &rules);
        assert!(!out.contains("SRV"), "{out}");
        let (elsewhere, _) = rewritten("GET / HTTP/1.1\r\nHost: h\r\nCookie: SRV=s1\r\n\r\n", &rules);
        let (_, out) = answered(ok, &elsewhere, &rules);
        assert!(out.contains("SRV=s2"), "the server of the cookie was down: {out}");
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_rewriter(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _ = request(&bytes, &from(), &PLAIN, &mut out);
            let (frame, _) = rewritten("GET / HTTP/1.0\r\n\r\n", &PLAIN);
            let _ = response(&bytes, &frame, 0, &PLAIN, &mut out);
        }

        #[test]
        fn a_rewritten_request_is_read_as_the_same_message(
            target in "/[a-z0-9/]{0,20}", length in 0_u64..1000, value in "[ -~]{0,40}"
        ) {
            let head =
                format!("PUT {target} HTTP/1.1\r\nhost: h\r\nx-value: {value}\r\ncontent-length: {length}\r\n\r\n");
            let (frame, out) = rewritten(&head, &PLAIN);
            let (second, _) = rewritten(&out, &PLAIN);
            prop_assert_eq!(frame.framing, second.framing);
            prop_assert_eq!(second.head_len, out.len());
        }
    }
}
