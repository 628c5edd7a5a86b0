//! Between HTTP/1.1's text, in which requests are composed and answers judged, and HTTP/2's fields (RFC 9113, section 8.3).

use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue};
use http::{HeaderMap, Request, Uri};

/// Fields of a request that is composed here: more than a scenario may ask for.
const FIELDS: usize = 256;

/// A composed request, and its body; none where a byte of it has no place in HTTP/2.
pub(crate) fn request_of(text: &[u8], secure: bool) -> Option<(Request<()>, Bytes)> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut parsed = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = parsed.parse(text).ok()? else { return None };
    let mut request = Request::new(());
    *request.method_mut() = parsed.method?.parse().ok()?;
    *request.version_mut() = http::Version::HTTP_2;
    let mut authority = None;
    for field in parsed.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).ok()?;
        if name == HOST {
            authority = Some(field.value);
        } else if name != CONNECTION {
            request.headers_mut().append(name, HeaderValue::from_bytes(field.value).ok()?);
        }
    }
    let scheme = if secure { "https" } else { "http" };
    *request.uri_mut() =
        Uri::builder().scheme(scheme).authority(authority?).path_and_query(parsed.path?).build().ok()?;
    Some((request, Bytes::copy_from_slice(&text[length..])))
}

/// Writes an answer's head as HTTP/1.1 would have it.
pub(crate) fn head_of(status: u16, fields: &HeaderMap, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("HTTP/2 {status}\r\n").as_bytes());
    for (name, value) in fields {
        out.extend_from_slice(name.as_str().as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value.as_bytes());
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_composed_request_says_the_same_in_http_2() {
        let text = b"POST /a/b?c=d HTTP/1.1\r\nx-one: 1\r\nhost: shop:81\r\ncookie: a=b; c=d\r\ncontent-length: 2\r\n\r\nhi";
        let (request, body) = request_of(text, true).expect("it is a request");
        assert_eq!(
            (request.method().as_str(), request.uri().to_string().as_str()),
            ("POST", "https://shop:81/a/b?c=d")
        );
        assert_eq!(
            (request.headers().len(), &request.headers()["cookie"], &body[..]),
            (3, &HeaderValue::from_static("a=b; c=d"), &b"hi"[..])
        );
        assert!(request_of(b"GET / HTTP/1.1\r\nx: \x01\r\nhost: a\r\n\r\n", false).is_none());
    }
}
