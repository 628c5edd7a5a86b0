//! Stored answers on their way to a client: whole, in part, or as the news that he has them already.

use std::ops::Range;
use std::rc::Rc;

use super::Cache;
use super::copies::BodyCopy;
use super::fields::{first, write, write_number};
use super::freshness::Now;
use super::object::Object;
use super::obtain::How;
use super::range::{self, Asked};
use super::validators;
use crate::http::head::RequestHead;

/// A body's bytes that follow a head.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) body: Rc<[u8]>,
    pub(super) bytes: Range<usize>,
    /// From which they are sent, where the body is long and was asked for before.
    pub(super) copy: Option<Rc<BodyCopy>>,
}

/// Fields that a 304 leaves out, as the client has them (RFC 9110, section 15.4.5).
fn describes_content(line: &[u8]) -> bool {
    let is = |name: &str| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name.as_bytes());
    is("content-") && !is("content-location:")
}

/// What of a page that was put together from parts would be wrong: they tell of the page without its parts.
fn tells_of_page(line: &[u8]) -> bool {
    ["etag:", "last-modified:", "content-md5:", "accept-ranges:"]
        .iter()
        .any(|name| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name.as_bytes()))
}

impl Cache {
    /// Writes the head of the answer to a request over what is in `out`, and returns the body that follows.
    pub(super) fn compose(
        &self,
        head: &RequestHead<'_, '_>,
        object: &Object,
        how: How,
        out: &mut Vec<u8>,
    ) -> Option<Content> {
        let now = self.now();
        out.clear();
        let asks_conditionally = head.headers.iter().any(|h| {
            // Both conditions and `Range`, without a search for each.
            matches!(h.name.len(), 5 | 8 | 13 | 17)
                && (h.name.eq_ignore_ascii_case("range")
                    || validators::CONDITIONS.iter().any(|c| c.eq_ignore_ascii_case(h.name)))
        });
        let mut part = None;
        if asks_conditionally && object.status == 200 {
            let (known, range) = object.with_fields(|_, stored| {
                let known = validators::is_known(head.headers, stored, now.unix_seconds);
                let wanted = first(head.headers, "range").filter(|_| head.method == "GET");
                let applies = wanted.filter(|_| validators::range_applies(head.headers, stored));
                (known, applies.map(|value| range::read(value, object.body.len())))
            });
            if known {
                out.extend_from_slice(b"HTTP/1.1 304 Not Modified\r\n");
                copy_fields(object.head(), describes_content, out);
                self.end(head, object, how, now, out);
                return None;
            }
            part = range.filter(|range| *range != Asked::All);
        }
        let bytes = match part {
            Some(Asked::Part(bytes)) => {
                out.extend_from_slice(b"HTTP/1.1 206 Partial Content\r\n");
                copy_fields(object.head(), |_| false, out);
                let (first, last, all) = (bytes.start, bytes.end - 1, object.body.len());
                write("content-range", format!("bytes {first}-{last}/{all}").as_bytes(), out);
                bytes
            }
            Some(_) => {
                out.extend_from_slice(b"HTTP/1.1 416 Range Not Satisfiable\r\n");
                write("content-range", format!("bytes */{}", object.body.len()).as_bytes(), out);
                0..0
            }
            None => {
                out.extend_from_slice(object.head());
                0..object.body.len()
            }
        };
        if object.status != 204 {
            write_number("content-length", bytes.len() as u64, out);
        }
        self.end(head, object, how, now, out);
        let sends = head.method != "HEAD" && !bytes.is_empty();
        if !sends {
            return None;
        }
        let is_stored = matches!(how, How::Hit | How::Stale);
        let copy = if is_stored { self.copies.of(&object.body, &object.copy) } else { None };
        Some(Content { body: Rc::clone(&object.body), bytes, copy })
    }

    /// The same for a page with its parts in it, of this length; none where the length is not known, as for HEAD.
    pub(super) fn compose_page(
        &self,
        head: &RequestHead<'_, '_>,
        object: &Object,
        how: How,
        length: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        out.clear();
        let now = self.now();
        let line_end = object.head().iter().position(|b| *b == b'\n').map_or(0, |at| at + 1);
        out.extend_from_slice(&object.head()[..line_end]);
        copy_fields(object.head(), tells_of_page, out);
        if let Some(length) = length {
            write_number("content-length", length as u64, out);
        }
        self.end(head, object, how, now, out);
    }

    fn end(&self, head: &RequestHead<'_, '_>, object: &Object, how: How, now: Now, out: &mut Vec<u8>) {
        write_number("age", object.age_seconds(now), out);
        write("x-cache", how.name().as_bytes(), out);
        if !head.keep_alive {
            out.extend_from_slice(b"connection: close\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// Appends the fields of a head, but not its status line, and not those that are left out.
fn copy_fields(head: &[u8], left_out: impl Fn(&[u8]) -> bool, out: &mut Vec<u8>) {
    for line in head.split_inclusive(|b| *b == b'\n').skip(1) {
        if !left_out(line) {
            out.extend_from_slice(line);
        }
    }
}
