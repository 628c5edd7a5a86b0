//! A request to a back end, and its answer as far as it has come.

use std::io;
use std::time::Duration;

use httparse::Header;
use tokio::time::timeout;

use super::backends::BackEnds;
use super::fetching::Fetching;
use super::fields;
use super::threads::Thread;
use crate::http::head::{NO_FIELDS, parse_response};
use crate::http::{Body, Connection, Framing};

/// How long a back end may pause within a body, as Varnish's `between_bytes_timeout`.
const BETWEEN_BYTES: Duration = Duration::from_secs(60);

/// Interim answers to one request, beyond which it is taken for an attack.
const INTERIM_LIMIT: u32 = 16;

/// An answer whose head is here.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) connection: Connection,
    back_end: usize,
    head: Vec<u8>,
    pub(super) status: u16,
    pub(super) framing: Framing,
    keep_alive: bool,
    body: Body,
    /// Who fetches it.
    _thread: Option<Thread>,
    /// What of the body was taken from the connection already, as it came.
    pub(super) taken: Vec<u8>,
}

/// What came of the wish to have all of a body.
#[derive(Debug)]
pub(super) enum Collected {
    /// It is here, without its framing.
    Whole(Vec<u8>),
    /// It is longer than allowed; the answer can be passed on as it is.
    TooLong,
    /// So it can here: others that are on their way have all the memory for that.
    NoRoom,
}

/// Sends a request without a body and waits for the head of its answer. A connection that was used before may have been
/// closed by the other end meanwhile; then, if nothing of an answer has come, the request is sent once more on a new one.
///
/// # Errors
/// The status that the client gets: 503 where nobody can be asked, 502 for nonsense, 504 for silence.
pub(super) async fn ask(back_ends: &BackEnds, request: &[u8], first_byte: Duration) -> Result<Answer, u16> {
    loop {
        let number = back_ends.next().ok_or(503_u16)?;
        let (mut connection, was_used) = back_ends.connection(number).await.ok_or(503_u16)?;
        if send(&mut connection, request).await.is_err() {
            if was_used {
                continue;
            }
            return Err(503);
        }
        match head(connection, number, false, first_byte).await {
            Ok(answer) => return Ok(answer),
            Err(Unanswered::Closed) if was_used => {}
            Err(unanswered) => return Err(unanswered.status()),
        }
    }
}

/// Writes to a back end, which may not stand still for longer than within a body.
///
/// # Errors
/// The connection's, or `TimedOut`.
pub(super) async fn send(connection: &mut Connection, bytes: &[u8]) -> io::Result<()> {
    timeout(BETWEEN_BYTES, connection.write_all(bytes)).await.unwrap_or(Err(io::ErrorKind::TimedOut.into()))
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The connection ended before the first byte.
    Closed,
    /// It ended within the head, or that is malformed.
    Broken,
    /// Nothing came in time.
    Silent,
}

impl Unanswered {
    /// What the client gets.
    pub(super) fn status(self) -> u16 {
        if self == Self::Silent { 504 } else { 502 }
    }
}

/// Waits for the head of an answer. Interim answers are this hop's business.
///
/// # Errors
/// Why there is none.
pub(super) async fn head(
    mut connection: Connection,
    back_end: usize,
    to_head_request: bool,
    first_byte: Duration,
) -> Result<Answer, Unanswered> {
    let mut interim = 0;
    loop {
        let mut fields = NO_FIELDS;
        match parse_response(connection.input(), &mut fields, to_head_request) {
            Ok(Some(parsed)) if parsed.status < 200 => {
                interim += 1;
                if interim > INTERIM_LIMIT {
                    return Err(Unanswered::Broken);
                }
                let len = parsed.len;
                connection.consume(len);
                continue;
            }
            Ok(Some(parsed)) => {
                let (status, framing, keep_alive, len) =
                    (parsed.status, parsed.framing, parsed.keep_alive, parsed.len);
                let head = connection.input()[..len].to_vec();
                connection.consume(len);
                let (body, taken) = (Body::new(framing), Vec::new());
                return Ok(Answer {
                    connection,
                    back_end,
                    head,
                    status,
                    framing,
                    keep_alive,
                    body,
                    _thread: None,
                    taken,
                });
            }
            Ok(None) => {}
            Err(_) => return Err(Unanswered::Broken),
        }
        let begun = !connection.input().is_empty();
        match timeout(first_byte, connection.fill()).await {
            Err(_) => return Err(Unanswered::Silent),
            Ok(Err(_) | Ok(0)) => return Err(if begun { Unanswered::Broken } else { Unanswered::Closed }),
            Ok(Ok(_)) => {}
        }
    }
}

impl Answer {
    /// The same, with the thread that is at work until all of it has come.
    pub(super) fn fetched_by(self, thread: Option<Thread>) -> Self {
        Self { _thread: thread, ..self }
    }

    /// Its reason phrase and its fields.
    pub(super) fn with_fields<R>(&self, f: impl FnOnce(&str, &[Header<'_>]) -> R) -> R {
        let mut fields = NO_FIELDS;
        let head = parse_response(&self.head, &mut fields, true).ok().flatten();
        let head = head.expect("the head was parsed before");
        f(head.reason, head.headers)
    }

    /// The first value of a field.
    pub(super) fn field(&self, name: &str) -> Option<Vec<u8>> {
        self.with_fields(|_, headers| fields::first(headers, name).map(<[u8]>::to_vec))
    }

    /// Moves what has come of the body to `taken`, with the framing of its chunks or without; whether that is all of it.
    ///
    /// # Errors
    /// Where its framing is malformed.
    pub(super) fn take(&mut self, without_chunks: bool) -> Result<bool, ()> {
        let input = self.connection.input();
        let count = if without_chunks {
            self.body.take_data(input, &mut self.taken).map_err(drop)?
        } else {
            let count = self.body.take(input).map_err(drop)?;
            self.taken.extend_from_slice(&input[..count]);
            count
        };
        self.connection.consume(count);
        Ok(self.body.is_done())
    }

    /// Takes the chunks' framing out of what was taken with it, where the rest is to come without.
    pub(super) fn drop_chunks(&mut self) {
        self.taken = unchunked(&self.taken);
    }

    /// Waits for more of the body; false where the connection ended, which is the end of some bodies.
    ///
    /// # Errors
    /// Where it may not end here, or stays silent.
    pub(super) async fn more(&mut self) -> Result<bool, ()> {
        match timeout(BETWEEN_BYTES, self.connection.fill()).await {
            Ok(Ok(0)) if self.framing == Framing::UntilClose => Ok(false),
            Ok(Ok(1..)) => Ok(true),
            _ => Err(()),
        }
    }

    /// Takes all of the body, if it is not longer than `limit` and there is memory for it.
    ///
    /// # Errors
    /// Where it breaks off.
    pub(super) async fn collect(&mut self, limit: usize, fetching: &Fetching) -> Result<Collected, ()> {
        if matches!(self.framing, Framing::Length(length) if length > limit as u64) {
            return Ok(Collected::TooLong);
        }
        let mut held = fetching.hold();
        if matches!(self.framing, Framing::Length(length) if !held.grow_to(length as usize)) {
            return Ok(Collected::NoRoom);
        }
        loop {
            let done = self.take(false)?;
            if !held.grow_to(self.taken.len()) {
                return Ok(Collected::NoRoom);
            }
            if self.taken.len() > limit {
                return Ok(Collected::TooLong);
            }
            if done || !self.more().await? {
                let raw = std::mem::take(&mut self.taken);
                return Ok(Collected::Whole(if self.framing == Framing::Chunked {
                    unchunked(&raw)
                } else {
                    raw
                }));
            }
        }
    }

    /// Gives the connection back, if its body was taken to the end.
    pub(super) fn give_back(self, back_ends: &BackEnds) {
        if self.keep_alive && self.body.is_done() {
            back_ends.keep(self.back_end, self.connection);
        }
    }
}

/// The data of a chunked body that was checked while it came.
fn unchunked(raw: &[u8]) -> Vec<u8> {
    let mut data = Vec::with_capacity(raw.len());
    let taken = Body::new(Framing::Chunked).take_data(raw, &mut data);
    debug_assert!(taken.is_ok(), "it was checked while it came");
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_put_together_and_trailers_left_out() {
        let raw = b"5\r\nhello\r\n6;x=y\r\n, \r\nyo\r\n0\r\nx-trailer: 1\r\n\r\n";
        assert_eq!(unchunked(raw), b"hello, \r\nyo");
        assert_eq!(unchunked(b"0\r\n\r\n"), b"");
    }
}
