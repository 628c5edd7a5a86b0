//! HTTP caches, what of a request class they keep, and purges.

use super::{ClassId, ComponentId, PathPart, Peers, Vary};
use crate::law::DurationLaw;
use crate::units::{Bytes, SimTime};

/// Varnish's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct HttpCache {
    /// Who is asked for what is not there.
    pub to: ComponentId,
    /// Whether each instance asks the one on its own machine; else it asks them in turn.
    pub same_host: bool,
    /// The size of the storage.
    pub memory: Bytes,
    /// How long an object may be served stale.
    pub grace: SimTime,
    /// How long after that it is kept for a conditional fetch.
    pub keep: SimTime,
    /// Whether requests for an object that is being fetched wait for it.
    pub coalesce: bool,
    /// For how long it is remembered that an answer cannot be cached.
    pub hit_for_miss: SimTime,
    /// For how long requests for an answer that cannot be cached are passed on; instead of `hit_for_miss`.
    pub hit_for_pass: Option<SimTime>,
    /// How back ends are found to be sick.
    pub probe: Option<BackEndProbe>,
    /// The threads of its process, where they are counted.
    pub threads: Option<CacheThreads>,
    /// Headers of an answer, which are stored with it.
    pub headers: Bytes,
    /// Whether what a `vary` counts as alike is made alike before objects are looked up.
    pub normalise: bool,
    /// How long a connection to the back end may take to open.
    pub connect_timeout: SimTime,
    /// How long the back end may stay silent once the request is sent.
    pub first_byte_timeout: SimTime,
    /// Of how many keys of a class the objects are there at the run's start, the most popular ones: a class has one keyspace in its
    /// path, or none and then one object.
    pub prefill: Vec<(ClassId, u64)>,
    /// Peers that tell by the PROXY protocol whose connections they pass on, and must (`-a 127.0.0.1:8443,PROXY`).
    pub accept_proxy: Vec<Peers>,
}

/// Asks each back end now and then whether it is well.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BackEndProbe {
    /// The path asked for.
    pub http: String,
    /// From the end of a probe to the start of the next.
    pub interval: SimTime,
    /// How long a probe may take.
    pub timeout: SimTime,
    /// How many of the latest probes count.
    pub window: u32,
    /// How many of those have to be good.
    pub threshold: u32,
    /// How many are taken for good when the cache starts.
    pub initial: u32,
}

/// Threads, one for each request and each fetch at work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheThreads {
    /// Pools of threads.
    pub pools: u32,
    /// The fewest in each.
    pub min: u32,
    /// The most in each.
    pub max: u32,
    /// New requests that wait for a thread of a pool, at most.
    pub queue: u32,
}

/// For how long caches keep the answers of a class, and under which names.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CacheRule {
    /// How long an answer is fresh.
    pub ttl: SimTime,
    /// How long it may be served stale, where not as the cache says.
    pub grace: Option<SimTime>,
    /// How long after that it is kept for a conditional fetch, where not as the cache says.
    pub keep: Option<SimTime>,
    /// Tags to purge it by.
    pub tags: Vec<Tag>,
    /// What beside the path tells objects apart.
    pub vary: Vec<Vary>,
}

/// A tag, in which places of keyspaces stand for a key's number.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tag {
    /// Text and keys in turn.
    pub parts: Vec<PathPart>,
}

/// What an answer includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Esi {
    /// The class of the parts.
    pub include: ClassId,
    /// How many parts.
    pub count: u32,
}

/// A purge by tags.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Purge {
    /// The HTTP cache.
    pub cache: ComponentId,
    /// The tags.
    pub tags: Vec<Tag>,
    /// Whether objects become stale instead of being thrown out.
    pub soft: bool,
    /// How much later it happens.
    pub delay: Option<DurationLaw>,
}
