//! Steps within one service that are calls of their own without a worker: parallel branches, and third parties.

use crate::call::{BRANCH, Call, FAILED, Phase};
use crate::instance::{Answer, Back};
use crate::program::Op;
use crate::world::World;

impl World {
    /// Takes several ranges of steps at once, each as a branch: a call at the same instance for the same request.
    pub(crate) fn fork(&mut self, slot: u32, first: u16, count: u16) {
        let parent = &mut self.calls[slot];
        // Branches may end at once: all of them are awaited from the start.
        parent.attempts = count;
        parent.flags &= !FAILED;
        parent.phase = Phase::Calling;
        let (generation, parent) = (parent.generation, *parent);
        for branch in first..first + count {
            let mut call = Call::new(parent.id, parent.class, slot, self.now);
            (call.root, call.traffic, call.tries) = (parent.root, parent.traffic, parent.tries);
            (call.from, call.at, call.flags) = (parent.at, parent.at, BRANCH);
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
        let call = &mut self.calls[slot];
        call.attempts -= 1;
        if back.answer != Answer::Good {
            call.flags |= FAILED;
        }
        if call.attempts > 0 {
            // What was parked meanwhile goes on waiting.
            call.phase = Phase::Calling;
        } else if call.is(FAILED) {
            call.flags &= !FAILED;
            self.finish(slot, false);
        } else {
            self.step_done(slot);
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
