//! Row locks: updates of the same row follow one another, as InnoDB's exclusive record locks make them.
//!
//! A statement locks the row of its first key until it is done, or, where it opens a transaction, until that ends; others
//! wait in order, each for at most so long as the scenario says (`innodb_lock_wait_timeout`; error 1205). Further rows of
//! a wide update are not locked, so there are no deadlocks.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// A row: the number of its table, and its key.
pub(super) type Row = (usize, u64);

/// The rows that are locked or waited for.
#[derive(Debug, Default)]
pub(super) struct Locks(RefCell<BTreeMap<Row, Rc<Semaphore>>>);

/// A row that is locked, until this is dropped.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    locks: &'a Locks,
    row: Row,
    lock: Rc<Semaphore>,
    is_held: bool,
}

impl Locks {
    /// Locks a row; none where it could not be had in time.
    pub(super) async fn take(&self, row: Row, patience: Duration) -> Option<Locked<'_>> {
        let new = || Rc::new(Semaphore::new(1));
        let lock = Rc::clone(self.0.borrow_mut().entry(row).or_insert_with(new));
        // Dropped at any point, it cleans up behind itself.
        let mut locked = Locked { locks: self, row, lock, is_held: false };
        match timeout(patience, locked.lock.acquire()).await {
            Ok(Ok(permit)) => permit.forget(),
            _ => return None,
        }
        locked.is_held = true;
        Some(locked)
    }
}

impl Locked<'_> {
    /// Which one it is.
    pub(super) fn row(&self) -> Row {
        self.row
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.is_held {
            self.lock.add_permits(1);
        }
        let mut rows = self.locks.0.borrow_mut();
        // The list's own, and this one.
        if Rc::strong_count(&self.lock) == 2 {
            rows.remove(&self.row);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_row_is_had_in_turn_or_not_in_time_and_nothing_is_left() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let locks = Locks::default();
            let patience = Duration::from_secs(30);
            let first = locks.take((0, 7), patience).await.expect("nobody has it");
            let _other = locks.take((0, 8), patience).await.expect("another row");
            assert!(locks.take((0, 7), Duration::from_millis(5)).await.is_none());
            let mut second = pin!(locks.take((0, 7), patience));
            assert!(timeout(Duration::ZERO, second.as_mut()).await.is_err());
            drop(first);
            let second = second.await;
            assert!(second.is_some());
            drop(second);
            assert_eq!(locks.0.borrow().len(), 1, "the other row");
        });
    }
}
