//! The scenario in which a stack's fixed costs are measured: the same machines, components and stores, and, in place of its
//! requests and traffic, classes of requests that differ by one thing each, *probes*. They come mixed in Poisson traffic at low
//! load, so that each is measured beside what it is compared to.
//!
//! What a probe's mean service time consists of stands beside it ([`Probe::terms`]): with as many probes as costs, the costs
//! follow by least squares. Below half load nothing queues to speak of, so that service times are sums of costs.

mod probes;

use std::fmt;

use toml_edit::{DocumentMut, Table};

use super::adjust::nothing_breaks;
use super::{Derived, Error, child, document, finish, set};
use crate::explain;
use crate::scenario::{ComponentKind, Engine, Scenario};
use crate::units::{Rate, SimTime};
use probes::{PROBED_READ, Probes};

/// What a class is asked for by default, and all of them together at most: little enough that nothing queues, and so much that parts
/// which are asked by two or three of them are not found asleep each time, as they are not under the load that is to be predicted.
const RATE_OF_CLASS: f64 = 60.0;
const RATE_OF_ALL: f64 = 720.0;
/// No station is asked for more of its capacity.
const LOAD: f64 = 0.4;
/// The tables that stay.
const KEPT: [&str; 3] = ["hosts", "components", "keyspaces"];
/// What of machines is the network's, which has delays of its own and not those of the stack's parts, and what disturbs.
const NOT_OF_HOSTS: [&str; 4] = ["nic", "zone", "steal", "cpu_credits"];
/// What of components makes them come and go, or names classes that are no longer there.
const NOT_OF_COMPONENTS: [&str; 3] = ["autoscale", "hit_ratio", "ttl"];

/// A kind of cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CostKind {
    /// What the client's own end adds.
    Client,
    /// What a piece of work is late by.
    Work,
    /// What passing through a component adds without occupying it.
    Latency,
    /// What a command takes of a store's thread.
    Command,
    /// What each key of a command takes of it on top.
    Key,
    /// The processor time of a cache's or a balancer's request.
    Request,
    /// What waking a cache takes of a processor beside the answer's way.
    Wake,
    /// What a cache's fetch from its back end adds on top.
    Fetch,
    /// The processor time of a read of an SQL store that takes what it takes.
    Read,
    /// The same of a write.
    Write,
    /// What a read of such a store takes beside it, without occupying the store.
    ReadLatency,
    /// The same of a write.
    WriteLatency,
}

impl CostKind {
    /// The key of the file.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Work => "work",
            Self::Latency => "latency",
            Self::Command => "command",
            Self::Key => "key",
            Self::Request => "request",
            Self::Wake => "wake",
            Self::Fetch => "fetch",
            Self::Read => "read",
            Self::Write => "write",
            Self::ReadLatency => "read_latency",
            Self::WriteLatency => "write_latency",
        }
    }

    /// Whether the file takes a law, rather than one duration.
    pub const fn has_law(self) -> bool {
        !matches!(self, Self::Work | Self::Command | Self::Key | Self::Wake)
    }
}

/// A fixed cost of a stack, as `[calibration]` names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Cost {
    /// The component; none of the client and of work.
    pub component: Option<String>,
    /// Which of its costs.
    pub kind: CostKind,
}

impl Cost {
    /// The cost of this kind that is nobody's in particular.
    pub const fn common(kind: CostKind) -> Self {
        Self { component: None, kind }
    }

    /// A component's cost.
    pub fn of(component: impl Into<String>, kind: CostKind) -> Self {
        Self { component: Some(component.into()), kind }
    }
}

impl fmt::Display for Cost {
    /// Its path below `calibration`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.component {
            Some(component) => write!(f, "components.{component}.{}", self.kind.key()),
            None => f.write_str(self.kind.key()),
        }
    }
}

/// A class of requests that measures.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Probe {
    /// Its name among the classes.
    pub class: String,
    /// The costs that its mean service time is the sum of, and how often each.
    pub terms: Vec<(Cost, f64)>,
    /// What is known of it beforehand: time that the scenario states.
    pub known: SimTime,
}

/// A scenario that measures.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Measuring {
    /// The scenario.
    pub scenario: Scenario,
    /// Its classes.
    pub probes: Vec<Probe>,
    /// Costs and components that are not measured, each with its reason, as sentences.
    pub left_out: Vec<String>,
}

/// Derives the scenario that measures the fixed costs of a scenario's stack, for so long after a warm-up, with this seed. Engines that
/// were chosen beside the file are written into it.
///
/// # Errors
/// Where there is nobody to send requests to, or the result breaks a rule of scenarios.
///
/// ```
/// use scenarios::{Scenario, derive, units::SimTime};
/// let shop = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
/// let frame = (SimTime::from_secs(2), SimTime::from_secs(20));
/// let measuring = derive::measuring(&shop, frame, 1).expect("it has a service");
/// assert!(measuring.probes.iter().any(|probe| probe.class == "through-balancer"));
/// assert_eq!(measuring.scenario.stack(), shop.stack());
/// ```
pub fn measuring(
    scenario: &Scenario,
    (warmup, length): (SimTime, SimTime),
    seed: u64,
) -> Result<Measuring, Error> {
    let probes = Probes::of(scenario);
    if probes.classes.is_empty() {
        return Err(Error::NothingToMeasure);
    }
    let seed = i64::try_from(seed).map_err(|_| Error::Seed(seed))?;
    let derive = |rate_of_class: f64| -> Result<Derived, Error> {
        let mut document = document(scenario);
        prepare(scenario, &mut document, &probes);
        let root = document.as_table_mut();
        set(root, "title", format!("Fixed costs of the stack of: {}", scenario.title));
        let run = child(root, "run");
        set(run, "duration", length.to_string());
        set(run, "warmup", warmup.to_string());
        set(run, "seed", seed);
        let text = format!("{document}\n{}", probes.text(Rate::per_second(rate_of_class)));
        let document = text.parse().expect("what was added to a document are tables that it does not have");
        let changes = [("for measuring fixed costs, with seed", Some(seed.to_string()))];
        finish(scenario, document, &changes, probes.left_out.clone())
    };
    let rate = RATE_OF_CLASS.min(RATE_OF_ALL / probes.classes.len() as f64);
    let mut derived = derive(rate)?;
    let load = busiest_station(&derived.scenario);
    if load > LOAD {
        derived = derive(rate * LOAD / load)?;
    }
    let probes::Probes { classes, left_out, .. } = probes;
    let probes = classes.into_iter().map(|class| class.probe).collect();
    Ok(Measuring { scenario: derived.scenario, probes, left_out })
}

/// The greatest share of its capacity that any station is asked for, by means.
pub fn busiest_station(scenario: &Scenario) -> f64 {
    let shares = explain::offered(scenario).into_iter().map(|station| station.most / station.capacity);
    shares.fold(0.0, f64::max)
}

/// Leaves only the stack in a document, and adds what probes need of it.
fn prepare(scenario: &Scenario, document: &mut DocumentMut, probes: &Probes) {
    let root = document.as_table_mut();
    nothing_breaks(scenario, root);
    let others: Vec<String> =
        root.iter().map(|(key, _)| key.to_owned()).filter(|key| !KEPT.contains(&key.as_str())).collect();
    for key in others {
        root.remove(&key);
    }
    for host in &scenario.hosts {
        let table = child(child(root, "hosts"), &host.name);
        for key in NOT_OF_HOSTS {
            table.remove(key);
        }
    }
    for (name, written) in &scenario.source.engines {
        set(child(child(root, "components"), name), "engine", written.as_str());
    }
    for component in &scenario.components {
        let table = child(child(root, "components"), &component.name);
        for key in NOT_OF_COMPONENTS {
            table.remove(key);
        }
        match &component.kind {
            ComponentKind::SqlStore(_) if component.engine == Engine::Embedded => {
                set(table, "read", PROBED_READ.to_string());
                set(table, "write", PROBED_READ.to_string());
            }
            ComponentKind::Queue(_) => set(table, "class", probes::CONSUMED),
            _ => {}
        }
    }
    for keyspace in &probes.keyspaces {
        let mut table = Table::new();
        set(&mut table, "in", keyspace.store.as_str());
        set(&mut table, "keys", probes::KEYS);
        set(&mut table, "value", keyspace.value.as_str());
        match keyspace.kept {
            probes::Kept::Always => set(&mut table, "persistent", true),
            probes::Kept::Prefilled => set(&mut table, "prefill", probes::KEYS),
            probes::Kept::Table => {}
        }
        child(root, "keyspaces").insert(&keyspace.name, toml_edit::Item::Table(table));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame() -> (SimTime, SimTime) {
        (SimTime::from_secs(2), SimTime::from_secs(20))
    }

    fn measure(text: &str) -> Measuring {
        let scenario = Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        measuring(&scenario, frame(), 7).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn every_part_of_the_quickstart_has_its_probe() {
        let quickstart =
            Scenario::parse("quickstart.toml", crate::library::QUICKSTART).expect("it is tested");
        let measuring = measuring(&quickstart, frame(), 7).unwrap_or_else(|error| panic!("{error}"));
        let terms = |probe: &Probe| {
            let terms = probe.terms.iter().map(|(cost, times)| format!("{times} × {cost}"));
            let known = (probe.known > SimTime::ZERO).then(|| probe.known.to_string());
            terms.chain(known).collect::<Vec<_>>().join(" + ")
        };
        let told: Vec<String> =
            measuring.probes.iter().map(|probe| format!("{}: {}", probe.class, terms(probe))).collect();
        insta::assert_snapshot!(format!(
            "{}\n\n{}\n{}",
            told.join("\n"),
            measuring.left_out.join("\n"),
            measuring.scenario.source.text
        ));
        assert_eq!(measuring.scenario.stack(), quickstart.stack());
    }

    #[test]
    fn no_station_is_asked_for_half_of_what_it_can_do() {
        let measuring = measure(
            r#"
title = "One slow core"
[run]
duration = "10s"
[hosts.app]
speed = 0.1
[components.shop]
kind = "service"
host = "app"
workers = 2
[requests.home]
path = "/"
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
rate = "1/s"
mix = { home = 1 }
"#,
        );
        assert!(busiest_station(&measuring.scenario) <= LOAD * 1.001);
        let work = measuring.probes.iter().find(|probe| probe.class == "work-shop").expect("it is probed");
        assert_eq!(work.known, SimTime::from_millis(20), "2 ms at a tenth of the speed");
    }

    #[test]
    fn each_kind_of_component_is_probed_or_named_with_the_reason() {
        let measuring = measure(
            r#"
title = "All kinds"
[run]
duration = "10s"
[hosts.edge]
nic = "1Gbit/s"
[hosts.app]
count = 2
[hosts.data]
count = 2
[hosts.db]
[hosts.mq]
[[network]]
between = ["edge", "app"]
latency = "5ms"
[components.cdn]
kind = "cdn"
host = "edge"
to = "front"
hit_ratio.home = "50%"
[components.front]
kind = "http-cache"
host = "edge"
to = "shop"
memory = "64MiB"
[components.shop]
kind = "service"
host = "app"
autoscale = { min = 1, target = "60%" }
[components.resize]
kind = "service"
host = "app"
[components.objects]
kind = "kv-store"
host = "data"
eviction = "allkeys-lru"
max_memory = "64MiB"
shards = { by = "crc16" }
[components.archive]
kind = "sql-store"
host = "db"
engine = "mariadb"
read = "3ms"
connections = 300
[components.news]
kind = "queue"
host = "mq"
to = "shop"
class = "told"
[keyspaces.products]
in = "objects"
keys = 1000
value = "400B"
[requests.home]
path = "/"
[[requests.home.steps]]
call = { to = "resize", work = "3ms" }
[[requests.home.steps]]
publish = { to = "news" }
[requests.told]
path = "/told"
[[requests.told.steps]]
work = "1ms"
[traffic.users]
to = "cdn"
executor = "constant-arrival-rate"
rate = "100/s"
mix = { home = 1 }
[[faults]]
at = "1s"
for = "1s"
kill = "component:shop[1]"
"#,
        );
        let classes: Vec<&str> = measuring.probes.iter().map(|probe| probe.class.as_str()).collect();
        assert_eq!(
            classes,
            [
                "direct-shop",
                "work-shop",
                "direct-resize",
                "work-resize",
                "through-front",
                "hit-front",
                "get-objects",
                "read-archive",
                "write-archive",
                "message-news",
                "call-shop-resize"
            ]
        );
        let left_out = measuring.left_out.join("\n");
        for named in ["cdn", "objects.key"] {
            assert!(left_out.contains(named), "{left_out}");
        }
        assert!(measuring.scenario.faults.is_empty());
        let of = |class: &str| {
            let probe = measuring.probes.iter().find(|probe| probe.class == class).expect("it is there");
            probe.terms.iter().map(|(cost, _)| cost.to_string()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(of("hit-front"), "client components.front.latency components.front.request");
        let all = "client components.front.latency components.front.request components.front.fetch components.shop.latency";
        assert_eq!(of("through-front"), all);
        assert_eq!(
            of("write-archive"),
            "client components.shop.latency components.archive.write_latency components.archive.write"
        );
        assert_eq!(of("call-shop-resize"), "client components.shop.latency components.resize.latency");
    }
}
