//! The file as written: every table and key, decoded from a spanned TOML tree, without regard to what it means.
//!
//! Start at [`File`]. Each declaration below is the one source of the struct, its decoder and its JSON Schema. Rules
//! that look at more than one key are `validate`'s.

#[macro_use]
mod macros;
pub(crate) mod decode;

use decode::{Count, Decode, Decoder, Definitions, Keyed, List, Named, Node, Share};

use crate::law::{DurationLaw, SizeLaw};
use crate::scenario::{Arrivals, Balance, Eviction, Method, Popularity, WorkerHolds};
use crate::units::{Bytes, Price, Rate, Ratio, SimTime};

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
        /// How long is measured, from where, with which seed.
        required run: Run,
        /// The machines, by name.
        required hosts: Named<Host>,
        /// What runs on them, by name: one instance on each machine of the host.
        required components: Named<Component>,
        /// Populations of keys in the stores, by name. Key number 7 of keyspace `products` is called `products:7`.
        default keyspaces: Named<Keyspace> = Named::default(),
        /// The kinds of request, by name.
        required requests: Named<RequestClass>,
        /// Where requests come from and how fast, by name.
        required traffic: Named<Traffic>,
        /// What breaks, when, and for how long.
        default faults: List<Fault> = List::default(),
        /// What counts as good, in k6's syntax, by metric: `"response_time{during:fault}" = ["p(99)<500ms"]`.
        default thresholds: Keyed<List<String>> = Keyed::default(),
        /// Figures that somebody published and this scenario must reproduce; never one of its own inputs.
        default published: List<Published> = List::default(),
        /// Fixed costs of the real stack, measured on other runs. Only the simulator reads them.
        optional calibration: Calibration,
    }
}

table! {
    /// The run's frame.
    Run {
        /// How long is measured.
        required duration: SimTime,
        /// How long the load lasts before that, unmeasured.
        default warmup: SimTime = SimTime::ZERO,
        /// Where the measured part starts on the timeline of curves, stages and faults; zero is Monday 00:00.
        default from: SimTime = SimTime::ZERO,
        /// All randomness follows from it.
        default seed: AnyCount = Count(1),
    }
}

table! {
    /// A machine, or several equal ones.
    Host {
        /// How many there are.
        default count: Count<1, 1000> = Count(1),
        /// Processor cores of each, shared by the components on it.
        default cores: Count<1, 4096> = Count(1),
        /// Main memory of each.
        optional memory: Bytes,
        /// What each costs.
        optional price: Price,
    }
}

tagged! {
    /// A piece of the stack: one instance on each machine of its host.
    Component: ComponentCommon, "kind" => ComponentKind {
        "load-balancer" => LoadBalancer,
        "service" => Service,
        "kv-store" => KvStore,
        "sql-store" => SqlStore,
    }
}

table! {
    /// What every component has.
    ComponentCommon {
        /// The host that it runs on.
        required host: String,
    }
}

table! {
    /// Spreads requests over the instances of another component (HAProxy's role).
    LoadBalancer {
        /// The component whose instances are the servers.
        required to: String,
        /// How a server is chosen.
        default balance: Balance = Balance::RoundRobin,
        /// How the servers' health is found out. Without it every server counts as up.
        optional health_check: HealthCheck,
        /// How often a failed connection is tried again. A request of which something was sent is never repeated.
        default retries: Count<0, 100> = Count(3),
        /// Whether a retry goes to another server at once, else to the same one after a pause.
        default redispatch: bool = true,
        /// How long a connection to a server may take to open.
        default connect_timeout: SimTime = SimTime::from_secs(5),
        /// How long a server may stay silent once the request is sent.
        default server_timeout: SimTime = SimTime::from_secs(50),
    }
}

table! {
    /// Active health checks, by HAProxy's rules.
    HealthCheck {
        /// The path asked for; an answer of 2xx or 3xx is a success.
        required http: String,
        /// Between the starts of two checks of a server.
        default interval: SimTime = SimTime::from_secs(2),
        /// How long a check may take; by default the interval.
        optional timeout: SimTime,
        /// Failures in a row that take a server out.
        default fall: Count<1, 1000> = Count(3),
        /// Successes in a row that take it back in.
        default rise: Count<1, 1000> = Count(2),
    }
}

table! {
    /// Answers requests by walking the steps of their class (Apache's and PHP's role).
    Service {
        /// Requests that are worked on at once, per instance.
        default workers: Some1M = Count(64),
        /// Connections that wait for a worker before the instance stops accepting.
        default backlog: Count<0, 1_000_000> = Count(511),
        /// What occupies a worker.
        default worker_holds: WorkerHolds = WorkerHolds::Request,
    }
}

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

table! {
    /// Executes statements (MySQL's role).
    SqlStore {
        /// Statements executed at once; others wait in order.
        default connections: Some1M = Count(100),
        /// Processor time of a `select`.
        required read: DurationLaw,
        /// Processor time of an `update`; by default the same as `read`.
        optional write: DurationLaw,
    }
}

table! {
    /// A population of keys that live in one store.
    Keyspace {
        /// The key-value store that holds it.
        required store("in"): String,
        /// How many different keys there are. Key number 0 is the most popular.
        required keys: Count<1, 1_000_000_000_000>,
        /// Whether every key is there from the start and never evicted.
        default persistent: bool = false,
        /// How long a key lives after it was written: a duration, or `{ base = "1d", jitter = "10%" }`.
        optional ttl: Ttl,
        /// How requests choose among the keys: `uniform` or `zipf(0.9)`.
        default popularity: Popularity = Popularity::Uniform,
        /// The size of a value.
        required value: SizeLaw,
        /// How many of the most popular keys are in the store before the run starts.
        default prefill: Count<0, 1_000_000_000_000> = Count(0),
    }
}

table! {
    /// A lifetime drawn at each write.
    TtlTable {
        /// The middle.
        required base: SimTime,
        /// Half the width, as a share of the base.
        default jitter: Ratio = Ratio::new(0.0),
    }
}

/// A lifetime, as one duration or with a jitter.
#[derive(Clone, Debug)]
pub(crate) struct Ttl {
    pub(crate) base: Option<SimTime>,
    pub(crate) jitter: Ratio,
}

impl Decode for Ttl {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if node.get_ref().is_table() {
            TtlTable::decode(node, at, d).map(|t| Self { base: t.base, jitter: t.jitter })
        } else {
            SimTime::decode(node, at, d).map(|base| Self { base: Some(base), jitter: Ratio::new(0.0) })
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "anyOf": [SimTime::schema(definitions), TtlTable::schema(definitions)] })
    }
}

table! {
    /// A kind of request.
    RequestClass {
        /// The HTTP method.
        default method: Method = Method::Get,
        /// The path; `{products}` stands for the number of the request's first key of the keyspace `products`.
        required path: String,
        /// The size of the answer's body. Bytes take no time in the simulator, which knows no bandwidth.
        default response: SizeLaw = SizeLaw::from_bytes(crate::law::Law::Constant(1000.0)),
        /// What the service does for it, in order.
        default steps: List<Step> = List::default(),
    }
}

table! {
    /// One thing that a service does for a request: exactly one of `work`, `wait`, `get`, `mget`, `set`, `select`, `update`.
    Step {
        /// Takes processor time on the host of whoever does it.
        optional work: DurationLaw,
        /// Lets time pass without a processor.
        optional wait: DurationLaw,
        /// Reads the request's first keys of a keyspace.
        optional get: Get,
        /// The same as `get`, for several keys.
        optional mget: Get,
        /// Writes the request's first keys of a keyspace.
        optional set: Set,
        /// Reads rows with one statement.
        optional select: Select,
        /// Writes rows with one statement.
        optional update: Update,
        /// Another service that does this step (`work` or `wait`), called synchronously.
        optional at: String,
    }
}

/// Keys or rows in one step.
pub(crate) type Width = Count<1, 10_000>;

table! {
    /// A read from a key-value store.
    Get {
        /// The keyspace, which names the store.
        required keyspace: String,
        /// How many keys.
        default count: Width = Count(1),
        /// What is done about the keys that are not there. Without it a miss is just an empty answer.
        optional on_miss: OnMiss,
    }
}

table! {
    /// What is done about missed keys.
    OnMiss {
        /// The SQL store asked for all missing keys, with one statement.
        required from: String,
        /// Whether what it returned is written back, before the request goes on.
        default fill: bool = true,
    }
}

table! {
    /// A write to a key-value store.
    Set {
        /// The keyspace, which names the store.
        required keyspace: String,
        /// How many keys.
        default count: Width = Count(1),
    }
}

table! {
    /// A read from an SQL store.
    Select {
        /// The SQL store.
        required from: String,
        /// The keyspace, which names the table.
        required keyspace: String,
        /// How many rows.
        default rows: Width = Count(1),
    }
}

table! {
    /// A write to an SQL store.
    Update {
        /// The SQL store.
        required database("in"): String,
        /// The keyspace, which names the table.
        required keyspace: String,
        /// How many rows.
        default rows: Width = Count(1),
    }
}

tagged! {
    /// A source of requests.
    Traffic: TrafficCommon, "executor" => Executor {
        "constant-arrival-rate" => Constant,
        "ramping-arrival-rate" => Ramping,
        "curve-arrival-rate" => Curve,
    }
}

table! {
    /// What every traffic has.
    TrafficCommon {
        /// The component that requests meet first.
        required to: String,
        /// How arrivals are spread within the rate.
        default arrivals: Arrivals = Arrivals::Poisson,
        /// The classes of request and their shares, in any unit.
        required mix: Named<Share>,
        /// Connections that the clients keep; a due request that finds none free waits for one.
        default connections: Some1M = Count(100),
        /// Requests under way and waiting at once, above which a due request is dropped and counts as failed.
        default max_in_flight: Some1M = Count(10_000),
        /// How long after it was sent a client gives a request up.
        default timeout: SimTime = SimTime::from_secs(10),
    }
}

table! {
    /// The same rate always.
    Constant {
        /// Requests per time.
        required rate: Rate,
    }
}

table! {
    /// Straight lines between rates, from the timeline's zero; constant before the first and after the last.
    Ramping {
        /// The rate at the timeline's zero.
        required start_rate: Rate,
        /// What follows.
        required stages: List<Stage>,
    }
}

table! {
    /// A straight line to a rate.
    Stage {
        /// How long it takes.
        required length("for"): SimTime,
        /// The rate at its end.
        required to: Rate,
    }
}

table! {
    /// A named curve that repeats.
    Curve {
        /// Requests expected per period of the curve.
        required expected: Count<1, 6_000_000_000_000>,
        /// The curve's name: `retail-week`.
        required curve: String,
    }
}

table! {
    /// Something that breaks for a while: exactly one of `kill`, `hang`, `unplug`, `serve_500`, with a target such as
    /// `host:app[1]` or `component:shop[2]`, counted from 1.
    Fault {
        /// When it starts, on the timeline.
        required at: SimTime,
        /// How long it lasts.
        required length("for"): SimTime,
        /// The process dies: connections are reset, new ones refused.
        optional kill: String,
        /// The process stops: connections are accepted and never answered.
        optional hang: String,
        /// The cable is pulled: silence.
        optional unplug: String,
        /// Every answer is an HTTP 500 at once, health checks included.
        optional serve_500: String,
    }
}

table! {
    /// A figure that somebody published.
    Published {
        /// What it is.
        required what: String,
        /// The metric that it is held against: `response_time{avg}`, `rate{avg}`.
        required metric: String,
        /// Its value, in the metric's unit.
        required value: String,
        /// How far off is still a reproduction.
        required tolerance: Ratio,
    }
}

table! {
    /// Fixed costs of the real stack.
    Calibration {
        /// Where the figures come from.
        optional source: String,
        /// What the client's own end adds to every request.
        optional client: DurationLaw,
        /// What passing through a component adds, by component.
        default components: Named<ComponentCalibration> = Named::default(),
    }
}

table! {
    /// Fixed costs of one component.
    ComponentCalibration {
        /// Delay added to each request or command that passes through, there and back, without occupying it.
        optional latency: DurationLaw,
        /// For key-value stores: time that one command occupies the single thread.
        optional command: SimTime,
        /// For key-value stores: time that each key of a command occupies it on top.
        optional key: SimTime,
    }
}

words!(Balance { "round-robin" => RoundRobin });
words!(WorkerHolds { "request" => Request, "connection" => Connection });
words!(Eviction { "noeviction" => NoEviction, "volatile-lru" => VolatileLru });
words!(Method { "GET" => Get, "POST" => Post, "PUT" => Put, "DELETE" => Delete });
words!(Arrivals { "poisson" => Poisson, "uniform" => Uniform });

quantities! {
    SimTime: r"^\s*([0-9][0-9_.]*\s*(ns|us|µs|ms|s|m|h|d|w)\s*)+$", "30s";
    Rate: r"^\s*[0-9][0-9_.]*\s*/\s*(s|second|m|min|minute|h|hour|d|day|w|week)\s*$", "550/s";
    Bytes: r"^\s*[0-9][0-9_.]*\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB|PB|PiB)\s*$", "64GiB";
    Ratio: r"^\s*[0-9][0-9_.]*\s*%\s*$", "0.1%";
    Price: r"^\s*[0-9][0-9_.]*\s*[A-Za-z]{1,8}\s*/month\s*$", "120 USD/month";
    Popularity: r"^\s*(uniform|zipf\(.*\))\s*$", "zipf(0.9)";
    DurationLaw: r"^\s*([0-9][0-9_.]*\s*(ns|us|µs|ms|s|m|h|d|w)\s*)+$|^\s*(lognormal|exponential|uniform)\s*\(.*\)\s*$", "lognormal(median=3ms, p99=15ms)";
    SizeLaw: r"^\s*[0-9][0-9_.]*\s*(B|kB|KiB|MB|MiB|GB|GiB|TB|TiB|PB|PiB)\s*$|^\s*(lognormal|exponential|uniform)\s*\(.*\)\s*$", "lognormal(median=400B, p99=3kB)";
}
