//! Key-value stores.

use crate::units::Bytes;

/// Redis's role: commands are executed one at a time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KvStore {
    /// The limit on records' memory; none means unlimited.
    pub max_memory: Option<Bytes>,
    /// What happens at the limit.
    pub eviction: Eviction,
    /// Keys sampled per eviction (Redis's `maxmemory-samples`).
    pub samples: u32,
}

/// What a store does when a write would pass its memory limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// Refuses the write.
    NoEviction,
    /// Evicts, among keys with a TTL, one that seems least recently used.
    VolatileLru,
}
