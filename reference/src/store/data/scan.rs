//! Visiting all records, a few at a time, while others come and go.

use super::Data;
use crate::store::standing::Standing;

impl Data {
    /// Where [`Data::scan`] finds a slot.
    pub(in crate::store) fn place_of(&self, slot: u32) -> u64 {
        self.standing.iter().map(Standing::all).sum::<u64>() + u64::from(slot)
    }

    /// Where it finds one that only stands.
    pub(super) fn place_of_standing(&self, keyspace: usize, number: u64) -> u64 {
        self.standing[..keyspace].iter().map(Standing::all).sum::<u64>() + number
    }

    /// Visits keys that are there from a place on, at least `count` places if there are so many, and says where to go on;
    /// zero at the end. Whatever is there all the time is visited: those that only stand come first, as they can become
    /// written ones, and written ones never change their place.
    pub(in crate::store) fn scan(
        &self,
        from: u64,
        count: u64,
        mut visit: impl FnMut(&[u8], Option<u32>),
    ) -> u64 {
        let (mut at, end) = (from, from.saturating_add(count));
        let mut name = Vec::new();
        let mut start = 0;
        for standing in &self.standing {
            while at < end && at < start + standing.all() {
                if standing.name(at - start, &mut name) {
                    visit(&name, None);
                }
                at += 1;
            }
            start += standing.all();
        }
        while at < end && at >= start {
            let slot = at - start;
            let Some(here) = self.slots.get(slot as usize) else { return 0 };
            let slot = slot as u32;
            if !here.record.is_none() && !self.is_expired(slot) {
                visit(here.record.key(), Some(slot));
            }
            at += 1;
        }
        if at >= start + self.slots.len() as u64 { 0 } else { at }
    }
}
