//! The size of a dictionary's table where the keys themselves are not followed: how many buckets, and for how long two
//! tables stand side by side while keys move. After dict.c, as `dict` is.

use scenarios::memory::MOST_LOAD;

use super::dict::FEWEST_BUCKETS;

const FEWEST: u64 = FEWEST_BUCKETS as u64;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Table {
    keys: u64,
    buckets: u64,
    /// The number of buckets of the table that keys move to, and how many of the old one's have been dealt with.
    moving: Option<(u64, u64)>,
}

impl Table {
    /// The table that a file with so many keys was loaded into.
    pub(crate) fn loaded(keys: u64) -> Self {
        Self { keys, buckets: if keys == 0 { 0 } else { keys.next_power_of_two().max(FEWEST) }, moving: None }
    }

    pub(crate) fn bytes(&self) -> u64 {
        8 * (self.buckets + self.moving.map_or(0, |(buckets, _)| buckets))
    }

    #[cfg(test)]
    pub(crate) fn is_moving(&self) -> bool {
        self.moving.is_some()
    }

    /// An operation deals with one bucket on the way.
    #[inline]
    pub(crate) fn move_buckets(&mut self, buckets: u64) {
        if let Some((to, done)) = &mut self.moving {
            *done += buckets;
            if *done >= self.buckets {
                (self.buckets, self.moving) = (*to, None);
            }
        }
    }

    /// So many keys come in. The table may grow where `allowed` says so of the bytes that it takes.
    pub(crate) fn insert(&mut self, keys: u64, allowed: impl FnOnce(u64) -> bool) {
        self.move_buckets(keys);
        if self.buckets == 0 {
            self.buckets = FEWEST;
        } else if self.moving.is_none() && self.keys >= self.buckets {
            let grown = (self.keys + 1).next_power_of_two();
            if self.keys as f64 > MOST_LOAD * self.buckets as f64 || allowed(grown * 8) {
                self.moving = Some((grown, 0));
            }
        }
        self.keys += keys;
    }

    /// So many keys go.
    pub(crate) fn remove(&mut self, keys: u64) {
        self.move_buckets(keys);
        self.keys -= keys;
    }

    /// Shrinks a table of which less than a tenth is used.
    pub(crate) fn shrink_if_sparse(&mut self) {
        if self.moving.is_none() && self.buckets > FEWEST && self.keys * 10 < self.buckets {
            self.moving = Some((self.keys.next_power_of_two().max(FEWEST), 0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv_store::dict::{Dict, Entry};

    #[test]
    fn a_table_without_its_keys_has_the_size_of_one_with_them() {
        let (mut table, mut dict) = (Table::default(), Dict::default());
        for key in 1..=50_000 {
            let allowed = |_| key % 3 == 0;
            table.insert(1, allowed);
            dict.insert(Entry::new(key, 0, 0, 0), allowed);
            if !table.is_moving() && !dict.is_moving() {
                assert_eq!(table.bytes(), dict.buckets() as u64 * 8, "{key} keys");
            }
        }
        assert_eq!(Table::loaded(50_000).bytes(), 65_536 * 8);
    }
}
