//! One number of a run, of whatever was observed in it: of requests, of a component, of a machine.

use scenarios::scenario::Observed;
use scenarios::threshold::Aggregate;
use scenarios::{Scenario, explain};

use crate::figure::{Scope, figure};
use crate::outcome::Failure;
use crate::record::RunRecord;
use crate::sample::{GRACE_HITS, HITS, MISSES, PASSES, is_count};

/// The share of what a cache was asked for that it had, stale answers included.
pub const HIT_RATIO: &str = "hit_ratio";

/// What was observed, in seconds, per second, as a fraction, a count or bytes; of the measured part alone. None where the
/// run has no such observation. What it costs follows from prices and from how many machines there were.
pub fn observed(record: &RunRecord, observed: &Observed) -> Option<f64> {
    match observed {
        Observed::Requests(selected) => figure(record, selected).map(|estimate| estimate.value),
        Observed::Series { of, metric, aggregate } if of == "failures" => {
            failures(record, metric, *aggregate)
        }
        Observed::Series { of, metric, .. } if of == "cost" => cost(record, metric),
        Observed::Series { of, metric, aggregate } if metric == HIT_RATIO => {
            let count = |metric| sum(record, of, metric).unwrap_or(0.0);
            let hits = count(HITS) + count(GRACE_HITS);
            let asked = hits + count(MISSES) + count(PASSES);
            (*aggregate == Aggregate::Rate && asked > 0.0).then(|| hits / asked)
        }
        Observed::Series { of, metric, aggregate } => series(record, of, metric, *aggregate),
        _ => None,
    }
}

/// What the machines cost a month in a currency; none where the record's scenario is of another version and cannot be read.
fn cost(record: &RunRecord, currency: &str) -> Option<f64> {
    let facts = &record.scenario;
    let scenario = Scenario::parse(&facts.path, facts.text.clone()).ok()?;
    let costs = explain::monthly_cost(&scenario, &|host| record.machines(&scenario, host));
    costs.into_iter().find(|cost| cost.currency == currency).map(|cost| cost.per_month)
}

/// How many requests failed in one way.
fn failures(record: &RunRecord, kind: &str, aggregate: Aggregate) -> Option<f64> {
    let kind = Failure::ALL.into_iter().find(|failure| failure.name() == kind)?;
    let tally = record.tally(Scope::Run, None);
    let count = tally.failures[kind.index()] as f64;
    match aggregate {
        Aggregate::Count => Some(count),
        Aggregate::Rate if tally.due() > 0 => Some(count / tally.due() as f64),
        _ => None,
    }
}

/// The values of the intervals of the measured part.
fn values<'a>(record: &'a RunRecord, of: &'a str, metric: &'a str) -> impl Iterator<Item = f64> + 'a {
    let measured = |interval: usize| record.frame.bounds(interval).0 >= record.frame.warmup;
    let series = record.series(of, metric);
    series.flat_map(move |s| {
        s.values.iter().enumerate().filter(move |(i, _)| measured(*i)).filter_map(|(_, value)| *value)
    })
}

fn sum(record: &RunRecord, of: &str, metric: &str) -> Option<f64> {
    values(record, of, metric).fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

fn series(record: &RunRecord, of: &str, metric: &str, aggregate: Aggregate) -> Option<f64> {
    let count = || if is_count(metric) { sum(record, of, metric) } else { None };
    match aggregate {
        Aggregate::Count => count(),
        Aggregate::Rate => count().map(|sum| sum / record.seconds(Scope::Run)),
        Aggregate::Minimum => values(record, of, metric).reduce(f64::min),
        Aggregate::Maximum => values(record, of, metric).reduce(f64::max),
        Aggregate::Average => {
            let (sum, n) = values(record, of, metric).fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
            (n > 0.0).then(|| sum / n)
        }
        _ => None,
    }
}
