//! Where a body ends: by length, by chunks, or with the connection.

use super::response::Violation;

/// Longest line of a chunk's size with its extensions.
const CHUNK_LINE_LIMIT: u32 = 4096;

/// What is left of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// This many bytes.
    Length(u64),
    /// Chunks, and where in them.
    Chunked(Chunks),
    /// Whatever comes before the connection closes; so far, this many bytes.
    UntilClose(u64),
}

/// Keeps the first bytes of a body.
#[derive(Clone, Debug, Default)]
pub(super) struct Sink {
    pub(super) bytes: Vec<u8>,
    room: usize,
}

impl Sink {
    /// For another body, of which so many bytes are kept.
    pub(super) fn start(&mut self, room: usize) {
        self.bytes.clear();
        self.room = room;
    }

    #[inline]
    pub(super) fn take(&mut self, data: &[u8]) {
        if self.room > 0 {
            let taken = data.len().min(self.room);
            self.bytes.extend_from_slice(&data[..taken]);
            self.room -= taken;
        }
    }
}

/// The place in a chunked body (RFC 9112, section 7.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Chunks {
    place: Place,
    /// Bytes of data in all chunks so far, the current one counted whole.
    total: u64,
    /// Bytes of the current line, or of all trailers.
    line: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the digits of a size.
    Size { size: u64, digits: bool },
    /// After the digits, up to the line's end.
    Extension { size: u64 },
    /// At the line feed that ends a size's line.
    SizeEnd { size: u64 },
    /// In the data.
    Data { left: u64 },
    /// At the carriage return after the data.
    DataReturn,
    /// At the line feed after that.
    DataEnd,
    /// At the start of a trailer's line.
    TrailerStart,
    /// Inside one.
    Trailer,
    /// At the line feed of the empty line that ends the body.
    End,
}

impl Chunks {
    pub(super) const START: Self = Self { place: Place::Size { size: 0, digits: false }, total: 0, line: 0 };

    /// Reads on; `Some` with the number of bytes taken when the body ends within `input`.
    pub(super) fn feed(
        &mut self,
        input: &[u8],
        body_limit: u64,
        head_limit: usize,
        kept: &mut Sink,
    ) -> Result<Option<usize>, Violation> {
        let mut at = 0;
        while at < input.len() {
            if let Place::Data { left } = self.place {
                let taken = left.min((input.len() - at) as u64);
                kept.take(&input[at..at + taken as usize]);
                at += taken as usize;
                self.place =
                    if taken == left { Place::DataReturn } else { Place::Data { left: left - taken } };
                continue;
            }
            let byte = input[at];
            at += 1;
            self.line += 1;
            self.place = match (self.place, byte) {
                (Place::Size { size, .. }, digit) if digit.is_ascii_hexdigit() => {
                    let value = u64::from(
                        (digit as char).to_digit(16).expect("a hexadecimal digit: the arm's guard"),
                    );
                    let size = size.checked_mul(16).ok_or(Violation::Chunk)? + value;
                    if self.total.saturating_add(size) > body_limit {
                        return Err(Violation::BodyTooLong);
                    }
                    Place::Size { size, digits: true }
                }
                (Place::Size { size, digits: true }, b'\r') | (Place::Extension { size }, b'\r') => {
                    Place::SizeEnd { size }
                }
                (Place::Size { size, digits: true }, b';' | b' ' | b'\t') => Place::Extension { size },
                (Place::Extension { size }, b) if b != b'\n' => Place::Extension { size },
                (Place::SizeEnd { size }, b'\n') => {
                    self.line = 0;
                    self.total += size;
                    if size == 0 { Place::TrailerStart } else { Place::Data { left: size } }
                }
                (Place::DataReturn, b'\r') => Place::DataEnd,
                (Place::DataEnd, b'\n') => {
                    self.line = 0;
                    Place::Size { size: 0, digits: false }
                }
                (Place::TrailerStart, b'\r') => Place::End,
                (Place::TrailerStart | Place::Trailer, b'\n') => Place::TrailerStart,
                (Place::TrailerStart | Place::Trailer, _) => Place::Trailer,
                (Place::End, b'\n') => return Ok(Some(at)),
                _ => return Err(Violation::Chunk),
            };
            let limit = match self.place {
                Place::TrailerStart | Place::Trailer | Place::End => head_limit as u32,
                _ => CHUNK_LINE_LIMIT,
            };
            if self.line > limit {
                return Err(Violation::HeadTooLong);
            }
        }
        Ok(None)
    }
}
