//! Redis's eviction (evict.c of 7.0): a few keys are sampled into a pool of sixteen that is kept from one eviction to the
//! next, so that the best of many samples is found with few of them each time.
//!
//! Samples are taken as `dictGetSomeKeys` and `dictGetRandomKey` (dict.c) take them, bucket by bucket: a key that has its
//! bucket for itself is chosen more often than one that shares it, and keys that were sampled together were last looked at by
//! active expiry together. Both can be seen in how many keys are evicted before they expire.

use scenarios::scenario::Eviction;

use super::data::Data;
use super::lfu;
use crate::emulated::clock::now_nanos;

const POOL_SIZE: usize = 16;
/// The longest that a command waits for evictions (`maxmemory-eviction-tenacity` 10: `evictionTimeLimitUs`).
const LIMIT_NANOS: u64 = 500_000;
/// Evictions between two looks at the clock.
const LOOK_EVERY: u64 = 16;
/// Buckets, or slots, are tried this often before an occupied one must have been found; only a store that was mostly emptied
/// has so many free ones.
const TRIES: usize = 1000;
/// Buckets looked at for each key that is to be sampled (`dictGetSomeKeys`).
const BUCKETS_PER_SAMPLE: usize = 10;
/// After so many empty buckets in a row, and more than keys are to be sampled, the search goes on elsewhere.
const MOST_EMPTY: usize = 5;

/// Candidates.
#[derive(Debug, Default)]
pub(super) struct Pool {
    /// With their scores, the worst first.
    best: Vec<(u64, Vec<u8>)>,
    /// Slots that were sampled, and those of a bucket: kept for their memory.
    sampled: Vec<u32>,
    bucket: Vec<u32>,
}

impl Pool {
    /// Takes a sampled key in, if it is a better candidate than one that is there or there is room. What was known about
    /// a key when it was sampled stays, even where the key is used again: Redis does not look again either.
    fn offer(&mut self, score: u64, key: &[u8]) {
        let place = self.best.partition_point(|(other, _)| *other < score);
        let mut name = Vec::new();
        let place = if self.best.len() < POOL_SIZE {
            place
        } else if place > 0 {
            // Full: the worst leaves, and lends its memory.
            name = self.best.remove(0).1;
            place - 1
        } else {
            return;
        };
        name.clear();
        name.extend_from_slice(key);
        self.best.insert(place, (score, name));
    }

    /// Removes and returns the best.
    fn take_best(&mut self) -> Option<Vec<u8>> {
        self.best.pop().map(|(_, key)| key)
    }
}

/// What came of making room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Memory is within its limit.
    Enough,
    /// Not yet, but there was no more time: commands may pass their limit for now.
    Evicting,
    /// There is nothing left to evict.
    None,
}

impl Data {
    /// Evicts until memory is within its limit, as Redis does before each command.
    #[inline]
    pub(crate) fn make_room(&mut self) -> Room {
        match self.limits.max_memory {
            Some(limit) if self.memory() > limit && !self.is_copy => {
                let room = self.evict_down_to(limit);
                self.is_evicting = room == Room::Evicting;
                room
            }
            _ => {
                self.is_evicting = false;
                Room::Enough
            }
        }
    }

    /// Goes on where a command had no more time for it (`evictionTimeProc`); whether more remains.
    pub(super) fn go_on_evicting(&mut self) -> bool {
        self.is_evicting && self.make_room() == Room::Evicting
    }

    #[cold]
    fn evict_down_to(&mut self, limit: u64) -> Room {
        let (start, mut evicted) = (now_nanos(), 0);
        while self.memory() > limit {
            let Some(slot) = self.choose_victim() else { return Room::None };
            self.evict(slot);
            evicted += 1;
            if evicted % LOOK_EVERY == 0 && now_nanos() - start > LIMIT_NANOS {
                return Room::Evicting;
            }
        }
        Room::Enough
    }

    fn choose_victim(&mut self) -> Option<u32> {
        match self.limits.eviction {
            Eviction::AllkeysRandom | Eviction::VolatileRandom => self.any_candidate(),
            Eviction::AllkeysLru
            | Eviction::AllkeysLfu
            | Eviction::VolatileLru
            | Eviction::VolatileLfu
            | Eviction::VolatileTtl => self.best_candidate(),
            _ => None,
        }
    }

    /// One round of sampling into the pool at a time, until the pool names a key that is still there.
    fn best_candidate(&mut self) -> Option<u32> {
        loop {
            let candidates = self.candidates();
            if candidates == 0 {
                return None;
            }
            let mut pool = std::mem::take(&mut self.pool);
            self.sample((self.limits.samples as usize).min(candidates), &mut pool);
            if pool.sampled.is_empty() {
                pool.sampled.extend(self.any_candidate());
            }
            let mut sampled = std::mem::take(&mut pool.sampled);
            for slot in sampled.drain(..) {
                pool.offer(self.score(slot), self.key(slot));
            }
            pool.sampled = sampled;
            let mut found = None;
            while let Some(key) = pool.take_best() {
                // A key that was deleted or made persistent since it was sampled is a ghost.
                found = self.peek(&key).filter(|slot| self.is_candidate(*slot));
                if found.is_some() {
                    break;
                }
            }
            self.pool = pool;
            if found.is_some() {
                return found;
            }
        }
    }

    fn candidates(&self) -> usize {
        if self.limits.eviction.takes_all_keys() { self.written_len() } else { self.volatile_len() }
    }

    fn is_candidate(&self, slot: u32) -> bool {
        self.limits.eviction.takes_all_keys() || self.deadline(slot).is_some()
    }

    /// A candidate of a random bucket that is not empty.
    fn any_candidate(&mut self) -> Option<u32> {
        if self.candidates() == 0 {
            return None;
        }
        for _ in 0..TRIES {
            let bucket = self.any_bucket();
            let among = self.bucket(bucket).count();
            if among > 0 {
                let chosen = self.stream_below(among);
                return self.bucket(bucket).nth(chosen);
            }
        }
        if self.limits.eviction.takes_all_keys() { self.any_slot(TRIES) } else { self.any_volatile() }
    }

    /// About so many candidates of neighbouring buckets.
    fn sample(&mut self, count: usize, pool: &mut Pool) {
        let Pool { sampled, bucket: here, .. } = pool;
        let (mut found, mut empty) = (0, 0);
        let mut bucket = self.any_bucket();
        for _ in 0..count * BUCKETS_PER_SAMPLE {
            here.clear();
            here.extend(self.bucket(bucket));
            for slot in here.iter() {
                // Whoever is last in a crowded bucket has the same chance as the first.
                if found < count {
                    sampled.push(*slot);
                } else if let Some(place) = sampled.get_mut(self.stream_below(found + 1)) {
                    *place = *slot;
                }
                found += 1;
            }
            if found >= count {
                return;
            }
            empty = if here.is_empty() { empty + 1 } else { 0 };
            if empty >= MOST_EMPTY && empty > count {
                empty = 0;
                bucket = self.any_bucket();
            }
            bucket = self.next_bucket(bucket);
        }
    }

    /// The higher, the rather evicted.
    fn score(&self, slot: u32) -> u64 {
        let touched = self.touched(slot);
        match self.limits.eviction {
            Eviction::AllkeysLfu | Eviction::VolatileLfu => {
                let counter = lfu::decayed(touched, self.clock.lfu_minutes(), self.limits.lfu_decay_minutes);
                u64::from(u8::MAX - counter)
            }
            Eviction::VolatileTtl => u64::MAX - self.deadline(slot).unwrap_or(u64::MAX),
            _ => u64::from(self.idle_seconds(slot)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_pool_keeps_the_best() {
        let mut pool = Pool::default();
        for score in [5, 3, 9, 1, 7, 7, 2, 8, 4, 6, 10, 12, 11, 14, 13, 15, 16, 0, 20] {
            pool.offer(score, score.to_string().as_bytes());
        }
        let order: Vec<_> = std::iter::from_fn(|| pool.take_best()).collect();
        assert_eq!(order.len(), POOL_SIZE);
        assert_eq!(order[0], b"20");
        assert_eq!(order[POOL_SIZE - 1], b"3", "0, 1 and 2 found no place");
    }
}
