//! The keys of a store: a hash table that can also be sampled and walked.
//!
//! Open addressing with linear probing and backward-shift deletion: an entry's place is as good as random with respect to
//! its age, so consecutive entries from a random place are a random sample, as they are in Redis's table.

/// One key. Key number `k` of keyspace `s` is `(s + 1) << 48 | k`, which is never zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: u64,
    /// When it expires, in nanoseconds; `u64::MAX` for never.
    pub(crate) expires: u64,
    /// When it was last used, in seconds.
    pub(crate) used: u32,
    /// Its memory in bytes.
    pub(crate) bytes: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Table {
    slots: Vec<Entry>,
    len: usize,
}

#[inline]
fn hash(key: u64) -> u64 {
    let z = (key ^ (key >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

impl Table {
    pub(crate) fn with_room(keys: usize) -> Self {
        let capacity = (keys * 10 / 7 + 16).next_power_of_two();
        Self { slots: vec![Entry::default(); capacity], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn capacity(&self) -> usize {
        self.slots.len()
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        (hash(key) >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    /// What stands where the search for a key begins.
    #[inline]
    pub(crate) fn first_probe(&self, key: u64) -> u64 {
        self.slots[self.home(key)].key
    }

    /// Where the key is, or else the free slot where it would go.
    #[inline]
    fn probe(&self, key: u64) -> Result<usize, usize> {
        let mask = self.slots.len() - 1;
        let mut at = self.home(key);
        loop {
            match self.slots[at].key {
                found if found == key => return Ok(at),
                0 => return Err(at),
                _ => at = (at + 1) & mask,
            }
        }
    }

    #[inline]
    pub(crate) fn find(&self, key: u64) -> Option<usize> {
        self.probe(key).ok()
    }

    #[inline]
    pub(crate) fn at(&self, slot: usize) -> &Entry {
        &self.slots[slot]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: usize) -> &mut Entry {
        &mut self.slots[slot]
    }

    /// Writes an entry and returns the one it replaced.
    pub(crate) fn insert(&mut self, entry: Entry) -> Option<Entry> {
        match self.probe(entry.key) {
            Ok(at) => Some(std::mem::replace(&mut self.slots[at], entry)),
            Err(mut at) => {
                if (self.len + 1) * 10 > self.slots.len() * 7 {
                    self.grow();
                    at = self.probe(entry.key).expect_err("growing adds no key");
                }
                self.slots[at] = entry;
                self.len += 1;
                None
            }
        }
    }

    fn grow(&mut self) {
        let doubled = vec![Entry::default(); self.slots.len() * 2];
        for entry in std::mem::replace(&mut self.slots, doubled) {
            if entry.key != 0 {
                let at = self.probe(entry.key).expect_err("keys are distinct");
                self.slots[at] = entry;
            }
        }
    }

    /// Removes what is in an occupied slot.
    pub(crate) fn remove(&mut self, slot: usize) -> Entry {
        let removed = self.slots[slot];
        let mask = self.slots.len() - 1;
        let (mut hole, mut at) = (slot, slot);
        loop {
            at = (at + 1) & mask;
            let entry = self.slots[at];
            if entry.key == 0 {
                break;
            }
            // An entry may move back to the hole unless that is before its home.
            let from_home = at.wrapping_sub(self.home(entry.key)) & mask;
            if from_home >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = entry;
                hole = at;
            }
        }
        self.slots[hole] = Entry::default();
        self.len -= 1;
        removed
    }

    /// Entries from a slot on, once around.
    pub(crate) fn from(&self, start: usize) -> impl Iterator<Item = &Entry> {
        let (before, after) = self.slots.split_at(start);
        after.iter().chain(before).filter(|e| e.key != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_table_agrees_with_a_map(actions in proptest::collection::vec((0_u8..3, 1_u64..60), 0..600)) {
            let mut table = Table::with_room(0);
            let mut map = BTreeMap::new();
            for (i, (action, key)) in actions.into_iter().enumerate() {
                if action == 0 {
                    let removed = table.find(key).map(|slot| table.remove(slot).expires);
                    prop_assert_eq!(removed, map.remove(&key));
                } else {
                    let entry = Entry { key, expires: i as u64, ..Entry::default() };
                    prop_assert_eq!(table.insert(entry).map(|e| e.expires), map.insert(key, i as u64));
                }
                prop_assert_eq!(table.len(), map.len());
            }
            let mut walked: Vec<_> = table.from(3).map(|e| (e.key, e.expires)).collect();
            walked.sort_unstable();
            prop_assert_eq!(walked, map.into_iter().collect::<Vec<_>>());
        }
    }
}
