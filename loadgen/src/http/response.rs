//! Reads an answer from pieces as they arrive, keeps what the client needs of it and throws the body away.

use std::mem::MaybeUninit;

use super::body::{Body, Chunks, Sink};
use super::judge::Wanted;
use super::room::Room;

/// Header fields accepted in one answer.
const FIELDS: usize = 96;

/// What the answers being read may take together, in bytes, over all threads.
pub(crate) const ROOM_BYTES: usize = 64 << 20;
/// A buffer that has grown beyond this is given back after its answer.
const SPARE_BYTES: usize = 16 << 10;

/// How much of an answer is accepted.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of status line and header fields, interim answers counted in.
    pub head_bytes: usize,
    /// Bytes of the body.
    pub body_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head_bytes: 64 << 10, body_bytes: 64 << 20 }
    }
}

/// How an answer breaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// Not HTTP/1.x, or not by its rules.
    #[error("the head of the answer is not HTTP/1.1")]
    Head,
    /// More header bytes or fields than accepted.
    #[error("the head of the answer is longer than accepted")]
    HeadTooLong,
    /// A body longer than accepted.
    #[error("the body of the answer is longer than accepted")]
    BodyTooLong,
    /// Lengths that contradict each other or are not numbers.
    #[error("the answer's length is contradictory")]
    Length,
    /// Chunks that are not by the rules.
    #[error("the answer's chunks are malformed")]
    Chunk,
    /// All answers being read take more memory together than they may.
    #[error("the answers being read are longer together than accepted")]
    NoRoom,
    /// More bytes than the answer has.
    #[error("the server sent more than the answer")]
    Excess,
}

/// What has become of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// More bytes are needed.
    More,
    /// The answer is complete.
    Done {
        /// Its status code.
        status: u16,
        /// Whether the connection can carry another request.
        keep_alive: bool,
    },
}

/// Reads one answer after another from one connection.
///
/// ```
/// use loadgen::http::{Limits, Progress, Reader};
/// let mut reader = Reader::new(Limits::default());
/// assert_eq!(reader.feed(b"HTTP/1.1 200 OK\r\ncontent-le"), Ok(Progress::More));
/// assert_eq!(reader.feed(b"ngth: 2\r\n\r\nhi"), Ok(Progress::Done { status: 200, keep_alive: true }));
/// ```
#[derive(Debug)]
pub struct Reader {
    limits: Limits,
    /// The head so far, where it came in pieces.
    partial: Vec<u8>,
    /// Bytes of interim answers that went before.
    interim_bytes: usize,
    state: State,
    /// What is kept of an answer, and what was kept of the last.
    wanted: Wanted,
    kept_head: Vec<u8>,
    kept_body: Sink,
    /// What all readers may hold, and what this one does.
    room: Room,
    held: usize,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Head,
    Body { body: Body, status: u16, keep_alive: bool },
}

/// A head, understood.
struct Head {
    bytes: usize,
    status: u16,
    keep_alive: bool,
    body: Body,
}

impl Reader {
    /// Reads answers within these limits.
    pub fn new(limits: Limits) -> Self {
        Self::sharing(limits, Room::new(ROOM_BYTES))
    }

    /// The same, where several readers have so much room together.
    pub(crate) fn sharing(limits: Limits, room: Room) -> Self {
        Self {
            room,
            held: 0,
            limits,
            partial: Vec::new(),
            interim_bytes: 0,
            state: State::Head,
            wanted: Wanted::default(),
            kept_head: Vec::new(),
            kept_body: Sink::default(),
        }
    }

    /// Forgets a half-read answer: for a new connection.
    pub fn reset(&mut self) {
        self.partial.clear();
        if self.partial.capacity() > SPARE_BYTES {
            self.partial = Vec::new();
        }
        self.interim_bytes = 0;
        self.state = State::Head;
    }

    /// What is kept of the next answer; what was kept of the last is forgotten.
    pub fn keep(&mut self, wanted: Wanted) {
        self.wanted = wanted;
        self.kept_head.clear();
        if self.kept_head.capacity() > SPARE_BYTES {
            self.kept_head = Vec::new();
        }
        self.forget_body();
        self.kept_body.start(wanted.body_bytes);
    }

    /// Forgets what was kept of the last answer's body: it was judged.
    pub(crate) fn forget_body(&mut self) {
        self.kept_body.bytes.clear();
        if self.kept_body.bytes.capacity() > SPARE_BYTES {
            self.kept_body.bytes = Vec::new();
        }
        self.account();
    }

    /// Tells the others what this one holds; `false` where that is too much.
    fn account(&mut self) -> bool {
        let holds = self.partial.capacity() + self.kept_head.capacity() + self.kept_body.bytes.capacity();
        self.room.hold(&mut self.held, holds)
    }

    /// The last answer's head, where it was to be kept.
    pub fn head(&self) -> &[u8] {
        &self.kept_head
    }

    /// As much of the last answer's body as was to be kept.
    pub fn body(&self) -> &[u8] {
        &self.kept_body.bytes
    }

    /// Whether an answer has begun that is not complete.
    pub fn has_begun(&self) -> bool {
        !self.partial.is_empty() || self.interim_bytes > 0 || matches!(self.state, State::Body { .. })
    }

    /// Takes what has arrived. After `Done` the next bytes belong to the next answer.
    ///
    /// # Errors
    /// What rule the answer breaks; the connection is then of no further use.
    pub fn feed(&mut self, input: &[u8]) -> Result<Progress, Violation> {
        let progress = self.read(input);
        if self.account() {
            return progress;
        }
        self.reset();
        self.keep(Wanted::default());
        Err(Violation::NoRoom)
    }

    fn read(&mut self, input: &[u8]) -> Result<Progress, Violation> {
        let mut input = input;
        loop {
            match self.state {
                State::Head => {
                    let Some((head, taken)) = self.feed_head(input)? else { return Ok(Progress::More) };
                    input = &input[taken..];
                    if head.status < 200 {
                        self.interim_bytes += head.bytes;
                        if input.is_empty() {
                            return Ok(Progress::More);
                        }
                        continue;
                    }
                    self.interim_bytes = 0;
                    self.state =
                        State::Body { body: head.body, status: head.status, keep_alive: head.keep_alive };
                }
                State::Body { ref mut body, status, keep_alive } => {
                    let Some(taken) = feed_body(body, input, &self.limits, &mut self.kept_body)? else {
                        return Ok(Progress::More);
                    };
                    if taken < input.len() {
                        return Err(Violation::Excess);
                    }
                    self.reset();
                    return Ok(Progress::Done { status, keep_alive });
                }
            }
        }
    }

    /// The connection was closed by the other end: an answer whose body ends so is complete, another is not.
    pub fn end(&mut self) -> Option<Progress> {
        let State::Body { body: Body::UntilClose(_), status, .. } = self.state else { return None };
        self.reset();
        Some(Progress::Done { status, keep_alive: false })
    }

    /// The head, once it is there, and how much of `input` it took.
    fn feed_head(&mut self, input: &[u8]) -> Result<Option<(Head, usize)>, Violation> {
        let limit = self.limits.head_bytes.saturating_sub(self.interim_bytes);
        if self.partial.is_empty() {
            // The common case: it came in one piece and is read where it lies.
            return match parse(input, &self.limits)? {
                Some(head) if head.bytes > limit => Err(Violation::HeadTooLong),
                Some(head) => {
                    let taken = head.bytes;
                    if self.wanted.head {
                        self.kept_head.clear();
                        self.kept_head.extend_from_slice(&input[..taken]);
                    }
                    Ok(Some((head, taken)))
                }
                None if input.len() > limit => Err(Violation::HeadTooLong),
                None => {
                    self.partial.extend_from_slice(input);
                    Ok(None)
                }
            };
        }
        let before = self.partial.len();
        let room = (limit + 1).saturating_sub(before).min(input.len());
        self.partial.extend_from_slice(&input[..room]);
        match parse(&self.partial, &self.limits)? {
            Some(head) if head.bytes <= limit => {
                let taken = head.bytes - before;
                if self.wanted.head {
                    self.kept_head.clear();
                    self.kept_head.extend_from_slice(&self.partial[..head.bytes]);
                }
                self.partial.clear();
                Ok(Some((head, taken)))
            }
            Some(_) => Err(Violation::HeadTooLong),
            None if self.partial.len() > limit => Err(Violation::HeadTooLong),
            None => Ok(None),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.room.hold(&mut self.held, 0);
    }
}

/// The number of bytes of `input` that the body's rest takes, or nothing where it does not end within.
fn feed_body(
    body: &mut Body,
    input: &[u8],
    limits: &Limits,
    kept: &mut Sink,
) -> Result<Option<usize>, Violation> {
    match body {
        Body::Length(left) => {
            let taken = (*left).min(input.len() as u64);
            *left -= taken;
            kept.take(&input[..taken as usize]);
            Ok((*left == 0).then_some(taken as usize))
        }
        Body::Chunked(chunks) => chunks.feed(input, limits.body_bytes, limits.head_bytes, kept),
        Body::UntilClose(so_far) => {
            *so_far += input.len() as u64;
            kept.take(input);
            if *so_far > limits.body_bytes { Err(Violation::BodyTooLong) } else { Ok(None) }
        }
    }
}

/// A whole head at the start of `input`, or nothing where it goes on.
fn parse(input: &[u8], limits: &Limits) -> Result<Option<Head>, Violation> {
    let mut fields = [const { MaybeUninit::uninit() }; FIELDS];
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let bytes = match config.parse_response_with_uninit_headers(&mut response, input, &mut fields) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Violation::HeadTooLong),
        Err(_) => return Err(Violation::Head),
    };
    let status = response.code.ok_or(Violation::Head)?;
    if !(100..1000).contains(&status) || status == 101 {
        return Err(Violation::Head);
    }
    let mut keep_alive = response.version == Some(1);
    let mut length = None;
    // Of several transfer codings the last one decides how the body ends.
    let mut chunked = None;
    for field in response.headers.iter() {
        if field.name.eq_ignore_ascii_case("content-length") {
            for value in field.value.split(|b| *b == b',') {
                let value = decimal(value.trim_ascii())?;
                if length.is_some_and(|known| known != value) {
                    return Err(Violation::Length);
                }
                length = Some(value);
            }
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            let last = field.value.rsplit(|b| *b == b',').next().unwrap_or_default();
            chunked = Some(last.trim_ascii().eq_ignore_ascii_case(b"chunked"));
        } else if field.name.eq_ignore_ascii_case("connection") {
            for token in field.value.split(|b| *b == b',') {
                let token = token.trim_ascii();
                if token.eq_ignore_ascii_case(b"close") {
                    keep_alive = false;
                } else if token.eq_ignore_ascii_case(b"keep-alive") && response.version == Some(0) {
                    keep_alive = true;
                }
            }
        }
    }
    let body = match (chunked, length) {
        _ if status < 200 || status == 204 || status == 304 => Body::Length(0),
        // Both at once is how requests are smuggled (RFC 9112, section 6.3); no honest server sends it.
        (Some(_), Some(_)) => return Err(Violation::Length),
        (Some(true), None) => Body::Chunked(Chunks::START),
        (None, Some(length)) if length > limits.body_bytes => return Err(Violation::BodyTooLong),
        (None, Some(length)) => Body::Length(length),
        (Some(false), None) | (None, None) => Body::UntilClose(0),
    };
    Ok(Some(Head { bytes, status, keep_alive: keep_alive && !matches!(body, Body::UntilClose(_)), body }))
}

fn decimal(digits: &[u8]) -> Result<u64, Violation> {
    if digits.is_empty() || digits.len() > 18 || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Violation::Length);
    }
    Ok(digits.iter().fold(0, |value, digit| value * 10 + u64::from(digit - b'0')))
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
