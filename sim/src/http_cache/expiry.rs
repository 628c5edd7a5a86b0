//! When objects go of themselves.
//!
//! Varnish's `cache_expire.c` holds a heap of objects by the end of ttl + grace + keep. An object that was evicted,
//! purged or replaced before leaves its entry behind here, and the entry is passed over when its time has come:
//! the object then has another end, or is gone. Such entries are thrown out when they are more than the others.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// A heap of (end in nanoseconds, object).
#[derive(Clone, Debug, Default)]
pub(crate) struct Expiry {
    heap: BinaryHeap<Reverse<(u64, u32)>>,
}

/// Below this, entries that are passed over are not worth looking for.
const SMALL: usize = 1024;

impl Expiry {
    /// An object goes at `end`, unless that has changed by then. `current` tells an object's present end, of which
    /// there are `objects`.
    pub(crate) fn add(&mut self, end: u64, id: u32, objects: usize, current: impl Fn(u32) -> Option<u64>) {
        if self.heap.len() > SMALL.max(2 * objects) {
            self.heap.retain(|Reverse((end, id))| current(*id) == Some(*end));
        }
        self.heap.push(Reverse((end, id)));
    }

    /// Whether anything is due.
    #[inline]
    pub(crate) fn due(&self, now: u64) -> bool {
        self.heap.peek().is_some_and(|Reverse((end, _))| *end <= now)
    }

    /// Takes what is due first: its end and the object.
    pub(crate) fn pop(&mut self) -> Option<(u64, u32)> {
        self.heap.pop().map(|Reverse(entry)| entry)
    }
}
