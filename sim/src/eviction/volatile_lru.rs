//! Redis's `volatile-lru`: among keys with a TTL, one that a few samples say is least recently used.
//!
//! After `performEvictions` in Redis 7.0's evict.c: sample some keys with a TTL into the pool, evict the pool's best that
//! still exists. The clock ticks in seconds, as Redis's does, so keys used within one second tie.

use scenarios::rng::Stream;

use super::pool::Pool;
use crate::table::Table;

#[derive(Clone, Debug)]
pub(crate) struct VolatileLru {
    samples: u32,
    pool: Pool,
    stream: Stream,
}

impl VolatileLru {
    pub(crate) fn new(samples: u32, stream: Stream) -> Self {
        Self { samples, pool: Pool::default(), stream }
    }

    /// The slot of the key to evict; none when no key has a TTL.
    pub(crate) fn victim(&mut self, table: &Table, clock_seconds: u32) -> Option<usize> {
        while !table.is_empty() {
            // Redis walks consecutive hash buckets from a random one (`dictGetSomeKeys`); so do we.
            let start = self.stream.below(table.capacity() as u64) as usize;
            for entry in table.from(start).take((self.samples as usize).min(table.len())) {
                self.pool.offer(u64::from(clock_seconds.saturating_sub(entry.used)), entry.key);
            }
            while let Some(key) = self.pool.best() {
                if let Some(slot) = table.find(key) {
                    return Some(slot);
                }
            }
        }
        None
    }

    pub(crate) fn forget(&mut self) {
        self.pool = Pool::default();
    }
}
