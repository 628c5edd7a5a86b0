//! The store's state: records, clients, settings, and what is remembered of the past.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::rc::{Rc, Weak};

use tokio::sync::Notify;

use super::clients::{Client, Clients};
use super::data::Data;
use super::latency::Latencies;
use super::load::Loading;
use super::replication::Replication;
use super::save::Saves;
use super::settings::Settings;
use crate::emulated::clock::now_nanos;
use crate::trouble::Drag;

/// Between two signs of life to copies (`repl-ping-replica-period`).
const PING_MS: u64 = 10_000;
/// With more clients than this for each round a second, rounds come more often (`MAX_CLIENTS_PER_CLOCK_TICK`) …
const CLIENTS_PER_ROUND: u64 = 200;
/// … up to so many a second (`CONFIG_MAX_HZ`).
pub(super) const MOST_HZ: u64 = 500;

/// A command that took long.
#[derive(Debug)]
pub(super) struct Slow {
    pub(super) id: u64,
    pub(super) unix_s: u64,
    pub(super) micros: u64,
    pub(super) arguments: Vec<Vec<u8>>,
    pub(super) client: String,
    pub(super) client_name: String,
}

/// What the store has done so far, beside what [`Data`] counts.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) commands: u64,
    pub(super) connections: u64,
    pub(super) rejected: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    /// Clients closed because all buffers together had grown too large.
    pub(super) closed_for_buffers: u64,
    /// Clients closed because they did not take what was pending for them.
    pub(super) closed_at_output_limit: u64,
}

/// All of it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) data: Data,
    pub(super) clients: Clients,
    pub(super) settings: Settings,
    pub(super) totals: Totals,
    /// Who listens to a channel, or to channels of a pattern.
    pub(super) channels: HashMap<Vec<u8>, BTreeSet<usize>>,
    pub(super) patterns: HashMap<Vec<u8>, BTreeSet<usize>>,
    /// Clients that were given something to send by others.
    pub(super) addressed: Vec<usize>,
    /// Clients that wait for copies.
    pub(super) waiting: Vec<usize>,
    /// Whether a transaction is carried out.
    pub(super) is_executing: bool,
    pub(super) slow: VecDeque<Slow>,
    pub(super) slow_count: u64,
    pub(super) latencies: Latencies,
    pub(super) replication: Replication,
    pub(super) saves: Saves,
    pub(super) loading: Loading,
    /// What makes it slow.
    pub(super) drag: Rc<Drag>,
    /// Wakes the loop that writes to clients.
    pub(super) nudge: Rc<Notify>,
    /// This, for tasks of its own; none in tests.
    pub(super) me: Weak<RefCell<Server>>,
    pub(super) port: u16,
    /// When it looks after itself next, by the machine's clock.
    pub(super) cron_due_nanos: u64,
    /// When copies were sent a sign of life.
    pinged_ms: u64,
    started_nanos: u64,
}

impl Server {
    pub(super) fn new(data: Data, port: u16) -> Self {
        let saves = Saves::new(data.clock.unix_ms() / 1000);
        Self {
            data,
            clients: Clients::default(),
            settings: Settings::default(),
            totals: Totals::default(),
            channels: HashMap::new(),
            patterns: HashMap::new(),
            addressed: Vec::new(),
            waiting: Vec::new(),
            is_executing: false,
            slow: VecDeque::new(),
            slow_count: 0,
            latencies: Latencies::default(),
            replication: Replication::new(),
            saves,
            loading: Loading::default(),
            drag: Rc::new(Drag::none()),
            nudge: Rc::default(),
            me: Weak::new(),
            port,
            cron_due_nanos: now_nanos(),
            pinged_ms: 0,
            started_nanos: now_nanos(),
        }
    }

    pub(super) fn uptime_seconds(&self) -> u64 {
        (now_nanos() - self.started_nanos) / 1_000_000_000
    }

    /// Gives a client something to send that it did not ask for just now.
    pub(super) fn send(&mut self, client: usize, bytes: &[u8]) {
        if let Some(client) = self.clients.get_mut(client) {
            client.pending.extend_from_slice(bytes);
        }
        self.addressed.push(client);
    }

    /// How many copies have so much of the stream.
    pub(super) fn copies_with(&self, offset: u64) -> usize {
        let has = |index: &&usize| {
            let copy = self.clients.get(**index).and_then(|client| client.copy.as_ref());
            copy.is_some_and(|copy| copy.has >= offset)
        };
        self.replication.copies.iter().filter(has).count()
    }

    /// Closes a client's connection.
    pub(super) fn close(&mut self, index: usize) {
        let Some(client) = self.clients.remove(index) else { return };
        self.replication.copies.remove(&index);
        client.watches.iter().for_each(|(key, _)| self.data.watched.unwatch(key));
        for (mine, all) in [(client.channels, &mut self.channels), (client.patterns, &mut self.patterns)] {
            for name in mine {
                leave(all, &name, index);
            }
        }
    }

    /// Looks after itself, if it is time.
    pub(super) fn cron_if_due(&mut self) {
        if now_nanos() < self.cron_due_nanos {
            return;
        }
        let mut hz = self.settings.hz;
        while self.clients.len() as u64 / hz > CLIENTS_PER_ROUND && hz < MOST_HZ {
            hz = (2 * hz).min(MOST_HZ);
        }
        self.cron(hz);
        // From its end on, as Redis reckons it (ae.c: `processTimeEvents`).
        self.cron_due_nanos = now_nanos() + 1_000_000_000 / hz;
    }

    /// So many times a second: what is not about a command.
    pub(super) fn cron(&mut self, hz: u64) {
        self.data.tick();
        if !self.loading.is_on {
            let began = now_nanos();
            self.data.expire_cycle(hz);
            self.note_latency("expire-cycle", now_nanos() - began);
            self.save_by_rule();
        }
        self.data.shrink_tables();
        self.close_idle();
        self.bound_buffers();
        self.replicate();
        self.bound_outputs();
        self.close_silent_copies();
        let now = self.data.clock.now_ms();
        if now >= self.pinged_ms + PING_MS && self.replication.following.is_none() {
            self.pinged_ms = now;
            // So that copies know that there is nothing new.
            self.stream(b"*1\r\n$4\r\nPING\r\n");
        }
        if !self.addressed.is_empty() || !self.waiting.is_empty() || self.saves.is_under_way() {
            self.nudge.notify_one();
        }
    }

    fn close_idle(&mut self) {
        let Some(limit) = self.settings.timeout_s.checked_mul(1000).filter(|limit| *limit > 0) else {
            return;
        };
        let now = self.data.clock.now_ms();
        let is_idle = |client: &Client| {
            !client.listens()
                && client.copy.as_ref().is_none_or(|copy| !copy.is_served)
                && !client.is_original
                && now.saturating_sub(client.last_ms) > limit
        };
        let idle: Vec<usize> = self.clients.iter().filter(|(_, c)| is_idle(c)).map(|(i, _)| i).collect();
        idle.into_iter().for_each(|index| self.close(index));
    }

    /// Closes the clients with the largest buffers until all together are within `maxmemory-clients`.
    pub(super) fn bound_buffers(&mut self) {
        let mut total: u64 = self.clients.iter().map(|(_, client)| client.buffers()).sum();
        while total > self.settings.max_memory_clients {
            let largest = self.clients.iter().max_by_key(|(_, client)| client.buffers());
            let Some((index, bytes)) = largest.map(|(index, client)| (index, client.buffers())) else {
                return;
            };
            self.totals.closed_for_buffers += 1;
            self.close(index);
            total -= bytes;
        }
    }
}

/// Takes a listener off a channel, and the channel with the last one.
pub(super) fn leave(all: &mut HashMap<Vec<u8>, BTreeSet<usize>>, name: &[u8], index: usize) {
    if let Some(listeners) = all.get_mut(name) {
        listeners.remove(&index);
        if listeners.is_empty() {
            all.remove(name);
        }
    }
}
