//! The reverse proxy: HAProxy's role. Round robin over the servers that are up, retries of connections, redispatch, and
//! upstream connections kept for the next request.
//!
//! - [`servers`]: which server is next, idle connections, who is up
//! - [`health`]: the checks that decide that
//! - [`rewrite`]: heads on their way through
//! - [`forward`]: a client's connection, request by request

mod forward;
mod health;
mod rewrite;
mod servers;

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::LoadBalancer;

use crate::component::{Context, Metrics};
use servers::Servers;

/// The proxy's state.
#[derive(Debug)]
pub(crate) struct Proxy {
    context: Rc<Context>,
    servers: Servers,
    retries: u32,
    redispatch: bool,
    connect_timeout: Duration,
    server_timeout: Duration,
    connections: Cell<i64>,
    in_service: Cell<i64>,
    requests: Cell<u64>,
    retried: Cell<u64>,
    /// Answers that the proxy gave in a server's place: 502, 503, 504.
    failures: Cell<u64>,
}

/// Starts the proxy on the context's listener and returns where its figures come from.
///
/// # Errors
/// Where the address cannot be listened on.
pub(crate) fn start(context: &Rc<Context>, settings: &LoadBalancer) -> io::Result<Metrics> {
    let proxy = Rc::new(Proxy {
        servers: Servers::new(&context.addresses[settings.to.index()]),
        context: Rc::clone(context),
        retries: settings.retries,
        redispatch: settings.redispatch,
        connect_timeout: settings.connect_timeout.as_duration(),
        server_timeout: settings.server_timeout.as_duration(),
        connections: Cell::new(0),
        in_service: Cell::new(0),
        requests: Cell::new(0),
        retried: Cell::new(0),
        failures: Cell::new(0),
    });
    let listener = context.listen(4096)?;
    if let Some(check) = &settings.health_check {
        for server in 0..proxy.servers.len() {
            tokio::task::spawn_local(health::watch(Rc::clone(&proxy), server, check.clone()));
        }
    }
    tokio::task::spawn_local({
        let proxy = Rc::clone(&proxy);
        async move {
            loop {
                let stream = listener.accept().await;
                tokio::task::spawn_local(forward::serve(Rc::clone(&proxy), stream));
            }
        }
    });
    Ok(Box::new(move |figures| {
        figures.set("connections", proxy.connections.get() as f64);
        figures.set("in_service", proxy.in_service.get() as f64);
        figures.set("requests", proxy.requests.get() as f64);
        figures.set("retries", proxy.retried.get() as f64);
        figures.set("failures", proxy.failures.get() as f64);
        figures.set("servers_up", proxy.servers.up_count() as f64);
    }))
}
