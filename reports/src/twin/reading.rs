//! The numbers that a run is compared by, in either world.

use results::figure::estimate;
use results::observation::{HIT_RATIO, observed_series};
use results::{RunRecord, Scope, Selection, WindowKind, sample};
use scenarios::threshold::{Aggregate, Metric};
use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

use super::dip;

/// Shorter windows have no percentile worth the name.
const SHORTEST: SimTime = SimTime::from_secs(1);
/// A part is busy for as long as this at least, in intervals, where the share of the capacity is meant.
const STRETCH: usize = 3;

/// Kinds of numbers, with a target each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Good answers a second.
    Goodput,
    /// The median of the response time.
    P50,
    /// The 99th percentile of the response time.
    P99,
    /// The share that a cache or a store had of what it was asked for.
    HitRatio,
    /// How deep goodput falls.
    DipDepth,
    /// For how long.
    DipDuration,
    /// The busy share of a component.
    Utilisation,
}

impl Group {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Goodput,
        Self::P50,
        Self::P99,
        Self::HitRatio,
        Self::DipDepth,
        Self::DipDuration,
        Self::Utilisation,
    ];

    /// The name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Goodput => "goodput",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::HitRatio => "hit ratio",
            Self::DipDepth => "dip's depth",
            Self::DipDuration => "dip's duration",
            Self::Utilisation => "utilisation",
        }
    }

    /// Whether errors are differences of shares rather than relative.
    pub const fn is_in_points(self) -> bool {
        matches!(self, Self::HitRatio | Self::Utilisation)
    }
}

/// Which number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Quantity {
    /// What it is.
    pub group: Group,
    /// Of which part of the run, or of which component; empty for the whole.
    pub of: String,
}

impl Quantity {
    fn new(group: Group, of: &str) -> Self {
        Self { group, of: of.to_owned() }
    }

    /// The name: `p99 during`, `hit ratio of varnish`.
    pub fn name(&self) -> String {
        match (self.group, self.of.as_str()) {
            (group, "") => group.name().to_owned(),
            (group, of) if group.is_in_points() => format!("{} of {of}", group.name()),
            (group, of) => format!("{} {of}", group.name()),
        }
    }
}

/// A part of a run: its name and which it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Phase {
    /// Empty for the whole; `before`, `during`, `after`, or the window's own name where there are several like it.
    pub name: String,
    /// Which.
    pub scope: Scope,
    /// Whether something is broken in it, or was before it.
    pub is_hit: bool,
    /// Its start and end on the run's axis.
    pub bounds: (SimTime, SimTime),
}

/// The whole, then each window of the measured part that is not too short; the whole alone where there is only one.
pub fn phases(record: &RunRecord) -> Vec<Phase> {
    let frame = &record.frame;
    let first_hit = dip::episodes(record).first().map(|(from, _)| *from);
    let whole = Phase {
        name: String::new(),
        scope: Scope::Run,
        is_hit: first_hit.is_none(),
        bounds: (frame.warmup, frame.total),
    };
    let windows: Vec<_> = frame.windows.iter().enumerate().filter(|(_, w)| w.is_measured()).collect();
    let mut phases = vec![whole];
    if windows.len() < 2 {
        return phases;
    }
    let broken = windows.iter().filter(|(_, w)| matches!(w.kind, WindowKind::Fault(_))).count();
    for (place, (i, window)) in windows.iter().enumerate() {
        let name = match (&window.kind, broken) {
            // A flush takes no time, so that there is only a before and an after.
            (WindowKind::Quiet, 0) if windows.len() == 2 => ["before", "after"][place].to_owned(),
            (WindowKind::Fault(_), 1) => "during".to_owned(),
            _ => window.name.clone(),
        };
        if window.until.saturating_sub(window.from) >= SHORTEST {
            let is_hit = first_hit.is_some_and(|hit| window.from >= hit);
            phases.push(Phase {
                name,
                scope: Scope::Window(*i),
                is_hit,
                bounds: (window.from, window.until),
            });
        }
    }
    phases
}

/// A figure of requests in a part of the run.
pub(crate) fn figure(record: &RunRecord, scope: Scope, metric: Metric, aggregate: Aggregate) -> Option<f64> {
    estimate(record, &Selection::new(metric, aggregate).within(scope)).map(|estimate| estimate.value)
}

/// A percentile of the response time in a part of the run, in seconds.
pub(crate) fn percentile(record: &RunRecord, scope: Scope, percent: f64) -> Option<f64> {
    figure(record, scope, Metric::ResponseTime, Aggregate::Percentile(percent))
}

/// All numbers of a run, in the order in which they are told.
pub fn readings(record: &RunRecord) -> Vec<(Quantity, f64)> {
    let mut all = Vec::new();
    let mut put = |group: Group, of: &str, value: Option<f64>| {
        all.extend(value.map(|value| (Quantity::new(group, of), value)));
    };
    let phases = phases(record);
    for phase in phases.iter().filter(|phase| phase.is_hit) {
        put(Group::Goodput, &phase.name, figure(record, phase.scope, Metric::Rate, Aggregate::Rate));
    }
    for (group, percent) in [(Group::P50, 50.0), (Group::P99, 99.0)] {
        for phase in &phases {
            put(group, &phase.name, percentile(record, phase.scope, percent));
        }
    }
    for component in &record.scenario.components {
        put(
            Group::HitRatio,
            &component.name,
            observed_series(record, &component.name, HIT_RATIO, Aggregate::Rate),
        );
    }
    let dips = dip::dips(record);
    for (i, dip) in dips.iter().enumerate() {
        let of = if dips.len() == 1 { String::new() } else { format!("{}", i + 1) };
        put(Group::DipDepth, &of, Some(dip.depth));
        put(Group::DipDuration, &of, dip.duration_s);
    }
    for component in &record.scenario.components {
        let mean = utilisation(record, &component.name, component.instances);
        put(Group::Utilisation, &component.name, mean);
    }
    all
}

/// The busy share of a component's instances in the measured part; one of which nothing was seen, because it was dead, is idle.
fn utilisation(record: &RunRecord, component: &str, instances: u32) -> Option<f64> {
    let frame = &record.frame;
    let measured = |interval: usize| frame.bounds(interval).0 >= frame.warmup;
    let intervals = (0..frame.intervals()).filter(|interval| measured(*interval)).count();
    let mut sum = None;
    for series in record.series(component, sample::UTILISATION) {
        let values = series.values.iter().enumerate().filter(|(interval, _)| measured(*interval));
        *sum.get_or_insert(0.0) += values.filter_map(|(_, value)| *value).sum::<f64>();
    }
    sum.map(|sum: f64| sum / (intervals.max(1) as f64 * f64::from(instances.max(1))))
}

/// Which share of the capacity is used in a part of a simulated run: by the busiest instance of the busiest component in its
/// busiest three seconds, as what is busy first bounds what the system can take (the utilisation law), and a
/// percentile in the tail is made where it is busiest.
pub fn pressure(record: &RunRecord, phase: &Phase) -> f64 {
    let frame = &record.frame;
    let inside: Vec<usize> = (0..frame.intervals())
        .filter(|interval| {
            let (from, until) = frame.bounds(*interval);
            from >= phase.bounds.0 && until <= phase.bounds.1
        })
        .collect();
    let mut most = 0.0f64;
    for series in record.series.iter().filter(|s| s.metric == sample::UTILISATION) {
        let values: Vec<f64> =
            inside.iter().filter_map(|i| series.values.get(*i).copied().flatten()).collect();
        for stretch in values.windows(STRETCH.min(values.len()).max(1)) {
            most = most.max(stretch.iter().sum::<f64>() / stretch.len() as f64);
        }
    }
    most
}

/// The busy share of the machine in the measured part of a run over sockets: all of its processors, whoever used them.
pub fn machine_share(record: &RunRecord) -> Option<f64> {
    observed_series(record, sample::GENERATOR, sample::MACHINE_BUSY, Aggregate::Average)
}

/// The share of the machine's processors that the hypervisor took in the measured part of a run over sockets; nothing where the record
/// does not say.
pub fn stolen_share(record: &RunRecord) -> f64 {
    let cores = observed_series(record, sample::GENERATOR, sample::STEAL, Aggregate::Average).unwrap_or(0.0);
    cores / record.provenance.machine.cores.max(1) as f64
}

/// Requests due a second.
pub fn offered(record: &RunRecord) -> f64 {
    record.tally(Scope::Run, None).due() as f64 / record.counted_seconds(Scope::Run).max(1e-9)
}
