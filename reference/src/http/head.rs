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
            Self::Unsupported => 501,
        }
    }
}

impl From<httparse::Error> for Bad {
    fn from(error: httparse::Error) -> Self {
        if error == httparse::Error::TooManyHeaders { Self::TooLarge } else { Self::Syntax }
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
    pub(crate) target: &'b str,
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
    if len > HEAD_LIMIT {
        return Err(Bad::TooLarge);
    }
    let (method, target) = (request.method.unwrap_or(""), request.path.unwrap_or(""));
    if method.eq_ignore_ascii_case("CONNECT") {
        return Err(Bad::Unsupported);
    }
    let minor = request.version.unwrap_or(0);
    let headers: &'h [Header<'b>] = request.headers;
    let framing = stated_framing(headers, minor)?.unwrap_or(Framing::Length(0));
    Ok(Some(RequestHead { method, target, headers, len, framing, keep_alive: keeps_alive(headers, minor) }))
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
    if len > HEAD_LIMIT {
        return Err(Bad::TooLarge);
    }
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

    #[test]
    fn bodies_of_doubtful_length_are_refused() {
        let post = |fields: &str| framing_of(&format!("POST / HTTP/1.1\r\n{fields}\r\n"));
        assert_eq!(post("Content-Length: 12\r\n"), Ok(Framing::Length(12)));
        assert_eq!(post("Transfer-Encoding: chunked\r\n"), Ok(Framing::Chunked));
        assert_eq!(post("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n"), Err(Bad::Syntax));
        assert_eq!(post("Content-Length: 1\r\nContent-Length: 2\r\n"), Err(Bad::Syntax));
        assert_eq!(post("Content-Length: +1\r\n"), Err(Bad::Syntax));
        assert_eq!(post("Transfer-Encoding: gzip, chunked\r\n"), Err(Bad::Unsupported));
    }

    #[test]
    fn an_endless_head_is_refused() {
        let head = format!("GET / HTTP/1.1\r\nx: {}", "y".repeat(HEAD_LIMIT));
        assert_eq!(parse_request(head.as_bytes(), &mut NO_FIELDS.clone()).err(), Some(Bad::TooLarge));
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
