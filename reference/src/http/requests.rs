//! The heads of a client's requests, one after the other, against those who send them slowly, or never to their end.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::head::{Bad, HEAD_LIMIT};
use super::{Connection, Patience, plain_answer};

/// From the first byte of a head to its last (HAProxy's `timeout http-request`): senders that are slower only hold places.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client in the middle of a body may stand still, where nothing says how long one may be idle.
const BODY_TIMEOUT: Duration = Duration::from_secs(50);
/// How long, and for how many bytes, a client that was refused is listened to, so that the refusal reaches it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_LIMIT: usize = 256 << 10;

/// What is waited for on a client's connection, and for how long.
#[derive(Debug)]
pub(crate) struct Requests {
    idle: Patience,
    head: Patience,
    head_timeout: Duration,
    /// More of a body, or room for more of an answer.
    pub(crate) body: Patience,
}

/// What came of waiting for a request.
#[derive(Debug)]
pub(crate) enum Next<T> {
    /// Its head.
    Head(T),
    /// The client closed its side, or was idle for too long.
    End,
    /// It is answered with this status, and the connection closed.
    Refused(u16),
}

impl Requests {
    /// Of a client that may be idle for so long; for ever, where nothing is given.
    pub(crate) fn new(idle: Option<Duration>) -> Self {
        Self {
            idle: Patience::new(idle),
            head: Patience::new(None),
            head_timeout: idle.map_or(HEAD_TIMEOUT, |span| span.min(HEAD_TIMEOUT)),
            body: Patience::new(Some(idle.unwrap_or(BODY_TIMEOUT))),
        }
    }

    /// Reads until `parse` finds a head. It consumes nothing.
    ///
    /// # Errors
    /// The connection's.
    pub(crate) async fn next<T>(
        &mut self,
        client: &mut Connection,
        mut parse: impl FnMut(&[u8]) -> Result<Option<T>, Bad>,
    ) -> io::Result<Next<T>> {
        let mut began = None;
        let mut parsed = 0;
        loop {
            let input = client.input();
            // What comes in small pieces is not read from its beginning for each of them.
            let news = &input[parsed.min(input.len()).saturating_sub(2)..];
            if parsed == 0 || has_empty_line(news) || input.len() >= HEAD_LIMIT {
                match parse(input) {
                    Ok(Some(head)) => return Ok(Next::Head(head)),
                    Ok(None) => {}
                    Err(bad) => return Ok(Next::Refused(bad.status())),
                }
            }
            parsed = input.len();
            let filled = if parsed == 0 {
                self.idle.limit(client.fill()).await
            } else {
                let limit = *began.get_or_insert_with(Instant::now) + self.head_timeout;
                self.head.until(|| limit, client.fill()).await
            };
            match filled {
                Ok(0) => return Ok(Next::End),
                Ok(_) => {}
                Err(error) if error.kind() != io::ErrorKind::TimedOut => return Err(error),
                Err(_) if parsed > 0 => return Ok(Next::Refused(408)),
                Err(_) => return Ok(Next::End),
            }
        }
    }
}

/// Whether a head may end here, in whichever way its lines end.
fn has_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Answers with a status and closes the connection in order.
///
/// # Errors
/// The connection's.
pub(crate) async fn refuse(
    mut client: Connection,
    status: u16,
    is_head: bool,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    out.clear();
    plain_answer(status, true, is_head, out);
    let farewell = async {
        client.write_all(out).await?;
        client.finish(LINGER_LIMIT).await;
        Ok(())
    };
    timeout(LINGER, farewell).await.unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_head_is_found_however_it_is_cut() {
        let head = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n";
        for cut in 1..head.len() {
            let (mut parsed, mut found) = (0_usize, 0);
            for end in (cut..head.len()).step_by(cut).chain([head.len()]) {
                found += usize::from(has_empty_line(&head[parsed.saturating_sub(2)..end]));
                parsed = end;
            }
            assert!(found > 0, "cut every {cut} bytes");
        }
    }
}
