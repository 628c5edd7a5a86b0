//! Workers that hold connections: Apache's prefork with `KeepAlive On`, one process for each connection.
//!
//! A worker takes a connection up when its first request is there (Linux defers `accept` until then: Apache's `AcceptFilter
//! http data`), and stays with it after each answer until it is closed, at the latest by the worker itself after
//! `keep_alive` without another request (`KeepAliveTimeout`; `server/mpm/prefork/prefork.c` and
//! `modules/http/http_core.c`, `ap_process_http_sync_connection`). A request on any other connection waits for a free worker,
//! however idle those are that wait on their connections.
//!
//! Owns which idle connections have a worker. Callers keep their own idle connections and use the latest first; clients use
//! those first that are free the longest.

use std::collections::{BTreeSet, VecDeque};
use std::ops::RangeInclusive;

use crate::call::{CHECK, CLIENT, NOBODY, NONE, REUSED};
use crate::gauge::Gauge;
use crate::instance::Kind;
use crate::world::{Timer, World};

/// Below this, deadlines of connections that are in use again are not worth looking for.
const SMALL: usize = 1024;

/// A connection: one of those in a caller's pool, which are all alike, or a client's, by its traffic and number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Connection {
    Pooled(u32),
    Client(u16, u32),
}

/// The workers of an instance that wait on idle connections.
#[derive(Debug)]
pub(crate) struct Holding {
    keep_alive: u64,
    /// The connections, and when in the order of all they became idle.
    idle: BTreeSet<(Connection, u64)>,
    /// Until when each may be idle, the first to end first; some are in use again, or closed. Those are thrown out when they
    /// are more than the others.
    deadlines: VecDeque<(u64, Connection, u64)>,
    turn: u64,
    timer: u32,
    armed: bool,
    /// How many such workers there are.
    pub(crate) workers: Gauge,
}

impl Holding {
    pub(crate) fn new(keep_alive: u64) -> Self {
        let (idle, deadlines, workers) = (BTreeSet::new(), VecDeque::new(), Gauge::default());
        Self { keep_alive, idle, deadlines, turn: 0, timer: NONE, armed: false, workers }
    }

    /// A worker begins to wait on a connection; the time to look at the deadlines, where none is set.
    fn keep(&mut self, now: u64, connection: Connection) -> Option<u64> {
        self.turn += 1;
        self.idle.insert((connection, self.turn));
        if self.deadlines.len() > SMALL.max(2 * self.idle.len()) {
            self.deadlines.retain(|&(_, connection, turn)| self.idle.contains(&(connection, turn)));
        }
        let deadline = now.saturating_add(self.keep_alive);
        self.deadlines.push_back((deadline, connection, self.turn));
        self.workers.up(now);
        (!std::mem::replace(&mut self.armed, true)).then_some(deadline)
    }

    /// The connection is in use again, or closed: of several in a pool the latest that became idle. Whether it has a worker.
    fn take(&mut self, now: u64, connection: Connection) -> bool {
        let all: RangeInclusive<(Connection, u64)> = (connection, 0)..=(connection, u64::MAX);
        let Some(latest) = self.idle.range(all).next_back().copied() else { return false };
        self.idle.remove(&latest);
        self.workers.down(now);
        true
    }

    /// The next connection that has been idle for too long; or when to look again, if ever.
    fn expired(&mut self, now: u64) -> Result<Connection, Option<u64>> {
        while let Some(&(deadline, connection, turn)) = self.deadlines.front() {
            let idle = self.idle.contains(&(connection, turn));
            if idle && deadline > now {
                return Err(Some(deadline));
            }
            self.deadlines.pop_front();
            if idle {
                self.idle.remove(&(connection, turn));
                self.workers.down(now);
                return Ok(connection);
            }
        }
        self.armed = false;
        Err(None)
    }

    /// The process died: no connection is left.
    pub(super) fn lose(&mut self, now: u64) {
        self.idle.clear();
        self.deadlines.clear();
        self.workers.set(now, 0);
    }
}

impl World {
    /// Whether an instance's workers hold connections.
    pub(crate) fn holds_connections(&self, at: u16) -> bool {
        let instance = &self.instances[usize::from(at)];
        instance.kind == Kind::Service && self.services[usize::from(instance.index)].holding.is_some()
    }

    /// Makes the timers of the instances whose workers hold connections.
    pub(crate) fn start_holding(&mut self) {
        for at in 0..self.instances.len() as u16 {
            if self.holds_connections(at) {
                let timer = self.add_timer(Timer::KeepAlive(at));
                let index = usize::from(self.instances[usize::from(at)].index);
                self.services[index].holding.as_mut().expect("it holds connections").timer = timer;
                self.any_holding = true;
            }
        }
    }

    /// The connection that a call came by.
    fn connection_of(&self, slot: u32) -> Option<Connection> {
        let call = &self.calls[slot];
        match call.parent {
            CLIENT => Some(Connection::Client(call.traffic, call.connection)),
            CHECK | NOBODY => None,
            _ => (call.pool != NONE).then_some(Connection::Pooled(call.pool)),
        }
    }

    /// Takes a call to the worker that waits on its connection, if one does.
    pub(super) fn find_held_worker(&mut self, slot: u32) -> bool {
        let connection = self.connection_of(slot).filter(|connection| match connection {
            Connection::Pooled(_) => self.calls[slot].is(REUSED),
            Connection::Client(..) => true,
        });
        let (now, index) = (self.now, self.instances[usize::from(self.calls[slot].at)].index);
        let service = &mut self.services[usize::from(index)];
        let found = connection.is_some_and(|c| service.holding.as_mut().is_some_and(|h| h.take(now, c)));
        service.held -= u32::from(found);
        found
    }

    /// Whether a client's request is the first on its connection as far as the instance's workers know.
    pub(crate) fn needs_accepting(&self, slot: u32) -> bool {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        if instance.kind != Kind::Service {
            return false;
        }
        let holding = self.services[usize::from(instance.index)].holding.as_ref();
        holding.zip(self.connection_of(slot)).is_some_and(|(holding, connection)| {
            holding.idle.range((connection, 0)..=(connection, u64::MAX)).next().is_none()
        })
    }

    /// A worker has answered, and waits for the next request on the same connection, unless there is none. False where it
    /// was killed before that.
    pub(super) fn leave_or_stay(&mut self, slot: u32) -> bool {
        let connection = self.connection_of(slot);
        let index = self.instances[usize::from(self.calls[slot].at)].index;
        let service = &mut self.services[usize::from(index)];
        let (Some(connection), Some(holding)) = (connection, &mut service.holding) else {
            return service.vacate(self.now);
        };
        service.in_service.down(self.now);
        if service.managed.as_mut().is_some_and(|workers| workers.was_killed()) {
            return false;
        }
        service.held += 1;
        if let Some(at) = holding.keep(self.now, connection) {
            self.events.schedule(at, holding.timer);
        }
        true
    }

    /// Connections of an instance may have been idle for too long: their workers close them.
    pub(crate) fn close_idle(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        let (index, goes_on) = (usize::from(instance.index), instance.stopped == 0);
        loop {
            let now = self.now;
            let service = &mut self.services[index];
            let Some(holding) = &mut service.holding else { return };
            if !goes_on {
                // It looks again when it goes on.
                holding.armed = false;
                return;
            }
            match holding.expired(now) {
                Ok(connection) => {
                    service.release_held(now);
                    if let Connection::Pooled(pool) = connection {
                        self.pools.take(pool);
                    }
                    self.grant_worker(at);
                }
                Err(again) => {
                    if let Some(at) = again {
                        holding.armed = true;
                        self.events.schedule(at, holding.timer);
                    }
                    return;
                }
            }
        }
    }

    /// A caller closes idle connections of a pool, one or all: their workers are free.
    #[cold]
    pub(crate) fn hang_up(&mut self, pool: u32, most: u32) {
        if !self.any_holding {
            return;
        }
        let Some((_, at)) = self.pools.ends(pool) else { return };
        let instance = &self.instances[usize::from(at)];
        if instance.kind != Kind::Service {
            return;
        }
        let index = usize::from(instance.index);
        for _ in 0..most {
            let (now, service) = (self.now, &mut self.services[index]);
            let held = service.holding.as_mut().is_some_and(|h| h.take(now, Connection::Pooled(pool)));
            if !held {
                return;
            }
            service.release_held(now);
            self.grant_worker(at);
        }
    }

    /// A caller died: the kernel closes its connections.
    pub(crate) fn hang_up_all(&mut self, caller: u16) {
        if !self.any_holding {
            return;
        }
        for index in 0..self.services.len() {
            let Some(holding) = &self.services[index].holding else { continue };
            let mut pools: Vec<u32> = Vec::new();
            for (connection, _) in &holding.idle {
                if let Connection::Pooled(pool) = *connection
                    && pools.last() != Some(&pool)
                    && self.pools.ends(pool).is_some_and(|(from, _)| from == caller)
                {
                    pools.push(pool);
                }
            }
            for pool in pools {
                self.hang_up(pool, u32::MAX);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_of_connections_in_use_do_not_pile_up_and_end_with_the_process() {
        let (client, second) = (Connection::Client(0, 0), 1_000_000_000);
        let mut holding = Holding::new(3_600 * second);
        let times = (0..100_000).filter_map(|now| {
            let look = holding.keep(now, client);
            assert!(holding.deadlines.len() <= SMALL + 1, "{} deadlines", holding.deadlines.len());
            assert!(now == 99_999 || holding.take(now, client));
            look
        });
        assert_eq!(
            times.collect::<Vec<u64>>(),
            [3_600 * second],
            "looked at once, when the first would be over"
        );
        assert_eq!(holding.expired(3_600 * second), Err(Some(3_600 * second + 99_999)));
        holding.lose(3_600 * second);
        assert!(holding.deadlines.is_empty());
        assert_eq!(holding.expired(3_601 * second), Err(None));
    }
}
