//! What producers observe of components over time.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// One value of one instance's metric in one interval. A later value for the same place replaces an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// The interval of the frame.
    pub interval: usize,
    /// The component's name in the file, or [`GENERATOR`].
    pub component: String,
    /// Which instance, from 0.
    pub instance: u32,
    /// What, by one of the names below.
    pub metric: Cow<'static, str>,
    /// How much: the mean over the interval, the count in it, or the state at its end, as the metric says.
    pub value: f64,
}

/// The component name of the load generator itself.
pub const GENERATOR: &str = "generator";

/// The busy share of the component's cores or workers, 0 to 1; a mean.
pub const UTILISATION: &str = "utilisation";
/// How many wait; a mean.
pub const QUEUE: &str = "queue";
/// Instances that an autoscaler has, those that boot or drain included: what is paid for. Filed under the first; a mean.
pub const INSTANCES: &str = "instances";
/// Workers that wait on an idle connection for its next request; a mean.
pub const HELD: &str = "held";
/// Threads of a cache that work, where they are counted; a mean.
pub const THREADS: &str = "threads";
/// Requests, commands, statements or messages that came in; a count.
pub const REQUESTS: &str = "requests";
/// How many are being served; a mean.
pub const IN_SERVICE: &str = "in_service";
/// Keys asked for and found; a count.
pub const HITS: &str = "hits";
/// Stale objects served by a cache, beside its hits; a count.
pub const GRACE_HITS: &str = "grace_hits";
/// Requests that a cache passed on, knowing that their answers cannot be kept; a count.
pub const PASSES: &str = "passes";
/// Requests that waited at a cache for another's fetch; they count as hits or misses after it. A count.
pub const COALESCED: &str = "coalesced";
/// Objects that a cache was told to throw out or to take for stale; a count.
pub const PURGED: &str = "purged";
/// Keys asked for and not found; a count.
pub const MISSES: &str = "misses";
/// Keys evicted to make room; a count.
pub const EVICTIONS: &str = "evictions";
/// Keys removed at the end of their lifetime; a count.
pub const EXPIRED: &str = "expired";
/// Writes that were acknowledged and lost with a store, as its copy had not got them; a count.
pub const LOST_WRITES: &str = "lost_writes";
/// Keys held; a state.
pub const KEYS: &str = "keys";
/// Keys held that have a lifetime; a state.
pub const KEYS_WITH_TTL: &str = "keys_with_ttl";
/// Memory held, in bytes; a state. A store's is that of its records; that of all processes on a machine has the component
/// `host:` and its name.
pub const MEMORY_BYTES: &str = "memory_bytes";
/// Memory that counts towards a store's limit beside its records: of the server itself and of its clients, in bytes; a state.
pub const OVERHEAD_BYTES: &str = "overhead_bytes";
/// Connections open; a state.
pub const CONNECTIONS: &str = "connections";
/// Whether the process answers: 1 or 0, and in between where it did for a part of the interval; a mean.
pub const UP: &str = "up";
/// Cores of the machine that runs it all used by a process, the generator's or an instance's, by the kernel's account; a mean.
pub const CPU: &str = "cpu";
/// The share of all processors of the generator's machine that was busy, whoever used them; a mean.
pub const MACHINE_BUSY: &str = "machine_busy";
/// Cores taken away by the hypervisor; a mean.
pub const STEAL: &str = "steal";
/// Burst credits of a machine, of which one is a core for a minute; a state. The component is `host:` and its name.
pub const CPU_CREDITS: &str = "cpu_credits";
/// Processes that the kernel killed because memory ran out; a count. The component is `host:` and the machine's name.
pub const MEMORY_KILLS: &str = "memory_kills";
/// Calls made again after they failed; a count.
pub const RETRIES: &str = "retries";
/// Calls made beside slow ones; a count.
pub const HEDGES: &str = "hedges";
/// Calls given up because they took too long; a count.
pub const TIMEOUTS: &str = "timeouts";
/// Calls that the caller's own circuit breaker, bulkhead or pool refused; a count.
pub const REFUSED: &str = "refused";
/// Worker processes that there are; a state.
pub const WORKERS: &str = "workers";
/// The longest delay with which the generator's timer woke, in seconds.
pub const WAKEUP_LAG_MAX_S: &str = "wakeup_lag_max_s";

/// Reads of a replica that did not have the latest commit yet; a count.
pub const STALE_READS: &str = "stale_reads";
/// Commits that a new master never got; a count.
pub const LOST_COMMITS: &str = "lost_commits";
/// What of a store's history the copy that is furthest behind lacks, in bytes; a state.
pub const REPLICATION_LAG_BYTES: &str = "replication_lag_bytes";
/// Commits that a replica has not applied yet; a state.
pub const REPLICATION_QUEUE: &str = "replication_queue";
/// Updates that waited too long for their row; a count.
pub const LOCK_TIMEOUTS: &str = "lock_timeouts";
/// Statements that a database ended because they took too long; a count.
pub const STATEMENT_TIMEOUTS: &str = "statement_timeouts";
/// The busy share of a machine's disk, 0 to 1; a mean. The component is `host:` and the machine's name.
pub const DISK: &str = "disk";

/// The share of the time in which a machine's network interface sends; a mean. The component is `host:` and its name.
pub const NIC_OUT: &str = "nic_out";
/// The share of the time in which it receives; a mean.
pub const NIC_IN: &str = "nic_in";

/// Messages published to a queue; a count.
pub const PUBLISHED: &str = "published";
/// Messages that a server of another make delivered; a count.
pub const DELIVERED: &str = "delivered";
/// Messages that such a server says it has and has delivered to nobody; a state.
pub const MESSAGES_READY: &str = "messages_ready";
/// Messages that it has delivered and that nobody has acknowledged to it yet; a state.
pub const MESSAGES_UNACKNOWLEDGED: &str = "messages_unacknowledged";
/// Who takes messages from it; a state.
pub const CONSUMERS: &str = "consumers";
/// Messages that a consumer was done with; a count.
pub const ACKNOWLEDGED: &str = "acknowledged";
/// Messages that were put back, to be delivered again; a count.
pub const REDELIVERED: &str = "redelivered";
/// Messages that were delivered too often; a count.
pub const DEAD_LETTERED: &str = "dead_lettered";
/// Messages that a full queue refused or threw away, and those that died with it; a count.
pub const DROPPED: &str = "dropped";

/// Whether a metric counts events in the interval, so that values of several instances add up.
pub fn is_count(metric: &str) -> bool {
    [
        REQUESTS,
        HITS,
        MISSES,
        EVICTIONS,
        EXPIRED,
        GRACE_HITS,
        PASSES,
        COALESCED,
        PURGED,
        STALE_READS,
        LOST_COMMITS,
        LOST_WRITES,
        LOCK_TIMEOUTS,
        STATEMENT_TIMEOUTS,
        MEMORY_KILLS,
        RETRIES,
        HEDGES,
        TIMEOUTS,
        REFUSED,
        PUBLISHED,
        DELIVERED,
        ACKNOWLEDGED,
        REDELIVERED,
        DEAD_LETTERED,
        DROPPED,
    ]
    .contains(&metric)
}
