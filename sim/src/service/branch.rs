//! Steps within one service that are calls of their own without a worker: parallel branches, and third parties.

use crate::call::{BRANCH, Call, FAILED, Phase};
use crate::instance::{Answer, Back};
use crate::program::Op;
use crate::world::World;

impl Call {
    /// Awaits so many branches. They may end at once, so that all of them are awaited from the start.
    pub(crate) fn await_branches(&mut self, count: u16) {
        (self.attempts, self.phase) = (count, Phase::Calling);
        self.flags &= !FAILED;
    }

    /// A branch of this call, which is in a slot: it has no steps yet.
    pub(crate) fn new_branch(&self, slot: u32, now: u64) -> Self {
        let mut call = Self::new(self.id, self.class, slot, now);
        (call.root, call.traffic, call.tries) = (self.root, self.traffic, self.tries);
        (call.from, call.at, call.flags) = (self.at, self.at, BRANCH);
        call
    }

    /// A branch has answered. With the last, whether all went well.
    pub(crate) fn branch_done(&mut self, back: &Back) -> Option<bool> {
        self.attempts -= 1;
        if back.answer != Answer::Good {
            self.flags |= FAILED;
        }
        if self.attempts > 0 {
            // What was parked meanwhile goes on waiting.
            self.phase = Phase::Calling;
            return None;
        }
        let good = !self.is(FAILED);
        self.flags &= !FAILED;
        Some(good)
    }
}

impl World {
    /// Takes several ranges of steps at once, each as a branch: a call at the same instance for the same request.
    pub(crate) fn fork(&mut self, slot: u32, first: u16, count: u16) {
        let parent = &mut self.calls[slot];
        parent.await_branches(count);
        let (generation, parent) = (parent.generation, *parent);
        for branch in first..first + count {
            let mut call = parent.new_branch(slot, self.now);
            (call.step, call.end) = self.branches[usize::from(branch)];
            match self.calls.insert(call) {
                Some(child) => {
                    self.follow_child(child, slot);
                    self.start_branch(child);
                }
                None => self.branch_answered(slot, Back::new(&call, crate::call::NONE, Answer::Refused)),
            }
            debug_assert!(branch + 1 == first + count || self.calls[slot].generation == generation);
        }
    }

    /// A branch begins.
    pub(crate) fn start_branch(&mut self, slot: u32) {
        self.calls[slot].phase = Phase::Calling;
        self.proceed(slot);
    }

    /// A branch is done: the step is done with the last.
    pub(crate) fn branch_answered(&mut self, slot: u32, back: Back) {
        match self.calls[slot].branch_done(&back) {
            None => {}
            Some(true) => self.step_done(slot),
            Some(false) => self.finish(slot, false),
        }
    }

    /// A third party has answered, or was waited for long enough.
    pub(crate) fn third_party_answered(&mut self, slot: u32) {
        let call = &self.calls[slot];
        let step = self.steps[usize::from(call.step)];
        let Op::ThirdParty { ref latency, error, timeout, required } = step.op else {
            unreachable!("only a third party is waited for in this way");
        };
        let number = call.draw(step.draw);
        let late = self.draws.step(call.id, number, latency).as_nanos() > timeout;
        if required && (late || self.draws.fails(call.id, number, error)) {
            self.finish(slot, false);
        } else {
            self.step_done(slot);
        }
    }
}
