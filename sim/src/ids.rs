//! Finds the number of a thing by its key: the index of the caches whose entries must not move.
//!
//! Open addressing with linear probing and backward-shift deletion over words of 64 bits: 32 bits of the key's hash, which
//! also say where the search begins, and the number. Most probes are settled without looking at the thing itself; the
//! caller compares the key where they are not.

use crate::prefetch::prefetch;

/// An index from keys to numbers below 2^32 - 1.
#[derive(Clone, Debug)]
pub(crate) struct Ids {
    /// Upper half: hash; lower half: the number plus one. Zero is free.
    slots: Vec<u64>,
    /// How far to shift a hash of 32 bits for its home.
    shift: u32,
    len: usize,
}

/// The smallest table: 16 slots.
const LEAST_BITS: u32 = 4;

/// Thirty-two well mixed bits of a key.
#[inline]
fn hash(key: u64) -> u32 {
    let z = (key ^ (key >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    ((z ^ (z >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93) >> 32) as u32
}

impl Ids {
    pub(crate) fn new() -> Self {
        Self { slots: vec![0; 1 << LEAST_BITS], shift: 32 - LEAST_BITS, len: 0 }
    }

    #[inline]
    fn home(&self, word: u64) -> usize {
        ((word >> 32) as u32 >> self.shift) as usize
    }

    /// The number under this key: `is` says whether a number has the key that is looked for.
    #[inline]
    pub(crate) fn find(&self, key: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        let wanted = hash(key);
        let mask = self.slots.len() - 1;
        let mut at = (wanted >> self.shift) as usize;
        loop {
            let word = self.slots[at];
            if word == 0 {
                return None;
            }
            if (word >> 32) as u32 == wanted && is(word as u32 - 1) {
                return Some(word as u32 - 1);
            }
            at = (at + 1) & mask;
        }
    }

    /// The number that is probably under a key, by the key's hash alone.
    #[inline]
    pub(crate) fn guess(&self, key: u64) -> Option<u32> {
        self.find(key, |_| true)
    }

    /// Asks for the memory where a key would be.
    #[inline]
    pub(crate) fn prefetch(&self, key: u64) {
        prefetch(&self.slots, (hash(key) >> self.shift) as usize);
    }

    /// Adds a number under a key that is not there yet.
    pub(crate) fn insert(&mut self, key: u64, id: u32) {
        if (self.len + 1) * 2 > self.slots.len() && self.shift > 0 {
            self.grow();
        }
        self.place(u64::from(hash(key)) << 32 | u64::from(id + 1));
        self.len += 1;
    }

    fn place(&mut self, word: u64) {
        let mask = self.slots.len() - 1;
        let mut at = self.home(word);
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = word;
    }

    fn grow(&mut self) {
        self.shift -= 1;
        let doubled = vec![0; self.slots.len() * 2];
        for word in std::mem::replace(&mut self.slots, doubled) {
            if word != 0 {
                self.place(word);
            }
        }
    }

    /// Forgets a number under its key.
    ///
    /// # Panics
    /// Where it is not there: the caller's list and the index disagree.
    pub(crate) fn remove(&mut self, key: u64, id: u32) {
        let word = u64::from(hash(key)) << 32 | u64::from(id + 1);
        let mask = self.slots.len() - 1;
        let mut hole = self.home(word);
        while self.slots[hole] != word {
            assert_ne!(self.slots[hole], 0, "what is removed was inserted under this key");
            hole = (hole + 1) & mask;
        }
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let word = self.slots[at];
            if word == 0 {
                break;
            }
            // An entry may move back to the hole unless that is before its home.
            let from_home = at.wrapping_sub(self.home(word)) & mask;
            if from_home >= (at.wrapping_sub(hole) & mask) {
                self.slots[hole] = word;
                hole = at;
            }
        }
        self.slots[hole] = 0;
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn the_index_agrees_with_a_map(actions in proptest::collection::vec((any::<bool>(), 0_u64..80), 0..600)) {
            let mut ids = Ids::new();
            let mut map = BTreeMap::new();
            let mut keys = Vec::new();
            for (remove, key) in actions {
                match map.remove(&key) {
                    Some(id) if remove => ids.remove(key, id),
                    Some(id) => drop(map.insert(key, id)),
                    None if remove => {}
                    None => {
                        let id = keys.len() as u32;
                        keys.push(key);
                        ids.insert(key, id);
                        map.insert(key, id);
                    }
                }
                for key in 0..80 {
                    let found = ids.find(key, |id| keys[id as usize] == key);
                    prop_assert_eq!(found, map.get(&key).copied());
                }
            }
        }
    }
}
