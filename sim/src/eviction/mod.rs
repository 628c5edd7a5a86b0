//! What a store does when a write would pass its memory limit: Redis 7.0's policies, a file for each rule.
//!
//! After `performEvictions` in evict.c: rules that rank keys sample a few into a pool of sixteen and evict the pool's best
//! that still exists. A policy is a rule and what it looks at: all keys, or those with a lifetime.

pub(crate) mod lfu;
pub(crate) mod lru;
pub(crate) mod pool;
pub(crate) mod random;
pub(crate) mod ttl;

use scenarios::rng::Stream;
use scenarios::scenario::Eviction;

use crate::kv_store::dict::{Dict, Entry};
use pool::Pool;

/// How keys are ranked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Nothing is evicted: writes are refused.
    Refuse,
    Lru,
    Lfu,
    Random,
    Ttl,
}

/// A policy and what it remembers.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) rule: Rule,
    pub(crate) all_keys: bool,
    samples: usize,
    pool: Pool,
    pub(crate) stream: Stream,
    found: Vec<u32>,
}

impl Policy {
    pub(crate) fn new(eviction: Eviction, samples: u32, stream: Stream) -> Self {
        let (rule, all_keys) = match eviction {
            Eviction::VolatileLru => (Rule::Lru, false),
            Eviction::VolatileLfu => (Rule::Lfu, false),
            Eviction::VolatileRandom => (Rule::Random, false),
            Eviction::VolatileTtl => (Rule::Ttl, false),
            Eviction::AllkeysLru => (Rule::Lru, true),
            Eviction::AllkeysLfu => (Rule::Lfu, true),
            Eviction::AllkeysRandom => (Rule::Random, true),
            _ => (Rule::Refuse, false),
        };
        Self { rule, all_keys, samples: samples as usize, pool: Pool::default(), stream, found: Vec::new() }
    }

    /// The bits of a key that is written now, in nanoseconds of the server's clock.
    #[inline]
    pub(crate) fn created(&self, clock: u64) -> u32 {
        if self.rule == Rule::Lfu { lfu::created(clock) } else { lru::clock(clock) }
    }

    /// The bits of a key that is read now.
    #[inline]
    pub(crate) fn accessed(&mut self, used: u32, clock: u64) -> u32 {
        if self.rule == Rule::Lfu { lfu::accessed(used, clock, &mut self.stream) } else { lru::clock(clock) }
    }

    /// The bits of a key that is overwritten now: a SET looks the key up, and the new value takes over how often the
    /// old one was used (db.c: `setKey`, `dbOverwrite`).
    #[inline]
    pub(crate) fn overwritten(&mut self, used: u32, clock: u64) -> u32 {
        self.accessed(used, clock)
    }

    /// The place of the key to evict; none where no key may be evicted.
    pub(crate) fn victim(&mut self, keys: &mut Dict, clock: u64) -> Option<u32> {
        match self.rule {
            Rule::Refuse => None,
            Rule::Random => random::victim(keys, &mut self.stream),
            Rule::Lru => self.best(keys, |entry| lru::score(entry, clock)),
            Rule::Lfu => self.best(keys, |entry| lfu::score(entry, clock)),
            Rule::Ttl => self.best(keys, ttl::score),
        }
    }

    fn best(&mut self, keys: &mut Dict, score: impl Fn(&Entry) -> u64) -> Option<u32> {
        while !keys.is_empty() {
            keys.some_keys(self.samples, &mut self.stream, &mut self.found);
            for &place in &self.found {
                let entry = keys.at(place);
                self.pool.offer(score(entry), entry.key);
            }
            while let Some(key) = self.pool.best() {
                if let Some(place) = keys.find(key) {
                    return Some(place);
                }
            }
        }
        None
    }

    /// The process died.
    pub(crate) fn forget(&mut self) {
        self.pool = Pool::default();
    }
}
