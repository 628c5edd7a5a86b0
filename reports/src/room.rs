//! How much more load there is room for, and what the machines cost.
//!
//! A part that is busy for a share of the time at some load is busy for k times that share at k times the load (the utilisation law:
//! P. J. Denning, J. P. Buzen, *The operational analysis of queueing network models*, ACM Computing Surveys 10, 1978), and cannot
//! be busy for more than all of it. So the busiest part bounds what the system can take, and tells what gives first. Queues
//! grow long before that, so objectives break earlier: it is a bound, not a promise. Workers and connections are held for longer, not
//! shorter, as the load grows, so that what is taken of them grows by k at least, and the bound holds for them as well.

use std::ops::Range;

use results::record::Series;
use results::{RunRecord, Scope, sample};
use scenarios::scenario::{ComponentId, ComponentKind};
use scenarios::units::Price;
use scenarios::{Scenario, explain};

use crate::format;
use crate::moments::stretches;
use crate::phases::THROUGHPUT;
use crate::table::Table;

/// Below this, a part's share says more of chance than of load.
const BUSY: f64 = 0.05;
/// A month is a twelfth of a year of 365.25 days, as `scenario explain` counts.
const SECONDS_PER_MONTH: f64 = 365.25 * 86_400.0 / 12.0;

/// A peak lasts at least as long as this, in seconds, and of a week an hour: a part that is busy for all of a second has met chance,
/// not its limit.
const STRETCH_S: f64 = 5.0;
const MOST_STRETCHES: f64 = 168.0;

/// What is busy for a share of the time by its own account, and what that is called.
const PARTS: [(&str, &str); 4] = [
    (sample::UTILISATION, "cores or workers"),
    (sample::DISK, "disk"),
    (sample::NIC_OUT, "network, sending"),
    (sample::NIC_IN, "network, receiving"),
];

/// A part of the system that can be busy.
#[derive(Clone, Debug)]
pub(crate) struct Busy {
    /// Of which component or host.
    pub(crate) name: String,
    pub(crate) what: &'static str,
    /// Over the measured part, the mean of its instances.
    mean: f64,
    /// Its busiest instance in the busiest stretch.
    pub(crate) most: f64,
}

impl Busy {
    /// Whether it is a host's rather than a component's.
    pub(crate) fn is_of_host(&self) -> bool {
        PARTS[1..].iter().any(|(_, what)| *what == self.what)
    }

    /// By how much the load could grow until it is busy all of the time.
    pub(crate) fn factor(&self) -> f64 {
        1.0 / self.most
    }
}

/// Every part that is busy at all, the busiest first: cores, disks and networks, workers of services, and connections of databases.
pub(crate) fn busy(record: &RunRecord) -> Vec<Busy> {
    let mut parts = Parts::new(record);
    parts.resources(record);
    parts.places(record);
    parts.sorted()
}

/// Parts as they are met.
struct Parts {
    /// The intervals of each stretch of the measured part.
    stretches: Vec<Range<usize>>,
    parts: Vec<Busy>,
}

impl Parts {
    fn new(record: &RunRecord) -> Self {
        let most = (record.frame.total.as_secs_f64() / STRETCH_S).clamp(3.0, MOST_STRETCHES) as usize;
        let measured =
            stretches(record, most).into_iter().filter(|(_, _, until)| *until > record.frame.warmup);
        Self { stretches: measured.map(|(intervals, ..)| intervals).collect(), parts: Vec::new() }
    }

    /// What says itself how busy it is.
    fn resources(&mut self, record: &RunRecord) {
        for (metric, what) in PARTS {
            let all = record.series.iter().filter(|s| s.metric == metric && s.component != sample::GENERATOR);
            all.for_each(|series| self.meet(series, what, 1.0));
        }
    }

    /// Workers and connections: those that are taken, of those that the file says there are. Nothing where it cannot be read.
    fn places(&mut self, record: &RunRecord) {
        let facts = &record.scenario;
        let Ok(scenario) = Scenario::parse(&facts.path, facts.text.clone()) else { return };
        for id in scenario.component_ids() {
            let Some((what, places)) = places(&scenario, id) else { continue };
            let taken = record.series(&scenario.component(id).name, sample::IN_SERVICE);
            taken.for_each(|series| self.meet(series, what, f64::from(places)));
        }
    }

    /// An instance's series, of which so much is all.
    fn meet(&mut self, series: &Series, what: &'static str, all: f64) {
        let means = self.stretches.iter().filter_map(|intervals| {
            let values: Vec<f64> = series.values[intervals.clone()].iter().flatten().copied().collect();
            (!values.is_empty()).then(|| values.iter().sum::<f64>() / (all * values.len() as f64))
        });
        let means: Vec<f64> = means.collect();
        if means.is_empty() {
            return;
        }
        let mean = means.iter().sum::<f64>() / means.len() as f64;
        let most = means.iter().copied().fold(0.0, f64::max);
        let name = series.component.trim_start_matches("host:").to_owned();
        match self.parts.iter_mut().find(|part| part.name == name && part.what == what) {
            Some(part) => {
                // Instances are counted by how many have been met: the mean of means follows step by step.
                let met = f64::from(series.instance.max(1));
                part.mean += (mean - part.mean) / (met + 1.0);
                part.most = part.most.max(most);
            }
            None => self.parts.push(Busy { name, what, mean, most }),
        }
    }

    fn sorted(mut self) -> Vec<Busy> {
        self.parts.retain(|part| part.most > BUSY);
        self.parts.sort_by(|a, b| b.most.total_cmp(&a.most));
        self.parts
    }
}

/// How many an instance can serve at a time, and what those places are called; none where no number limits it.
fn places(scenario: &Scenario, id: ComponentId) -> Option<(&'static str, u32)> {
    match &scenario.component(id).kind {
        ComponentKind::Service(service) => {
            Some(("workers", service.pool.map_or(service.workers, |pool| pool.most)))
        }
        ComponentKind::SqlStore(store) => Some(("connections", store.connections)),
        _ => None,
    }
}

/// The part of a system that is busiest in a run.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Bottleneck {
    /// Of which component or host.
    pub name: String,
    /// What of it: `cores or workers`, `disk`, `network, sending`.
    pub what: &'static str,
    /// The share of the time that its busiest instance is busy, in its busiest stretch.
    pub busy: f64,
}

/// The busiest of a run's cores, disks and networks; none where nothing is busy. Workers and connections are left out: searches for a limit
/// begin with what grows in proportion to the load.
pub fn bottleneck(record: &RunRecord) -> Option<Bottleneck> {
    let mut parts = Parts::new(record);
    parts.resources(record);
    let first = parts.sorted().into_iter().next()?;
    Some(Bottleneck { name: first.name, what: first.what, busy: first.most })
}

/// What there is to say of it in half a sentence; nothing where nothing is busy.
pub(crate) fn words(parts: &[Busy]) -> Option<String> {
    let first = parts.first()?;
    let busy = format::percent_round(first.most.min(1.0));
    if first.most > 0.97 {
        return Some(format!("{} ({}) is at its limit, busy {busy} at its peak", first.name, first.what));
    }
    Some(format!(
        "its parts have room for at most {} times the load, and first to give is {} ({}, busy {busy} at its peak)",
        format::short((first.factor() * 10.0).floor() / 10.0),
        first.name,
        first.what
    ))
}

/// The parts, and how much more each could take.
pub(crate) fn table(parts: &[Busy]) -> Option<Table> {
    let mut table = Table::new(&["part", "of which", "busy", "at its peak", "room for"]);
    for part in parts {
        table.rows.push(vec![
            part.name.clone(),
            part.what.to_owned(),
            format::percent_round(part.mean.min(1.0)),
            format::percent_round(part.most.min(1.0)),
            format!("{:.1} times", part.factor().max(1.0)),
        ]);
    }
    (!table.rows.is_empty()).then_some(table)
}

/// What it costs in a month, by currency; nothing where the scenario has no prices or cannot be read.
pub(crate) fn monthly(record: &RunRecord) -> Vec<Price> {
    let facts = &record.scenario;
    let Ok(scenario) = Scenario::parse(&facts.path, facts.text.clone()) else { return Vec::new() };
    explain::monthly_cost(&scenario, &|host| record.machines(&scenario, host))
}

/// What it costs in a month, and for a million good answers; none where there is nothing to tell.
pub(crate) fn cost(record: &RunRecord) -> Option<Table> {
    let good_per_second = THROUGHPUT.of(record, Scope::Run).map_or(0.0, |rate| rate.value);
    let mut table = Table::new(&["currency", "a month", "a million good answers, at this rate"]);
    for price in monthly(record) {
        let million = price.per_month / (good_per_second * SECONDS_PER_MONTH) * 1e6;
        table.rows.push(vec![
            price.currency.clone(),
            format!("{:.2}", price.per_month),
            if million.is_finite() { format!("{million:.3}") } else { "–".to_owned() },
        ]);
    }
    (!table.rows.is_empty()).then_some(table)
}
