//! A client's connection: its requests are read one after the other, each is passed on, or refused.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::exchange::Unanswered;
use super::rewrite::{self, From, RequestFrame};
use super::{Proxy, Waits};
use crate::http::head::{Bad, HEAD_LIMIT};
use crate::http::{Connection, Framing, plain_answer};

/// From the first byte of a head to its last (HAProxy's `timeout http-request`): senders that are slower only hold places.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long, and for how many bytes, a client that was refused is listened to, so that the refusal reaches it.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_LIMIT: usize = 256 << 10;

/// Serves a connection until its end.
pub(super) async fn serve(proxy: Rc<Proxy>, stream: TcpStream) {
    let address = stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    proxy.connections.set(proxy.connections.get() + 1);
    // A broken connection concerns its client alone.
    let _ = converse(&proxy, Connection::new(stream), &From::new(address)).await;
    proxy.connections.set(proxy.connections.get() - 1);
}

async fn converse(proxy: &Proxy, mut client: Connection, from: &From) -> io::Result<()> {
    let mut out = Vec::new();
    let mut waits = Waits::new(proxy);
    loop {
        let request = match read_head(proxy, &mut client, from, &mut waits, &mut out).await? {
            Head::Request(request) => request,
            Head::End => return Ok(()),
            Head::Refused(status) => {
                proxy.refused.set(proxy.refused.get() + 1);
                return refuse(client, status, false, &mut out).await;
            }
        };
        client.consume(request.head_len);
        let room = match &proxy.room {
            Some(room) => room.acquire().await.ok(),
            None => None,
        };
        proxy.requests.set(proxy.requests.get() + 1);
        proxy.in_service.set(proxy.in_service.get() + 1);
        let result = proxy.exchange(&mut client, &request, &mut waits, &mut out).await;
        proxy.in_service.set(proxy.in_service.get() - 1);
        drop(room);
        match result {
            Ok(true) => {}
            Ok(false) | Err(Unanswered::Cut) => return Ok(()),
            Err(Unanswered::Status(status)) => {
                proxy.failures.set(proxy.failures.get() + 1);
                // With a body still to come the connection cannot be used on.
                if !request.keep_alive || request.framing != Framing::Length(0) {
                    return refuse(client, status, request.is_head, &mut out).await;
                }
                out.clear();
                plain_answer(status, false, request.is_head, &mut out);
                waits.client.limit(client.write_all(&out)).await?;
            }
        }
    }
}

/// What came of waiting for a request.
enum Head {
    Request(RequestFrame),
    /// The client closed its side, or was idle for too long.
    End,
    Refused(u16),
}

/// Reads the head of the next request and rewrites it into `out`.
async fn read_head(
    proxy: &Proxy,
    client: &mut Connection,
    from: &From,
    waits: &mut Waits,
    out: &mut Vec<u8>,
) -> io::Result<Head> {
    let mut began = None;
    let mut parsed = 0;
    loop {
        let input = client.input();
        // What came in small pieces is not read from its beginning for each of them.
        let news = &input[parsed.min(input.len()).saturating_sub(2)..];
        if parsed == 0 || has_empty_line(news) || input.len() >= HEAD_LIMIT {
            match rewrite::request(input, from, &proxy.rules, out) {
                Ok(Some(frame)) => return Ok(Head::Request(frame)),
                Ok(None) => {}
                Err(bad) => return Ok(Head::Refused(Bad::status(bad))),
            }
        }
        parsed = input.len();
        let filled = if parsed == 0 {
            waits.idle.limit(client.fill()).await
        } else {
            let began = *began.get_or_insert_with(Instant::now);
            let limit = proxy.client_timeout.map_or(HEAD_TIMEOUT, |span| span.min(HEAD_TIMEOUT));
            waits.head.until(|| began + limit, client.fill()).await
        };
        match filled {
            Ok(0) => return Ok(Head::End),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::TimedOut && parsed > 0 => {
                return Ok(Head::Refused(408));
            }
            Err(error) => return Err(error),
        }
    }
}

/// Whether a head may end here, in whichever way its lines end.
fn has_empty_line(bytes: &[u8]) -> bool {
    bytes.windows(2).any(|pair| pair == b"\n\n") || bytes.windows(3).any(|three| three == b"\n\r\n")
}

/// Answers with a status and closes the connection in order.
async fn refuse(mut client: Connection, status: u16, is_head: bool, out: &mut Vec<u8>) -> io::Result<()> {
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
            let (mut parsed, mut found) = (0, 0);
            for end in (cut..head.len()).step_by(cut).chain([head.len()]) {
                let news = &head[..end][parsed_from(parsed)..];
                found += usize::from(has_empty_line(news));
                parsed = end;
            }
            assert!(found > 0, "cut every {cut} bytes");
        }
    }

    fn parsed_from(parsed: usize) -> usize {
        parsed.saturating_sub(2)
    }
}
