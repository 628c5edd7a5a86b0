//! Offered load against capacity: the utilisation law, on means.

use std::fmt::Write as _;

use super::Numbers;
use crate::scenario::{
    Action, ClassId, ComponentId, ComponentKind, EdgeRule, Executor, HostId, KeyspaceId, Scenario,
    SessionRecord, Step, serializing,
};
use crate::units::SimTime;

/// The service that a component's requests are walked by.
fn served_by(scenario: &Scenario, entry: ComponentId) -> ComponentId {
    scenario.way(entry).last().unwrap_or(entry)
}

/// The classes whose steps a service walks, for traffic or for services that call it.
pub(super) fn classes_of(scenario: &Scenario, service: ComponentId) -> Vec<ClassId> {
    let mut walked: Vec<(ComponentId, ClassId)> = Vec::new();
    let of_traffic = scenario.traffic.iter().flat_map(|t| {
        let by = served_by(scenario, t.to);
        t.mix.iter().map(move |(class, _)| (by, *class))
    });
    let mut open: Vec<(ComponentId, ClassId)> = of_traffic.collect();
    while let Some((by, class)) = open.pop() {
        if walked.contains(&(by, class)) {
            continue;
        }
        walked.push((by, class));
        for step in scenario.class(class).all_steps() {
            if let (Action::Call(called), Some(to)) = (&step.action, step.at) {
                open.push((served_by(scenario, to), *called));
            }
        }
    }
    let mut classes: Vec<ClassId> =
        walked.into_iter().filter(|(by, _)| *by == service).map(|(_, class)| class).collect();
    classes.sort_unstable();
    classes
}

/// Seconds of something asked for per second: at the mean rate and at the peak; `least` where every read hits, `most`
/// where every read misses.
#[derive(Clone, Copy, Default)]
struct Demand {
    mean: Range,
    peak: Range,
}

#[derive(Clone, Copy, Default)]
struct Range {
    least: f64,
    most: f64,
}

impl Range {
    fn always(seconds: f64) -> Self {
        Self { least: seconds, most: seconds }
    }
}

impl Demand {
    fn add(&mut self, numbers: &Numbers, share: f64, seconds: Range) {
        for (range, rate) in [(&mut self.mean, numbers.mean), (&mut self.peak, numbers.peak)] {
            range.most += rate * share * seconds.most;
            range.least += rate * share * seconds.least;
        }
    }
}

/// What is asked of hosts' cores and of components' places, walking every class from every entry.
struct Ledger<'s> {
    scenario: &'s Scenario,
    cores: Vec<Demand>,
    places: Vec<Demand>,
    /// Queues whose consumers are being walked: what these publish to one of them again is left out.
    consuming: Vec<ComponentId>,
    /// Whether only what cannot wait and cannot be spared counts: no messages, which a queue keeps for later.
    surely: bool,
}

impl Ledger<'_> {
    /// A class's steps at a service, for a share of a traffic: how long the request holds its worker. Whoever waits for a
    /// call holds its own worker as long.
    fn class(&mut self, numbers: &Numbers, share: f64, class: ClassId, service: ComponentId) -> Range {
        let mut held = Range::default();
        for step in &self.scenario.class(class).steps {
            let time = self.step(numbers, share, step, service);
            held.least += time.least;
            held.most += time.most;
        }
        self.places[service.index()].add(numbers, share, held);
        held
    }

    fn step(&mut self, numbers: &Numbers, share: f64, step: &Step, service: ComponentId) -> Range {
        let scenario = self.scenario;
        let times = step.share.get() * f64::from(step.repeat);
        let share = share * times;
        let callee = step.at.map(|to| served_by(scenario, to));
        let by = callee.unwrap_or(service);
        let one = match &step.action {
            Action::Work(law) | Action::Wait(law) => {
                let time = Range::always(law.mean().as_secs_f64());
                if matches!(step.action, Action::Work(_)) {
                    self.cores[scenario.component(by).host.index()].add(numbers, share, time);
                }
                if let Some(callee) = callee {
                    self.places[callee.index()].add(numbers, share, time);
                }
                time
            }
            Action::Serialize { per_kb, response } => {
                let time = Range::always(serializing(*per_kb, response.mean()));
                self.cores[scenario.component(by).host.index()].add(numbers, share, time);
                time
            }
            Action::Call(class) => self.class(numbers, share, *class, by),
            Action::ThirdParty(party) => Range::always(party.latency.mean().as_secs_f64()),
            Action::Parallel(branches) => {
                let times = branches.iter().map(|branch| self.step(numbers, share, branch, service));
                // The slowest of the means: the mean of the slowest is more.
                times.fold(Range::default(), |a, b| Range {
                    least: a.least.max(b.least),
                    most: a.most.max(b.most),
                })
            }
            Action::Get { keyspace, count, on_miss } => {
                let read = self.command(numbers, share, *keyspace, 1, *count);
                let missed = on_miss.map_or(Range::default(), |miss| {
                    let time = Range { least: 0.0, ..self.statement(miss.from, false) };
                    self.database(numbers, share, miss.from, time)
                });
                Range { least: read.least + missed.least, most: read.most + missed.most }
            }
            Action::Set { keyspace, count } => self.command(numbers, share, *keyspace, *count, *count),
            Action::Select { database, .. } => {
                self.database(numbers, share, *database, self.statement(*database, false))
            }
            Action::Update { database, .. } => {
                self.database(numbers, share, *database, self.statement(*database, true))
            }
            Action::Publish => {
                if let Some(queue) = step.at {
                    self.consumers(numbers, share, queue);
                }
                Range::default()
            }
            Action::Purge(_) => Range::default(),
        };
        Range { least: one.least * times, most: one.most * times }
    }

    /// A session's record is read before the steps, but for a visit's first request, and written after them. Its worker waits.
    fn record(&mut self, numbers: &Numbers, share: f64, record: SessionRecord, service: ComponentId) {
        for writes in [false, true] {
            let time = match record.database {
                Some(id) => self.database(numbers, share, id, self.statement(id, writes)),
                None => self.command(numbers, share, record.keyspace, 1, 1),
            };
            let time = Range { least: if writes { time.least } else { 0.0 }, ..time };
            self.places[service.index()].add(numbers, share, time);
        }
    }

    /// What a queue's consumers do for a message, once each; whoever published it does not wait for them.
    fn consumers(&mut self, numbers: &Numbers, share: f64, queue: ComponentId) {
        let ComponentKind::Queue(settings) = &self.scenario.component(queue).kind else { return };
        if !self.surely && !self.consuming.contains(&queue) {
            self.consuming.push(queue);
            self.class(numbers, share, settings.class, served_by(self.scenario, settings.to));
            self.consuming.pop();
        }
    }

    /// Commands to a key-value store: what they take of its thread is known where it was calibrated.
    fn command(
        &mut self,
        numbers: &Numbers,
        share: f64,
        keyspace: KeyspaceId,
        commands: u32,
        keys: u32,
    ) -> Range {
        let store = self.scenario.keyspace(keyspace).store;
        let costs = self.scenario.calibration.components.get(store.index()).copied().unwrap_or_default();
        let seconds = |cost: Option<SimTime>| cost.map_or(0.0, SimTime::as_secs_f64);
        let time = seconds(costs.command) * f64::from(commands) + seconds(costs.key) * f64::from(keys);
        self.places[store.index()].add(numbers, share, Range::always(time));
        Range::always(time)
    }

    fn statement(&self, database: ComponentId, write: bool) -> Range {
        let law = self.scenario.statement_law(database, write);
        law.map_or(Range::default(), |law| Range::always(law.mean().as_secs_f64()))
    }

    fn database(&mut self, numbers: &Numbers, share: f64, database: ComponentId, time: Range) -> Range {
        self.places[database.index()].add(numbers, share, time);
        self.cores[self.scenario.component(database).host.index()].add(numbers, share, time);
        time
    }
}

/// Something that requests occupy, and how much of it there is.
struct Station {
    /// `host app`, or a component's name.
    name: String,
    /// `8 cores`, `64 workers`.
    what: String,
    capacity: f64,
    demand: Demand,
    /// Whose machines it is on.
    host: HostId,
    /// How many servers there are.
    servers: u64,
}

/// What requests ask of machines' cores, or of a component's workers, connections or thread.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Offered {
    /// `host app`, or a component's name.
    pub name: String,
    /// What it is: `8 cores`, `64 workers`.
    pub what: String,
    /// Whose machines it is on.
    pub host: HostId,
    /// How many servers there are, on all machines together.
    pub servers: u64,
    /// Seconds of a server at the usual speed that there are in a second, on all machines together.
    pub capacity: f64,
    /// Seconds that are asked for per second, by the mean rates of the measured part: what is surely needed. Every read and
    /// every cache hits, messages wait, and closed loops ask for nothing.
    pub least: f64,
    /// The same where every read misses.
    pub most: f64,
}

/// What is asked of everything that means tell of, and how much of it there is.
pub fn offered(scenario: &Scenario) -> Vec<Offered> {
    let (sure, all) = (stations(scenario, true), stations(scenario, false));
    let offered = |(sure, all): (Station, Station)| Offered {
        name: all.name,
        what: all.what,
        host: all.host,
        servers: all.servers,
        capacity: all.capacity,
        least: sure.demand.mean.least,
        most: all.demand.mean.most,
    };
    sure.into_iter().zip(all).map(offered).collect()
}

/// Everything that requests occupy; where only what is sure counts, without what caches, queues and closed loops may spare.
fn stations(scenario: &Scenario, surely: bool) -> Vec<Station> {
    let cores = vec![Demand::default(); scenario.hosts.len()];
    let places = vec![Demand::default(); scenario.components.len()];
    let mut ledger = Ledger { scenario, cores, places, consuming: Vec::new(), surely };
    for traffic in &scenario.traffic {
        if surely && matches!(traffic.executor, Executor::Users(_)) {
            continue;
        }
        let numbers = Numbers::of(scenario, traffic);
        let service = served_by(scenario, traffic.to);
        for (class, share) in &traffic.mix {
            let spared = surely && is_kept_on_the_way(scenario, traffic.to, *class);
            let share = if spared { 0.0 } else { share.get() * reaches_origin(scenario, traffic.to, *class) };
            ledger.class(&numbers, share, *class, service);
            if let Some(record) = traffic.session_record().filter(|_| !scenario.is_for_everybody(*class)) {
                ledger.record(&numbers, share, record, service);
            }
        }
    }
    let Ledger { cores, places, .. } = ledger;
    let counted =
        |count: u64, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    let mut stations = Vec::new();
    for ((host, id), demand) in scenario.hosts.iter().zip(scenario.host_ids()).zip(cores) {
        let cores = u64::from(host.count) * u64::from(host.cores);
        let (name, what) = (format!("host {}", host.name), counted(cores, "core"));
        let capacity = cores as f64 * host.speed;
        stations.push(Station { name, what, capacity, demand, host: id, servers: cores });
    }
    for (component, demand) in scenario.components.iter().zip(places) {
        let (per_instance, what) = match &component.kind {
            ComponentKind::Service(s) => (s.workers, "worker"),
            ComponentKind::SqlStore(s) => (s.connections, "connection"),
            ComponentKind::KvStore(_) => (1, "thread"),
            _ => continue,
        };
        let count = u64::from(per_instance) * u64::from(scenario.host(component.host).count);
        let (name, what) = (component.name.clone(), counted(count, what));
        let host = component.host;
        stations.push(Station { name, what, capacity: count as f64, demand, host, servers: count });
    }
    stations
}

/// Whether an HTTP cache on the way may answer a class's requests.
fn is_kept_on_the_way(scenario: &Scenario, entry: ComponentId, class: ClassId) -> bool {
    let is_cache = |id| matches!(scenario.component(id).kind, ComponentKind::HttpCache(_));
    scenario.class(class).cache.is_some() && scenario.way(entry).any(is_cache)
}

/// The share of a class's requests that edges on the way do not answer.
fn reaches_origin(scenario: &Scenario, entry: ComponentId, class: ClassId) -> f64 {
    let passed_on = |id| {
        let ComponentKind::Cdn(cdn) = &scenario.component(id).kind else { return 1.0 };
        match cdn.serves.iter().find(|(c, _)| *c == class).map(|(_, rule)| *rule) {
            Some(EdgeRule::Share(hits)) => 1.0 - hits.get(),
            // How often depends on how many paths there are: as good as always.
            Some(EdgeRule::Kept(_)) => 0.0,
            None => 1.0,
        }
    };
    scenario.way(entry).map(passed_on).product()
}

pub(super) fn write(out: &mut String, scenario: &Scenario) -> std::fmt::Result {
    stations(scenario, false).iter().try_for_each(|station| row(out, station))
}

/// What is asked for more than there is, at the mean rates or at the peak, even where every read hits.
pub(super) fn overloads(scenario: &Scenario) -> Vec<String> {
    let asked = |station: &Station| {
        let Station { name, what, capacity, demand, .. } = station;
        let (mean, peak) = (demand.mean.least, demand.peak.least);
        let when = match (mean >= *capacity, peak >= *capacity) {
            (true, _) => "all the time",
            (false, true) => "at the peak",
            (false, false) => return None,
        };
        let percent = 100.0 * peak / capacity;
        Some(format!(
            "{name}: overloaded {when}: of {what} the requests would take {mean:.1} on average and {peak:.1} at the peak \
             ({percent:.0}%)"
        ))
    };
    stations(scenario, false).iter().filter_map(asked).collect()
}

fn row(out: &mut String, station: &Station) -> std::fmt::Result {
    let Station { name, what, capacity, demand, .. } = station;
    // The scenario states no processor time for it.
    if demand.peak.most == 0.0 {
        return Ok(());
    }
    let percent = |range: Range| {
        let (least, most) = (100.0 * range.least / capacity, 100.0 * range.most / capacity);
        if most - least < 0.05 { format!("{most:.1}%") } else { format!("{least:.1}% to {most:.1}%") }
    };
    let warning = match demand.peak {
        peak if peak.least >= *capacity => "  overloaded",
        peak if peak.most >= *capacity => "  overloaded if every read misses",
        _ => "",
    };
    writeln!(
        out,
        "  {name:24}{what:>18}  mean {}, peak {}{warning}",
        percent(demand.mean),
        percent(demand.peak)
    )
}
