//! Key-value stores, as written.

use crate::scenario::{Eviction, ShardBy};
use crate::units::{Bytes, SimTime};

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
        /// Copies of the store, each on a machine of its own that nothing else uses.
        default replicas: Count<0, 16> = Count(0),
        /// By how much the copies are behind: writes of so long before the store's death are lost with it.
        default replication_lag: SimTime = SimTime::from_millis(1),
        /// What makes a copy take over from a store that does not answer. Without it, the store is waited for.
        optional failover: KvFailover,
        /// Snapshots to disk, for which the process forks.
        optional snapshot: KvSnapshot,
        /// How keys are spread over the machines of its host, each of which is a shard with a thread, a `max_memory` and
        /// `replicas` of its own. Without it the store is on one machine.
        optional shards: KvShards,
    }
}

table! {
    /// Shards of a store by the hash of a key's name.
    KvShards {
        /// `crc16`: as Redis Cluster does it, 16,384 slots in equal ranges. `ketama`: as clients of memcached do it, 160
        /// points for each shard on a circle.
        required by: ShardBy,
    }
}

words!(ShardBy { "crc16" => Crc16, "ketama" => Ketama });

table! {
    /// A failover: by Redis Sentinel or by hand, as the times say.
    KvFailover {
        /// From the store's last answer until it is taken for dead.
        required detect: SimTime,
        /// From there until the application talks to a copy.
        required switch: SimTime,
    }
}

table! {
    /// Snapshots. While a process forks it answers nothing.
    KvSnapshot {
        /// Between two of them.
        required every: SimTime,
        /// How long a fork takes for each gigabyte in memory.
        required fork_per_gb: SimTime,
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
