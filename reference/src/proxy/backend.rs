//! A connection to a server: chosen, waited for where all are full, idle or new, with HAProxy's retries and redispatch.

use std::cell::Cell;
use std::io::ErrorKind;
use std::rc::Rc;
use std::time::Duration;

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{LoadBalancer, ProxyVersion};
use tokio::time::{sleep, timeout};

use super::choice::{Choice, Key};
use super::health::Seen;
use super::queue::Turn;
use super::rewrite::From;
use super::servers::{Chosen, Servers, Slot};
use crate::component::Context;
use crate::http::Connection;

/// After a refusal the same server is tried again after this, or after the connect timeout if that is shorter: HAProxy's
/// turn-around (`retries` in its manual).
const TURN_AROUND: Duration = Duration::from_secs(1);

/// No server can be asked: 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unavailable;

/// The servers and how they are reached.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) servers: Rc<Servers>,
    retries: u32,
    redispatch: bool,
    connect_timeout: Duration,
    queue_timeout: Duration,
    /// How servers are told whose connections these are.
    pub(super) send_proxy: Option<ProxyVersion>,
    /// How long a server may stay silent.
    pub(super) server_timeout: Duration,
    pub(super) retried: Cell<u64>,
    pub(super) queue_timeouts: Cell<u64>,
}

/// A connection to a server and the place that it has there. Dropped, it is closed.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    slot: Slot,
    /// Whether it carried other requests before.
    pub(super) reused: bool,
}

impl Lease {
    pub(super) fn server(&self) -> usize {
        self.slot.server()
    }
}

impl Backend {
    /// The instances of the component that the settings name.
    pub(super) fn new(context: &Context, settings: &LoadBalancer) -> Self {
        let addresses = &context.addresses[settings.to.index()];
        let draws = Purpose::named("proxy-balance").of(u64::from(context.instance));
        let draws = Stream::new(context.scenario.run.seed, draws, 0);
        let choice =
            Choice::new(settings.balance, settings.consistent, addresses.len(), &settings.weights, draws);
        Self {
            servers: Rc::new(Servers::new(addresses, settings, choice)),
            retries: settings.retries,
            redispatch: settings.redispatch,
            connect_timeout: settings.connect_timeout.as_duration(),
            queue_timeout: settings.queue_timeout.as_duration(),
            send_proxy: settings.send_proxy,
            server_timeout: settings.server_timeout.as_duration(),
            retried: Cell::new(0),
            queue_timeouts: Cell::new(0),
        }
    }

    /// A connection to the server that a request is bound to, or else to one that the rule chooses.
    ///
    /// # Errors
    /// Where no server is up, none had room in time, or none could be connected to.
    pub(super) async fn lease(
        &self,
        bound: Option<usize>,
        key: Key,
        from: &From,
    ) -> Result<Lease, Unavailable> {
        let slot = self.admit(bound, None, key).await?;
        self.reach(slot, true, key, from).await
    }

    /// A new connection in the stead of one that turned out to be closed. The place stays: whoever gave it back would wait
    /// for it behind all others.
    ///
    /// # Errors
    /// As of [`Backend::lease`].
    pub(super) async fn renew(&self, closed: Lease, key: Key, from: &From) -> Result<Lease, Unavailable> {
        let Lease { connection, slot, .. } = closed;
        drop(connection);
        self.reach(slot, false, key, from).await
    }

    /// A connection under a place, or under another where the place's server is not reached.
    async fn reach(
        &self,
        mut slot: Slot,
        idle_will_do: bool,
        key: Key,
        from: &From,
    ) -> Result<Lease, Unavailable> {
        for retries_left in (0..=self.retries).rev() {
            let server = slot.server();
            if let Some(connection) = idle_will_do.then(|| self.servers.take_idle(server)).flatten() {
                self.servers.observe(server, Seen::Connection);
                return Ok(Lease { connection, slot, reused: true });
            }
            let address = self.servers.address(server);
            let failed = match Connection::connect(address, Some(self.connect_timeout)).await {
                Ok(mut connection) => {
                    // A new connection has room for it, and one that broke already will tell so when the request follows.
                    if self.send_proxy.is_some() {
                        let _ = connection.write_all(from.announcement()).await;
                    }
                    self.servers.observe(server, Seen::Connection);
                    return Ok(Lease { connection, slot, reused: false });
                }
                Err(failed) => failed,
            };
            self.servers.observe(server, Seen::NoConnection);
            if retries_left == 0 {
                break;
            }
            self.retried.set(self.retried.get() + 1);
            drop(slot);
            // A timeout was a wait; after a refusal whoever is likely to meet the same server again waits first
            // (`back_handle_st_cer` in HAProxy's `backend.c`).
            let meets_it_again = !self.redispatch || self.servers.in_use() <= 1;
            if meets_it_again && failed.kind() != ErrorKind::TimedOut {
                sleep(self.connect_timeout.min(TURN_AROUND)).await;
            }
            slot = if self.redispatch {
                // The same one again where there is no other, but only as long as it counts as up.
                self.admit(None, Some(server), key).await?
            } else {
                self.admit(Some(server), None, key).await?
            };
        }
        Err(Unavailable)
    }

    /// A place at a server, after a wait where there is none. Each wait has the whole timeout, as in HAProxy (`backend.c` sets it anew
    /// at `SRV_STATUS_QUEUED`), and so in the simulator.
    async fn admit(&self, bound: Option<usize>, avoid: Option<usize>, key: Key) -> Result<Slot, Unavailable> {
        loop {
            let full = match self.servers.choose(bound, avoid, key) {
                Chosen::Server(slot) => return Ok(slot),
                Chosen::NoneUp => return Err(Unavailable),
                Chosen::Full(server) => server,
            };
            let mut waiting = self.servers.queue.wait(full);
            match timeout(self.queue_timeout, waiting.turn()).await {
                Ok(Turn::Go(slot)) => return Ok(slot),
                Ok(Turn::Elsewhere) => {}
                Err(_) => {
                    self.queue_timeouts.set(self.queue_timeouts.get() + 1);
                    return Err(Unavailable);
                }
            }
        }
    }

    /// Keeps a connection whose answer was read to its end for the next request, and gives its place back.
    pub(super) fn keep(&self, lease: Lease) {
        if self.send_proxy.is_some() {
            // It is one client's for ever.
            return drop(lease);
        }
        let Lease { connection, slot, .. } = lease;
        // The connection first: the place may go to somebody who can use it.
        self.servers.keep(slot.server(), connection);
    }
}
