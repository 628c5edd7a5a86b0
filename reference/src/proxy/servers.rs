//! The servers behind the proxy: who is up, how busy each is, and which connections to them lie idle. Who gets the next
//! request is [`choice`](super::choice)'s to say, who waits for room is [`queue`](super::queue)'s.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::LoadBalancer;
use tokio::time::sleep;

use super::choice::{Choice, Key, Load};
use super::health::{Rules, Seen, Verdict};
use super::queue::Queue;
use crate::emulated::clock::now_nanos;
use crate::http::{Connection, Idle};

/// The shortest step in which the limit of a server that starts slowly is looked at.
const WARM_UP: Duration = Duration::from_secs(1);

/// The servers, in the order of their instances.
#[derive(Debug)]
pub(super) struct Servers {
    list: Vec<Server>,
    choice: Choice,
    /// Requests that a server is sent at once.
    limit: u32,
    slow_start_nanos: u64,
    rules: Rules,
    pub(super) queue: Queue,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    /// Whether it counts as up.
    verdict: Cell<Verdict>,
    /// Whether it is to be sent nothing new.
    held: Cell<bool>,
    /// When it came back; zero where it was there from the start.
    up_since_nanos: Cell<u64>,
    /// Requests that it was sent and has not answered, and those that have its next places.
    active: Cell<u32>,
    idle: Idle,
}

/// Where a request goes.
#[derive(Debug)]
pub(super) enum Chosen {
    /// To this server, with a place there.
    Server(Slot),
    /// Nowhere yet: all have as many requests as they may be sent, or the only one that will do has.
    Full(Option<usize>),
    /// No server is up.
    NoneUp,
}

/// A place at a server, given back when dropped.
#[derive(Debug)]
pub(super) struct Slot {
    servers: Rc<Servers>,
    server: usize,
}

impl Slot {
    pub(super) fn server(&self) -> usize {
        self.server
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let server = &self.servers.list[self.server];
        server.active.set(server.active.get() - 1);
        self.servers.offer(self.server);
    }
}

impl Servers {
    /// All up, as HAProxy starts them.
    pub(super) fn new(addresses: &[SocketAddr], settings: &LoadBalancer, choice: Choice) -> Self {
        let server = |address: &SocketAddr| Server {
            address: *address,
            verdict: Cell::new(Verdict::UP),
            held: Cell::new(false),
            up_since_nanos: Cell::new(0),
            active: Cell::new(0),
            idle: Idle::default(),
        };
        Self {
            list: addresses.iter().map(server).collect(),
            choice,
            limit: settings.server_max_connections.unwrap_or(u32::MAX),
            slow_start_nanos: settings.slow_start.map_or(0, |span| span.as_nanos()),
            rules: Rules::of(settings.health_check.as_ref()),
            queue: Queue::new(addresses.len()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn address(&self, server: usize) -> SocketAddr {
        self.list[server].address
    }

    pub(super) fn is_up(&self, server: usize) -> bool {
        let server = &self.list[server];
        server.verdict.get().up && !server.held.get()
    }

    pub(super) fn up_count(&self) -> usize {
        (0..self.list.len()).filter(|server| self.is_up(*server)).count()
    }

    fn has_room(&self, server: usize) -> bool {
        self.list[server].active.get() < self.limit_of(server)
    }

    /// Requests that a server is sent at once: one at least, while its limit grows as it starts slowly (`slowstart` in HAProxy's
    /// manual; `srv_dynamic_maxconn` in its `queue.c`, which goes by whole seconds and percents).
    fn limit_of(&self, server: usize) -> u32 {
        let since = self.list[server].up_since_nanos.get();
        if since == 0 || !self.limits_grow() {
            return self.limit;
        }
        let elapsed = now_nanos().saturating_sub(since).min(self.slow_start_nanos);
        let grown = u128::from(self.limit) * u128::from(elapsed) / u128::from(self.slow_start_nanos);
        (grown as u32).max(1)
    }

    /// Whether servers that come back have a limit that grows.
    fn limits_grow(&self) -> bool {
        self.slow_start_nanos > 0 && self.limit < u32::MAX
    }

    /// How many are up that are sent what nothing binds to a server.
    pub(super) fn in_use(&self) -> usize {
        (0..self.list.len()).filter(|server| self.is_up(*server) && self.choice.takes(*server)).count()
    }

    /// Whether there is one.
    fn any_takes(&self) -> bool {
        self.in_use() > 0
    }

    /// The server for a request: the one that it is bound to, if that is up; else by the rule, and not the one to avoid
    /// where there is another.
    pub(super) fn choose(self: &Rc<Self>, bound: Option<usize>, avoid: Option<usize>, key: Key) -> Chosen {
        let chosen = match bound.filter(|server| self.is_up(*server)) {
            Some(bound) => Some(bound),
            None => self.choice.choose(&**self, avoid, key),
        };
        match chosen {
            Some(server) if self.has_room(server) => Chosen::Server(self.begin(server)),
            Some(full) => Chosen::Full(Some(full)),
            None if self.any_takes() => Chosen::Full(None),
            None => Chosen::NoneUp,
        }
    }

    fn begin(self: &Rc<Self>, server: usize) -> Slot {
        let active = &self.list[server].active;
        active.set(active.get() + 1);
        Slot { servers: Rc::clone(self), server }
    }

    /// Gives what room a server has to those who wait for it.
    fn offer(self: &Rc<Self>, server: usize) {
        // Most often nobody waits.
        while !self.queue.is_empty() && self.is_up(server) && self.has_room(server) {
            let Some(waiting) = self.queue.next_for(server, self.choice.takes(server)) else { return };
            // One who has given up meanwhile gives the place back, which offers it to the next.
            waiting.go(self.begin(server));
        }
    }

    /// Takes in what a check of a server found.
    pub(super) fn learn(self: &Rc<Self>, server: usize, good: bool) {
        let mut verdict = self.list[server].verdict.get();
        verdict.take(good, &self.rules);
        self.judge(server, verdict);
    }

    /// Takes in how a real request to a server fared.
    pub(super) fn observe(self: &Rc<Self>, server: usize, seen: Seen) {
        if self.rules.observes() {
            let mut verdict = self.list[server].verdict.get();
            verdict.observe(seen, &self.rules);
            self.judge(server, verdict);
        }
    }

    /// Takes a server in or out. One that comes in starts slowly.
    fn judge(self: &Rc<Self>, server: usize, verdict: Verdict) {
        let place = &self.list[server];
        let before = self.is_up(server);
        if !place.verdict.replace(verdict).up && verdict.up {
            place.up_since_nanos.set(now_nanos());
            self.warm_up(server);
        }
        self.changed(server, before);
    }

    /// Offers the room of a server whose limit grows to those who wait, each second or twentieth of the slow start, whichever is
    /// longer (`server_warmup` in HAProxy's `server.c`).
    fn warm_up(self: &Rc<Self>, server: usize) {
        if !self.limits_grow() {
            return;
        }
        let servers = Rc::clone(self);
        let span = Duration::from_nanos(self.slow_start_nanos);
        tokio::task::spawn_local(async move {
            let step = WARM_UP.max(span / 20);
            let mut waited = Duration::ZERO;
            while waited < span {
                sleep(step).await;
                waited += step;
                servers.offer(server);
            }
        });
    }

    /// Sends a server nothing new, or again. What it has in hand it answers.
    pub(super) fn set_held(self: &Rc<Self>, server: usize, held: bool) {
        let before = self.is_up(server);
        self.list[server].held.set(held);
        self.changed(server, before);
    }

    /// A server that went out loses its idle connections (who knows in which state they are), and those who wait for it
    /// look for another; one that came in has room.
    fn changed(self: &Rc<Self>, server: usize, before: bool) {
        match (before, self.is_up(server)) {
            (false, true) => self.offer(server),
            (true, false) => {
                self.list[server].idle.clear();
                self.queue.send_elsewhere(server, !self.any_takes());
            }
            _ => {}
        }
    }

    /// An idle connection that is still open.
    pub(super) fn take_idle(&self, server: usize) -> Option<Connection> {
        self.list[server].idle.take()
    }

    /// Closes idle connections that nobody needs.
    pub(super) fn clear_idle(&self) {
        self.list.iter().for_each(|server| server.idle.clear_unneeded());
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, server: usize, connection: Connection) {
        if self.is_up(server) {
            self.list[server].idle.keep(connection);
        }
    }
}

impl Load for Servers {
    fn count(&self) -> usize {
        self.list.len()
    }

    fn is_up(&self, server: usize) -> bool {
        Self::is_up(self, server)
    }

    fn has_room(&self, server: usize) -> bool {
        Self::has_room(self, server)
    }

    fn active(&self, server: usize) -> u32 {
        self.list[server].active.get()
    }

    fn share(&self, server: usize) -> f64 {
        let since = self.list[server].up_since_nanos.get();
        if self.slow_start_nanos == 0 || since == 0 {
            return 1.0;
        }
        let share = now_nanos().saturating_sub(since) as f64 / self.slow_start_nanos as f64;
        if share >= 1.0 {
            self.list[server].up_since_nanos.set(0);
        }
        share.clamp(0.01, 1.0)
    }
}
