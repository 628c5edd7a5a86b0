//! What an HTTP cache counts, by Varnish's counters where it has them.

use results::sample::{COALESCED, EVICTIONS, EXPIRED, GRACE_HITS, HITS, MISSES, PASSES, PURGED};

/// What a cache counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Fresh objects found.
    pub hits: u64,
    /// Stale objects served (Varnish's `cache_hit` counts these too).
    pub grace_hits: u64,
    /// Objects not found, or past their grace, and fetched for it.
    pub misses: u64,
    /// Answers known not to be cacheable: fetched by each for itself.
    pub passes: u64,
    /// Lookups that had to wait for another's fetch (`busy_sleep`); they are looked up again, and count again, after it.
    pub coalesced: u64,
    /// Objects evicted for others (`n_lru_nuked`).
    pub evictions: u64,
    /// Objects past their end (`n_expired`).
    pub expired: u64,
    /// Objects purged, softly too.
    pub purged: u64,
    /// Stale objects that a conditional fetch confirmed.
    pub confirmed: u64,
    /// Answers that found no room (`n_lru_limited`).
    pub limited: u64,
}

impl Counts {
    /// Hands over those that a record has.
    pub(crate) fn put(&self, put: &mut impl FnMut(&'static str, f64)) {
        for (metric, count) in [
            (HITS, self.hits),
            (GRACE_HITS, self.grace_hits),
            (MISSES, self.misses),
            (PASSES, self.passes),
            (COALESCED, self.coalesced),
            (EVICTIONS, self.evictions),
            (EXPIRED, self.expired),
            (PURGED, self.purged),
        ] {
            put(metric, count as f64);
        }
    }
}
