//! The JSON that goes back: who answered what, padded to the drawn size.

use std::io::Write;

use scenarios::plan::RequestId;

/// Appends an answer with a body of exactly `size` bytes. Where the request's id and the node's name do not fit, the
/// body is a JSON string of that size, or a digit.
pub(super) fn write(
    size: usize,
    id: RequestId,
    node: &str,
    close: bool,
    without_body: bool,
    out: &mut Vec<u8>,
) {
    let connection = if close { "connection: close\r\n" } else { "" };
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n{connection}content-length: {size}\r\n\r\n"
    )
    .expect("writing to a vector cannot fail");
    if without_body {
        return;
    }
    let start = out.len();
    write!(out, "{{\"request\":\"{:016x}\",\"node\":\"{node}\",\"data\":\"", id.0)
        .expect("writing to a vector cannot fail");
    let end = b"\"}\n";
    if out.len() - start + end.len() > size {
        out.truncate(start);
        match size {
            0 => {}
            1 => out.push(b'0'),
            _ => {
                out.push(b'"');
                out.resize(start + size - 1, b'x');
                out.push(b'"');
            }
        }
        return;
    }
    out.resize(start + size - end.len(), b'x');
    out.extend_from_slice(end);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_json_of_exactly_the_drawn_size() {
        for size in (0..200).chain([2000]) {
            let mut out = Vec::new();
            write(size, RequestId(7), "shop[1]", false, false, &mut out);
            let text = String::from_utf8(out).expect("an answer is ASCII");
            let (head, body) = text.split_once("\r\n\r\n").expect("a head and a body");
            assert!(head.contains(&format!("content-length: {size}")), "{head}");
            assert_eq!(body.len(), size);
            if size > 0 {
                serde_json::from_str::<serde_json::Value>(body).expect("the body is JSON");
            }
        }
    }
}
