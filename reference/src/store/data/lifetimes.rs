//! When records expire.

use super::{Data, NOT_VOLATILE};

/// The longest lifetime: 2^48 ms are 8,900 years.
const LONGEST_MS: u64 = 1 << 48;

/// A key with a TTL: its slot, and when it expires. In this form it takes twelve bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Volatile {
    pub(super) slot: u32,
    deadline_ms: [u32; 2],
}

impl Volatile {
    fn new(slot: u32, deadline_ms: u64) -> Self {
        Self { slot, deadline_ms: [deadline_ms as u32, (deadline_ms >> 32) as u32] }
    }

    fn deadline_ms(self) -> u64 {
        u64::from(self.deadline_ms[0]) | u64::from(self.deadline_ms[1]) << 32
    }
}

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
            place => Some(self.volatile[place as usize].deadline_ms()),
        }
    }

    pub(super) fn set_deadline(&mut self, slot: u32, in_ms: u64) {
        let entry = Volatile::new(slot, self.clock.now_ms() + in_ms.min(LONGEST_MS));
        match self.slot(slot).volatile_at {
            NOT_VOLATILE => {
                // A random place, whose owner moves to the end: keys that came together do not stand together, as in
                // Redis's tables. What walks along them relies on that.
                let end = u32::try_from(self.volatile.len()).expect("fewer than 2^32 records fit in memory");
                let place = self.stream.below(u64::from(end) + 1) as u32;
                self.volatile.push(entry);
                if place < end {
                    self.volatile.swap(place as usize, end as usize);
                    let moved = self.volatile[end as usize].slot;
                    self.slot_mut(moved).volatile_at = end;
                }
                self.change_lifetime(slot, place);
                self.note_tables();
            }
            place => self.volatile[place as usize] = entry,
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
        self.volatile.swap_remove(place as usize);
        if let Some(moved) = self.volatile.get(place as usize) {
            let moved = moved.slot;
            self.slot_mut(moved).volatile_at = place;
        }
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
        let left = self.volatile.iter().step_by(step).map(|v| v.deadline_ms().saturating_sub(now));
        let (sum, count) = left.fold((0, 0), |(sum, count), ms| (sum + ms, count + 1));
        u64::checked_div(sum, count).unwrap_or(0)
    }

    /// Removes the key at a place among those with a TTL, if it is expired; whether it was.
    pub(in crate::store) fn expire_at(&mut self, place: usize) -> bool {
        let volatile = self.volatile[place];
        let expired = volatile.deadline_ms() <= self.clock.now_ms();
        if expired {
            self.remove_slot(volatile.slot);
            self.counts.expired += 1;
        }
        expired
    }

    /// Any key with a TTL.
    pub(in crate::store) fn any_volatile(&mut self) -> Option<u32> {
        let among = self.volatile.len() as u64;
        (among > 0).then(|| self.volatile[self.stream.below(among) as usize].slot)
    }
}
