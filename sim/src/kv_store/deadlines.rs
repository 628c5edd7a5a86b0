//! When the keys of a store in which only some are followed expire.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// When followed keys expire: their block's popularity is there until then, not until somebody finds out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Deadlines {
    heap: BinaryHeap<Reverse<(u64, u64)>>,
    /// How many there were when they were last gathered anew.
    live: usize,
    /// All deadlines before this are dealt with.
    pub(crate) until: u64,
}

impl Deadlines {
    #[inline]
    pub(crate) fn push(&mut self, expires: u64, key: u64) {
        self.heap.push(Reverse((expires, key)));
    }

    /// Whether there is a deadline before `now`.
    #[inline]
    pub(crate) fn are_due(&self, now: u64) -> bool {
        self.heap.peek().is_some_and(|Reverse((expires, _))| *expires < now)
    }

    /// The next deadline before `now`: when, and of which key. It may not be its deadline any more. A key that was written
    /// twice with one deadline, as by a request that draws it twice, has it once.
    #[inline]
    pub(crate) fn next(&mut self, now: u64) -> Option<(u64, u64)> {
        let next = self.heap.peek().copied().filter(|Reverse((expires, _))| *expires < now)?;
        while self.heap.peek() == Some(&next) {
            self.heap.pop();
        }
        Some(next.0)
    }

    /// Whether most of them are of keys that have gone, where so many are there. As many as were gathered have to come
    /// first, so that gathering costs each deadline a constant.
    pub(crate) fn is_stale(&self, keys: usize) -> bool {
        self.heap.len() > 2 * keys.max(self.live) + 1_024
    }

    pub(crate) fn replace(&mut self, deadlines: impl Iterator<Item = (u64, u64)>) {
        self.heap = deadlines.map(Reverse).collect();
        self.live = self.heap.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_gathered_just_now_are_not_stale_however_few_keys_are_there() {
        let mut deadlines = Deadlines::default();
        deadlines.replace((0..100_000).map(|key| (key, key)));
        assert!(!deadlines.is_stale(10));
        (0..102_000).for_each(|key| deadlines.push(key, key));
        assert!(deadlines.is_stale(10) && !deadlines.is_stale(200_000));
    }

    #[test]
    fn key_that_was_written_twice_with_one_deadline_expires_once() {
        let mut deadlines = Deadlines::default();
        for (expires, key) in [(5, 1), (5, 2), (5, 1), (9, 1)] {
            deadlines.push(expires, key);
        }
        let all: Vec<_> = std::iter::from_fn(|| deadlines.next(9)).collect();
        assert_eq!(all, [(5, 1), (5, 2)]);
        assert_eq!(deadlines.next(10), Some((9, 1)));
    }
}
