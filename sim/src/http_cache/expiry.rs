//! When objects go of themselves.
//!
//! Varnish's `cache_expire.c` holds a heap of objects by the end of ttl + grace + keep. Here objects of the same lifetime
//! stand in a ring, for they end in the order in which they came; only what ends earlier than that (a soft purge) needs a
//! heap. An object that was evicted, purged or replaced before leaves its entry behind, and the entry is passed over when
//! its time has come: the object then has another end, or is gone. Such entries are thrown out when they are more than
//! the others.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Ends of objects in order: (end in nanoseconds, object).
#[derive(Clone, Debug)]
pub(crate) struct Expiry {
    /// By lifetime.
    rings: Vec<VecDeque<(u64, u32)>>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// Entries in all.
    entries: usize,
    /// Nothing is due before.
    next: u64,
}

/// Below this, entries that are passed over are not worth looking for.
const SMALL: usize = 1024;

impl Default for Expiry {
    fn default() -> Self {
        Self { rings: Vec::new(), heap: BinaryHeap::new(), entries: 0, next: u64::MAX }
    }
}

impl Expiry {
    /// An object with a lifetime of this number goes at `end`, unless that has changed by then. `current` tells an
    /// object's present end, of which there are `objects`.
    pub(crate) fn add(
        &mut self,
        end: u64,
        id: u32,
        lifetime: u16,
        objects: usize,
        current: impl Fn(u32) -> Option<u64>,
    ) {
        if self.entries > SMALL.max(2 * objects) {
            let holds = |end: u64, id: u32| current(id) == Some(end);
            self.rings.iter_mut().for_each(|ring| ring.retain(|(end, id)| holds(*end, *id)));
            self.heap.retain(|Reverse((end, id))| holds(*end, *id));
            self.entries = self.rings.iter().map(VecDeque::len).sum::<usize>() + self.heap.len();
        }
        let ring = usize::from(lifetime);
        if self.rings.len() <= ring {
            self.rings.resize_with(ring + 1, VecDeque::new);
        }
        match self.rings[ring].back() {
            Some((last, _)) if *last > end => self.heap.push(Reverse((end, id))),
            _ => self.rings[ring].push_back((end, id)),
        }
        self.entries += 1;
        self.next = self.next.min(end);
    }

    /// Whether anything is due.
    #[inline]
    pub(crate) fn due(&self, now: u64) -> bool {
        self.next <= now
    }

    /// Takes what is due first: its end and the object.
    pub(crate) fn pop(&mut self) -> Option<(u64, u32)> {
        let fronts = self.rings.iter().enumerate().filter_map(|(i, ring)| Some((*ring.front()?, i)));
        let first = fronts.min();
        let from_heap = self.heap.peek().map(|Reverse(entry)| *entry);
        let taken = match (first, from_heap) {
            (Some((entry, _)), Some(other)) if other < entry => self.heap.pop().map(|Reverse(e)| e),
            (Some((_, ring)), _) => self.rings[ring].pop_front(),
            (None, _) => self.heap.pop().map(|Reverse(entry)| entry),
        };
        self.entries -= usize::from(taken.is_some());
        let fronts = self.rings.iter().filter_map(|ring| Some(ring.front()?.0));
        let heap = self.heap.peek().map(|Reverse((end, _))| *end);
        self.next = fronts.chain(heap).min().unwrap_or(u64::MAX);
        taken
    }
}
