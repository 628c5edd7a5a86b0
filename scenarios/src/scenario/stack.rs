//! What runs where: machines, components of each kind, populations of keys.

use super::{ComponentId, HostId};
use crate::law::{DurationLaw, SizeLaw};
use crate::units::{Bytes, Price, Ratio, SimTime};

/// A machine, or several equal ones.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Host {
    /// Its name in the file.
    pub name: String,
    /// How many there are.
    pub count: u32,
    /// Processor cores of each, shared by the components on it, first come first served.
    pub cores: u32,
    /// Main memory of each.
    pub memory: Option<Bytes>,
    /// What each costs.
    pub price: Option<Price>,
}

/// A piece of the stack: one instance on each machine of its host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Component {
    /// Its name in the file.
    pub name: String,
    /// Where its instances run.
    pub host: HostId,
    /// What it is.
    pub kind: ComponentKind,
}

/// What a component is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ComponentKind {
    /// Spreads requests over the instances of another component.
    LoadBalancer(LoadBalancer),
    /// Answers requests by walking the steps of their class.
    Service(Service),
    /// Redis's role.
    KvStore(KvStore),
    /// MySQL's role.
    SqlStore(SqlStore),
}

impl ComponentKind {
    /// The kind's name in the file.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::LoadBalancer(_) => "load-balancer",
            Self::Service(_) => "service",
            Self::KvStore(_) => "kv-store",
            Self::SqlStore(_) => "sql-store",
        }
    }
}

/// HAProxy's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LoadBalancer {
    /// The component whose instances are the servers.
    pub to: ComponentId,
    /// How a server is chosen.
    pub balance: Balance,
    /// How the servers' health is found out. Without it every server counts as up.
    pub health_check: Option<HealthCheck>,
    /// How often a failed *connection* is tried again. A request of which something was sent is never repeated.
    pub retries: u32,
    /// Whether a retry goes to another server at once (HAProxy's `option redispatch 1`); else to the same one,
    /// after a turn-around of the smaller of `connect_timeout` and one second.
    pub redispatch: bool,
    /// How long a connection to a server may take to open.
    pub connect_timeout: SimTime,
    /// How long a server may stay silent once the request is sent.
    pub server_timeout: SimTime,
}

/// How a load balancer chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Balance {
    /// Each server in turn.
    RoundRobin,
}

/// Active health checks, by HAProxy's rules.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HealthCheck {
    /// The path asked for; an answer of 2xx or 3xx is a success.
    pub http: String,
    /// Between the starts of two checks of a server. Each server's first check has a random phase.
    pub interval: SimTime,
    /// How long a check may take; by default the interval.
    pub timeout: SimTime,
    /// Failures in a row that take a server out.
    pub fall: u32,
    /// Successes in a row that take it back in.
    pub rise: u32,
}

/// Apache's and PHP's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Service {
    /// Requests that are worked on at once, per instance.
    pub workers: u32,
    /// Connections that wait for a worker before the instance stops accepting (`listen`'s backlog).
    pub backlog: u32,
    /// What occupies a worker.
    pub worker_holds: WorkerHolds,
}

/// What occupies a service's worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerHolds {
    /// A request, from its first step to its answer.
    Request,
    /// A connection, from its acceptance to its close, idle or not.
    Connection,
}

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

/// MySQL's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqlStore {
    /// Statements executed at once; others wait in order.
    pub connections: u32,
    /// Processor time of one `select`, whatever the number of rows.
    pub read: DurationLaw,
    /// Processor time of one `update`.
    pub write: DurationLaw,
}

/// A population of keys that live in one store (and, where SQL is asked for them, in its table of that name).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Keyspace {
    /// Its name in the file. Key number `i` is called `name:i`.
    pub name: String,
    /// The key-value store that holds it.
    pub store: ComponentId,
    /// How many different keys there are. Key number 0 is the most popular.
    pub keys: u64,
    /// Whether every key is there from the start and never evicted (it has no TTL).
    pub persistent: bool,
    /// How long a key of a cache keyspace lives after it was written; none for persistent ones.
    pub ttl: Option<Ttl>,
    /// How requests choose among the keys.
    pub popularity: Popularity,
    /// The size of a value; a key's value has the same size in every run of the seed.
    pub value: SizeLaw,
    /// How many of the most popular keys of a cache keyspace are in the store before the run starts. Their remaining
    /// lifetimes are uniform over the TTL; the most popular was written last.
    pub prefill: u64,
}

/// The lifetime of a key, drawn at each write: uniform on `base` × (1 ± `jitter`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ttl {
    /// The middle.
    pub base: SimTime,
    /// Half the width as a share of the base.
    pub jitter: Ratio,
}

/// How requests choose among a keyspace's keys.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Popularity {
    /// Each as often as any other.
    Uniform,
    /// Key number i (from 0) in proportion to (i + 1)^-exponent.
    Zipf {
        /// The exponent, above 0.
        exponent: f64,
    },
}
