//! The reverse proxy: HAProxy's role. Chooses among the servers that are up, has requests wait for those that are full, tries
//! connections again, and keeps them for the next request.
//!
//! - [`forward`]: a client's connection, request by request; [`exchange`]: one request and its answer
//! - [`backend`]: a connection to a server, with retries; [`servers`]: what is known of them; [`queue`]: who waits for them
//! - [`choice`]: whose turn it is; [`health`]: the checks that decide who is up
//! - [`rewrite`]: heads on their way through; [`cookie`]: the one that binds a user to a server

mod backend;
mod choice;
mod cookie;
mod exchange;
mod forward;
mod health;
#[cfg(test)]
mod laws;
mod queue;
mod rewrite;
mod servers;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::LoadBalancer;
use tokio::sync::Semaphore;

use crate::component::{Context, Metrics};
use crate::edge::Trust;
#[cfg(feature = "tls")]
use crate::edge::front::Front;
use crate::emulated::clock::process_cpu_seconds;
use crate::http::idle::CLEARING_INTERVAL;
use crate::http::{Patience, Requests};
use crate::socket::Listener;
use backend::Backend;

/// Connections held at once, beyond which none is accepted.
const CONNECTIONS_LIMIT: i64 = 16_384;

/// The proxy's state.
#[derive(Debug)]
pub(crate) struct Proxy {
    context: Rc<Context>,
    backend: Backend,
    rules: rewrite::Rules,
    /// Who is believed to speak for others; nobody, where nothing is said.
    trust: Option<Trust>,
    #[cfg(feature = "tls")]
    front: Option<Rc<Front>>,
    client_timeout: Option<Duration>,
    /// Room for requests, where there is a limit.
    room: Option<Semaphore>,
    connections: Cell<i64>,
    in_service: Cell<i64>,
    requests: Cell<u64>,
    /// Answers that the proxy gave in a server's place: 502, 503, 504.
    failures: Cell<u64>,
    /// Requests that were malformed, too large or too slow.
    refused: Cell<u64>,
}

/// The limits on what one connection waits for.
#[derive(Debug)]
struct Waits {
    /// The client.
    requests: Requests,
    /// Anything of the server's.
    server: Patience,
}

impl Waits {
    fn new(proxy: &Proxy) -> Self {
        Self {
            requests: Requests::new(proxy.client_timeout),
            server: Patience::new(Some(proxy.backend.server_timeout)),
        }
    }
}

/// Starts the proxy on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on.
pub(crate) fn start(context: &Rc<Context>, settings: &LoadBalancer) -> io::Result<Metrics> {
    let proxy = Rc::new(Proxy {
        backend: Backend::new(context, settings),
        context: Rc::clone(context),
        rules: rewrite::Rules { cookie: settings.cookie.clone() },
        trust: Trust::of(&settings.accept_proxy),
        #[cfg(feature = "tls")]
        front: Front::new(settings, &context.scenario.source.path)?.map(Rc::new),
        client_timeout: settings.client_timeout.map(|span| span.as_duration()),
        room: settings.max_connections.map(|limit| Semaphore::new(limit as usize)),
        connections: Cell::new(0),
        in_service: Cell::new(0),
        requests: Cell::new(0),
        failures: Cell::new(0),
        refused: Cell::new(0),
    });
    if let Some(check) = &settings.health_check {
        for server in 0..proxy.backend.servers.len() {
            tokio::task::spawn_local(health::watch(Rc::clone(&proxy), server, check.clone()));
        }
    }
    tokio::task::spawn_local(hold(Rc::clone(&proxy)));
    tokio::task::spawn_local({
        let servers = Rc::clone(&proxy.backend.servers);
        async move {
            loop {
                tokio::time::sleep(CLEARING_INTERVAL).await;
                servers.clear_idle();
            }
        }
    });
    context.serve(4096, {
        let proxy = Rc::clone(&proxy);
        move |listener| _ = tokio::task::spawn_local(accept(Rc::clone(&proxy), listener))
    })?;
    Ok(Box::new(move |figures| {
        let queue = &proxy.backend.servers.queue;
        // The one thread is not emulated: it is as busy as it really is.
        figures.set("cores", 1.0);
        figures.set("busy_core_seconds", process_cpu_seconds());
        figures.set("connections", proxy.connections.get() as f64);
        figures.set("in_service", proxy.in_service.get() as f64);
        figures.set("requests", proxy.requests.get() as f64);
        figures.set("retries", proxy.backend.retried.get() as f64);
        figures.set("failures", proxy.failures.get() as f64);
        figures.set("refused", proxy.refused.get() as f64);
        figures.set("servers_up", proxy.backend.servers.up_count() as f64);
        figures.set("waiting", queue.level.get() as f64);
        figures.set("queue_seconds", queue.level.seconds());
        figures.set("queue_timeouts", proxy.backend.queue_timeouts.get() as f64);
    }))
}

/// Sends those servers nothing new that the supervisor names.
async fn hold(proxy: Rc<Proxy>) {
    let mut named = proxy.context.held.subscribe();
    while named.changed().await.is_ok() {
        let held = named.borrow_and_update().clone();
        for server in 0..proxy.backend.servers.len() {
            proxy.backend.servers.set_held(server, held.contains(&server));
        }
    }
}

async fn accept(proxy: Rc<Proxy>, listener: Rc<Listener>) {
    loop {
        // Who is not accepted waits in the kernel's backlog, behind those whose requests wait for room.
        if let Some(room) = &proxy.room {
            drop(room.acquire().await);
        }
        if proxy.connections.get() >= CONNECTIONS_LIMIT {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        }
        let stream = listener.accept().await;
        tokio::task::spawn_local(forward::serve(Rc::clone(&proxy), stream));
    }
}
