//! How long statements may take: one that has had its connection for longer is ended and fails, as MariaDB's `max_statement_time`
//! has it (MariaDB Knowledge Base, "Aborting Statements that Exceed a Certain Time to Execute"; error 1969).
//!
//! The wait for a row, the reading of pages and the wait for a core count. A statement that writes the log is not ended any more, and
//! one whose process stands still learns of its end when that goes on.

use std::collections::{BTreeMap, VecDeque};

use crate::call::Phase;
use crate::event::Token;
use crate::instance::Flow;
use crate::world::World;

/// The statements of a database that has such a limit.
#[derive(Debug)]
pub(crate) struct Limits {
    span: u64,
    timer: u32,
    /// When statements are to be ended, the first first: also of those that have ended by themselves.
    deadlines: VecDeque<(u64, u32)>,
    /// The same of those that have not, by slot.
    running: BTreeMap<u32, u64>,
    /// Whether an event stands at or before the first deadline.
    armed: bool,
}

impl Limits {
    pub(crate) fn new(span: u64, timer: u32) -> Self {
        Self { span, timer, deadlines: VecDeque::new(), running: BTreeMap::new(), armed: false }
    }

    /// A statement begins. A time to look is returned where none is set.
    fn begin(&mut self, now: u64, slot: u32) -> Option<u64> {
        while self.deadlines.front().is_some_and(|&(deadline, slot)| !self.runs(slot, deadline)) {
            self.deadlines.pop_front();
        }
        let deadline = now.saturating_add(self.span);
        self.deadlines.push_back((deadline, slot));
        self.running.insert(slot, deadline);
        (!std::mem::replace(&mut self.armed, true)).then_some(deadline)
    }

    fn runs(&self, slot: u32, deadline: u64) -> bool {
        self.running.get(&slot) == Some(&deadline)
    }

    /// A statement has ended.
    pub(super) fn end(&mut self, slot: u32) {
        self.running.remove(&slot);
    }

    /// At the time set: the next statement whose time is over. `Err` holds the time to look again, if any.
    fn next(&mut self, now: u64) -> Result<u32, Option<u64>> {
        while let Some(&(deadline, slot)) = self.deadlines.front() {
            let runs = self.runs(slot, deadline);
            if runs && deadline > now {
                return Err(Some(deadline));
            }
            self.deadlines.pop_front();
            if runs {
                self.running.remove(&slot);
                return Ok(slot);
            }
        }
        self.armed = false;
        Err(None)
    }

    /// The process died, and all statements with it.
    pub(super) fn lose(&mut self) {
        self.deadlines.clear();
        self.running.clear();
    }
}

impl World {
    /// A statement has its connection: its time counts from now on.
    pub(super) fn limit_statement(&mut self, slot: u32) {
        let index = usize::from(self.instances[usize::from(self.calls[slot].leaf)].index);
        let Some(limits) = &mut self.databases[index].limits else { return };
        let timer = limits.timer;
        if let Some(look) = limits.begin(self.now, slot) {
            self.events.schedule(look, timer);
        }
    }

    /// Ends the statements of a database whose time is over.
    pub(crate) fn end_slow_statements(&mut self, at: u32) {
        let index = usize::from(self.instances[at as usize].index);
        loop {
            let Some(limits) = &mut self.databases[index].limits else { return };
            let timer = limits.timer;
            match limits.next(self.now) {
                Ok(slot) => self.end_slow_statement(slot),
                Err(look) => {
                    if let Some(look) = look {
                        self.events.schedule(look, timer);
                    }
                    return;
                }
            }
        }
    }

    fn end_slow_statement(&mut self, slot: u32) {
        let phase = self.calls[slot].phase;
        match phase {
            Phase::LockWait | Phase::DiskRead => {}
            Phase::Statement => self.leave_cores(&[slot]),
            // It commits, or is done.
            _ => return,
        }
        let call = &mut self.calls[slot];
        call.awaits = Token::NONE;
        let index = usize::from(self.instances[usize::from(call.leaf)].index);
        self.databases[index].counts.statement_timeouts += 1;
        if phase == Phase::LockWait {
            self.give_up_row(slot);
        } else {
            self.answer_statement_with(slot, Flow::Failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_that_still_run_are_ended_and_in_their_order() {
        let mut limits = Limits::new(100, 0);
        assert_eq!(limits.begin(0, 7), Some(100), "nobody looks yet");
        assert_eq!((limits.begin(10, 8), limits.begin(20, 9)), (None, None));
        limits.end(7);
        // Another statement in the place of the first.
        assert_eq!(limits.begin(50, 7), None);
        assert_eq!(limits.next(100), Err(Some(110)));
        assert_eq!((limits.next(120), limits.next(120)), (Ok(8), Ok(9)));
        assert_eq!(limits.next(120), Err(Some(150)));
        limits.lose();
        assert_eq!(limits.next(150), Err(None));
        assert_eq!(limits.begin(200, 7), Some(300), "somebody has to look again");
    }
}
