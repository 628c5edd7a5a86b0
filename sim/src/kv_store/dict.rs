//! A dictionary as Redis 7.0's dict.c has it: chains behind a power of two of buckets, and a second table while it grows.
//!
//! What policies sample and what active expiry walks is this table, with its chains and its half-moved state, so it is
//! followed bucket by bucket. The keys' hash is not Redis's (SipHash with a random seed): any good one gives the same
//! law. A dictionary owns its entries; they are named by their place, which stays while they are in it.

use scenarios::memory::MOST_LOAD;
use scenarios::rng::Stream;

/// No entry.
const NONE: u32 = u32::MAX;
/// The least number of buckets (dict.h: `DICT_HT_INITIAL_SIZE`).
pub(super) const FEWEST_BUCKETS: usize = 4;
/// Empty buckets that one step of moving looks at (dict.c: `dictRehash`).
const EMPTY_VISITS: usize = 10;

/// One key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: u64,
    /// When it expires, in nanoseconds; [`Entry::NEVER`] for never.
    pub(crate) expires: u64,
    /// Its memory in bytes.
    pub(crate) bytes: u32,
    /// The 24 bits that Redis keeps with a value: what they mean is the policy's matter.
    pub(crate) used: u32,
    next: u32,
}

impl Entry {
    pub(crate) const NEVER: u64 = u64::MAX;

    pub(crate) fn new(key: u64, expires: u64, bytes: u32, used: u32) -> Self {
        Self { key, expires, bytes, used, next: NONE }
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Dict {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// The first entry of each bucket's chain. The second table is there while keys move from the first one.
    tables: [Vec<u32>; 2],
    used: [usize; 2],
    /// The next bucket of the first table whose keys move.
    moving: Option<usize>,
}

#[inline]
fn hash(key: u64) -> usize {
    let z = (key ^ (key >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    let z = (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (z ^ (z >> 32)) as usize
}

impl Dict {
    /// An empty dictionary, with memory for so many keys.
    pub(crate) fn with_room(keys: usize) -> Self {
        Self { entries: Vec::with_capacity(keys), ..Self::default() }
    }

    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.used[0] + self.used[1]
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Buckets of both tables.
    #[inline]
    pub(crate) fn buckets(&self) -> usize {
        self.tables[0].len() + self.tables[1].len()
    }

    #[inline]
    pub(crate) fn at(&self, place: u32) -> &Entry {
        &self.entries[place as usize]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, place: u32) -> &mut Entry {
        &mut self.entries[place as usize]
    }

    /// Whether keys move from a table to another.
    #[cfg(test)]
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// Moves the keys of so many buckets (`dictRehash`).
    pub(crate) fn move_buckets(&mut self, buckets: usize) {
        let Some(mut at) = self.moving else { return };
        let mut empty = buckets * EMPTY_VISITS;
        let mask = self.tables[1].len() - 1;
        for _ in 0..buckets {
            if self.used[0] == 0 {
                break;
            }
            while self.tables[0][at] == NONE {
                at += 1;
                empty -= 1;
                if empty == 0 {
                    self.moving = Some(at);
                    return;
                }
            }
            let mut place = std::mem::replace(&mut self.tables[0][at], NONE);
            while place != NONE {
                let entry = &mut self.entries[place as usize];
                let bucket = hash(entry.key) & mask;
                let next = std::mem::replace(&mut entry.next, self.tables[1][bucket]);
                self.tables[1][bucket] = place;
                self.used[0] -= 1;
                self.used[1] += 1;
                place = next;
            }
            at += 1;
        }
        if self.used[0] == 0 {
            self.tables[0] = std::mem::take(&mut self.tables[1]);
            self.used = [self.used[1], 0];
            self.moving = None;
        } else {
            self.moving = Some(at);
        }
    }

    #[inline]
    fn step(&mut self) {
        if self.moving.is_some() {
            self.move_buckets(1);
        }
    }

    /// Reads where keys would be, and nothing else: a wide read's cache misses then overlap instead of following each
    /// other.
    #[inline]
    pub(crate) fn touch(&self, keys: impl Iterator<Item = u64> + Clone) {
        if self.tables[0].is_empty() || self.moving.is_some() {
            return;
        }
        let mask = self.tables[0].len() - 1;
        let bucket = |key| self.tables[0][hash(key) & mask];
        let sum = keys.clone().fold(0_u32, |sum, key| sum.wrapping_add(bucket(key)));
        std::hint::black_box(sum);
        let first = |key| self.entries.get(bucket(key) as usize).map_or(0, |entry| entry.key);
        let sum = keys.fold(0_u64, |sum, key| sum.wrapping_add(first(key)));
        std::hint::black_box(sum);
    }

    /// Where a key is (`dictFind`).
    #[inline]
    pub(crate) fn find(&mut self, key: u64) -> Option<u32> {
        self.step();
        self.look(key)
    }

    /// The same without a step of moving.
    #[inline]
    pub(crate) fn look(&self, key: u64) -> Option<u32> {
        let hash = hash(key);
        for table in &self.tables {
            if table.is_empty() {
                break;
            }
            let mut place = table[hash & (table.len() - 1)];
            while place != NONE {
                let entry = &self.entries[place as usize];
                if entry.key == key {
                    return Some(place);
                }
                place = entry.next;
            }
        }
        None
    }

    /// Adds a key that is not there (`dictAddRaw`). The table may grow where `allowed` says so of the bytes that it takes.
    pub(crate) fn insert(&mut self, entry: Entry, allowed: impl FnOnce(u64) -> bool) -> u32 {
        debug_assert!(self.look(entry.key).is_none(), "keys are distinct");
        self.step();
        self.grow_if_needed(allowed);
        let table = usize::from(self.moving.is_some());
        let bucket = hash(entry.key) & (self.tables[table].len() - 1);
        let entry = Entry { next: self.tables[table][bucket], ..entry };
        let place = match self.free.pop() {
            Some(place) => {
                self.entries[place as usize] = entry;
                place
            }
            None => {
                self.entries.push(entry);
                u32::try_from(self.entries.len() - 1).expect("a store follows fewer than four billion keys")
            }
        };
        self.tables[table][bucket] = place;
        self.used[table] += 1;
        place
    }

    fn grow_if_needed(&mut self, allowed: impl FnOnce(u64) -> bool) {
        let size = self.tables[0].len();
        if size == 0 {
            self.tables[0] = vec![NONE; FEWEST_BUCKETS];
        } else if self.moving.is_none() && self.used[0] >= size {
            let grown = (self.used[0] + 1).next_power_of_two();
            if self.used[0] as f64 > MOST_LOAD * size as f64 || allowed(grown as u64 * 8) {
                self.start_moving(grown);
            }
        }
    }

    fn start_moving(&mut self, buckets: usize) {
        self.tables[1] = vec![NONE; buckets];
        self.moving = Some(0);
    }

    /// Shrinks a table of which less than a tenth is used (server.c: `tryResizeHashTables`).
    pub(crate) fn shrink_if_sparse(&mut self) {
        let size = self.tables[0].len();
        if self.moving.is_none() && size > FEWEST_BUCKETS && self.used[0] * 10 < size {
            self.start_moving(self.used[0].next_power_of_two().max(FEWEST_BUCKETS));
            // Nothing is left to move from an empty table.
            if self.used[0] == 0 {
                self.move_buckets(1);
            }
        }
    }

    /// Removes the entry at a place (`dictDelete`).
    pub(crate) fn remove(&mut self, place: u32) -> Entry {
        let key = self.at(place).key;
        self.step();
        let hash = hash(key);
        for table in 0..2 {
            if self.tables[table].is_empty() {
                break;
            }
            let bucket = hash & (self.tables[table].len() - 1);
            let mut at = self.tables[table][bucket];
            let mut before = NONE;
            while at != NONE {
                let entry = self.entries[at as usize];
                if at == place {
                    match before {
                        NONE => self.tables[table][bucket] = entry.next,
                        before => self.entries[before as usize].next = entry.next,
                    }
                    self.used[table] -= 1;
                    self.free.push(at);
                    return entry;
                }
                (before, at) = (at, entry.next);
            }
        }
        unreachable!("a place names an entry that is there")
    }

    /// The entries of a bucket, from the head of its chain.
    #[inline]
    pub(crate) fn chain(&self, table: usize, bucket: usize) -> Chain<'_> {
        let place = self.tables[table].get(bucket).copied().unwrap_or(NONE);
        Chain { dict: self, place }
    }

    /// The mask of a table's bucket numbers; none where there is no such table.
    #[inline]
    pub(crate) fn mask(&self, table: usize) -> Option<usize> {
        self.tables[table].len().checked_sub(1)
    }

    /// All entries, in no order that means anything but always the same.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let buckets = (0..2).flat_map(|t| (0..self.tables[t].len()).map(move |b| (t, b)));
        buckets.flat_map(|(t, b)| self.chain(t, b)).map(|place| self.at(place))
    }

    /// A few keys from consecutive buckets (`dictGetSomeKeys`): at most `count`, into `found`. Buckets are visited from a
    /// random one on; in a long chain each key has its chance, by reservoir sampling.
    pub(crate) fn some_keys(&mut self, count: usize, stream: &mut Stream, found: &mut Vec<u32>) {
        found.clear();
        let count = count.min(self.len());
        for _ in 0..count {
            if self.moving.is_none() {
                break;
            }
            self.step();
        }
        let tables = if self.moving.is_some() { 2 } else { 1 };
        let widest = self.tables[0].len().max(self.tables[1].len());
        if widest == 0 {
            return;
        }
        let mask = widest - 1;
        let mut bucket = stream.next_bits() as usize & mask;
        let (mut stored, mut empty) = (0_u64, 0);
        for _ in 0..count * 10 {
            if found.len() == count {
                return;
            }
            for table in 0..tables {
                if let Some(moving) = self.moving
                    && table == 0
                    && bucket < moving
                {
                    // Nothing is left in these buckets; going to a smaller table, neither has the other such ones.
                    if bucket < self.tables[1].len() {
                        continue;
                    }
                    bucket = moving;
                }
                let Some(&first) = self.tables[table].get(bucket) else { continue };
                if first == NONE {
                    empty += 1;
                    if empty >= 5 && empty > count {
                        bucket = stream.next_bits() as usize & mask;
                        empty = 0;
                    }
                    continue;
                }
                empty = 0;
                let mut place = first;
                while place != NONE {
                    if found.len() < count {
                        found.push(place);
                    } else {
                        let chosen = stream.below(stored + 1) as usize;
                        if chosen < count {
                            found[chosen] = place;
                        }
                    }
                    stored += 1;
                    place = self.entries[place as usize].next;
                }
                if found.len() >= count {
                    return;
                }
            }
            bucket = (bucket + 1) & mask;
        }
    }

    /// A random key of a random bucket that has one (`dictGetRandomKey`): keys in long chains come up less often.
    pub(crate) fn random_key(&mut self, stream: &mut Stream) -> Option<u32> {
        if self.is_empty() {
            return None;
        }
        self.step();
        let size = self.tables[0].len() as u64;
        let moved = self.moving.unwrap_or(0) as u64;
        let (table, bucket) = loop {
            let at = moved + stream.below(self.buckets() as u64 - moved);
            let (table, bucket) = if at >= size { (1, at - size) } else { (0, at) };
            if self.tables[table][bucket as usize] != NONE {
                break (table, bucket as usize);
            }
        };
        let length = self.chain(table, bucket).count() as u64;
        self.chain(table, bucket).nth(stream.below(length) as usize)
    }
}

/// The places of a chain's entries.
#[derive(Clone, Debug)]
pub(crate) struct Chain<'a> {
    dict: &'a Dict,
    place: u32,
}

impl Iterator for Chain<'_> {
    type Item = u32;

    #[inline]
    fn next(&mut self) -> Option<u32> {
        let place = self.place;
        (place != NONE).then(|| {
            self.place = self.dict.entries[place as usize].next;
            place
        })
    }
}

#[cfg(test)]
#[path = "dict_tests.rs"]
mod tests;
