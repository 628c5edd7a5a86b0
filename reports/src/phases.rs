//! Key figures by phase: the whole of the measured part, and each window of it.

use results::figure::estimate;
use results::{Estimate, RunRecord, Scope, Selection};
use scenarios::threshold::{Aggregate, Metric};

use crate::format::Unit;

/// A part of the run with a name.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phase {
    pub(crate) name: String,
    pub(crate) scope: Scope,
    pub(crate) seconds: f64,
}

/// The whole, then each measured window; only the whole where there is just one.
pub(crate) fn phases(record: &RunRecord) -> Vec<Phase> {
    let whole = Phase { name: "whole".to_owned(), scope: Scope::Run, seconds: record.seconds(Scope::Run) };
    let measured = record.frame.windows.iter().enumerate().filter(|(_, w)| w.is_measured());
    let windows: Vec<Phase> = measured
        .map(|(i, w)| {
            let scope = Scope::Window(i);
            Phase { name: w.name.clone(), scope, seconds: record.seconds(scope) }
        })
        .collect();
    let mut phases = vec![whole];
    if windows.len() > 1 {
        phases.extend(windows);
    }
    phases
}

/// A figure that is told for each phase.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) unit: Unit,
    metric: Metric,
    aggregate: Aggregate,
}

impl Key {
    const fn new(name: &'static str, unit: Unit, metric: Metric, aggregate: Aggregate) -> Self {
        Self { name, unit, metric, aggregate }
    }

    /// Its value in a phase.
    pub(crate) fn of(&self, record: &RunRecord, scope: Scope) -> Option<Estimate> {
        estimate(record, &Selection::new(self.metric, self.aggregate).within(scope))
    }

    /// Its value in a phase, for one class.
    pub(crate) fn of_class(&self, record: &RunRecord, class: usize) -> Option<Estimate> {
        estimate(record, &Selection::new(self.metric, self.aggregate).of_class(class))
    }
}

/// Good answers per second.
pub(crate) const THROUGHPUT: Key = Key::new("throughput", Unit::PerSecond, Metric::Rate, Aggregate::Rate);
/// The share of requests that failed.
pub(crate) const FAILED: Key = Key::new("failed", Unit::Share, Metric::Failed, Aggregate::Rate);
/// Response time, median.
pub(crate) const P50: Key = percentile("p50", 50.0);
/// Response time, 90th percentile.
pub(crate) const P90: Key = percentile("p90", 90.0);
/// Response time, 99th percentile.
pub(crate) const P99: Key = percentile("p99", 99.0);
/// Response time, 99.9th percentile.
pub(crate) const P999: Key = percentile("p99.9", 99.9);
/// The longest response time.
pub(crate) const MAX: Key = Key::new("max", Unit::Seconds, Metric::ResponseTime, Aggregate::Maximum);
/// Service time, 99th percentile: what a generator that waits for answers would report.
pub(crate) const SERVICE_P99: Key =
    Key::new("service p99", Unit::Seconds, Metric::ServiceTime, Aggregate::Percentile(99.0));

/// Deciles of the response time.
pub(crate) const DECILES: [Key; 9] = [
    percentile("p10", 10.0),
    percentile("p20", 20.0),
    percentile("p30", 30.0),
    percentile("p40", 40.0),
    P50,
    percentile("p60", 60.0),
    percentile("p70", 70.0),
    percentile("p80", 80.0),
    P90,
];

const fn percentile(name: &'static str, percent: f64) -> Key {
    Key::new(name, Unit::Seconds, Metric::ResponseTime, Aggregate::Percentile(percent))
}
