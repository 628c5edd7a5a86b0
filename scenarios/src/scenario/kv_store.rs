//! Key-value stores.

use crate::units::{Bytes, SimTime};

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
    /// Copies of it, each on a machine of its own.
    pub replicas: u32,
    /// By how much the copies are behind.
    pub replication_lag: SimTime,
    /// From the store's last answer until a copy has taken over; none where nothing does that.
    pub failover: Option<SimTime>,
    /// Snapshots to disk.
    pub snapshot: Option<Snapshot>,
    /// How keys are spread over the machines of its host; none where there is one machine that has them all.
    pub shards: Option<ShardBy>,
}

/// How the name of a key says on which shard it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShardBy {
    /// Redis Cluster: CRC16 modulo 16,384 slots, of which each shard has an equal range.
    Crc16,
    /// Consistent hashing by clients, as libketama does it: the next of 160 points that each shard has on a circle.
    Ketama,
}

impl ShardBy {
    /// Its word in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Crc16 => "crc16",
            Self::Ketama => "ketama",
        }
    }
}

/// Snapshots of a store to disk: for each, the process forks, and answers nothing while it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Snapshot {
    /// Between two of them.
    pub every: SimTime,
    /// How long a fork takes for each gigabyte (10^9 bytes) in memory.
    pub fork_per_gb: SimTime,
}

/// What a store does when a write would pass its memory limit: Redis's `maxmemory-policy`. The `volatile` ones look among
/// keys with a TTL, the others among all keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Eviction {
    /// Refuses the write.
    NoEviction,
    /// Evicts one that seems least recently used, among keys with a TTL.
    VolatileLru,
    /// Evicts one that seems least often used, among keys with a TTL.
    VolatileLfu,
    /// Evicts any, among keys with a TTL.
    VolatileRandom,
    /// Evicts one that expires soon.
    VolatileTtl,
    /// Evicts one that seems least recently used, among all keys.
    AllkeysLru,
    /// Evicts one that seems least often used, among all keys.
    AllkeysLfu,
    /// Evicts any, among all keys.
    AllkeysRandom,
}

impl Eviction {
    /// Every policy.
    pub const ALL: [Self; 8] = [
        Self::NoEviction,
        Self::VolatileLru,
        Self::VolatileLfu,
        Self::VolatileRandom,
        Self::VolatileTtl,
        Self::AllkeysLru,
        Self::AllkeysLfu,
        Self::AllkeysRandom,
    ];

    /// Its name in Redis's configuration and in a file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoEviction => "noeviction",
            Self::VolatileLru => "volatile-lru",
            Self::VolatileLfu => "volatile-lfu",
            Self::VolatileRandom => "volatile-random",
            Self::VolatileTtl => "volatile-ttl",
            Self::AllkeysLru => "allkeys-lru",
            Self::AllkeysLfu => "allkeys-lfu",
            Self::AllkeysRandom => "allkeys-random",
        }
    }

    /// Whether keys without a TTL may be evicted.
    pub const fn takes_all_keys(self) -> bool {
        matches!(self, Self::AllkeysLru | Self::AllkeysLfu | Self::AllkeysRandom)
    }
}
