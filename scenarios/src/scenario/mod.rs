//! The scenario as meant: names resolved to indices, defaults filled in, cross-field rules held.
//!
//! Only `validate` makes a [`Scenario`], so later code re-checks nothing. This module refuses to know how a file is
//! written; the types are `non_exhaustive`, so that no one else can make one that breaks a rule.

mod arrivals;
mod balancer;
mod calibration;
mod cdn;
mod component;
mod engine;
mod exchange;
mod fault;
mod host;
mod http_cache;
mod job;
mod keyspace;
mod kv_store;
mod network;
mod planning;
mod policy;
mod published;
mod queue;
mod request;
mod sampling;
mod service;
mod sql_store;
mod stack;
mod traffic;
mod twin;
mod vary;
mod workers;

use std::path::PathBuf;

pub use arrivals::{Peers, ProxyVersion, Tls};
pub use balancer::{Balance, HealthCheck, LoadBalancer, Observe, ObservedLayer, OnErrors, Probe, Vip};
pub use calibration::{Calibration, ComponentCalibration};
pub use cdn::{Cdn, EdgeRule};
pub use component::{Component, ComponentKind, Restarts};
pub use engine::{Engine, Server};
pub use exchange::{Check, Exchange, Extract, Feed, Text, TextPart};
pub use fault::{Breakdowns, Deploy, Fault, FaultKind, FaultTarget};
pub use host::{Cpu, CpuCredits, Disk, DiskClass, Host, Scheduling, Steal};
pub use http_cache::{BackEndProbe, CacheRule, CacheThreads, Esi, HttpCache, Purge, Tag};
pub use job::Job;
pub use keyspace::{Churn, Keyspace, Popularity, Ttl};
pub use kv_store::{Eviction, KvStore, ShardBy, Snapshot};
pub use network::{Link, Network, Place};
pub use planning::{Choice, Day, Knob, PlanCondition, Planning, Setting};
pub use policy::{
    Backoff, Bulkhead, CircuitBreaker, ConnectionPool, Hedge, Jitter, Policy, Retries, RetryBudget,
};
pub use published::{Claim, Observed, Play, Published, Role, SaidOf, Variant, Window};
pub use queue::{Overflow, Queue};
pub use request::{Action, Method, OnMiss, Path, PathPart, RequestClass, Step, ThirdParty, serializing};
pub use sampling::Sampling;
pub use service::{Service, WorkerHolds};
pub use sql_store::{Hibernation, Replicas, SqlStore};
pub use traffic::{
    Arrivals, Burst, Executor, Iterations, LoopEngine, Origin, Replay, Reuse, Session, SessionRecord,
    SessionState, Traffic, Users,
};
pub use twin::{BASE_CASE, Twin, TwinCase, TwinTargets};
pub use vary::{Language, Vary, VaryValue};
pub use workers::{Autoscale, Manager, ScaleMetric, WhenFull, WorkerPool};

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::threshold::Threshold;
use crate::units::{Seed, SimTime};

macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u16);

        impl $name {
            /// The position in the scenario's list.
            #[inline]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

index!(
    /// Names one of [`Scenario::hosts`].
    HostId
);
index!(
    /// Names one of [`Scenario::components`].
    ComponentId
);
index!(
    /// Names one of [`Scenario::keyspaces`].
    KeyspaceId
);
index!(
    /// Names one of [`Scenario::requests`].
    ClassId
);
index!(
    /// Names one of [`Scenario::policies`].
    PolicyId
);
index!(
    /// Names one of [`Scenario::traffic`].
    TrafficId
);

/// A whole scenario.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// What the file was, for the record.
    pub source: Source,
    /// What the scenario is about, in one line.
    pub title: String,
    /// The question that the file answers.
    pub question: Option<String>,
    /// What came out, in a sentence or two, of all designs that the question compares.
    pub answer: Option<String>,
    /// How long, from where, with which seed.
    pub run: Run,
    /// The machines. A host with a count stands for that many equal ones.
    pub hosts: Vec<Host>,
    /// The network between them.
    pub network: Network,
    /// What runs on them, one instance on each machine of its host.
    pub components: Vec<Component>,
    /// Work that no request asks for.
    pub jobs: Vec<Job>,
    /// The populations of keys in the stores.
    pub keyspaces: Vec<Keyspace>,
    /// What callers do about calls that are slow or fail: the named policies first, then those that stand in steps.
    pub policies: Vec<Policy>,
    /// The kinds of request.
    pub requests: Vec<RequestClass>,
    /// The names under which users keep what they extract of answers.
    pub kept: Vec<String>,
    /// Data for requests.
    pub feeds: Vec<Feed>,
    /// Where requests come from, and how fast.
    pub traffic: Vec<Traffic>,
    /// What breaks, in order of time. Those wholly outside the run are left out.
    pub faults: Vec<Fault>,
    /// What counts as good.
    pub thresholds: Vec<Threshold>,
    /// Figures that somebody published, and outcomes that must hold.
    pub published: Vec<Published>,
    /// The scenario with some of its values changed.
    pub variants: Vec<Variant>,
    /// What is planned; none where the file does not say.
    pub planning: Option<Planning>,
    /// What is played over sockets; none where the file does not say.
    pub play: Option<Play>,
    /// The part that the scorecard runs, and with how many seeds.
    pub score: (Window, u32),
    /// What is held against a measurement.
    pub twin: Twin,
    /// What the real stack's fixed costs were measured to be, for the simulator alone.
    pub calibration: Calibration,
    /// Where everything stands in the file, for those who must refuse something.
    pub locations: crate::diagnostic::Locations,
}

/// Where a scenario came from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Source {
    /// The file's path, or a name for what was compiled in.
    pub path: PathBuf,
    /// The text, complete.
    pub text: String,
    /// SHA-256 in lower-case hexadecimal: of the text, followed by the hashes of the files that it replays
    /// or feeds requests with.
    pub hash: String,
    /// Engines that were chosen beside the file, by component; see [`Scenario::choose_engines`].
    pub engines: Vec<(String, String)>,
}

/// The run's frame.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Run {
    /// How long is measured.
    pub duration: SimTime,
    /// How long the load lasts before that, unmeasured.
    pub warmup: SimTime,
    /// Whether that is still to be found out, by whoever runs the scenario.
    pub finds_warmup: bool,
    /// Where the measured part starts on the timeline of curves, stages and faults (Monday 00:00 is zero).
    pub from: SimTime,
    /// All randomness follows from it.
    pub seed: Seed,
    /// Whether a simulator follows every key.
    pub sampling: Sampling,
}

impl Run {
    /// Warm-up and measured part together: the run's end on its own axis.
    pub fn total(&self) -> SimTime {
        self.warmup + self.duration
    }

    /// A point of the run as nanoseconds on the timeline of curves and stages; negative before its zero.
    pub fn timeline_nanos(&self, at: SimTime) -> i64 {
        at.as_nanos() as i64 + self.from.as_nanos() as i64 - self.warmup.as_nanos() as i64
    }
}

impl Scenario {
    /// Reads a scenario file.
    ///
    /// # Errors
    /// With every problem of the file.
    pub fn load(path: &std::path::Path) -> Result<Self, Diagnostics> {
        let bytes = std::fs::read(path)
            .map_err(|error| Diagnostic::of_file(path, error.to_string(), "a readable scenario file"))?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Diagnostic::of_file(path, error.utf8_error().to_string(), "text in UTF-8"))?;
        Self::parse(path, text)
    }

    /// Reads a scenario from a text; `path` is what messages and records call it.
    ///
    /// # Errors
    /// With every problem of the text.
    ///
    /// ```
    /// let scenario = scenarios::Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
    /// assert!(!scenario.traffic.is_empty());
    /// ```
    pub fn parse(path: impl AsRef<std::path::Path>, text: impl Into<String>) -> Result<Self, Diagnostics> {
        crate::validate::scenario(path.as_ref(), text.into())
    }

    /// A problem with the value at a path of the file (`components.shop.worker_holds`), or, where the file leaves it
    /// out, with the nearest table around it.
    pub fn problem_at(
        &self,
        where_: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: Option<&str>,
    ) -> Diagnostic {
        let (line, column) = self.locations.position(where_);
        Diagnostic {
            path: self.source.path.clone(),
            line,
            column,
            where_: where_.to_owned(),
            found: found.into(),
            expected: expected.into(),
            hint: hint.map(str::to_owned),
        }
    }

    /// The problem that a world (`sim`, `reference`, `loadgen`) does not implement what stands at a path of the file.
    pub fn unsupported(&self, where_: &str, world: &str, hint: &str) -> Diagnostic {
        let found = self.locations.get(where_).map_or("the default", |l| l.found.as_str()).to_owned();
        self.problem_at(where_, found, format!("something that {world} supports"), Some(hint))
    }

    /// Whether the answers to a class are the same for all users, as HTTP caches keep them: they have no part in sessions.
    pub fn is_for_everybody(&self, class: ClassId) -> bool {
        let is_cache = |component: &Component| matches!(component.kind, ComponentKind::HttpCache(_));
        self.class(class).cache.is_some() && self.components.iter().any(is_cache)
    }

    /// Whether anything breaks in it: by a fault at its time, or a machine or a component by chance.
    pub fn breaks(&self) -> bool {
        !self.faults.is_empty()
            || self.hosts.iter().any(|host| host.breakdowns.is_some())
            || self.components.iter().any(|component| component.breakdowns.is_some())
    }

    /// The case of this name: of `[twin]`, the file as it is, or any of its variants.
    pub fn twin_case(&self, name: &str) -> Option<TwinCase> {
        let listed = self.twin.cases.iter().find(|case| case.name == name).cloned();
        let variant = || self.variants.iter().find(|variant| variant.name == name).map(TwinCase::of_variant);
        listed.or_else(variant).or_else(|| (name == BASE_CASE).then(TwinCase::base))
    }

    /// The host of this id.
    pub fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.index()]
    }

    /// The component of this id.
    pub fn component(&self, id: ComponentId) -> &Component {
        &self.components[id.index()]
    }

    /// The components that requests pass from one on, itself first, to the service that does what they ask.
    pub fn way(&self, entry: ComponentId) -> impl Iterator<Item = ComponentId> + '_ {
        std::iter::successors(Some(entry), |at| self.component(*at).kind.forwards_to())
    }

    /// The keyspace of this id.
    pub fn keyspace(&self, id: KeyspaceId) -> &Keyspace {
        &self.keyspaces[id.index()]
    }

    /// The request class of this id.
    pub fn class(&self, id: ClassId) -> &RequestClass {
        &self.requests[id.index()]
    }

    /// The number of instances of a component: one on each machine of its host.
    pub fn instances(&self, id: ComponentId) -> u32 {
        self.host(self.component(id).host).count
    }

    /// All component ids, in the file's order.
    pub fn component_ids(&self) -> impl Iterator<Item = ComponentId> + use<> {
        (0..self.components.len() as u16).map(ComponentId)
    }

    /// All keyspace ids, in the file's order.
    pub fn keyspace_ids(&self) -> impl Iterator<Item = KeyspaceId> + use<> {
        (0..self.keyspaces.len() as u16).map(KeyspaceId)
    }

    /// All request classes' ids, in the file's order.
    pub fn class_ids(&self) -> impl Iterator<Item = ClassId> + use<> {
        (0..self.requests.len() as u16).map(ClassId)
    }

    /// All traffic ids, in the file's order.
    pub fn traffic_ids(&self) -> impl Iterator<Item = TrafficId> + use<> {
        (0..self.traffic.len() as u16).map(TrafficId)
    }

    /// The policy of this id.
    pub fn policy(&self, id: PolicyId) -> &Policy {
        &self.policies[id.index()]
    }

    /// All host ids, in the file's order.
    pub fn host_ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u16).map(HostId)
    }

    /// The components on a host all of whose components are autoscaled, so that its machines come and go with them; none
    /// where a machine stays.
    pub fn scaled_on(&self, host: HostId) -> Vec<(&Component, Autoscale)> {
        let mut scaled = Vec::new();
        for component in self.components.iter().filter(|component| component.host == host) {
            match &component.kind {
                ComponentKind::Service(Service { autoscale: Some(rules), .. }) => {
                    scaled.push((component, *rules));
                }
                _ => return Vec::new(),
            }
        }
        scaled
    }
}
