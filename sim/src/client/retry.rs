//! Users who press reload: a request that failed is sent again, after a pause, while its rules and its budget allow it.
//!
//! To its user it is one request: response time runs from when it first came due, and what is recorded is the last answer.
//! To the stack each attempt is a request of its own; one that was given up may still be under way. Nothing here makes a
//! storm: whether one outlives its trigger follows from the load that the attempts are.

use results::Failure;
use scenarios::plan::reload;
use scenarios::scenario::Retries;

use crate::call::{CLIENT, Call, Phase, TRACED};
use crate::policy::backoff;
use crate::policy::budget::Budget;
use crate::world::World;

/// How the clients of one traffic send again what failed.
#[derive(Debug)]
pub(crate) struct Retrying {
    rules: Retries,
    budget: Option<Budget>,
    /// Sent again since the last sample.
    count: u64,
}

impl Retrying {
    pub(crate) fn new(rules: &Retries) -> Self {
        Self { rules: *rules, budget: rules.budget.as_ref().map(Budget::new), count: 0 }
    }

    /// A request is sent for the first time.
    pub(crate) fn deposit(&mut self, now: u64) {
        if let Some(budget) = &mut self.budget {
            budget.deposit(now);
        }
    }

    /// How many were sent again since the last time.
    pub(crate) fn take_count(&mut self) -> u64 {
        std::mem::take(&mut self.count)
    }
}

impl World {
    /// Has a failed request sent again after a pause, if it may be. Its slot stays with what is still under way.
    pub(crate) fn try_again(&mut self, slot: u32, result: Result<(), Failure>) -> bool {
        let may =
            matches!(result, Err(Failure::Status | Failure::Timeout | Failure::Reset | Failure::Refused));
        let old = self.calls[slot];
        let Some(retrying) = &mut self.clients[usize::from(old.traffic)].retrying else { return false };
        let allowed = may
            && u32::from(old.tries) < retrying.rules.times
            && retrying.budget.as_mut().is_none_or(|budget| budget.withdraw(self.now));
        if !allowed {
            return false;
        }
        let mut call = Call::new(old.id, old.class, CLIENT, old.due);
        (call.traffic, call.user, call.tries) = (old.traffic, old.user, old.tries + 1);
        (call.step, call.end) = self.classes[old.class.index()];
        call.flags = old.flags & TRACED;
        let Some(again) = self.calls.insert(call) else { return false };
        retrying.count += 1;
        let mut stream = reload(self.seed, call.id, call.tries);
        let pause = backoff::pause(&retrying.rules.backoff, u32::from(call.tries), &mut stream);
        self.calls[again].root = again;
        if let Some(tracer) = self.tracer.as_mut().filter(|_| call.is(TRACED)) {
            tracer.join(again, &self.calls[again], None, self.now);
        }
        self.clients[usize::from(call.traffic)].pausing.up(self.now);
        self.wait_until(again, self.now + pause, Phase::Pause);
        true
    }

    /// The pause before a request is sent again is over.
    pub(crate) fn send_again(&mut self, slot: u32) {
        let traffic = usize::from(self.calls[slot].traffic);
        self.clients[traffic].pausing.down(self.now);
        self.calls[slot].phase = Phase::Connection;
        self.reopen_lost(traffic);
        self.find_connection(slot);
    }
}
