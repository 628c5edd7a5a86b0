//! A machine's processor cores: first come, first served, shared by all that runs on it.

use crate::call::{Fifo, ON_CORE, Phase};
use crate::gauge::Gauge;
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
    /// Has a call take a core of an instance's host for `work` nanoseconds, as soon as there is one; then it wakes in `phase`.
    #[inline]
    pub(crate) fn take_core(&mut self, at: u16, slot: u32, work: u64, phase: Phase) {
        self.calls[slot].phase = phase;
        let instance = &mut self.instances[usize::from(at)];
        let cores = &mut self.cores[usize::from(instance.host)];
        if cores.busy < cores.total {
            cores.busy += 1;
            instance.share.busy.up(self.now);
            self.run_on_core(slot, work);
        } else {
            instance.share.queue.up(self.now);
            cores.queue.push(&mut self.calls, slot);
            self.calls[slot].work = work;
        }
    }

    #[inline]
    fn run_on_core(&mut self, slot: u32, work: u64) {
        let token = self.events.schedule(self.now + work, slot);
        let call = &mut self.calls[slot];
        call.awaits = token;
        call.flags |= ON_CORE;
    }

    /// Gives a call's core to the next in the queue.
    #[inline]
    pub(crate) fn release_core(&mut self, slot: u32) {
        let at = self.core_of(slot);
        self.calls[slot].flags &= !ON_CORE;
        let instance = &mut self.instances[usize::from(at)];
        instance.share.busy.down(self.now);
        let cores = &mut self.cores[usize::from(instance.host)];
        if let Some(next) = cores.queue.pop(&self.calls) {
            let at = self.core_of(next);
            let share = &mut self.instances[usize::from(at)].share;
            share.queue.down(self.now);
            share.busy.up(self.now);
            let work = self.calls[next].work;
            self.run_on_core(next, work);
        } else {
            cores.busy -= 1;
        }
    }

    /// The instance that a call on or before a core works for.
    #[inline]
    fn core_of(&self, slot: u32) -> u16 {
        let call = &self.calls[slot];
        if call.phase == Phase::Statement { call.leaf } else { call.at }
    }

    /// Takes calls off the cores that they hold or wait for.
    pub(crate) fn leave_cores(&mut self, slots: &[u32]) {
        let mut hosts = Vec::new();
        for &slot in slots {
            let at = self.core_of(slot);
            let instance = &mut self.instances[usize::from(at)];
            if !self.calls[slot].is(ON_CORE) {
                instance.share.queue.down(self.now);
                hosts.push(instance.host);
            }
        }
        hosts.sort_unstable();
        hosts.dedup();
        for host in hosts {
            self.cores[usize::from(host)].queue.take_out(&mut self.calls, |s| slots.contains(&s));
        }
        for &slot in slots {
            if self.calls[slot].is(ON_CORE) {
                self.calls[slot].awaits = crate::event::Token::NONE;
                self.release_core(slot);
            }
        }
    }
}
