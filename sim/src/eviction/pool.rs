//! Redis's eviction pool: the sixteen best candidates seen so far, kept from one eviction to the next.
//!
//! After `evictionPoolPopulate` in Redis 7.0's evict.c. Candidates are names, not places: a key that was read since it
//! came into the pool is still evicted, and one that has gone is passed over.

const SIZE: usize = 16;

/// Candidates in order of their score (idle time, for one), the best to evict last. Of equals, the one that came first is
/// evicted first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    entries: Vec<(u64, u64)>,
}

impl Pool {
    /// Offers a candidate: its score and its key. A key may be in the pool more than once.
    pub(crate) fn offer(&mut self, score: u64, key: u64) {
        let place = self.entries.partition_point(|(s, _)| *s < score);
        if self.entries.len() < SIZE {
            self.entries.insert(place, (score, key));
        } else if place > 0 {
            // The lowest score makes room.
            self.entries.copy_within(1..place, 0);
            self.entries[place - 1] = (score, key);
        }
    }

    /// Takes the best candidate.
    pub(crate) fn best(&mut self) -> Option<u64> {
        self.entries.pop().map(|(_, key)| key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pool_keeps_the_sixteen_most_idle() {
        let mut pool = Pool::default();
        for i in 0..100_u64 {
            pool.offer((i * 37) % 100, i);
        }
        let idles: Vec<u64> = std::iter::from_fn(|| pool.best()).map(|key| (key * 37) % 100).collect();
        assert_eq!(idles, (84..100).rev().collect::<Vec<_>>());
    }
}
