//! Row locks: updates of the same row follow one another, as InnoDB's exclusive record locks make them.
//!
//! A statement locks the row of its first key until it is committed. Others wait in the order in which they came, each
//! for at most `innodb_lock_wait_timeout` (50 s by default; MariaDB and MySQL manuals, error 1205). Further rows of a wide
//! update are not locked here, so there are no deadlocks.

use std::collections::BTreeMap;

use crate::call::{Calls, Fifo};

/// A row: its table and its key.
pub(crate) type Row = (u16, u64);

/// The rows that are locked, and who waits.
#[derive(Debug, Default)]
pub(crate) struct Locks(BTreeMap<Row, Fifo>);

impl Locks {
    /// Takes a row's lock, if nobody has it, or else waits for it; whether it was taken.
    pub(crate) fn take(&mut self, calls: &mut Calls, row: Row, slot: u32) -> bool {
        match self.0.get_mut(&row) {
            None => {
                self.0.insert(row, Fifo::new());
                true
            }
            Some(waiting) => {
                waiting.push(calls, slot);
                false
            }
        }
    }

    /// Gives up a row's lock: who has it now.
    pub(crate) fn release(&mut self, calls: &Calls, row: Row) -> Option<u32> {
        let next = self.0.get_mut(&row)?.pop(calls);
        if next.is_none() {
            self.0.remove(&row);
        }
        next
    }

    /// One of those who wait for a row waits no longer.
    pub(crate) fn give_up(&mut self, calls: &mut Calls, row: Row, slot: u32) {
        if let Some(waiting) = self.0.get_mut(&row) {
            waiting.take_out(calls, |other| other == slot);
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
