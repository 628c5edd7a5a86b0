//! HTTP/2 before what speaks HTTP/1.1 (RFC 9113): each stream becomes a connection of its own with one request, which is read
//! as strictly as any, so that nothing that a translation could smuggle reaches a server.
//!
//! What clients have used to exhaust servers is bounded: streams at once, those that were reset and are still being answered
//! included (CVE-2023-44487), fields (and so frames of `CONTINUATION`, CVE-2024-27316), what is buffered for whom does not
//! read, and time.

use std::fmt::Write as _;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response, header};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::http::head::{HEAD_LIMIT, NO_FIELDS, is_hop_by_hop, parse_response};
use crate::http::requests::{HEAD_TIMEOUT, IDLE_TIMEOUT};
use crate::http::{Body, Connection, Framing};

/// Streams at once on a connection (HAProxy's `tune.h2.max-concurrent-streams`).
const STREAMS_LIMIT: u32 = 100;
/// Streams that were reset before they were taken up, beyond which a client is sent away.
const RESET_LIMIT: usize = 20;
/// Streams that were reset here for what the client did with them, beyond which it is sent away. Those above the limit are among
/// them, and a client may not know of that limit yet.
const ERRORS_LIMIT: usize = 200;
/// Bytes between a stream and the conversation that answers it.
const BUFFER: usize = 64 << 10;
/// Bytes of a body that a client may send before they were passed on, on a stream and on a connection.
const STREAM_WINDOW: u32 = 256 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// Serves a connection until its end, or until it was idle for so long, and until all its conversations have ended: whoever
/// counts connections counts these with it. `converse` answers what comes over a connection of HTTP/1.1.
pub(super) async fn serve<I, F>(io: I, idle: Duration, converse: impl Fn(Connection) -> F + 'static)
where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Future<Output = ()> + 'static,
{
    let room = Arc::new(Semaphore::new(STREAMS_LIMIT as usize));
    take_up(io, idle, converse, &room).await;
    // A client that connects, asks and leaves again and again would otherwise have work going on for it without bounds.
    let _all = room.acquire_many(STREAMS_LIMIT).await;
}

/// Takes up streams, each of which keeps a place of the `room` until its conversation ends, as long as the connection lasts.
async fn take_up<I, F>(
    io: I,
    idle: Duration,
    converse: impl Fn(Connection) -> F + 'static,
    room: &Arc<Semaphore>,
) where
    I: AsyncRead + AsyncWrite + Unpin + 'static,
    F: Future<Output = ()> + 'static,
{
    let mut settings = Builder::new();
    settings
        .max_concurrent_streams(STREAMS_LIMIT)
        .max_header_list_size(HEAD_LIMIT as u32)
        .max_pending_accept_reset_streams(RESET_LIMIT)
        .max_local_error_reset_streams(Some(ERRORS_LIMIT))
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(BUFFER);
    let Ok(Ok(mut connection)) = timeout(HEAD_TIMEOUT, settings.handshake::<_, Bytes>(io)).await else {
        return;
    };
    let converse = Rc::new(converse);
    let mut idle_since = Instant::now();
    loop {
        let permit = Arc::clone(room).try_acquire_owned();
        let is_idle = room.available_permits() + usize::from(permit.is_ok()) == STREAMS_LIMIT as usize;
        let accepted = tokio::select! {
            // While nobody has room, streams wait unaccepted, and those that are reset there are counted.
            accepted = poll_fn(|cx| match &permit {
                Ok(_) => connection.poll_accept(cx),
                Err(_) => connection.poll_closed(cx).map(|_| None),
            }) => accepted,
            _ = room.acquire(), if permit.is_err() => continue,
            () = tokio::time::sleep_until(idle_since + idle), if is_idle => {
                connection.graceful_shutdown();
                // What it still has to say it may say for a moment.
                let _ = timeout(Duration::from_secs(1), poll_fn(|cx| connection.poll_closed(cx))).await;
                return;
            }
            // An end of a stream is not otherwise heard of here: when the connection is idle is looked at now and then.
            () = sleep(Duration::from_secs(1)), if !is_idle => {
                idle_since = Instant::now();
                continue;
            }
        };
        let Some(Ok((request, answer))) = accepted else { return };
        idle_since = Instant::now();
        let converse = Rc::clone(&converse);
        tokio::task::spawn_local(async move {
            let (ours, theirs) = tokio::io::duplex(BUFFER);
            // The conversation goes on to its end when a client has left, as one over a connection of its own does, and
            // keeps its place until then: who resets streams as fast as he opens them is served a few at a time.
            tokio::join!(converse(Connection::over(Box::new(theirs))), carry(request, answer, ours));
            drop(permit);
        });
    }
}

/// Carries a request to a conversation, and its answer back.
async fn carry(request: Request<RecvStream>, mut answer: SendResponse<Bytes>, connection: DuplexStream) {
    let is_head = request.method() == http::Method::HEAD;
    let (head, body) = request.into_parts();
    let in_chunks = !body.is_end_stream() && !head.headers.contains_key(header::CONTENT_LENGTH);
    let text = request_head(&head, in_chunks);
    let (read, write) = tokio::io::split(connection);
    let mut read = Connection::over(Box::new(tokio::io::join(read, tokio::io::empty())));
    let sent = send_request(text, body, in_chunks, write);
    let answered = send_answer(&mut read, is_head, &mut answer);
    // An answer that comes before the body was sent is the answer all the same.
    let done = tokio::select! {
        biased;
        done = answered => done,
        done = async { sent.await?; std::future::pending().await } => done,
    };
    if done.is_err() {
        answer.send_reset(Reason::INTERNAL_ERROR);
    }
}

/// A request's head in HTTP/1.1, as RFC 9113 has it in sections 8.2.2 and 8.3.1.
fn request_head(head: &http::request::Parts, in_chunks: bool) -> Vec<u8> {
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut start = String::with_capacity(256);
    // What is written there cannot fail.
    let _ = write!(start, "{} {target} HTTP/1.1\r\n", head.method);
    if let Some(authority) = head.uri.authority() {
        let _ = write!(start, "host: {authority}\r\n");
    }
    let mut out = start.into_bytes();
    let mut field = |name: &str, value: &[u8]| {
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b": ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    };
    let mut cookies = Vec::new();
    for (name, value) in &head.headers {
        match name.as_str() {
            "host" if head.uri.authority().is_some() => {}
            // The client sends its body when it likes: it is not told to go ahead.
            "expect" => {}
            name if is_hop_by_hop(name) => {}
            // Compression may have split it (section 8.2.3).
            "cookie" => {
                if !cookies.is_empty() {
                    cookies.extend_from_slice(b"; ");
                }
                cookies.extend_from_slice(value.as_bytes());
            }
            name => field(name, value.as_bytes()),
        }
    }
    if !cookies.is_empty() {
        field("cookie", &cookies);
    }
    if in_chunks {
        field("transfer-encoding", b"chunked");
    }
    field("connection", b"close");
    out.extend_from_slice(b"\r\n");
    out
}

async fn send_request(
    head: Vec<u8>,
    mut body: RecvStream,
    in_chunks: bool,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    let mut bytes = head;
    loop {
        // Who takes no more of it has said why.
        if to.write_all(&bytes).await.is_err() {
            return Ok(());
        }
        let Some(piece) = poll_fn(|cx| body.poll_data(cx)).await else { break };
        let piece = piece.map_err(io::Error::other)?;
        bytes.clear();
        match (in_chunks, piece.len()) {
            // An empty chunk would be the last.
            (true, 0) => {}
            (true, size) => {
                bytes.extend_from_slice(format!("{size:x}\r\n").as_bytes());
                bytes.extend_from_slice(&piece);
                bytes.extend_from_slice(b"\r\n");
            }
            (false, _) => bytes.extend_from_slice(&piece),
        }
        // Only what is passed on makes room for more.
        body.flow_control().release_capacity(piece.len()).map_err(io::Error::other)?;
    }
    if in_chunks {
        let _ = to.write_all(b"0\r\n\r\n").await;
    }
    Ok(())
}

async fn send_answer(
    from: &mut Connection,
    is_head: bool,
    answer: &mut SendResponse<Bytes>,
) -> io::Result<()> {
    let (response, framing) = read_head(from, is_head).await?;
    let is_empty = framing == Framing::Length(0);
    let mut to = answer.send_response(response, is_empty).map_err(io::Error::other)?;
    if is_empty {
        return Ok(());
    }
    let mut body = Body::new(framing);
    loop {
        let mut data = Vec::new();
        let taken = body.take_data(from.input(), &mut data).map_err(io::Error::other)?;
        from.consume(taken);
        let ended = body.is_done();
        if !data.is_empty() || ended {
            send_data(&mut to, data.into(), ended).await?;
        }
        if ended {
            return Ok(());
        }
        match from.fill().await? {
            0 if framing == Framing::UntilClose => return send_data(&mut to, Bytes::new(), true).await,
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            _ => {}
        }
    }
}

/// Reads the head of the final answer.
async fn read_head(from: &mut Connection, is_head: bool) -> io::Result<(Response<()>, Framing)> {
    loop {
        let mut fields = NO_FIELDS;
        let parsed = parse_response(from.input(), &mut fields, is_head).map_err(io::Error::other)?;
        let Some(head) = parsed else {
            from.more().await?;
            continue;
        };
        let (len, status, framing) = (head.len, head.status, head.framing);
        if status < 200 {
            from.consume(len);
            continue;
        }
        let mut response = Response::builder().status(status);
        for field in head.headers.iter().filter(|field| !is_hop_by_hop(field.name)) {
            response = response.header(field.name, field.value);
        }
        let response = response.body(()).map_err(io::Error::other)?;
        from.consume(len);
        return Ok((response, framing));
    }
}

/// Sends a piece of an answer as far as the client takes it.
async fn send_data(to: &mut SendStream<Bytes>, mut data: Bytes, ends: bool) -> io::Result<()> {
    while !data.is_empty() {
        to.reserve_capacity(data.len());
        let until = Instant::now() + IDLE_TIMEOUT;
        let room = timeout_at(until, poll_fn(|cx| to.poll_capacity(cx))).await?;
        let room = room.ok_or(io::ErrorKind::BrokenPipe)?.map_err(io::Error::other)?;
        let piece = data.split_to(room.min(data.len()));
        to.send_data(piece, false).map_err(io::Error::other)?;
    }
    if ends {
        to.send_data(Bytes::new(), true).map_err(io::Error::other)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;
    use tokio::sync::watch;
    use tokio::time::timeout;

    use super::serve;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn a_connection_lasts_as_long_as_its_conversations_when_the_client_has_left() {
        let runtime = crate::child::runtime().expect("a runtime can be built");
        runtime.block_on(async {
            let (theirs, ours) = tokio::io::duplex(1 << 16);
            let (begun, mut begins) = watch::channel(false);
            let (end, ends) = watch::channel(false);
            let converse = move |connection| {
                begun.send_replace(true);
                let mut ends = ends.clone();
                async move {
                    let _ = ends.wait_for(|over| *over).await;
                    drop(connection);
                }
            };
            let mut serving = tokio::task::spawn_local(serve(ours, LONG, converse));
            let (mut client, connection) =
                h2::client::handshake(theirs).await.expect("the server speaks HTTP/2");
            let driver = tokio::task::spawn_local(connection);
            let request = Request::get("http://shop/").body(()).expect("the request is well-formed");
            let sent = client.send_request(request, true).expect("there is room for a stream");
            timeout(LONG, begins.wait_for(|begun| *begun))
                .await
                .expect("the conversation begins soon")
                .expect("it lives");
            driver.abort();
            drop((client, sent));
            let early = timeout(Duration::from_millis(300), &mut serving).await;
            assert!(early.is_err(), "the connection ended before its conversation");
            end.send_replace(true);
            timeout(LONG, serving)
                .await
                .expect("the connection ends with its conversation")
                .expect("no panic");
        });
    }
}
