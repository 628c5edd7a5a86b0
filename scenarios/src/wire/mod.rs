//! The file as written: every table and key, decoded from a spanned TOML tree, without regard to what it means.
//!
//! Start at [`File`]. Each declaration, in the file of its table, is the one source of the struct, its decoder and its
//! JSON Schema. A component kind has a file of its own here, in `scenario` and in `validate`. Rules that look at more than
//! one key are `validate`'s.

#[macro_use]
mod macros;
mod balancer;
mod calibration;
mod cdn;
mod component;
mod curve;
pub(crate) mod decode;
mod exchange;
mod fault;
mod host;
mod http_cache;
mod job;
mod keyspace;
mod kv_store;
mod network;
mod plan;
pub(crate) mod policy;
mod prelude;
mod published;
mod queue;
mod request;
mod service;
mod sql_store;
pub(crate) mod step;
mod threshold;
mod traffic;
mod twin;
mod variant;
pub(crate) mod workers;

pub(crate) use balancer::{HealthCheck, LoadBalancer, Tls, Vip, Weights};
pub(crate) use calibration::{Calibration, ComponentCalibration, Overlay};
pub(crate) use cdn::Cdn;
pub(crate) use component::{Component, ComponentKind, Restarts};
pub(crate) use curve::OwnCurve;
pub(crate) use exchange::{Check, Extract, Feed};
pub(crate) use fault::{Breakdowns, Deploy, Fault};
pub(crate) use host::{CpuCredits, DiskChoice, Host, Steal};
pub(crate) use http_cache::{BackEndProbe, CacheThreads, HttpCache, Purge, Vary};
pub(crate) use job::Job;
pub(crate) use keyspace::Keyspace;
pub(crate) use kv_store::{KvFailover, KvStore};
pub(crate) use network::Link;
pub(crate) use plan::Plan;
pub(crate) use published::Published;
pub(crate) use queue::{Publish, Queue};
pub(crate) use request::{Get, RequestClass, Step};
pub(crate) use service::Service;
pub(crate) use sql_store::SqlStore;
pub(crate) use threshold::Limit;
pub(crate) use traffic::{
    Arrivals, Curve, Executor, Open, Replay, ReplayFormat, Session, SessionState, StateWord, Traffic,
    TrafficCommon,
};
pub(crate) use twin::{Twin, TwinTargets};
pub(crate) use variant::{Play, Score, Variant};

use decode::{Count, Keyed};
use prelude::*;

use crate::law::{DurationLaw, SizeLaw};
use crate::scenario::{Churn, Day, Language, Peers, Popularity, Sampling};
use crate::units::{Bandwidth, Bytes, Price, Rate, Ratio, SimTime, TrafficPrice};

/// Counts of things of which there must be one: machines, workers, connections.
pub(crate) type Some1M = Count<1, 1_000_000>;
/// Any natural number that fits a seed in TOML.
pub(crate) type AnyCount = Count<0, { i64::MAX as u64 }>;

table! {
    /// A scenario: the machines, the components on them, the requests, the traffic, the faults and what counts as good.
    File {
        /// What the scenario is about, in one line.
        required title: String,
        /// The question that the file answers.
        optional question: String,
        /// What came out, in a sentence or two: of all designs that the question compares, over the seeds of the scorecard.
        optional answer: String,
        /// How long is measured, from where, with which seed.
        required run: Run,
        /// The machines, by name.
        required hosts: Named<Host>,
        /// The network between them.
        default network: List<Link> = List::default(),
        /// What runs on them, by name: one instance on each machine of the host.
        required components: Named<Component>,
        /// Work that no request asks for, by name: backups, builds.
        default jobs: Named<Job> = Named::default(),
        /// Populations of keys in the stores, by name. Key number 7 of keyspace `products` is called `products:7`.
        default keyspaces: Named<Keyspace> = Named::default(),
        /// What callers do about calls that are slow or fail, by name.
        default policies: Named<policy::Policy> = Named::default(),
        /// The kinds of request, by name.
        required requests: Named<RequestClass>,
        /// Where requests come from and how fast, by name.
        required traffic: Named<Traffic>,
        /// Curves of the file's own, by name.
        default curves: Named<OwnCurve> = Named::default(),
        /// Data for requests, by name, from files.
        default feeds: Named<Feed> = Named::default(),
        /// What breaks, when, and for how long.
        default faults: List<Fault> = List::default(),
        /// What counts as good, in k6's syntax, by metric: `"response_time{during:fault}" = ["p(99)<500ms"]`.
        default thresholds: Keyed<List<Limit>> = Keyed::default(),
        /// Figures that somebody published, and outcomes that must hold.
        default published: List<Published> = List::default(),
        /// The scenario with some of its values changed, by name: designs that are held against each other.
        default variants: Named<Variant> = Named::default(),
        /// Which designs are looked through for the cheapest that holds.
        optional plan: Plan,
        /// The part that is played over sockets.
        optional play: Play,
        /// The part that the scorecard runs.
        optional score: Score,
        /// Which cases of the file are held against a measurement.
        optional twin: Twin,
        /// Fixed costs of the real stack, measured on other runs. Only the simulator reads them.
        optional calibration: Calibration,
    }
}

table! {
    /// The run's frame.
    Run {
        /// How long is measured.
        required duration: SimTime,
        /// How long the load lasts before that, unmeasured; `auto` has `sim run` find out, by MSER-5 in a run before the run.
        default warmup: Warmup = Warmup(Some(SimTime::ZERO)),
        /// Where the measured part starts on the timeline of curves, stages and faults; zero is Monday 00:00.
        default from: SimTime = SimTime::ZERO,
        /// All randomness follows from it.
        default seed: AnyCount = Count(1),
        /// How many keys of cache keyspaces the simulator follows: `exact` for every one, `1/64` for one in 64; `auto` is
        /// exact in stores of up to 20 million cache keys.
        default sampling: Sampling = Sampling::Auto,
    }
}

/// A warm-up; none where it is to be found out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Warmup(pub(crate) Option<SimTime>);

impl std::str::FromStr for Warmup {
    type Err = crate::quantity::Misread;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" { Ok(Self(None)) } else { text.parse().map(|length| Self(Some(length))) }
    }
}

impl std::fmt::Display for Warmup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            Some(length) => length.fmt(f),
            None => f.write_str("auto"),
        }
    }
}

quantities! {
    Warmup: r"^\s*([0-9][0-9_.]*\s*(ns|us|µs|ms|s|m|h|d|w)\s*)+$|^auto$", "30s";
    SimTime: r"^\s*([0-9][0-9_.]*\s*(ns|us|µs|ms|s|m|h|d|w)\s*)+$", "30s";
    Rate: r"^\s*[0-9][0-9_.]*\s*/\s*(s|second|m|min|minute|h|hour|d|day|w|week)\s*$", "550/s";
    Bytes: r"^\s*[0-9][0-9_.]*\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB|PB|PiB)\s*$", "64GiB";
    Ratio: r"^\s*[0-9][0-9_.]*\s*%\s*$", "0.1%";
    Bandwidth: r"^\s*[0-9][0-9_.]*\s*(bit/s|kbit/s|Mbit/s|Gbit/s)\s*$", "1Gbit/s";
    Price: r"^\s*[0-9][0-9_.]*\s*[A-Za-z]{1,8}\s*/month\s*$", "120 USD/month";
    Sampling: r"^\s*(auto|exact|1/[0-9]+)\s*$", "1/64";
    TrafficPrice: r"^\s*[0-9][0-9_.]*\s*[A-Za-z]{1,8}\s*/GB\s*$", "0.085 USD/GB";
    Day: r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2015-03-01";
    Churn: r"^\s*[0-9][0-9_.]*\s*%\s*/\s*(s|second|min|minute|h|hour|d|day|w|week)\s*$", "2%/day";
    Peers: r"^\s*[0-9a-fA-F:.]+(/[0-9]{1,3})?\s*$", "10.0.0.0/8";
    Language: r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{2,8})*$", "de-AT";
    Popularity: r"^\s*(uniform|zipf\(.*\))\s*$", "zipf(0.9)";
    DurationLaw: r"^\s*([0-9][0-9_.]*\s*(ns|us|µs|ms|s|m|h|d|w)\s*)+$|^\s*(lognormal|exponential|uniform)\s*\(.*\)\s*$", "lognormal(median=3ms, p99=15ms)";
    SizeLaw: r"^\s*[0-9][0-9_.]*\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB|PB|PiB)\s*$|^\s*(lognormal|exponential|uniform)\s*\(.*\)\s*$", "lognormal(median=400B, p99=3kB)";
}
