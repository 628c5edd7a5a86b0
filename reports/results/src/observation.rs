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
///
/// Samples of components are of whole intervals of the run's frame: those count that begin in the measured part, and a rate
/// is over the time that they cover. An interval in which the warm-up ends is left out, of a count as well.
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

/// The same of a metric of a component, or of the generator.
pub fn observed_series(record: &RunRecord, of: &str, metric: &str, aggregate: Aggregate) -> Option<f64> {
    let (of, metric) = (of.to_owned(), metric.to_owned());
    observed(record, &Observed::Series { of, metric, aggregate })
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

/// Whether an interval begins in the measured part.
fn is_measured(record: &RunRecord, interval: usize) -> bool {
    record.frame.bounds(interval).0 >= record.frame.warmup
}

/// How long those are together that do, as far as the run came, in seconds.
fn measured_seconds(record: &RunRecord) -> f64 {
    let intervals = (0..record.frame.intervals()).filter(|interval| is_measured(record, *interval));
    let bounds = intervals.map(|interval| record.frame.bounds(interval));
    bounds.map(|(from, until)| until.min(record.covered()).saturating_sub(from).as_secs_f64()).sum()
}

/// The values of the intervals of the measured part.
fn values<'a>(record: &'a RunRecord, of: &'a str, metric: &'a str) -> impl Iterator<Item = f64> + 'a {
    let series = record.series(of, metric);
    series.flat_map(move |s| {
        let measured =
            s.values.iter().enumerate().filter(move |(interval, _)| is_measured(record, *interval));
        measured.filter_map(|(_, value)| *value)
    })
}

fn sum(record: &RunRecord, of: &str, metric: &str) -> Option<f64> {
    values(record, of, metric).fold(None, |sum, value| Some(sum.unwrap_or(0.0) + value))
}

/// How many seconds of the measured part are over at the end of the first interval whose value is so, of whichever instance;
/// infinitely many where none is. None where nothing was observed.
fn first(record: &RunRecord, of: &str, metric: &str, is_so: impl Fn(f64) -> bool) -> Option<f64> {
    let mut earliest = None::<f64>;
    for series in record.series(of, metric) {
        let mut measured = series.values.iter().enumerate().filter(|(at, _)| is_measured(record, *at));
        let found = measured.find(|(_, value)| value.is_some_and(&is_so));
        let seconds = found.map_or(f64::INFINITY, |(interval, _)| {
            record.frame.bounds(interval).1.saturating_sub(record.frame.warmup).as_secs_f64()
        });
        earliest = Some(earliest.map_or(seconds, |earliest| earliest.min(seconds)));
    }
    earliest
}

/// The values of a component's metric in the measured part, as one number.
pub(crate) fn series(record: &RunRecord, of: &str, metric: &str, aggregate: Aggregate) -> Option<f64> {
    let count = || if is_count(metric) { sum(record, of, metric) } else { None };
    match aggregate {
        Aggregate::Count => count(),
        Aggregate::Rate => {
            let seconds = measured_seconds(record);
            count().filter(|_| seconds > 0.0).map(|sum| sum / seconds)
        }
        Aggregate::Minimum => values(record, of, metric).reduce(f64::min),
        Aggregate::Maximum => values(record, of, metric).reduce(f64::max),
        Aggregate::Below(limit) => first(record, of, metric, |value| value < limit),
        Aggregate::Above(limit) => first(record, of, metric, |value| value > limit),
        Aggregate::Average => {
            let (sum, n) = values(record, of, metric).fold((0.0, 0.0), |(sum, n), v| (sum + v, n + 1.0));
            (n > 0.0).then(|| sum / n)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;
    use crate::outcome::World;
    use crate::recorder::Recorder;
    use crate::sample::{INSTANCES, Sample};
    use scenarios::Scenario;

    /// A run of 2,010 s with intervals of 5 s, of which the second to last begins in the warm-up.
    fn record() -> (RunRecord, Scenario) {
        let text = r#"
title = "T"
[run]
warmup = "2001s"
duration = "9s"
[hosts.e]
[hosts.a]
count = 4
[components.b]
kind = "load-balancer"
host = "e"
to = "w"
[components.w]
kind = "service"
host = "a"
autoscale = { min = 1, target = "60%" }
[requests.r]
path = "/"
[traffic.t]
to = "b"
executor = "constant-arrival-rate"
rate = "1/s"
mix = { r = 1 }
"#;
        let scenario = Scenario::parse("t.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let frame = Frame::new(&scenario);
        assert_eq!((frame.intervals(), frame.bounds(401).0.as_secs_f64()), (402, 2_005.0));
        let sample = |interval, metric: &'static str, value| Sample {
            interval,
            component: "w".to_owned(),
            instance: 0,
            metric: metric.into(),
            value,
        };
        let samples = (0..frame.intervals()).flat_map(|interval| {
            let machines = if interval < 401 { 4.0 } else { 1.0 };
            [sample(interval, HITS, 10.0), sample(interval, INSTANCES, machines)]
        });
        let samples: Vec<Sample> = samples.collect();
        let delta = Recorder::new(&frame).take();
        (RunRecord::in_memory(&scenario, World::Sim, &delta, &samples), scenario)
    }

    #[test]
    fn a_rate_is_over_the_intervals_whose_counts_it_has() {
        let (record, _) = record();
        assert_eq!(series(&record, "w", HITS, Aggregate::Count), Some(10.0));
        assert_eq!(series(&record, "w", HITS, Aggregate::Rate), Some(2.0));
    }

    #[test]
    fn a_moment_is_the_end_of_the_first_interval_in_which_it_is_so() {
        let (record, _) = record();
        // Its four machines of the warm-up are one in the last of the run's intervals, which ends with it.
        assert_eq!(series(&record, "w", INSTANCES, Aggregate::Below(2.0)), Some(9.0));
        assert_eq!(
            series(&record, "w", INSTANCES, Aggregate::Above(2.0)),
            Some(f64::INFINITY),
            "only before"
        );
        assert_eq!(series(&record, "w", "sadness", Aggregate::Below(2.0)), None);
    }

    #[test]
    fn machines_of_the_warm_up_cost_nothing() {
        let (record, scenario) = record();
        let host = scenario.components[1].host;
        assert_eq!(record.machines(&scenario, host), Some(1.0));
    }
}
