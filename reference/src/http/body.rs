//! Where a body ends. The bytes themselves are passed on as they came.

use super::{Bad, Framing};

/// The longest line of a chunked body: a size with its extension, or a trailer field.
const LINE_LIMIT: u32 = 4096;
/// The most bytes of trailer fields.
const TRAILER_LIMIT: u32 = 16 << 10;

/// The rest of a body.
#[derive(Debug)]
pub(crate) enum Body {
    /// This many bytes are left.
    Length(u64),
    /// Chunks are left.
    Chunked(Chunks),
    /// All until the connection closes.
    UntilClose,
}

impl Body {
    /// A body of which nothing was read.
    pub(crate) fn new(framing: Framing) -> Self {
        match framing {
            Framing::Length(length) => Self::Length(length),
            Framing::Chunked => Self::Chunked(Chunks::default()),
            Framing::UntilClose => Self::UntilClose,
        }
    }

    /// How many of these bytes, which come next on the connection, are the body's.
    ///
    /// # Errors
    /// Where the chunks are malformed.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<usize, Bad> {
        match self {
            Self::Length(left) => {
                let n = bytes.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= n as u64;
                Ok(n)
            }
            Self::Chunked(chunks) => chunks.walk(bytes, |_| {}),
            Self::UntilClose => Ok(bytes.len()),
        }
    }

    /// As [`Body::take`], and appends what of it is data, without the chunks' framing, to `out`.
    ///
    /// # Errors
    /// Where the chunks are malformed.
    pub(crate) fn take_data(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, Bad> {
        if let Self::Chunked(chunks) = self {
            return chunks.walk(bytes, |data| out.extend_from_slice(data));
        }
        let n = self.take(bytes)?;
        out.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    /// Whether the whole body was taken.
    pub(crate) fn is_done(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(chunks) => chunks.state == State::Done,
            Self::UntilClose => false,
        }
    }
}

/// Follows a chunked body (RFC 9112, section 7.1) byte by byte outside of the chunks' data.
#[derive(Debug, Default)]
pub(crate) struct Chunks {
    state: State,
    line: u32,
    trailer: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    SizeStart,
    Size(u64),
    Extension(u64),
    SizeEnd(u64),
    Data(u64),
    DataReturn,
    DataEnd,
    TrailerStart,
    Trailer,
    TrailerEnd,
    LastEnd,
    Done,
}

impl Chunks {
    fn walk(&mut self, bytes: &[u8], mut with_data: impl FnMut(&[u8])) -> Result<usize, Bad> {
        let mut at = 0;
        while at < bytes.len() && self.state != State::Done {
            if let State::Data(left) = self.state {
                let n = (bytes.len() - at).min(usize::try_from(left).unwrap_or(usize::MAX));
                with_data(&bytes[at..at + n]);
                at += n;
                let left = left - n as u64;
                self.state = if left == 0 { State::DataReturn } else { State::Data(left) };
            } else {
                self.state = self.step(bytes[at])?;
                at += 1;
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<State, Bad> {
        self.line += 1;
        if self.line > LINE_LIMIT {
            return Err(Bad::TooLarge);
        }
        Ok(match (self.state, byte) {
            (State::SizeStart, _) => State::Size(u64::from(hex(byte)?)),
            (State::Size(size), b';') => State::Extension(size),
            (State::Size(size) | State::Extension(size), b'\r') => State::SizeEnd(size),
            (State::Size(size), _) if size >> 56 == 0 => State::Size(size << 4 | u64::from(hex(byte)?)),
            // A bare line feed ends a line for some readers and not for others.
            (State::Extension(_) | State::Trailer | State::TrailerStart, b'\n') => return Err(Bad::Syntax),
            (State::Extension(size), _) => State::Extension(size),
            (State::SizeEnd(size), b'\n') => {
                self.line = 0;
                if size == 0 { State::TrailerStart } else { State::Data(size) }
            }
            (State::DataReturn, b'\r') => State::DataEnd,
            (State::DataEnd, b'\n') => {
                self.line = 0;
                State::SizeStart
            }
            (State::TrailerStart, b'\r') => State::LastEnd,
            (State::Trailer, b'\r') => State::TrailerEnd,
            (State::TrailerStart | State::Trailer, _) => {
                self.trailer += 1;
                if self.trailer > TRAILER_LIMIT {
                    return Err(Bad::TooLarge);
                }
                State::Trailer
            }
            (State::TrailerEnd, b'\n') => {
                self.line = 0;
                State::TrailerStart
            }
            (State::LastEnd, b'\n') => State::Done,
            _ => return Err(Bad::Syntax),
        })
    }
}

fn hex(byte: u8) -> Result<u8, Bad> {
    (byte as char).to_digit(16).map(|digit| digit as u8).ok_or(Bad::Syntax)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_chunked_body_ends_where_it_ends_however_it_is_cut() {
        let body = b"5\r\nhello\r\n10;name=value\r\n0123456789abcdef\r\n0\r\nx-trailer: 1\r\n\r\n";
        let mut stream = body.to_vec();
        stream.extend_from_slice(b"GET / HTTP/1.1\r\n");
        for cut in 1..stream.len() {
            let mut chunks = Body::new(Framing::Chunked);
            let (mut taken, mut data) = (0, Vec::new());
            for piece in stream.chunks(cut) {
                if chunks.is_done() {
                    break;
                }
                taken += chunks.take_data(piece, &mut data).expect("a well-formed body");
            }
            assert!(chunks.is_done() && taken == body.len(), "cut every {cut} bytes: took {taken}");
            assert_eq!(data, b"hello0123456789abcdef");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for body in ["\r\n", "g\r\n", "5 \r\nhello", "5\nhello", "5\r\nhello!", "fffffffffffffffff\r\n"] {
            assert!(Body::new(Framing::Chunked).take(body.as_bytes()).is_err(), "{body:?}");
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic_the_chunk_reader(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Body::new(Framing::Chunked).take(&bytes);
        }
    }
}
