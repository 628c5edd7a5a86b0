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
    /// The first end of each ring, and last that of the heap.
    firsts: Vec<u64>,
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// Entries in all.
    entries: usize,
    /// Nothing is due before, and from where that comes.
    next: u64,
    next_from: usize,
}

/// Below this, entries that are passed over are not worth looking for.
const SMALL: usize = 1024;

impl Default for Expiry {
    fn default() -> Self {
        Self {
            rings: Vec::new(),
            firsts: vec![u64::MAX],
            heap: BinaryHeap::new(),
            entries: 0,
            next: u64::MAX,
            next_from: 0,
        }
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
            self.look();
        }
        let ring = usize::from(lifetime);
        if self.rings.len() <= ring {
            self.rings.resize_with(ring + 1, VecDeque::new);
            self.look();
        }
        let from = match self.rings[ring].back() {
            Some((last, _)) if *last > end => {
                self.heap.push(Reverse((end, id)));
                self.rings.len()
            }
            _ => {
                self.rings[ring].push_back((end, id));
                ring
            }
        };
        self.entries += 1;
        self.firsts[from] = self.firsts[from].min(end);
        if end < self.next {
            (self.next, self.next_from) = (end, from);
        }
    }

    /// Whether anything is due.
    #[inline]
    pub(crate) fn due(&self, now: u64) -> bool {
        self.next <= now
    }

    /// Takes what is due first: its end and the object.
    #[inline]
    pub(crate) fn pop(&mut self) -> Option<(u64, u32)> {
        let from = self.next_from;
        let (taken, first) = match self.rings.get_mut(from) {
            Some(ring) => (ring.pop_front(), ring.front().map(|first| first.0)),
            None => {
                let taken = self.heap.pop().map(|Reverse(entry)| entry);
                (taken, self.heap.peek().map(|Reverse(first)| first.0))
            }
        };
        self.entries -= usize::from(taken.is_some());
        self.firsts[from] = first.unwrap_or(u64::MAX);
        self.choose();
        taken
    }

    /// The object so many places behind the first where the next comes from.
    #[inline]
    pub(crate) fn ahead(&self, places: usize) -> Option<u32> {
        Some(self.rings.get(self.next_from)?.get(places)?.1)
    }

    /// Finds out what is first everywhere.
    fn look(&mut self) {
        let rings = self.rings.iter().map(|ring| ring.front().map_or(u64::MAX, |first| first.0));
        let heap = self.heap.peek().map_or(u64::MAX, |Reverse(first)| first.0);
        self.firsts.clear();
        self.firsts.extend(rings.chain([heap]));
        self.choose();
    }

    /// Finds out where the next comes from: among equals from the first ring.
    #[inline]
    fn choose(&mut self) {
        (self.next, self.next_from) = (u64::MAX, 0);
        for (from, &first) in self.firsts.iter().enumerate() {
            if first < self.next {
                (self.next, self.next_from) = (first, from);
            }
        }
    }
}
