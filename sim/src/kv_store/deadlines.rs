//! When the keys of a store in which only some are followed expire.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When followed keys expire: their block's popularity is there until then, not until somebody finds out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    /// All deadlines before this are dealt with.
    pub(crate) until: u64,
}

impl Deadlines {
    #[inline]
    pub(crate) fn push(&mut self, expires: u64, key: u64) {
        self.heap.push(Reverse((expires, key)));
    }

    /// The next deadline before `now`: when, and of which key. It may not be its deadline any more.
    #[inline]
    pub(crate) fn next(&mut self, now: u64) -> Option<(u64, u64)> {
        match self.heap.peek() {
            Some(&Reverse((expires, key))) if expires < now => {
                self.heap.pop();
                Some((expires, key))
            }
            _ => None,
        }
    }

    /// Whether most of them are of keys that have gone, where so many are there.
    pub(crate) fn is_stale(&self, keys: usize) -> bool {
        self.heap.len() > 2 * keys + 1_024
    }

    pub(crate) fn replace(&mut self, deadlines: impl Iterator<Item = (u64, u64)>) {
        self.heap = deadlines.map(Reverse).collect();
    }
}
