//! Heads on their way through: what concerns one hop is taken out, the client's address is added.

use std::io::Write;
use std::net::IpAddr;

use httparse::Header;

use crate::http::Framing;
use crate::http::head::{Bad, NO_FIELDS, connection_options, is_hop_by_hop, parse_request, parse_response};

/// What the proxy must know about a request that it rewrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RequestFrame {
    pub(super) head_len: usize,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) is_head: bool,
    /// The client waits for a go-ahead before it sends the body.
    pub(super) expects_continue: bool,
}

/// What the proxy must know about a response that it rewrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ResponseFrame {
    pub(super) head_len: usize,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) status: u16,
}

/// Rewrites a request's head into `out`; none where it is not complete yet.
///
/// # Errors
/// Where it is malformed.
pub(super) fn request(input: &[u8], client: IpAddr, out: &mut Vec<u8>) -> Result<Option<RequestFrame>, Bad> {
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
    let mut forwarded = Vec::new();
    let mut expects_continue = false;
    for header in passed_on(head.headers) {
        if header.name.eq_ignore_ascii_case("x-forwarded-for") {
            forwarded.extend_from_slice(header.value);
            forwarded.extend_from_slice(b", ");
        } else if header.name.eq_ignore_ascii_case("expect") {
            expects_continue = header.value.eq_ignore_ascii_case(b"100-continue");
        } else {
            field(header.name, header.value, out);
        }
    }
    out.extend_from_slice(b"x-forwarded-for: ");
    out.extend_from_slice(&forwarded);
    write!(out, "{client}\r\n").expect("writing to a vector cannot fail");
    end(head.framing, out);
    Ok(Some(RequestFrame {
        head_len: head.len,
        framing: head.framing,
        keep_alive: head.keep_alive,
        is_head: head.method == "HEAD",
        expects_continue,
    }))
}

/// Rewrites a response's head into `out`; none where it is not complete yet. With `close` it is the last on the
/// client's connection.
///
/// # Errors
/// Where it is malformed.
pub(super) fn response(
    input: &[u8],
    to_head_request: bool,
    close: bool,
    out: &mut Vec<u8>,
) -> Result<Option<ResponseFrame>, Bad> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut fields = NO_FIELDS;
    let Some(head) = parse_response(input, &mut fields, to_head_request)? else { return Ok(None) };
    out.clear();
    write!(out, "HTTP/1.1 {} {}\r\n", head.status, head.reason).expect("writing to a vector cannot fail");
    for header in passed_on(head.headers) {
        field(header.name, header.value, out);
    }
    if close || head.framing == Framing::UntilClose {
        out.extend_from_slice(b"connection: close\r\n");
    }
    end(head.framing, out);
    let frame = ResponseFrame {
        head_len: head.len,
        framing: head.framing,
        keep_alive: head.keep_alive,
        status: head.status,
    };
    Ok(Some(frame))
}

/// The fields that are not for this hop alone.
fn passed_on<'h, 'b>(headers: &'h [Header<'b>]) -> impl Iterator<Item = &'h Header<'b>> {
    let listed = |name: &str| connection_options(headers).any(|o| o.eq_ignore_ascii_case(name.as_bytes()));
    // The length is never this hop's to hide: without it the two sides would read different messages.
    headers.iter().filter(move |h| {
        h.name.eq_ignore_ascii_case("content-length") || !(is_hop_by_hop(h.name) || listed(h.name))
    })
}

fn field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn end(framing: Framing, out: &mut Vec<u8>) {
    if framing == Framing::Chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 9));

    #[test]
    fn hop_by_hop_fields_are_stripped_and_the_client_is_named() {
        let head = "POST /a?b HTTP/1.1\r\nHost: h\r\nConnection: X-Secret, Content-Length\r\nX-Secret: 1\r\n\
                    Upgrade: h2c\r\nTE: trailers\r\nX-Forwarded-For: 10.0.0.1\r\nContent-Length: 3\r\n\r\nabc";
        let mut out = Vec::new();
        let frame = request(head.as_bytes(), CLIENT, &mut out).expect("well-formed").expect("whole");
        assert_eq!(frame.framing, Framing::Length(3));
        assert_eq!(frame.head_len, head.len() - 3);
        let expected = "POST /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\
                        x-forwarded-for: 10.0.0.1, 127.0.0.9\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_rewriter(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut out = Vec::new();
            let _ = request(&bytes, CLIENT, &mut out);
            let _ = response(&bytes, false, false, &mut out);
        }

        #[test]
        fn a_rewritten_request_is_read_as_the_same_message(
            target in "/[a-z0-9/]{0,20}", length in 0_u64..1000, value in "[ -~]{0,40}"
        ) {
            let head = format!("PUT {target} HTTP/1.1\r\nx-value: {value}\r\ncontent-length: {length}\r\n\r\n");
            let mut out = Vec::new();
            let frame = request(head.as_bytes(), CLIENT, &mut out).expect("well-formed").expect("whole");
            let mut again = Vec::new();
            let second = request(&out, CLIENT, &mut again).expect("well-formed").expect("whole");
            prop_assert_eq!(frame.framing, second.framing);
            prop_assert_eq!(second.head_len, out.len());
        }
    }
}
