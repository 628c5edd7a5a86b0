//! When records expire.

use super::{Data, NOT_VOLATILE};

/// The longest lifetime: 2^48 ms are 8,900 years.
const LONGEST_MS: u64 = 1 << 48;
/// Buckets added or taken away with each key that comes or goes; the keys' number changes by one.
const BUCKETS_PER_CHANGE: usize = 4;

impl Data {
    /// Records with a TTL.
    pub(crate) fn volatile_len(&self) -> usize {
        self.volatile.len()
    }

    /// When a key expires, by the store's clock.
    #[inline]
    pub(in crate::store) fn deadline(&self, slot: u32) -> Option<u64> {
        match self.slot(slot).volatile_at {
            NOT_VOLATILE => None,
            place => Some(self.volatile.deadline_ms(place)),
        }
    }

    /// Whether it is past by the store's clock that a key is there. At its deadline itself it still is (db.c:
    /// `keyIsExpired`).
    #[inline]
    pub(in crate::store) fn is_expired(&self, slot: u32) -> bool {
        self.deadline(slot).is_some_and(|deadline| deadline < self.clock.now_ms())
    }

    /// Lets a key expire so long from now; at once where that is zero.
    pub(super) fn set_deadline(&mut self, slot: u32, in_ms: u64) {
        let now = self.clock.now_ms();
        let deadline = if in_ms == 0 { now.saturating_sub(1) } else { now + in_ms.min(LONGEST_MS) };
        match self.slot(slot).volatile_at {
            NOT_VOLATILE => {
                let tag = self.hasher.tag(self.key(slot));
                let place = self.volatile.insert(slot, tag, deadline);
                self.change_lifetime(slot, place);
                self.note_tables();
                self.approach_tables(BUCKETS_PER_CHANGE);
            }
            place => self.volatile.set_deadline(place, deadline),
        }
    }

    /// Notes where among the keys with a TTL a record is, and what of memory that changes.
    fn change_lifetime(&mut self, slot: u32, volatile_at: u32) {
        let old = self.bytes(slot);
        self.slot_mut(slot).volatile_at = volatile_at;
        self.records_bytes = self.records_bytes - old + self.bytes(slot);
    }

    pub(super) fn leave_volatile(&mut self, slot: u32) {
        let place = self.slot(slot).volatile_at;
        if place == NOT_VOLATILE {
            return;
        }
        self.change_lifetime(slot, NOT_VOLATILE);
        if let Some(moved) = self.volatile.remove(place) {
            self.slot_mut(moved).volatile_at = place;
        }
        self.approach_tables(BUCKETS_PER_CHANGE);
    }

    /// Gives a key that is there an expiry. One that is already past removes it.
    pub(in crate::store) fn expire_slot(&mut self, slot: u32, in_ms: i64) {
        self.changes += 1;
        self.note(slot);
        match u64::try_from(in_ms) {
            Ok(ms) if ms > 0 => self.set_deadline(slot, ms),
            _ => self.remove_slot(slot),
        }
    }

    /// Takes a key's expiry away; whether it had one.
    pub(crate) fn persist(&mut self, key: &[u8]) -> bool {
        let Some(slot) = self.find(key) else { return false };
        let had = self.deadline(slot).is_some();
        if had {
            self.changes += 1;
            self.note(slot);
            self.leave_volatile(slot);
        }
        had
    }

    /// How long a key has left in milliseconds: none where there is no key, `Some(None)` where it has no expiry.
    pub(crate) fn remaining_ms(&mut self, key: &[u8]) -> Option<Option<u64>> {
        let slot = self.find(key)?;
        Some(self.deadline(slot).map(|deadline| deadline - self.clock.now_ms()))
    }

    /// How long the keys with a TTL have left on average, in milliseconds, by a few of them.
    pub(crate) fn mean_remaining_ms(&self) -> u64 {
        let step = (self.volatile.len() / 16).max(1);
        let now = self.clock.now_ms();
        let places = (0..self.volatile.len() as u32).step_by(step);
        let left = places.map(|place| self.volatile.deadline_ms(place).saturating_sub(now));
        let (sum, count) = left.fold((0, 0), |(sum, count), ms| (sum + ms, count + 1));
        u64::checked_div(sum, count).unwrap_or(0)
    }

    /// How many buckets the keys with a TTL are in.
    pub(in crate::store) fn volatile_buckets(&self) -> usize {
        self.volatile.buckets()
    }

    /// Removes the expired keys of a bucket: how many keys there were, and how many of them were expired.
    pub(in crate::store) fn expire_bucket(&mut self, bucket: usize, slots: &mut Vec<u32>) -> (u64, u64) {
        slots.clear();
        slots.extend(self.volatile.bucket_slots(bucket));
        let seen = slots.len() as u64;
        slots.retain(|slot| self.is_expired(*slot));
        slots.iter().for_each(|slot| self.remove_slot(*slot));
        self.counts.expired += slots.len() as u64;
        (seen, slots.len() as u64)
    }
}
