//! What can be said of candidates before anything is simulated: which cannot do, and which probably just does.
//!
//! - *The utilisation law* (P. J. Denning, J. P. Buzen, "The operational analysis of queueing network models", ACM Computing
//!   Surveys 10, 1978): a station is busy for as many seconds a second as are asked of it. Who is asked for more than there is
//!   cannot do for long, whatever a short run shows: this alone discards.
//! - *Erlang's C* (A. K. Erlang, 1917), in an open network of stations (J. R. Jackson, 1957): the mean wait at each station.
//! - *Mean value analysis* (M. Reiser, S. S. Lavenberg, JACM 27, 1980): how fast the users of a closed loop can ask.
//! - *Che's approximation* (H. Che, Y. Tung, Z. Wang, IEEE JSAC 20, 2002): which share of reads a store of limited memory misses.
//!
//! The last three only say where to look first.

use scenarios::explain::{Offered, offered};
use scenarios::scenario::{
    ComponentId, ComponentKind, Executor, Keyspace, KvStore, PlanCondition, Popularity,
};
use scenarios::threshold::Metric;
use scenarios::{Scenario, explain, memory};
use sim::verify::formulas;

/// A guess leaves stations no busier than this.
const COMFORT: f64 = 0.8;
/// Che's sum is made over so many keys at most; greater populations are scaled down with their memory.
const KEYS: f64 = 10_000.0;

/// What is foreseen of a candidate.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Foresight {
    /// The station that is surely asked for more than there is, and by how much, in the circumstances that ask for most.
    pub(crate) overloaded: Option<(String, f64)>,
    /// The greatest share of anything that is surely asked for, with all machines up and the file's load.
    pub(crate) utilisation: f64,
    /// Whether stations are probably busy no more than is comfortable, and mean waits within what response times may be.
    pub(crate) is_promising: bool,
}

/// What is foreseen of a candidate as it stands in the circumstances of a plan.
pub(crate) fn foresee(candidate: &Scenario, conditions: &[PlanCondition]) -> Foresight {
    let stations = offered(candidate);
    let misses = miss_ratio(candidate);
    let mut overloaded: Option<(String, f64)> = None;
    let mut is_promising = closed_loops_fit(candidate);
    let now = stations.iter().map(|station| station.least / station.capacity);
    let utilisation = now.fold(0.0, f64::max);
    for (load, down) in circumstances(conditions) {
        let mut wait_s = 0.0;
        let arrivals = arrivals(candidate) * load;
        for station in &stations {
            let share = remaining(candidate, station, down);
            let asked = station.least * load / (station.capacity * share);
            if asked > overloaded.as_ref().map_or(1.0, |(_, most)| *most) {
                overloaded = Some((station.name.clone(), asked));
            }
            let likely = (station.least + misses * (station.most - station.least)) * load;
            let utilisation = likely / (station.capacity * share);
            is_promising &= utilisation <= COMFORT;
            wait_s += wait(station, share, likely, arrivals);
        }
        is_promising &= limit(candidate).is_none_or(|limit| wait_s < limit);
    }
    Foresight { overloaded, utilisation, is_promising }
}

/// Loads and hosts of which a machine is down, those of the file first.
fn circumstances(conditions: &[PlanCondition]) -> Vec<(f64, Option<&str>)> {
    let mut all = vec![(1.0, None)];
    for condition in conditions {
        match condition.down.is_empty() {
            true => all.push((condition.load, None)),
            false => all.extend(condition.down.iter().map(|host| (condition.load, Some(host.as_str())))),
        }
    }
    all
}

/// The share of a station's servers that are there while a machine of a host is down. Of one machine alone nothing is left; what
/// that does is not for means to say, so it counts as if it were there.
fn remaining(candidate: &Scenario, station: &Offered, down: Option<&str>) -> f64 {
    let host = candidate.host(station.host);
    let count = f64::from(host.count);
    if down == Some(host.name.as_str()) && host.count > 1 { (count - 1.0) / count } else { 1.0 }
}

/// Requests per second that come by themselves.
fn arrivals(candidate: &Scenario) -> f64 {
    let run = &candidate.run;
    let plan = scenarios::plan::Plan::new(candidate);
    plan.expected(run.warmup, run.total()) / run.duration.as_secs_f64()
}

/// What a request waits at a station on average, in seconds: M/M/c with the visits of a request put together as one.
fn wait(station: &Offered, share: f64, likely: f64, arrivals: f64) -> f64 {
    let servers = ((station.servers as f64 * share).floor() as u32).max(1);
    let load = likely * station.servers as f64 / station.capacity;
    if likely <= 0.0 || arrivals <= 0.0 || load >= f64::from(servers) {
        return 0.0;
    }
    // More servers than this hardly ever let anybody wait, and the recursion is as long as there are servers.
    if servers > 10_000 { 0.0 } else { formulas::mmc_wait(servers, load, load / arrivals) }
}

/// The least limit of the response time, in seconds.
fn limit(candidate: &Scenario) -> Option<f64> {
    let times = candidate.thresholds.iter().filter(|t| t.figure.metric == Metric::ResponseTime);
    times.map(|t| t.limit).min_by(f64::total_cmp)
}

/// Whether the users of closed loops, asking as fast as mean value analysis has it, leave the busiest station some room.
fn closed_loops_fit(candidate: &Scenario) -> bool {
    candidate.traffic.iter().all(|traffic| {
        let Executor::Users(users) = &traffic.executor else { return true };
        let most = users.level.peak();
        let cycle_s = explain::least_cycle_s(candidate, traffic, users).max(1e-6);
        // What one request asks of each station, as if that had one server that is as fast as all of its.
        let demand = |station: &Offered| station.most / station.capacity / (most / cycle_s);
        let demands: Vec<f64> = offered(candidate).iter().map(demand).collect();
        let count = most.clamp(1.0, 5_000.0) as u32;
        let (throughput, _) = formulas::mean_value_analysis(count, cycle_s, &demands);
        demands.iter().all(|demand| throughput * demand <= COMFORT)
    })
}

/// The share of reads that the fullest store misses, by Che's approximation for its largest cache keyspace; 0 where all fits.
fn miss_ratio(candidate: &Scenario) -> f64 {
    let of_store = |id: ComponentId| match &candidate.component(id).kind {
        ComponentKind::KvStore(store) => store_misses(candidate, id, store),
        _ => 0.0,
    };
    candidate.component_ids().map(of_store).fold(0.0, f64::max)
}

fn store_misses(candidate: &Scenario, id: ComponentId, store: &KvStore) -> f64 {
    let Some(memory) = store.max_memory else { return 0.0 };
    let machines = if store.shards.is_some() { f64::from(candidate.instances(id)) } else { 1.0 };
    let of_store = || candidate.keyspaces.iter().filter(|keyspace| keyspace.store == id);
    let kept: f64 = of_store().filter(|k| k.persistent).map(|k| k.keys as f64 * record_bytes(k)).sum();
    let room = (memory.get() as f64 * machines - kept).max(0.0);
    let cached = of_store().filter(|keyspace| !keyspace.persistent);
    let Some(largest) = cached.max_by_key(|keyspace| keyspace.keys) else { return 0.0 };
    let (keys, places) = (largest.keys as f64, room / record_bytes(largest));
    if places >= keys {
        return 0.0;
    }
    let scale = (KEYS / keys).min(1.0);
    let (keys, places) = ((keys * scale).round() as u32, (places * scale).round() as u32);
    let exponent = match largest.popularity {
        Popularity::Zipf { exponent } => exponent,
        _ => 0.0,
    };
    if places == 0 { 1.0 } else { 1.0 - formulas::che_lru(keys, places, exponent) }
}

fn record_bytes(keyspace: &Keyspace) -> f64 {
    let name = keyspace.name.len() as u64 + 1 + u64::from(keyspace.keys.max(1).ilog10() + 1);
    memory::record_bytes(name, keyspace.value.mean() as u64, keyspace.ttl.is_some()) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service of one core a machine, 10 ms of work a request, which reads from a store.
    fn shop(machines: u32, traffic: &str, store: &str, keyspace: &str) -> Scenario {
        let text = format!(
            r#"
title = "Shop"
[run]
duration = "10s"
[hosts.app]
count = {machines}
cores = 1
[hosts.data]
[components.balancer]
kind = "load-balancer"
host = "data"
to = "shop"
[components.shop]
kind = "service"
host = "app"
workers = 64
[components.objects]
kind = "kv-store"
host = "data"
{store}
[keyspaces.items]
in = "objects"
keys = 1000
value = "1kB"
{keyspace}
[requests.item]
path = "/{{items}}"
[[requests.item.steps]]
get = {{ keyspace = "items" }}
[[requests.item.steps]]
work = "10ms"
[traffic.users]
to = "balancer"
mix = {{ item = 1 }}
{traffic}
"#
        );
        Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn open(rate: &str) -> String {
        format!("executor = \"constant-arrival-rate\"\nrate = \"{rate}\"")
    }

    fn one_down() -> Vec<PlanCondition> {
        let plan = "[plan]\nknobs.\"hosts.app.count\" = \"1..2\"\nconditions.down = { down = [\"app\"] }\nthresholds.failed = [\"rate<1%\"]";
        let text = shop(2, &open("10/s"), "", "")
            .source
            .text
            .replace("[hosts.data]", "[hosts.data]\nprice = \"1 USD/month\"");
        let scenario =
            Scenario::parse("shop.toml", format!("{text}{plan}")).unwrap_or_else(|p| panic!("{p}"));
        scenario.planning.expect("it has a plan").conditions
    }

    #[test]
    fn who_is_asked_for_more_than_there_is_cannot_do() {
        let foresight = foresee(&shop(1, &open("120/s"), "", ""), &[]);
        let (station, asked) = foresight.overloaded.expect("1.2 cores are asked of one");
        assert!(station.contains("app") && (asked - 1.2).abs() < 0.02, "{station}: {asked}");
        let two = shop(2, &open("120/s"), "", "");
        assert_eq!(foresee(&two, &[]).overloaded, None);
        let (_, asked) = foresee(&two, &one_down()).overloaded.expect("one is left of two");
        assert!((asked - 1.2).abs() < 0.02, "{asked}");
    }

    /// N users who think for Z = 1 s and ask a server for D = 10 ms ask no faster than N / (Z + D), nor than 1 / D (the asymptotic bounds
    /// of Denning and Buzen): 50 use half of it, 150 all.
    #[test]
    fn users_of_a_closed_loop_ask_as_fast_as_mean_value_analysis_has_it() {
        let users = |count: u32| format!("executor = \"constant-vus\"\nvus = {count}\nthink = \"1s\"");
        assert!(closed_loops_fit(&shop(1, &users(50), "", "")));
        assert!(!closed_loops_fit(&shop(1, &users(150), "", "")));
        assert!(closed_loops_fit(&shop(2, &users(150), "", "")));
    }

    /// Where all keys are asked for equally often, LRU keeps whichever fit: with room for half of them it misses half.
    #[test]
    fn a_store_with_room_for_half_of_its_keys_misses_half() {
        let with = |bytes: u64| {
            let store = format!("max_memory = \"{bytes}B\"\neviction = \"allkeys-lru\"");
            miss_ratio(&shop(1, &open("10/s"), &store, "popularity = \"uniform\"\nttl = \"1h\""))
        };
        let each = record_bytes(&shop(1, &open("10/s"), "", "ttl = \"1h\"").keyspaces[0]);
        assert!((with((each * 500.0) as u64) - 0.5).abs() < 0.01, "{}", with((each * 500.0) as u64));
        assert_eq!(with((each * 1100.0) as u64), 0.0);
    }
}
