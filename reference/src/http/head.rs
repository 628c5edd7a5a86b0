//! The head of a message and what it says about the body.

use httparse::{EMPTY_HEADER, Header, Status};

/// The longest head that is read.
pub(crate) const HEAD_LIMIT: usize = 32 << 10;
/// The most header fields in a head.
pub(crate) const HEADERS_LIMIT: usize = 64;

/// Room for the parsed header fields.
pub(crate) type Fields<'b> = [Header<'b>; HEADERS_LIMIT];

/// Room for header fields, empty.
pub(crate) const NO_FIELDS: Fields<'static> = [EMPTY_HEADER; HEADERS_LIMIT];

/// A message that is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Bad {
    /// Not HTTP, or of two possible lengths.
    #[error("not a well-formed HTTP/1.1 message")]
    Syntax,
    /// The head passes [`HEAD_LIMIT`] or [`HEADERS_LIMIT`].
    #[error("the message's head is too large")]
    TooLarge,
    /// A version of HTTP that this is not.
    #[error("the message is not of HTTP/1")]
    Version,
    /// A transfer coding or a method that is not implemented.
    #[error("the message uses what is not implemented")]
    Unsupported,
}

impl Bad {
    /// What a client is told about its request.
    pub(crate) fn status(self) -> u16 {
        match self {
            Self::Syntax => 400,
            Self::TooLarge => 431,
            Self::Version => 505,
            Self::Unsupported => 501,
        }
    }
}

impl From<httparse::Error> for Bad {
    fn from(error: httparse::Error) -> Self {
        match error {
            httparse::Error::TooManyHeaders => Self::TooLarge,
            httparse::Error::Version => Self::Version,
            _ => Self::Syntax,
        }
    }
}

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// This many bytes; zero is no body.
    Length(u64),
    /// Chunks.
    Chunked,
    /// All until the connection closes; responses only.
    UntilClose,
}

/// A request's head.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    pub(crate) method: &'b str,
    /// A path with its query, or `*`.
    pub(crate) target: &'b str,
    /// The host that an absolute target names; it goes before that of the `Host` field (RFC 9112, section 3.2.2).
    pub(crate) authority: Option<&'b str>,
    /// Whether it is of HTTP/1.0.
    pub(crate) is_old: bool,
    pub(crate) headers: &'h [Header<'b>],
    /// Bytes of the head, the empty line included.
    pub(crate) len: usize,
    pub(crate) framing: Framing,
    /// Whether the connection stays open after the answer.
    pub(crate) keep_alive: bool,
}

/// A response's head.
#[derive(Debug)]
pub(crate) struct ResponseHead<'h, 'b> {
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    pub(crate) headers: &'h [Header<'b>],
    /// Bytes of the head, the empty line included.
    pub(crate) len: usize,
    pub(crate) framing: Framing,
    /// Whether the connection stays open after the body.
    pub(crate) keep_alive: bool,
}

/// Reads a request's head; none where it is not complete yet.
///
/// # Errors
/// Where it never can be one.
pub(crate) fn parse_request<'h, 'b>(
    bytes: &'b [u8],
    fields: &'h mut Fields<'b>,
) -> Result<Option<RequestHead<'h, 'b>>, Bad> {
    let mut request = httparse::Request::new(fields);
    let Status::Complete(len) = request.parse(bytes)? else { return incomplete(bytes) };
    check_lines(&bytes[..len])?;
    let (method, target) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(Bad::Unsupported);
    }
    let minor = request.version.unwrap_or(0);
    let headers: &'h [Header<'b>] = request.headers;
    let (authority, target) = split_target(method, target)?;
    check_host(headers, minor)?;
    let framing = stated_framing(headers, minor)?.unwrap_or(Framing::Length(0));
    let (is_old, keep_alive) = (minor == 0, keeps_alive(headers, minor));
    Ok(Some(RequestHead { method, target, authority, is_old, headers, len, framing, keep_alive }))
}

/// Reads a response's head; none where it is not complete yet.
///
/// # Errors
/// Where it never can be one.
pub(crate) fn parse_response<'h, 'b>(
    bytes: &'b [u8],
    fields: &'h mut Fields<'b>,
    to_head_request: bool,
) -> Result<Option<ResponseHead<'h, 'b>>, Bad> {
    let mut response = httparse::Response::new(fields);
    let Status::Complete(len) = response.parse(bytes)? else { return incomplete(bytes) };
    check_lines(&bytes[..len])?;
    let status = response.code.unwrap_or(0);
    let minor = response.version.unwrap_or(0);
    let headers: &'h [Header<'b>] = response.headers;
    let stated = stated_framing(headers, minor)?;
    let framing = if to_head_request || status < 200 || status == 204 || status == 304 {
        Framing::Length(0)
    } else {
        stated.unwrap_or(Framing::UntilClose)
    };
    let keep_alive = keeps_alive(headers, minor) && framing != Framing::UntilClose;
    Ok(Some(ResponseHead {
        status,
        reason: response.reason.unwrap_or(""),
        headers,
        len,
        framing,
        keep_alive,
    }))
}

fn incomplete<T>(bytes: &[u8]) -> Result<Option<T>, Bad> {
    if bytes.len() >= HEAD_LIMIT { Err(Bad::TooLarge) } else { Ok(None) }
}

/// Every line ends with a carriage return and a line feed: a line feed alone, which a reader may take for an end of line
/// (RFC 9112, section 2.2), is none for others. Carriage returns alone never pass the parser.
fn check_lines(head: &[u8]) -> Result<(), Bad> {
    if head.len() > HEAD_LIMIT {
        return Err(Bad::TooLarge);
    }
    let line_feeds = head.iter().filter(|byte| **byte == b'\n').count();
    let ends = head.windows(2).filter(|pair| *pair == b"\r\n").count();
    if line_feeds == ends { Ok(()) } else { Err(Bad::Syntax) }
}

/// The forms of a target that a reverse proxy is asked for (RFC 9112, section 3.2): a path, `*` of OPTIONS, and with a
/// host before it.
fn split_target<'b>(method: &str, target: &'b str) -> Result<(Option<&'b str>, &'b str), Bad> {
    if !target.bytes().all(|byte| matches!(byte, b'!'..=b'~')) || target.contains('#') {
        return Err(Bad::Syntax);
    }
    if target.starts_with('/') {
        return Ok((None, target));
    }
    if target == "*" && method == "OPTIONS" {
        return Ok((None, target));
    }
    let scheme =
        if target.len() > 7 && target.as_bytes()[..7].eq_ignore_ascii_case(b"http://") { 7 } else { 0 };
    if scheme == 0 {
        return Err(Bad::Syntax);
    }
    let rest = &target[scheme..];
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if !is_host(authority.as_bytes()) || authority.is_empty() {
        return Err(Bad::Syntax);
    }
    let path = match path {
        "" if method == "OPTIONS" => "*",
        "" => "/",
        path => path,
    };
    Ok((Some(authority), path))
}

/// Exactly one `Host` (RFC 9112, section 3.2); HTTP/1.0 may have none.
fn check_host(headers: &[Header<'_>], minor: u8) -> Result<(), Bad> {
    let mut hosts = headers.iter().filter(|h| h.name.eq_ignore_ascii_case("host"));
    match (hosts.next(), hosts.next()) {
        (Some(host), None) if is_host(host.value.trim_ascii()) => Ok(()),
        (None, _) if minor == 0 => Ok(()),
        _ => Err(Bad::Syntax),
    }
}

/// A host with or without a port, as far as that it cannot be taken for anything else.
fn is_host(value: &[u8]) -> bool {
    value.iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']' | b'~' | b'%' | b'!')
    })
}

/// RFC 9112, section 6.3, with every doubtful case refused.
fn stated_framing(headers: &[Header<'_>], minor: u8) -> Result<Option<Framing>, Bad> {
    let mut framing = None;
    for header in headers {
        let stated = if header.name.eq_ignore_ascii_case("content-length") {
            Framing::Length(decimal(header.value)?)
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            if minor == 0 {
                return Err(Bad::Syntax);
            }
            if !header.value.trim_ascii().eq_ignore_ascii_case(b"chunked") {
                return Err(Bad::Unsupported);
            }
            Framing::Chunked
        } else {
            continue;
        };
        if framing.replace(stated).is_some() {
            return Err(Bad::Syntax);
        }
    }
    Ok(framing)
}

fn decimal(value: &[u8]) -> Result<u64, Bad> {
    let digits = value.trim_ascii();
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Bad::Syntax);
    }
    Ok(digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')))
}

fn keeps_alive(headers: &[Header<'_>], minor: u8) -> bool {
    let mut keep = minor >= 1;
    for token in connection_options(headers) {
        if token.eq_ignore_ascii_case(b"close") {
            return false;
        }
        keep |= token.eq_ignore_ascii_case(b"keep-alive");
    }
    keep
}

/// The options that the `Connection` fields list.
pub(crate) fn connection_options<'b>(headers: &[Header<'b>]) -> impl Iterator<Item = &'b [u8]> {
    headers
        .iter()
        .filter(|h| h.name.eq_ignore_ascii_case("connection"))
        .flat_map(|h| h.value.split(|b| *b == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

/// The first field of this name.
pub(crate) fn field<'b>(headers: &[Header<'b>], name: &str) -> Option<&'b [u8]> {
    headers.iter().find(|h| h.name.eq_ignore_ascii_case(name)).map(|h| h.value)
}

/// Whether a field concerns this hop alone (RFC 9110, section 7.6.1) and so must not be passed on.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "proxy-authenticate",
        "proxy-authorization",
    ];
    NAMES.iter().any(|n| n.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn framing_of(head: &str) -> Result<Framing, Bad> {
        let mut fields = NO_FIELDS;
        parse_request(head.as_bytes(), &mut fields).map(|head| head.expect("a whole head").framing)
    }

    /// The refusal of a request with these lines after the first two.
    fn refusal_of(fields: &str) -> Option<Bad> {
        framing_of(&format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n")).err()
    }

    #[test]
    fn bodies_of_doubtful_length_are_refused() {
        let post = |fields: &str| framing_of(&format!("POST / HTTP/1.1\r\nHost: h\r\n{fields}\r\n"));
        assert_eq!(post("Content-Length: 12\r\n"), Ok(Framing::Length(12)));
        assert_eq!(post("Content-Length:\t 12 \t\r\n"), Ok(Framing::Length(12)));
        assert_eq!(post("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
        for fields in [
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n",
            "Content-Length: 1\r\nContent-Length: 2\r\n",
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            "Content-Length: 1, 1\r\n",
            "Content-Length: +1\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 0x1\r\n",
            "Content-Length: 1 1\r\n",
            "Content-Length: 1e1\r\n",
            "Content-Length:\r\n",
            "Content-Length: 99999999999999999999\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ] {
            assert_eq!(post(fields), Err(Bad::Syntax), "{fields:?}");
        }
        for coding in [
            "gzip, chunked",
            "chunked, chunked",
            "chunked, identity",
            "xchunked",
            "\"chunked\"",
            "identity",
            "",
        ] {
            assert_eq!(
                refusal_of(&format!("Transfer-Encoding: {coding}\r\n")),
                Some(Bad::Unsupported),
                "{coding}"
            );
        }
        let old = framing_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n");
        assert_eq!(old, Err(Bad::Syntax), "HTTP/1.0 knows no chunks");
    }

    #[test]
    fn lines_that_two_readers_could_see_differently_are_refused() {
        for fields in [
            "a: 1\nb: 2\r\n",
            "a: 1\rb: 2\r\n",
            "a: 1\r\r\n",
            "a: 1\0\r\n",
            "a: 1\r\n folded\r\n",
            "a: 1\r\n\tfolded\r\n",
            " a: 1\r\n",
            "a : 1\r\n",
            "a\t: 1\r\n",
            ": 1\r\n",
            "a\r\n",
            "a(b): 1\r\n",
            "Content-Length\u{b}: 1\r\n",
            "Host: h\r\n",
        ] {
            assert_eq!(refusal_of(fields), Some(Bad::Syntax), "{fields:?}");
        }
        for head in [
            "GET / HTTP/1.1\nHost: h\n\n",
            "GET / HTTP/1.1\r\nHost: h\r\n\n",
            "GET  / HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /\tx HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /\u{e9} HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET /#x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET * HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET https://h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http://u@h/ HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET http:///x HTTP/1.1\r\nHost: h\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n",
            "\0GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert_eq!(framing_of(head).err(), Some(Bad::Syntax), "{head:?}");
        }
        for head in [
            "GET / HTTP/2.0\r\n\r\n",
            "PRI * HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.2\r\n\r\n",
            "GET / x HTTP/1.1\r\nHost: h\r\n\r\n",
        ] {
            assert_eq!(framing_of(head).err(), Some(Bad::Version), "{head:?}");
        }
        assert_eq!(framing_of("CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n").err(), Some(Bad::Unsupported));
    }

    #[test]
    fn an_absolute_target_is_a_host_and_a_path() {
        for (line, authority, target) in [
            ("GET http://a:1/b?c HTTP/1.1", Some("a:1"), "/b?c"),
            ("GET HTTP://a HTTP/1.1", Some("a"), "/"),
            ("OPTIONS http://a HTTP/1.1", Some("a"), "*"),
            ("OPTIONS * HTTP/1.1", None, "*"),
            ("GET //a/b HTTP/1.1", None, "//a/b"),
        ] {
            let head = format!("{line}\r\nHost: h\r\n\r\n");
            let mut fields = NO_FIELDS;
            let head = parse_request(head.as_bytes(), &mut fields).expect("well-formed").expect("whole");
            assert_eq!((head.authority, head.target), (authority, target), "{line}");
        }
    }

    #[test]
    fn an_endless_head_is_refused() {
        let head = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(HEAD_LIMIT));
        assert_eq!(parse_request(head.as_bytes(), &mut NO_FIELDS.clone()).err(), Some(Bad::TooLarge));
        assert_eq!(refusal_of(&"a: 1\r\n".repeat(HEADERS_LIMIT)), Some(Bad::TooLarge));
        assert_eq!(refusal_of(&format!("x: {}\r\n", "y".repeat(HEAD_LIMIT))), Some(Bad::TooLarge));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_head_parser(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let (mut a, mut b) = (NO_FIELDS, NO_FIELDS);
            let _ = parse_request(&bytes, &mut a);
            let _ = parse_response(&bytes, &mut b, false);
        }
    }
}
