//! Keys by chance.

use super::Data;

impl Data {
    /// A random number below another.
    pub(in crate::store) fn stream_below(&mut self, limit: usize) -> usize {
        self.stream.below(limit as u64) as usize
    }

    /// Any bucket of the table from which keys are evicted: of all keys, or of those with a TTL.
    pub(in crate::store) fn any_bucket(&mut self) -> u32 {
        let takes_all = self.limits.eviction.takes_all_keys();
        self.stream.below(if takes_all { 1 << 32 } else { self.volatile.buckets() as u64 }) as u32
    }

    /// The one after it, and after the last the first.
    pub(in crate::store) fn next_bucket(&self, bucket: u32) -> u32 {
        match self.limits.eviction.takes_all_keys() {
            true => self.index.next_bucket(bucket),
            false => (bucket + 1) % self.volatile.buckets() as u32,
        }
    }

    /// The slots in it.
    pub(in crate::store) fn bucket(&self, bucket: u32) -> impl Iterator<Item = u32> {
        let takes_all = self.limits.eviction.takes_all_keys();
        let all = takes_all.then(|| self.index.bucket_slots(bucket));
        let volatile = (!takes_all).then(|| self.volatile.bucket_slots(bucket as usize));
        all.into_iter().flatten().chain(volatile.into_iter().flatten())
    }

    /// Any key that was written; the first found from a random place on after so many tries.
    pub(in crate::store) fn any_slot(&mut self, tries: usize) -> Option<u32> {
        let among = self.slots.len();
        if self.index.len() == 0 {
            return None;
        }
        for _ in 0..tries {
            let slot = self.stream.below(among as u64) as usize;
            if !self.slots[slot].record.is_none() {
                return Some(slot as u32);
            }
        }
        let from = self.stream.below(among as u64) as usize;
        let mut all = (from..among).chain(0..from);
        all.find(|slot| !self.slots[*slot].record.is_none()).map(|slot| slot as u32)
    }

    /// Any key with a TTL.
    pub(in crate::store) fn any_volatile(&mut self) -> Option<u32> {
        let among = self.volatile.len() as u64;
        (among > 0).then(|| self.volatile.slot(self.stream.below(among) as u32))
    }
}
