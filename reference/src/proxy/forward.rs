//! A client's connection: its requests are read one after the other, each is passed on, or refused.

use std::io;
use std::rc::Rc;

use tokio::net::TcpStream;

use super::exchange::Unanswered;
use super::rewrite::{self, From};
use super::{Proxy, Waits};
use crate::edge::Arrival;
use crate::http::{Connection, Framing, Next, plain_answer, refuse, take_leave};

/// Serves a connection until its end.
pub(super) async fn serve(proxy: Rc<Proxy>, stream: TcpStream) {
    proxy.connections.set(proxy.connections.get() + 1);
    take_in(&proxy, stream).await;
    proxy.connections.set(proxy.connections.get() - 1);
}

async fn take_in(proxy: &Rc<Proxy>, mut stream: TcpStream) {
    let arrival = match &proxy.trust {
        None => Arrival::of(&stream),
        Some(trust) => match trust.welcome(&mut stream).await {
            Some(arrival) => arrival,
            None => return proxy.refused.set(proxy.refused.get() + 1),
        },
    };
    let from = From::new(arrival, proxy.backend.send_proxy);
    #[cfg(feature = "tls")]
    if let Some(front) = &proxy.front {
        let from = Rc::new(from);
        let proxy = Rc::clone(proxy);
        let conversing = move |connection| {
            let (proxy, from) = (Rc::clone(&proxy), Rc::clone(&from));
            async move {
                let _ = converse(&proxy, connection, &from).await;
            }
        };
        let front = Rc::clone(front);
        return front.serve(stream, conversing).await;
    }
    // A broken connection concerns its client alone.
    let _ = converse(proxy, Connection::new(stream), &from).await;
}

async fn converse(proxy: &Proxy, mut client: Connection, from: &From) -> io::Result<()> {
    let mut out = Vec::new();
    let mut waits = Waits::new(proxy);
    loop {
        let read = |input: &[u8]| rewrite::request(input, from, &proxy.rules, &mut out);
        let request = match waits.requests.next(&mut client, read).await? {
            Next::Head(request) => request,
            Next::End => return Ok(()),
            Next::Refused(status) => {
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
        let result = proxy.exchange(&mut client, &request, from, &mut waits, &mut out).await;
        proxy.in_service.set(proxy.in_service.get() - 1);
        drop(room);
        match result {
            Ok(true) => {}
            Ok(false) => {
                take_leave(client).await;
                return Ok(());
            }
            Err(Unanswered::Cut) => return Ok(()),
            Err(Unanswered::Status(status)) => {
                proxy.failures.set(proxy.failures.get() + 1);
                // With a body still to come the connection cannot be used on.
                if !request.keep_alive || request.framing != Framing::Length(0) {
                    return refuse(client, status, request.is_head, &mut out).await;
                }
                out.clear();
                plain_answer(status, false, request.is_head, &mut out);
                waits.requests.body.limit(client.write_all(&out)).await?;
            }
        }
    }
}
