//! A client's connection: each request is given to a server, its answer passed back.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Proxy, rewrite};
use crate::http::{Body, Connection, Framing, plain_answer};

/// Without redispatch a failed connection is tried again after this, or after the connect timeout if that is shorter.
const TURN_AROUND: Duration = Duration::from_secs(1);
/// Passed on at once at most.
const COPY_SIZE: usize = 64 << 10;

/// Why a request was not answered by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unanswered {
    /// The client gets this status.
    Status(u16),
    /// The answer had begun, so the connection can only be cut; or the client is gone.
    Cut,
}

impl From<io::Error> for Unanswered {
    fn from(_: io::Error) -> Self {
        Self::Cut
    }
}

/// Serves a connection until its end.
pub(super) async fn serve(proxy: Rc<Proxy>, stream: TcpStream) {
    let client = stream.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
    proxy.connections.set(proxy.connections.get() + 1);
    // A broken connection concerns its client alone.
    let _ = converse(&proxy, Connection::new(stream), client).await;
    proxy.connections.set(proxy.connections.get() - 1);
}

async fn converse(proxy: &Proxy, mut client: Connection, address: IpAddr) -> io::Result<()> {
    let mut out = Vec::new();
    loop {
        let frame = loop {
            match rewrite::request(client.input(), address, &mut out) {
                Ok(Some(frame)) => break frame,
                Ok(None) if client.fill().await? == 0 => return Ok(()),
                Ok(None) => {}
                Err(bad) => {
                    out.clear();
                    plain_answer(bad.status(), true, &mut out);
                    return client.write_all(&out).await;
                }
            }
        };
        client.consume(frame.head_len);
        proxy.requests.set(proxy.requests.get() + 1);
        proxy.in_service.set(proxy.in_service.get() + 1);
        let result = proxy.exchange(&mut client, frame, &mut out).await;
        proxy.in_service.set(proxy.in_service.get() - 1);
        match result {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(Unanswered::Cut) => return Ok(()),
            Err(Unanswered::Status(status)) => {
                proxy.failures.set(proxy.failures.get() + 1);
                // With a body still to come the connection cannot be used on.
                let close = !frame.keep_alive || frame.framing != Framing::Length(0);
                out.clear();
                plain_answer(status, close, &mut out);
                client.write_all(&out).await?;
                if close {
                    return Ok(());
                }
            }
        }
    }
}

impl Proxy {
    /// Passes a request on and its answer back; whether the client's connection stays open. `out` holds the request's
    /// head.
    async fn exchange(
        &self,
        client: &mut Connection,
        request: rewrite::RequestFrame,
        out: &mut Vec<u8>,
    ) -> Result<bool, Unanswered> {
        if self.context.failing.get() {
            return Err(Unanswered::Status(500));
        }
        let (server, mut upstream) = self.connection().await?;
        if request.expects_continue {
            client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        let bad_gateway = |_| Unanswered::Status(502);
        let mut body = Body::new(request.framing);
        loop {
            let taken = body.take(client.input()).map_err(|bad| Unanswered::Status(bad.status()))?;
            out.extend_from_slice(&client.input()[..taken]);
            client.consume(taken);
            if body.is_done() || out.len() >= COPY_SIZE {
                upstream.write_all(out).await.map_err(bad_gateway)?;
                out.clear();
            }
            if body.is_done() {
                break;
            }
            client.more().await?;
        }
        let response = loop {
            match rewrite::response(upstream.input(), request.is_head, !request.keep_alive, out) {
                // Interim responses are this hop's business.
                Ok(Some(frame)) if frame.status < 200 => upstream.consume(frame.head_len),
                Ok(Some(frame)) => break frame,
                Ok(None) => match timeout(self.server_timeout, upstream.fill()).await {
                    Err(_) => return Err(Unanswered::Status(504)),
                    Ok(Err(_) | Ok(0)) => return Err(Unanswered::Status(502)),
                    Ok(Ok(_)) => {}
                },
                Err(_) => return Err(Unanswered::Status(502)),
            }
        };
        upstream.consume(response.head_len);
        let mut body = Body::new(response.framing);
        loop {
            let taken = body.take(upstream.input()).map_err(|_| Unanswered::Cut)?;
            out.extend_from_slice(&upstream.input()[..taken]);
            upstream.consume(taken);
            let done = body.is_done();
            if done || out.len() >= COPY_SIZE {
                if done && response.keep_alive {
                    // Before the client can send its next request, the connection is there for it.
                    self.servers.keep(server, upstream);
                    client.write_all(out).await?;
                    return Ok(request.keep_alive);
                }
                client.write_all(out).await?;
                out.clear();
            }
            if done {
                return Ok(request.keep_alive);
            }
            match timeout(self.server_timeout, upstream.fill()).await {
                Ok(Ok(0)) if response.framing == Framing::UntilClose => {
                    client.write_all(out).await?;
                    return Ok(false);
                }
                Ok(Ok(1..)) => {}
                _ => return Err(Unanswered::Cut),
            }
        }
    }

    /// A connection to the next server: an idle one or a new one, with retries.
    async fn connection(&self) -> Result<(usize, Connection), Unanswered> {
        let unavailable = Unanswered::Status(503);
        let mut server = self.servers.next().ok_or(unavailable)?;
        for retries_left in (0..=self.retries).rev() {
            if let Some(idle) = self.servers.take_idle(server) {
                return Ok((server, idle));
            }
            let connecting = Connection::connect(self.servers.address(server), Some(self.connect_timeout));
            if let Ok(connection) = connecting.await {
                return Ok((server, connection));
            }
            if retries_left == 0 {
                break;
            }
            self.retried.set(self.retried.get() + 1);
            if self.redispatch {
                // The same one again where there is no other, but only as long as it counts as up.
                let another = self.servers.next_but(Some(server)).or_else(|| self.servers.next());
                server = another.ok_or(unavailable)?;
            } else {
                tokio::time::sleep(self.connect_timeout.min(TURN_AROUND)).await;
            }
        }
        Err(unavailable)
    }
}
