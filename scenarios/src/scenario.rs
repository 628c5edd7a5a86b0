//! The scenario as meant: names resolved to indices, defaults filled in, cross-field rules held.
//!
//! Only `validate` makes a [`Scenario`], so later code re-checks nothing. This module refuses to know how a file is
//! written; the types are `non_exhaustive`, so that no one else can make one that breaks a rule.

use std::path::PathBuf;

use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::law::{DurationLaw, SizeLaw};
use crate::rate::RateCurve;
use crate::threshold::Threshold;
use crate::units::{Bytes, Price, Ratio, Seed, SimTime};

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
    /// How long, from where, with which seed.
    pub run: Run,
    /// The machines. A host with a count stands for that many equal ones.
    pub hosts: Vec<Host>,
    /// What runs on them, one instance on each machine of its host.
    pub components: Vec<Component>,
    /// The populations of keys in the stores.
    pub keyspaces: Vec<Keyspace>,
    /// The kinds of request.
    pub requests: Vec<RequestClass>,
    /// Where requests come from, and how fast.
    pub traffic: Vec<Traffic>,
    /// What breaks, in order of time. Those wholly outside the run are left out.
    pub faults: Vec<Fault>,
    /// What counts as good.
    pub thresholds: Vec<Threshold>,
    /// Figures that somebody published and the scenario must reproduce.
    pub published: Vec<Published>,
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
    /// SHA-256 of the text, in lower-case hexadecimal.
    pub hash: String,
}

/// The run's frame.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Run {
    /// How long is measured.
    pub duration: SimTime,
    /// How long the load lasts before that, unmeasured.
    pub warmup: SimTime,
    /// Where the measured part starts on the timeline of curves, stages and faults (Monday 00:00 is zero).
    pub from: SimTime,
    /// All randomness follows from it.
    pub seed: Seed,
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

/// A kind of request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RequestClass {
    /// Its name in the file.
    pub name: String,
    /// The HTTP method.
    pub method: Method,
    /// The path, with places for keys.
    pub path: Path,
    /// What the service does for it, in order.
    pub steps: Vec<Step>,
    /// The size of the answer's body.
    pub response: SizeLaw,
}

/// HTTP methods that a scenario can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Method {
    /// GET.
    Get,
    /// POST, with an empty body.
    Post,
    /// PUT, with an empty body.
    Put,
    /// DELETE.
    Delete,
}

impl Method {
    /// As it stands in a request line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }
}

/// A path whose `{keyspace}` places are filled with the number of the request's first key of that keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Path {
    /// Text and keys in turn.
    pub parts: Vec<PathPart>,
}

/// A part of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathPart {
    /// Text as written.
    Text(String),
    /// The number of a key of this keyspace.
    Key(KeyspaceId),
}

/// One thing that a service does for a request.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Step {
    /// Another service that does this step, called synchronously; none means the service itself.
    pub at: Option<ComponentId>,
    /// What is done.
    pub action: Action,
}

/// What a step does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Action {
    /// Takes processor time on the host of whoever does it.
    Work(DurationLaw),
    /// Lets time pass without a processor (a third party's answer, a disk).
    Wait(DurationLaw),
    /// Reads the request's first `count` keys of a keyspace with one command (GET or MGET).
    Get {
        /// The keyspace, which names the store.
        keyspace: KeyspaceId,
        /// How many keys.
        count: u32,
        /// What is done about the keys that are not there. Without it a miss is just an empty answer.
        on_miss: Option<OnMiss>,
    },
    /// Writes the request's first `count` keys of a keyspace (SET with its TTL, pipelined where there are several).
    Set {
        /// The keyspace, which names the store.
        keyspace: KeyspaceId,
        /// How many keys.
        count: u32,
    },
    /// Reads the rows of the request's first `rows` keys of a keyspace with one statement.
    Select {
        /// The SQL store.
        database: ComponentId,
        /// The keyspace, which names the table.
        keyspace: KeyspaceId,
        /// How many rows.
        rows: u32,
    },
    /// Writes the rows of the request's first `rows` keys of a keyspace with one statement.
    Update {
        /// The SQL store.
        database: ComponentId,
        /// The keyspace, which names the table.
        keyspace: KeyspaceId,
        /// How many rows.
        rows: u32,
    },
}

/// What is done about missed keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OnMiss {
    /// The SQL store asked for all missing keys, with one statement.
    pub from: ComponentId,
    /// Whether what it returned is written back to the store (pipelined SETs), before the request goes on.
    pub fill: bool,
}

/// A source of requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Traffic {
    /// Its name in the file.
    pub name: String,
    /// The component that it meets first.
    pub to: ComponentId,
    /// How arrivals are spread within the rate.
    pub arrivals: Arrivals,
    /// The rate over the timeline.
    pub rate: RateCurve,
    /// The classes and their shares, which add up to 1.
    pub mix: Vec<(ClassId, Ratio)>,
    /// Connections that the clients keep; a due request that finds none free waits for one.
    pub connections: u32,
    /// Requests under way and waiting at once, above which a due request is dropped and counts as failed.
    pub max_in_flight: u32,
    /// How long after it was *sent* a client gives a request up.
    pub timeout: SimTime,
}

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrivals {
    /// A Poisson process: the arrivals of many independent users.
    Poisson,
    /// Evenly spaced in the cumulative rate.
    Uniform,
}

/// Something that breaks for a while, in the run's own time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// A name for reports, such as `kill host:app[1]`.
    pub name: String,
    /// Its path in the file, such as `faults[2]`.
    pub place: String,
    /// When it starts.
    pub from: SimTime,
    /// When it is mended; a killed process starts again then.
    pub until: SimTime,
    /// How it breaks.
    pub kind: FaultKind,
    /// What breaks.
    pub target: FaultTarget,
}

/// How something breaks, as TCP shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The process dies: connections are reset, new ones refused at once.
    Kill,
    /// The process stops: connections are accepted by the kernel and never answered.
    Hang,
    /// The cable is pulled: silence.
    Unplug,
    /// Every answer is an HTTP 500 at once, health checks included.
    Serve500,
}

impl FaultKind {
    /// The kind's name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Unplug => "unplug",
            Self::Serve500 => "serve_500",
        }
    }
}

/// What breaks. Instances count from zero here and from one in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultTarget {
    /// One machine with all that runs on it.
    Host(HostId, u32),
    /// One instance of a component.
    Component(ComponentId, u32),
}

/// A figure that somebody published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Published {
    /// What it is.
    pub what: String,
    /// The metric that it is held against, in a threshold's syntax: `response_time{avg}`, `rate{avg}`.
    pub metric: crate::threshold::Figure,
    /// Its value, in seconds, per second, or as a fraction.
    pub value: f64,
    /// How far off is still a reproduction, relative.
    pub tolerance: Ratio,
}

/// Fixed costs of the real stack as measured on runs other than the ones compared; only the simulator reads them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Calibration {
    /// Where the figures come from.
    pub source: Option<String>,
    /// What the client's own end adds to every request.
    pub client: Option<DurationLaw>,
    /// What passing through a component adds, by component; in the order of [`Scenario::components`].
    pub components: Vec<ComponentCalibration>,
}

/// Fixed costs of one component.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ComponentCalibration {
    /// Delay added to each request or command that passes through it, there and back, without occupying it.
    pub latency: Option<DurationLaw>,
    /// For stores: time that one command occupies the single thread.
    pub command: Option<SimTime>,
    /// For stores: time that each key of a command occupies it on top.
    pub key: Option<SimTime>,
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

    /// The host of this id.
    pub fn host(&self, id: HostId) -> &Host {
        &self.hosts[id.index()]
    }

    /// The component of this id.
    pub fn component(&self, id: ComponentId) -> &Component {
        &self.components[id.index()]
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

    /// The traffic of this id.
    pub fn traffic_of(&self, id: TrafficId) -> &Traffic {
        &self.traffic[id.index()]
    }

    /// All host ids, in the file's order.
    pub fn host_ids(&self) -> impl Iterator<Item = HostId> + use<> {
        (0..self.hosts.len() as u16).map(HostId)
    }
}
