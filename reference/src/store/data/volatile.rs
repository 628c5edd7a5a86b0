//! The keys with a lifetime, in the order of a hash table as Redis has one for them (dict.h), along which active expiry
//! walks: a key's place depends on nothing but its name, so that what is ahead of the walk has gone unseen for longest.
//!
//! The table grows and shrinks a bucket at a time (Litwin, "Linear hashing", VLDB 1980), so that no command waits for all
//! of it.

use super::Tag;

/// There is no further key.
const NONE: u32 = u32::MAX;
/// The least number of buckets (dict.h: `DICT_HT_INITIAL_SIZE`).
const FEWEST_BUCKETS: usize = 4;

/// A key with a lifetime: 20 bytes.
#[derive(Clone, Copy, Debug)]
struct Volatile {
    slot: u32,
    deadline_ms: [u32; 2],
    tag: Tag,
    /// The next one in the same bucket.
    next: u32,
}

/// All of them. Each has a place by which the others can be told of it; places are kept dense.
#[derive(Debug)]
pub(super) struct Volatiles {
    keys: Vec<Volatile>,
    /// The first key of each bucket.
    buckets: Vec<u32>,
}

impl Volatiles {
    pub(super) fn new() -> Self {
        Self { keys: Vec::new(), buckets: vec![NONE; FEWEST_BUCKETS] }
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn buckets(&self) -> usize {
        self.buckets.len()
    }

    #[inline]
    pub(super) fn slot(&self, place: u32) -> u32 {
        self.keys[place as usize].slot
    }

    /// When the key at a place expires, in milliseconds by the store's clock.
    #[inline]
    pub(super) fn deadline_ms(&self, place: u32) -> u64 {
        let [low, high] = self.keys[place as usize].deadline_ms;
        u64::from(low) | u64::from(high) << 32
    }

    pub(super) fn set_deadline(&mut self, place: u32, deadline_ms: u64) {
        self.keys[place as usize].deadline_ms = [deadline_ms as u32, (deadline_ms >> 32) as u32];
    }

    /// Adds a key; its place.
    pub(super) fn insert(&mut self, slot: u32, tag: Tag, deadline_ms: u64) -> u32 {
        let place = u32::try_from(self.keys.len()).expect("there are fewer keys with a lifetime than slots");
        let bucket = self.bucket(tag);
        let next = std::mem::replace(&mut self.buckets[bucket], place);
        self.keys.push(Volatile { slot, deadline_ms: [0; 2], tag, next });
        self.set_deadline(place, deadline_ms);
        place
    }

    /// Takes the key at a place out. The last key takes the place, if it was not the last itself: its slot.
    pub(super) fn remove(&mut self, place: u32) -> Option<u32> {
        let Volatile { tag, next, .. } = self.keys[place as usize];
        *self.link(tag, place) = next;
        let last = self.keys.len() as u32 - 1;
        if place < last {
            let tag = self.keys[last as usize].tag;
            *self.link(tag, last) = place;
        }
        self.keys.swap_remove(place as usize);
        (place < last).then(|| self.slot(place))
    }

    /// The slots of a bucket's keys.
    pub(super) fn bucket_slots(&self, bucket: usize) -> impl Iterator<Item = u32> {
        let key = |place: u32| self.keys.get(place as usize);
        std::iter::successors(key(self.buckets[bucket]), move |volatile| key(volatile.next)).map(|v| v.slot)
    }

    /// Comes closer to a number of buckets, by at most so many.
    pub(super) fn approach(&mut self, buckets: u64, by: usize) {
        let wanted = usize::try_from(buckets).unwrap_or(usize::MAX).max(FEWEST_BUCKETS);
        for _ in 0..by {
            match self.buckets.len() {
                now if now < wanted => self.split(),
                now if now > wanted => self.merge(),
                _ => return,
            }
        }
    }

    /// The lower bits of the tag say which bucket; where that is not there yet, one bit less.
    #[inline]
    fn bucket(&self, tag: Tag) -> usize {
        let mask = self.buckets.len().next_power_of_two() - 1;
        let bucket = tag as usize & mask;
        if bucket < self.buckets.len() { bucket } else { bucket & (mask >> 1) }
    }

    /// What leads to the key at a place.
    fn link(&mut self, tag: Tag, place: u32) -> &mut u32 {
        let bucket = self.bucket(tag);
        let mut at = self.buckets[bucket];
        if at == place {
            return &mut self.buckets[bucket];
        }
        loop {
            let next = self.keys[at as usize].next;
            if next == place {
                return &mut self.keys[at as usize].next;
            }
            at = next;
        }
    }

    /// The bucket that has what a bucket has as long as that is not there.
    fn sibling(bucket: usize) -> usize {
        bucket & !(1 << bucket.ilog2())
    }

    fn split(&mut self) {
        let new = self.buckets.len();
        let mut at = std::mem::replace(&mut self.buckets[Self::sibling(new)], NONE);
        self.buckets.push(NONE);
        while at != NONE {
            let Volatile { tag, next, .. } = self.keys[at as usize];
            let bucket = self.bucket(tag);
            self.keys[at as usize].next = std::mem::replace(&mut self.buckets[bucket], at);
            at = next;
        }
    }

    fn merge(&mut self) {
        let Some(mut at) = self.buckets.pop() else { return };
        let into = Self::sibling(self.buckets.len());
        while at != NONE {
            let next = self.keys[at as usize].next;
            self.keys[at as usize].next = std::mem::replace(&mut self.buckets[into], at);
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use scenarios::rng::{Purpose, Stream};
    use scenarios::units::Seed;

    use super::*;

    #[test]
    fn every_key_is_in_one_bucket_whatever_comes_and_goes() {
        let mut stream = Stream::new(Seed(3), Purpose::named("volatile-test"), 0);
        let (mut keys, mut places) = (Volatiles::new(), BTreeMap::new());
        for round in 0..20_000_u32 {
            let slot = stream.below(3000) as u32;
            if let Some(place) = places.remove(&slot) {
                assert_eq!(keys.slot(place), slot);
                if let Some(moved) = keys.remove(place) {
                    places.insert(moved, place);
                }
            } else {
                let tag = slot.wrapping_mul(0x9e37_79b9).rotate_left(7);
                places.insert(slot, keys.insert(slot, tag, u64::from(slot) << 30));
            }
            // Up to 4096 buckets, and down again.
            let wanted = if round < 12_000 { round } else { 20_000 - round };
            keys.approach(u64::from(wanted / 2).next_power_of_two(), 4);
            if round % 500 == 0 {
                let walked: Vec<u32> = (0..keys.buckets()).flat_map(|b| keys.bucket_slots(b)).collect();
                let all: BTreeSet<u32> = walked.iter().copied().collect();
                assert_eq!((walked.len(), &all), (places.len(), &places.keys().copied().collect()));
                assert!(
                    places.iter().all(|(slot, place)| keys.deadline_ms(*place) == u64::from(*slot) << 30)
                );
            }
        }
        assert!(keys.len() > 1000, "{}", keys.len());
    }
}
