//! Offered load against capacity: the utilisation law, on means.

use std::fmt::Write as _;

use super::Numbers;
use crate::scenario::{Action, ClassId, ComponentId, ComponentKind, Scenario, Step};

/// The service that a component's requests are walked by.
fn served_by(scenario: &Scenario, entry: ComponentId) -> ComponentId {
    let mut at = entry;
    while let Some(to) = scenario.component(at).kind.forwards_to() {
        at = to;
    }
    at
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
            Action::Get { on_miss: Some(miss), .. } => {
                let time = Range { least: 0.0, ..self.statement(miss.from, false) };
                self.database(numbers, share, miss.from, time)
            }
            Action::Select { database, .. } => {
                self.database(numbers, share, *database, self.statement(*database, false))
            }
            Action::Update { database, .. } => {
                self.database(numbers, share, *database, self.statement(*database, true))
            }
            Action::Get { on_miss: None, .. } | Action::Set { .. } | Action::Purge(_) => Range::default(),
        };
        Range { least: one.least * times, most: one.most * times }
    }

    fn statement(&self, database: ComponentId, write: bool) -> Range {
        match &self.scenario.component(database).kind {
            ComponentKind::SqlStore(s) => {
                Range::always(if write { s.write } else { s.read }.mean().as_secs_f64())
            }
            _ => Range::default(),
        }
    }

    fn database(&mut self, numbers: &Numbers, share: f64, database: ComponentId, time: Range) -> Range {
        self.places[database.index()].add(numbers, share, time);
        self.cores[self.scenario.component(database).host.index()].add(numbers, share, time);
        time
    }
}

pub(super) fn write(out: &mut String, scenario: &Scenario) -> std::fmt::Result {
    let cores = vec![Demand::default(); scenario.hosts.len()];
    let places = vec![Demand::default(); scenario.components.len()];
    let mut ledger = Ledger { scenario, cores, places };
    for traffic in &scenario.traffic {
        let numbers = Numbers::of(scenario, traffic);
        let service = served_by(scenario, traffic.to);
        for (class, share) in &traffic.mix {
            ledger.class(&numbers, share.get(), *class, service);
        }
    }
    let Ledger { cores, places, .. } = ledger;
    for (host, demand) in scenario.hosts.iter().zip(&cores) {
        let capacity = f64::from(host.count) * f64::from(host.cores);
        let cores = host.count * host.cores;
        let what = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
        row(out, &format!("host {}", host.name), &what, demand, capacity)?;
    }
    for (component, demand) in scenario.components.iter().zip(&places) {
        let per_instance = match &component.kind {
            ComponentKind::Service(s) => s.workers,
            ComponentKind::SqlStore(s) => s.connections,
            _ => continue,
        };
        let count = u64::from(per_instance) * u64::from(scenario.host(component.host).count);
        let what =
            if matches!(component.kind, ComponentKind::Service(_)) { "workers" } else { "connections" };
        row(out, &component.name, &format!("{count} {what}"), demand, count as f64)?;
    }
    Ok(())
}

fn row(out: &mut String, name: &str, what: &str, demand: &Demand, capacity: f64) -> std::fmt::Result {
    // The scenario states no processor time for it.
    if demand.peak.most == 0.0 {
        return Ok(());
    }
    let percent = |range: Range| {
        let (least, most) = (100.0 * range.least / capacity, 100.0 * range.most / capacity);
        if most - least < 0.05 { format!("{most:.1}%") } else { format!("{least:.1}% to {most:.1}%") }
    };
    let warning = match demand.peak {
        peak if peak.least >= capacity => "  overloaded",
        peak if peak.most >= capacity => "  overloaded if every read misses",
        _ => "",
    };
    writeln!(
        out,
        "  {name:24}{what:>18}  mean {}, peak {}{warning}",
        percent(demand.mean),
        percent(demand.peak)
    )
}
