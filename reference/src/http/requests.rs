//! The heads of a client's requests, one after the other, against those who send them slowly, or never to their end.

use std::io;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::head::{Bad, HEAD_LIMIT};
use super::{Connection, Patience, plain_answer};

/// From the first byte of a head to its last: who is slower only holds a place.
pub(crate) const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may be idle before a request, or stand still in the middle of a body, where nothing says how long. It
/// holds before the first request too, and is no shorter there: clients may open connections before they need them.
pub(crate) const IDLE_TIMEOUT: Duration = Duration::from_secs(50);
/// How long, and for how many bytes, a client that was refused is listened to, so that the refusal reaches it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_LIMIT: usize = 256 << 10;

/// What is waited for on a client's connection, and for how long.
#[derive(Debug)]
pub(crate) struct Requests {
    idle: Patience,
    head: Patience,
    head_timeout: Duration,
    first_timeout: Duration,
    /// Until when the first byte may come, once it is waited for; a wait that is given up and taken up again is one.
    first: Option<Instant>,
    /// Whether the first head came.
    has_begun: bool,
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
    /// Of a client that may be idle for so long; for [`IDLE_TIMEOUT`], where nothing is given.
    pub(crate) fn new(idle: Option<Duration>) -> Self {
        let idle = idle.unwrap_or(IDLE_TIMEOUT);
        Self {
            idle: Patience::new(Some(idle)),
            head: Patience::new(None),
            head_timeout: idle.min(HEAD_TIMEOUT),
            first_timeout: idle,
            first: None,
            has_begun: false,
            body: Patience::new(Some(idle)),
        }
    }

    /// From now on the client may be idle for so long between two requests.
    pub(crate) fn set_idle(&mut self, idle: Duration) {
        self.idle = Patience::new(Some(idle));
    }

    /// Waits for the first byte of a request; false where the client closed its side, or was idle for too long.
    ///
    /// # Errors
    /// The connection's.
    pub(crate) async fn begins(&mut self, client: &mut Connection) -> io::Result<bool> {
        if !client.input().is_empty() {
            return Ok(true);
        }
        let filled = if self.has_begun {
            self.idle.limit(client.fill()).await
        } else {
            let limit = *self.first.get_or_insert_with(|| Instant::now() + self.first_timeout);
            self.head.until(|| limit, client.fill()).await
        };
        match filled {
            Ok(count) => Ok(count > 0),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(false),
            Err(error) => Err(error),
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
                    Ok(Some(head)) => {
                        self.has_begun = true;
                        return Ok(Next::Head(head));
                    }
                    Ok(None) => {}
                    Err(bad) => return Ok(Next::Refused(bad.status())),
                }
            }
            parsed = input.len();
            let filled = if parsed == 0 && !self.has_begun {
                let limit = *self.first.get_or_insert_with(|| Instant::now() + self.first_timeout);
                self.head.until(|| limit, client.fill()).await
            } else if parsed == 0 {
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

/// Closes a connection after its last answer, so that the answer reaches a client that has not been read to its end.
pub(crate) async fn take_leave(client: Connection) {
    // Who does not close within this time has had it to read the answer.
    let _ = timeout(LINGER, client.finish(LINGER_LIMIT)).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_sends_nothing_is_sent_away_also_where_no_timeout_is_given() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let mut silent = tokio::net::TcpStream::connect(address).await.expect("it listens");
            let mut client = Connection::new(listener.accept().await.expect("one connects").0);
            let mut requests = Requests::new(None);
            assert_eq!(requests.first_timeout, IDLE_TIMEOUT);
            requests.first_timeout = Duration::from_millis(20);
            let never = |_: &[u8]| Ok(None::<()>);
            // Given up by the caller and taken up again: the time runs on. A machine that stands still may let it run out before.
            let given_up = timeout(Duration::ZERO, requests.next(&mut client, never)).await;
            let until = requests.first.expect("the time runs");
            assert!(given_up.is_err() || Instant::now() >= until);
            let next = requests.next(&mut client, never).await.expect("no error");
            assert!(matches!(next, Next::End) && Instant::now() >= until && requests.first == Some(until));
            // Nor may it be idle for ever after its first request.
            let mut requests = Requests::new(None);
            requests.idle = Patience::new(Some(Duration::from_millis(20)));
            tokio::io::AsyncWriteExt::write_all(&mut silent, b"x").await.expect("sent");
            let one = |input: &[u8]| Ok((!input.is_empty()).then_some(()));
            assert!(matches!(requests.next(&mut client, one).await, Ok(Next::Head(()))));
            client.consume(1);
            assert!(matches!(requests.next(&mut client, one).await, Ok(Next::End)));
        });
    }

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
