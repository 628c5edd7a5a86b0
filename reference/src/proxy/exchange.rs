//! One request and its answer between a client's connection and a server's.
//!
//! On each side it takes one read and one write where the message fits: heads are written together with what of the body
//! is there, and a body is passed on as it comes, never collected.

use std::io;

use super::backend::{Lease, Unavailable};
use super::health::Seen;
use super::rewrite::{self, From, RequestFrame, ResponseFrame};
use super::{Proxy, Waits};
use crate::http::{Body, Connection, Framing};

/// Bytes of a request's body that are copied behind its head, to be written together.
const TOGETHER_LIMIT: usize = 16 << 10;
/// Bytes of an answer's body that are copied behind what is written before them: dearer from here on than a vector.
const COPIED: usize = 4 << 10;
/// Interim responses to one request, beyond which it is taken for an attack.
const INTERIM_LIMIT: u32 = 16;

/// Why a request was not answered by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The client gets this status.
    Status(u16),
    /// The answer had begun, so the connection can only be cut; or the client is gone.
    Cut,
}

impl std::convert::From<Unavailable> for Unanswered {
    fn from(_: Unavailable) -> Self {
        Self::Status(503)
    }
}

impl Proxy {
    /// Passes a request on and its answer back; whether the client's connection stays open. `out` holds the request's
    /// head; the head itself is consumed already.
    pub(super) async fn exchange(
        &self,
        client: &mut Connection,
        request: &RequestFrame,
        from: &From,
        waits: &mut Waits,
        out: &mut Vec<u8>,
    ) -> Result<bool, Unanswered> {
        if self.context.fails() {
            return Err(Unanswered::Status(500));
        }
        let bound = request.bound.filter(|server| *server < self.backend.servers.len());
        let lease = self.backend.lease(bound, request.key, from).await?;
        if request.expects_continue && client.input().is_empty() {
            let go_ahead = client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n");
            waits.requests.body.limit(go_ahead).await.map_err(|_| Unanswered::Cut)?;
        }
        let mut body = Body::new(request.framing);
        self.take_body(client, &mut body, out)?;
        let (mut lease, sent) = self.send_first(lease, request, from, waits, out).await?;
        let whole = match waits.server.limit(lease.connection.write_all(&out[sent..])).await {
            Ok(()) => self.send_rest(client, &mut lease, &mut body, waits, out).await?,
            Err(_) => false,
        };
        // A server that takes no more of the request may have said why. Neither connection is of use after that: on each, the
        // next request would be taken for the rest of this one's body.
        let request = RequestFrame { keep_alive: request.keep_alive && whole, ..*request };
        let answer = self.read_head(&mut lease, &request, waits, out).await;
        let seen = answer.as_ref().map_or(Seen::NoAnswer, |answer| Seen::of_status(answer.status));
        self.backend.servers.observe(lease.server(), seen);
        let mut answer = answer?;
        answer.keep_alive &= whole;
        self.pass_back(client, lease, &answer, waits, out).await
    }

    /// Puts what is there of a request's body behind its head.
    fn take_body(
        &self,
        client: &mut Connection,
        body: &mut Body,
        out: &mut Vec<u8>,
    ) -> Result<(), Unanswered> {
        let input = client.input();
        let input = &input[..input.len().min(TOGETHER_LIMIT)];
        let taken = body.take(input).map_err(|bad| Unanswered::Status(bad.status()))?;
        out.extend_from_slice(&input[..taken]);
        client.consume(taken);
        Ok(())
    }

    /// Writes the beginning of a request; how much of it, and to whom. Where a connection that was idle turns out to be
    /// closed before anything was sent, a new one is opened.
    async fn send_first(
        &self,
        mut lease: Lease,
        request: &RequestFrame,
        from: &From,
        waits: &mut Waits,
        out: &[u8],
    ) -> Result<(Lease, usize), Unanswered> {
        loop {
            match waits.server.limit(lease.connection.write_some(out)).await {
                Ok(sent) => return Ok((lease, sent)),
                Err(error) if lease.reused && error.kind() != io::ErrorKind::TimedOut => {
                    self.backend.retried.set(self.backend.retried.get() + 1);
                    lease = self.backend.renew(lease, request.key, from).await?;
                }
                Err(_) => {
                    self.backend.servers.observe(lease.server(), Seen::NoAnswer);
                    return Err(Unanswered::Status(502));
                }
            }
        }
    }

    /// Passes on the rest of a request's body; whether the server took all of it.
    async fn send_rest(
        &self,
        client: &mut Connection,
        lease: &mut Lease,
        body: &mut Body,
        waits: &mut Waits,
        out: &mut Vec<u8>,
    ) -> Result<bool, Unanswered> {
        while !body.is_done() {
            if client.input().is_empty() {
                match waits.requests.body.limit(client.more()).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        return Err(Unanswered::Status(408));
                    }
                    Err(_) => return Err(Unanswered::Cut),
                }
            }
            let taken = body.take(client.input()).map_err(|bad| Unanswered::Status(bad.status()))?;
            if waits.server.limit(lease.connection.write_all(&client.input()[..taken])).await.is_err() {
                return Ok(false);
            }
            client.consume(taken);
        }
        out.clear();
        Ok(true)
    }

    /// Reads the head of the final response and rewrites it into `out`.
    async fn read_head(
        &self,
        lease: &mut Lease,
        request: &RequestFrame,
        waits: &mut Waits,
        out: &mut Vec<u8>,
    ) -> Result<ResponseFrame, Unanswered> {
        let server = lease.server();
        let mut interim = 0;
        loop {
            match rewrite::response(lease.connection.input(), request, server, &self.rules, out) {
                // Interim responses are this hop's business; nobody asked for another protocol.
                Ok(Some(frame)) if frame.status < 200 && frame.status != 101 && interim < INTERIM_LIMIT => {
                    lease.connection.consume(frame.head_len);
                    interim += 1;
                }
                Ok(Some(frame)) if frame.status >= 200 => {
                    lease.connection.consume(frame.head_len);
                    return Ok(frame);
                }
                Ok(None) => match waits.server.limit(lease.connection.more()).await {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        return Err(Unanswered::Status(504));
                    }
                    Err(_) => return Err(Unanswered::Status(502)),
                },
                Ok(Some(_)) | Err(_) => return Err(Unanswered::Status(502)),
            }
        }
    }

    /// Passes an answer back, whose head is in `out`; whether the client's connection stays open.
    async fn pass_back(
        &self,
        client: &mut Connection,
        mut lease: Lease,
        answer: &ResponseFrame,
        waits: &mut Waits,
        out: &mut Vec<u8>,
    ) -> Result<bool, Unanswered> {
        let cut = |_: io::Error| Unanswered::Cut;
        let mut body = Body::new(answer.framing);
        loop {
            let input = lease.connection.input();
            let taken = if answer.without_chunks { body.take_data(input, out) } else { body.take(input) };
            let taken = taken.map_err(|_| Unanswered::Cut)?;
            if body.is_done() {
                // Before the client has all of it, the connection and the place are there for others.
                let rest = lease.connection.take_input();
                if answer.keep_alive && rest.len() == taken {
                    self.backend.keep(lease);
                } else {
                    drop(lease);
                }
                let mut piece = if answer.without_chunks { &[][..] } else { &rest[..taken] };
                if piece.len() <= COPIED {
                    out.extend_from_slice(std::mem::take(&mut piece));
                }
                waits.requests.body.limit(client.write_both(out, piece)).await.map_err(cut)?;
                return Ok(answer.client_keep_alive);
            }
            let piece = if answer.without_chunks { &[][..] } else { &input[..taken] };
            if !piece.is_empty() || !out.is_empty() {
                waits.requests.body.limit(client.write_both(out, piece)).await.map_err(cut)?;
                out.clear();
            }
            lease.connection.consume(taken);
            match waits.server.limit(lease.connection.fill()).await {
                Ok(0) if answer.framing == Framing::UntilClose => return Ok(false),
                Ok(1..) => {}
                _ => return Err(Unanswered::Cut),
            }
        }
    }
}
