//! A machine's processor cores: first come, first served, shared by all that runs on it.

use crate::gauge::Gauge;
use crate::request::{Fifo, ON_CORE, Phase};
use crate::world::World;

#[derive(Debug)]
pub(crate) struct Cores {
    pub(crate) total: u32,
    pub(crate) busy: u32,
    pub(crate) queue: Fifo,
}

/// A component's share of its host's cores.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Share {
    /// Cores in use.
    pub(crate) busy: Gauge,
    /// Waiting for one.
    pub(crate) queue: Gauge,
}

impl World {
    /// Has a request take a core for `work` nanoseconds, as soon as there is one; then it goes on from `phase`.
    #[inline]
    pub(crate) fn take_core(&mut self, host: u16, slot: u32, work: u64, phase: Phase) {
        self.requests[slot].phase = phase;
        let cores = &mut self.cores[usize::from(host)];
        if cores.busy < cores.total {
            cores.busy += 1;
            self.run_on_core(slot, work);
        } else {
            cores.queue.push(&mut self.requests, slot);
            self.requests[slot].work = work;
            let now = self.now;
            self.share(slot).queue.up(now);
        }
    }

    #[inline]
    fn run_on_core(&mut self, slot: u32, work: u64) {
        let token = self.events.schedule(self.now + work, slot);
        let request = &mut self.requests[slot];
        request.awaits = token;
        request.flags |= ON_CORE;
        let now = self.now;
        self.share(slot).busy.up(now);
    }

    /// Gives a request's core to the next in the queue.
    #[inline]
    pub(crate) fn release_core(&mut self, host: u16, slot: u32) {
        let now = self.now;
        self.share(slot).busy.down(now);
        self.requests[slot].flags &= !ON_CORE;
        let cores = &mut self.cores[usize::from(host)];
        if let Some(next) = cores.queue.pop(&self.requests) {
            self.share(next).queue.down(now);
            let work = self.requests[next].work;
            self.run_on_core(next, work);
        } else {
            cores.busy -= 1;
        }
    }

    /// The account of the component that a request on or before a core works for.
    #[inline]
    pub(crate) fn share(&mut self, slot: u32) -> &mut Share {
        let request = &self.requests[slot];
        match request.phase {
            Phase::Work => &mut self.services[usize::from(request.service)].share,
            Phase::RemoteWork => &mut self.services[usize::from(request.remote)].share,
            Phase::Statement => &mut self.databases[usize::from(request.store)].share,
            phase => unreachable!("{phase:?} takes no core"),
        }
    }

    /// The host whose core a request holds or waits for.
    pub(crate) fn core_host(&self, slot: u32) -> u16 {
        let request = &self.requests[slot];
        match request.phase {
            Phase::Work => self.services[usize::from(request.service)].host,
            Phase::RemoteWork => self.services[usize::from(request.remote)].host,
            Phase::Statement => self.databases[usize::from(request.store)].host,
            phase => unreachable!("{phase:?} takes no core"),
        }
    }
}
