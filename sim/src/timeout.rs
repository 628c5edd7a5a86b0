//! Timeouts that almost never happen: a ring of references in order of deadline, looked at when the oldest could be due.
//!
//! All deadlines of one ring lie the same span after their start, so the ring is sorted by itself. Entries of calls
//! that are gone are dropped when there is no room for more: a timeout that does not happen costs a write and no event.

use std::collections::VecDeque;

use crate::call::Calls;

#[derive(Debug, Default)]
pub(crate) struct TimeoutRing {
    span: u64,
    ring: VecDeque<(u64, u32, u32)>,
    /// Whether an event stands at or before the first deadline.
    armed: bool,
}

impl TimeoutRing {
    pub(crate) fn new(span: u64) -> Self {
        Self { span, ..Self::default() }
    }

    pub(crate) fn span(&self) -> u64 {
        self.span
    }

    /// Starts the span for a request. A time to look again is returned where none is set.
    #[inline]
    pub(crate) fn start(&mut self, calls: &Calls, now: u64, slot: u32) -> Option<u64> {
        if self.ring.len() == self.ring.capacity() {
            self.let_go(calls);
        }
        let deadline = now.saturating_add(self.span);
        self.ring.push_back((deadline, slot, calls[slot].generation));
        (!std::mem::replace(&mut self.armed, true)).then_some(deadline)
    }

    /// Makes room: calls that are gone need no timeout.
    fn let_go(&mut self, calls: &Calls) {
        while self.ring.front().is_some_and(|&(_, old, generation)| calls[old].generation != generation) {
            self.ring.pop_front();
        }
    }

    /// At the time set: the next request whose deadline has come. `Err` holds the time to look again, if any.
    pub(crate) fn expired(&mut self, calls: &Calls, now: u64) -> Result<u32, Option<u64>> {
        while let Some(&(deadline, slot, generation)) = self.ring.front() {
            let stale = calls[slot].generation != generation;
            if !stale && deadline > now {
                return Err(Some(deadline));
            }
            self.ring.pop_front();
            if !stale {
                return Ok(slot);
            }
        }
        self.armed = false;
        Err(None)
    }
}
