//! What keeps a store's thread from commands: forks for snapshots, and cycles of expiry with much to do.
//!
//! A fork copies the page tables, so it takes the longer the more the process holds (Redis's documentation, "Diagnosing
//! latency issues": 10 ms and more for each gigabyte). What follows the fork is `save`'s. Not modelled: that keys read during
//! a snapshot keep their time of last use.

use crate::gauge::Gauge;
use crate::instance::Kind;
use crate::world::World;

use super::replica::gigabytes;

/// Shorter pauses are not worth an event.
const SHORTEST_NANOS: u64 = 50_000;

/// A store's pauses.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    /// What follows the present command.
    pending_nanos: u64,
    /// Whether there is one at present.
    pub(crate) now: Gauge,
    /// When the present one ends; 0 outside one.
    until: u64,
    pub(super) timer: u32,
    pub(super) fork_nanos_per_gb: u64,
    pub(super) snapshot_every_nanos: u64,
    pub(super) snapshot_timer: u32,
}

impl Pauses {
    pub(super) fn is_due(&self) -> bool {
        self.pending_nanos > 0
    }

    /// The process died.
    pub(super) fn forget(&mut self, now: u64) {
        self.now.set(now, 0);
        (self.pending_nanos, self.until) = (0, 0);
    }
}

impl World {
    /// A store forks.
    pub(super) fn fork_store(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        let store = &self.stores[usize::from(instance.index)];
        self.pause_store(at, gigabytes(store.contents.used_bytes(), store.pauses.fork_nanos_per_gb));
    }

    /// The store's thread does something else for a while, from the end of its present command on.
    pub(super) fn pause_store(&mut self, at: u16, nanos: u64) {
        let instance = &self.instances[usize::from(at)];
        if nanos < SHORTEST_NANOS || instance.killed > 0 || instance.stopped > 0 {
            return;
        }
        let store = &mut self.stores[usize::from(instance.index)];
        store.pauses.pending_nanos += nanos;
        if !store.running {
            self.start_pause(at);
        }
    }

    pub(super) fn start_pause(&mut self, at: u16) {
        let store = &mut self.stores[usize::from(self.instances[usize::from(at)].index)];
        store.running = true;
        store.busy.up(self.now);
        store.pauses.now.up(self.now);
        store.pauses.until = self.now + std::mem::take(&mut store.pauses.pending_nanos);
        self.events.schedule(store.pauses.until, store.pauses.timer);
    }

    /// A pause may have ended.
    pub(crate) fn end_pause(&mut self, at: u16) {
        let store = &mut self.stores[usize::from(self.instances[usize::from(at)].index)];
        // The process may have died in it, and have begun another one since.
        if store.pauses.until == self.now {
            store.pauses.until = 0;
            store.running = false;
            store.busy.down(self.now);
            store.pauses.now.down(self.now);
            self.start_next_command(at);
        }
    }

    /// It is time for a snapshot.
    pub(crate) fn snapshot(&mut self, at: u16) {
        debug_assert!(self.instances[usize::from(at)].kind == Kind::Store, "only stores have snapshots");
        self.save(at);
        let pauses = &self.stores[usize::from(self.instances[usize::from(at)].index)].pauses;
        self.events.schedule(self.now + pauses.snapshot_every_nanos, pauses.snapshot_timer);
    }
}
