//! Key-value stores, as written.

use crate::scenario::Eviction;
use crate::units::Bytes;

use super::prelude::*;

table! {
    /// Keeps keys in memory; commands are executed one at a time (Redis's role).
    KvStore {
        /// The limit on records' memory; unlimited without it.
        optional max_memory: Bytes,
        /// What happens at the limit.
        default eviction: Eviction = Eviction::NoEviction,
        /// Keys sampled per eviction.
        default samples: Count<1, 64> = Count(5),
    }
}

words!(Eviction {
    "noeviction" => NoEviction,
    "volatile-lru" => VolatileLru,
    "volatile-lfu" => VolatileLfu,
    "volatile-random" => VolatileRandom,
    "volatile-ttl" => VolatileTtl,
    "allkeys-lru" => AllkeysLru,
    "allkeys-lfu" => AllkeysLfu,
    "allkeys-random" => AllkeysRandom,
});
