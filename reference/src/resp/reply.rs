//! Replies: written by servers, read one element at a time by clients.

use super::{BULK_LIMIT, Malformed, integer, line};

/// Appends replies to an output buffer.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    out: &'a mut Vec<u8>,
    /// Version 3 has a null and a map of its own.
    version3: bool,
}

impl<'a> Writer<'a> {
    /// Writes to `out`, in version 3 or 2.
    pub(crate) fn new(out: &'a mut Vec<u8>, version3: bool) -> Self {
        Self { out, version3 }
    }

    /// How long the output is by now.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes back what was written since the output was this long.
    pub(crate) fn take_back(&mut self, len: usize) {
        self.out.truncate(len);
    }

    /// `+OK` and its like.
    pub(crate) fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error; the text starts with its code.
    pub(crate) fn error(&mut self, text: &str) {
        self.line(b'-', text.as_bytes());
    }

    /// A number.
    pub(crate) fn integer(&mut self, number: i64) {
        if number < 0 {
            self.line(b':', number.to_string().as_bytes());
        } else {
            self.length(b':', number as u64);
        }
    }

    /// A string.
    pub(crate) fn bulk(&mut self, bytes: &[u8]) {
        self.bulk_start(bytes.len());
        self.out.extend_from_slice(bytes);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A string of `len` equal bytes.
    pub(crate) fn bulk_run(&mut self, byte: u8, len: usize) {
        self.bulk_start(len);
        self.out.resize(self.out.len() + len, byte);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Nothing.
    pub(crate) fn null(&mut self) {
        self.out.extend_from_slice(if self.version3 { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// Announces that many elements.
    pub(crate) fn array(&mut self, len: usize) {
        self.length(b'*', len as u64);
    }

    /// Announces that many pairs.
    pub(crate) fn map(&mut self, len: usize) {
        if self.version3 { self.length(b'%', len as u64) } else { self.array(2 * len) }
    }

    /// Announces that many elements that nobody asked for just now.
    pub(crate) fn push(&mut self, len: usize) {
        self.length(if self.version3 { b'>' } else { b'*' }, len as u64);
    }

    /// Replies that are made already.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Whether these are replies of version 3.
    pub(crate) fn is_version3(&self) -> bool {
        self.version3
    }

    /// From now on in this version.
    pub(crate) fn set_version3(&mut self, version3: bool) {
        self.version3 = version3;
    }

    /// No array at all, where one was asked for.
    pub(crate) fn null_array(&mut self) {
        self.out.extend_from_slice(if self.version3 { b"_\r\n" } else { b"*-1\r\n" });
    }

    #[inline]
    fn bulk_start(&mut self, len: usize) {
        self.length(b'$', len as u64);
    }

    #[inline]
    fn length(&mut self, kind: u8, number: u64) {
        // The kind, twenty digits, the line's end.
        let mut line = [0; 23];
        let (mut at, mut rest) = (20, number);
        line[21..].copy_from_slice(b"\r\n");
        loop {
            line[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            at -= 1;
            if rest == 0 {
                break;
            }
        }
        line[at] = kind;
        self.out.extend_from_slice(&line[at..]);
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }
}

/// One element of a reply, as a client reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Element<'b> {
    Simple(&'b [u8]),
    Error(&'b [u8]),
    Integer(i64),
    Bulk(Option<&'b [u8]>),
    /// As many elements follow.
    Array(usize),
}

/// Reads the element at the start of `bytes` and its length; none where it is not complete yet.
///
/// # Errors
/// Where the bytes never can be a reply of version 2.
pub(crate) fn parse_element(bytes: &[u8]) -> Result<Option<(Element<'_>, usize)>, Malformed> {
    let Some(kind) = bytes.first() else { return Ok(None) };
    let Some((text, next)) = line(bytes, 1)? else { return Ok(None) };
    let number = || integer(text).ok_or(Malformed("expected a number"));
    let element = match kind {
        b'+' => Element::Simple(text),
        b'-' => Element::Error(text),
        b':' => Element::Integer(number()?),
        b'*' => Element::Array(usize::try_from(number()?).map_err(|_| Malformed("negative length"))?),
        b'$' => match number()? {
            -1 => Element::Bulk(None),
            length => {
                let length = usize::try_from(length)
                    .ok()
                    .filter(|n| *n <= BULK_LIMIT)
                    .ok_or(Malformed("invalid bulk length"))?;
                if bytes.len() < next + length + 2 {
                    return Ok(None);
                }
                return Ok(Some((Element::Bulk(Some(&bytes[next..next + length])), next + length + 2)));
            }
        },
        _ => return Err(Malformed("unknown type of reply")),
    };
    Ok(Some((element, next)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let mut out = Vec::new();
        let mut writer = Writer::new(&mut out, false);
        writer.array(2);
        writer.bulk(b"a\r\nb");
        writer.null();
        writer.integer(-7);
        writer.integer(i64::MAX);
        let mut at = 0;
        let mut elements = Vec::new();
        while let Some((element, len)) = parse_element(&out[at..]).expect("our own reply") {
            elements.push(element);
            at += len;
        }
        let expected = [
            Element::Array(2),
            Element::Bulk(Some(b"a\r\nb")),
            Element::Bulk(None),
            Element::Integer(-7),
            Element::Integer(i64::MAX),
        ];
        assert_eq!(elements, expected);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_reply_parser(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_element(&bytes);
        }
    }
}
