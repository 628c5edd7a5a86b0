//! The JSON that goes back: who answered what, padded to the drawn size.

use std::io::Write;

use scenarios::plan::RequestId;

/// What stands around a body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Head<'a> {
    /// Fields for caches, each with its line's end.
    pub(super) fields: &'a [u8],
    /// Whether the answer is the connection's last.
    pub(super) close: bool,
    /// Whether the body is left out, as for HEAD.
    pub(super) without_body: bool,
}

impl Head<'_> {
    fn write(&self, size: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n");
        self.write_rest(out);
        write!(out, "content-length: {size}\r\n\r\n").expect("writing to a vector cannot fail");
    }

    fn write_rest(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.fields);
        if self.close {
            out.extend_from_slice(b"connection: close\r\n");
        }
    }
}

/// Appends the news that the asker has the answer already.
pub(super) fn write_known(head: &Head<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\n");
    head.write_rest(out);
    out.extend_from_slice(b"\r\n");
}

/// Appends an answer with this body.
pub(super) fn write_body(body: &[u8], head: &Head<'_>, out: &mut Vec<u8>) {
    head.write(body.len(), out);
    if !head.without_body {
        out.extend_from_slice(body);
    }
}

/// Appends an answer with a body of exactly `size` bytes. Where the request's id and the node's name do not fit, the
/// body is a JSON string of that size, or a digit.
pub(super) fn write(size: usize, id: RequestId, node: &str, head: &Head<'_>, out: &mut Vec<u8>) {
    head.write(size, out);
    if head.without_body {
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
            let head = Head { fields: b"x: y\r\n", close: false, without_body: false };
            write(size, RequestId(7), "shop[1]", &head, &mut out);
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
