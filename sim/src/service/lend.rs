//! A step of processor time at another service, without a call of its own where nothing can come between.
//!
//! Where the other instance is well, near, and has a free worker, asking it is certain to connect, to arrive at this very
//! instant and to get that worker: the caller's own slot then does the work there, as a statement does at a database. What
//! may happen to the instance meanwhile is told to the caller as it would be by a call.

use crate::call::{DEAD, Phase};
use crate::connect::Target;
use crate::instance::{Continuation, Flow, Kind, Parked};
use crate::program::{Op, Step};
use crate::world::{Delay, World};

impl World {
    /// Has a call do its only step at another instance in its own slot; false where that takes a call.
    #[inline(always)]
    pub(crate) fn borrow_worker(&mut self, slot: u32, target: Target, at: u16, step: u16) -> bool {
        let instance = &mut self.instances[usize::from(at)];
        let well = instance.killed | instance.stopped | instance.unplugged | instance.broken == 0;
        let near = !self.network.active && matches!(instance.latency, Delay::None);
        if !well || !near || instance.kind != Kind::Service || instance.error_share > 0.0 {
            return false;
        }
        let service = &mut self.services[usize::from(instance.index)];
        if service.in_service.level() >= service.workers || service.holding.is_some() {
            return false;
        }
        let Step { op: Op::Work(law), draw } = &self.steps[usize::from(step)] else { return false };
        service.occupy(self.now);
        instance.border.enter(self.now);
        let call = &mut self.calls[slot];
        call.leaf = at;
        // Without an idle connection a new one opens at once.
        let _ = self.pools.take(target.pool(call.at, at));
        let work = self.step_nanos(slot, *draw, law);
        self.take_core(at, slot, work, Phase::LentWork);
        true
    }

    /// The work at the other instance is done: its worker answers, or does so when the instance goes on.
    #[inline(always)]
    pub(crate) fn lent_work_done(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        let (from, at, step, dead) = (call.at, call.leaf, call.step, call.is(DEAD));
        let instance = &mut self.instances[usize::from(at)];
        if instance.stopped > 0 {
            call.phase = Phase::LentDone;
            let generation = call.generation;
            return instance.parked.push(Parked { slot, generation, what: Continuation::LentDone });
        }
        let service = &mut self.services[usize::from(instance.index)];
        let lives = service.vacate(self.now);
        let flow = if lives && instance.broken == 0 { Flow::Done } else { Flow::Failed };
        instance.border.leave(self.now, flow == Flow::Done);
        // The connection breaks with a worker that was killed.
        if let (true, false, Op::Call { target, .. }) = (lives, dead, &self.steps[usize::from(step)].op) {
            self.pools.give_back(target.pool(from, at));
        }
        if service.waiting.len() > 0 {
            self.grant_worker(at);
        }
        if dead || flow == Flow::Failed || self.instances[usize::from(from)].stopped > 0 {
            return self.leaf_done(slot, flow);
        }
        self.step_done(slot);
    }
}
