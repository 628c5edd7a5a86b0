//! What any bytes that HTTP is read from are held to: by a fuzz target, and in passing by a test.

use super::body::Body;
use super::head::{self, Framing};

/// Heads and bodies of HTTP/1.1: nothing panics, and a body ends in the same place however it is cut, where its data are
/// the same too.
pub(crate) fn framing(input: &[u8]) {
    let mut fields = head::NO_FIELDS;
    let _ = head::parse_response(input, &mut fields, false);
    let mut fields = head::NO_FIELDS;
    if let Ok(Some(request)) = head::parse_request(input, &mut fields) {
        assert!(request.len <= input.len() && request.framing != Framing::UntilClose);
        let rest = &input[request.len..];
        let whole = length(request.framing, rest, rest.len().max(1));
        assert_eq!(whole, length(request.framing, rest, 1));
        assert_eq!(whole, length(request.framing, rest, 3));
    }
    let whole = length(Framing::Chunked, input, input.len().max(1));
    assert_eq!(whole, length(Framing::Chunked, input, 1));
    if let Some((taken, true)) = whole {
        let (mut data, mut body) = (Vec::new(), Body::new(Framing::Chunked));
        assert_eq!(body.take_data(&input[..taken], &mut data).ok(), Some(taken));
        assert!(data.len() < taken);
    }
}

/// How much of these bytes is the body, in pieces of this size; none where it is malformed.
fn length(framing: Framing, bytes: &[u8], piece: usize) -> Option<(usize, bool)> {
    let mut body = Body::new(framing);
    let mut taken = 0;
    for piece in bytes.chunks(piece) {
        if body.is_done() {
            break;
        }
        let count = body.take(piece).ok()?;
        assert!(count <= piece.len() && (count == piece.len() || body.is_done()));
        taken += count;
    }
    Some((taken, body.is_done()))
}
