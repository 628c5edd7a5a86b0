//! A run over time: its intervals, or groups of them, as rates and percentiles.

use std::ops::Range;

use results::tally::Distribution;
use results::{Failure, RunRecord};
use scenarios::units::SimTime;

/// The percentiles that are followed over time.
pub(crate) const PERCENTILES: [(f64, &str); 4] =
    [(50.0, "p50"), (90.0, "p90"), (99.0, "p99"), (100.0, "max")];

/// A stretch of the run.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// The first of its intervals, and the one after its last.
    pub(crate) intervals: Range<usize>,
    /// In seconds since the measured part began.
    pub(crate) from: f64,
    pub(crate) until: f64,
    /// Requests due, per second.
    pub(crate) offered: f64,
    /// Good answers given in this stretch, per second.
    pub(crate) achieved: f64,
    /// Failed requests by kind, per second, where they were due.
    pub(crate) failures: [f64; Failure::ALL.len()],
    /// The share of the due requests that failed.
    pub(crate) failed_share: Option<f64>,
    /// Response times, in the order of [`PERCENTILES`]; infinite among dropped requests.
    pub(crate) response: [Option<f64>; PERCENTILES.len()],
    /// The 99th percentile of good answers alone.
    pub(crate) good_p99: Option<f64>,
    /// How late the generator sent: 99th percentile and greatest.
    pub(crate) lag_p99: Option<f64>,
    pub(crate) lag_max: Option<f64>,
}

impl Moment {
    /// The middle, in seconds.
    pub(crate) fn middle(&self) -> f64 {
        (self.from + self.until) / 2.0
    }
}

/// The run in at most so many stretches of equal numbers of intervals, as far as it came: which intervals, and from when to
/// when. A last stretch that is too short for a rate is left out.
pub(crate) fn stretches(record: &RunRecord, most: usize) -> Vec<(Range<usize>, SimTime, SimTime)> {
    let (frame, end) = (&record.frame, record.covered());
    let count = frame.intervals();
    let group = count.div_ceil(most).max(1);
    let stretch = |first: usize| {
        let range = first..(first + group).min(count);
        let from = frame.bounds(range.start).0;
        let until = frame.bounds(range.end - 1).1.min(end);
        let seconds = until.saturating_sub(from).as_secs_f64();
        let too_short = seconds < 0.25 * frame.interval.as_secs_f64() && range.start > 0;
        (until > from && !too_short).then_some((range, from, until))
    };
    (0..count).step_by(group).filter_map(stretch).collect()
}

/// The greatest number of points of a line: more of them would only blacken a chart.
pub(crate) const MOST_POINTS: usize = 400;

/// At most `rows` stretches.
pub(crate) fn at_most(record: &RunRecord, rows: usize) -> Vec<Moment> {
    let all = stretches(record, rows).into_iter();
    all.map(|(range, from, until)| summarise(record, range, from, until)).collect()
}

fn summarise(record: &RunRecord, range: Range<usize>, from: SimTime, until: SimTime) -> Moment {
    // Rates are those of one run, whatever number of runs the record pools.
    let seconds = until.saturating_sub(from).as_secs_f64() * f64::from(record.runs());
    let mut tally = record.tallies.interval(range.start, None);
    let mut answered = record.tallies.answered(range.start);
    let mut lags = vec![record.tallies.send_lag(range.start)];
    for interval in range.start + 1..range.end {
        tally.merge(&record.tallies.interval(interval, None));
        answered += record.tallies.answered(interval);
        lags.push(record.tallies.send_lag(interval));
    }
    let start = record.frame.warmup.as_secs_f64();
    let response = tally.response_times();
    let due = tally.due();
    // Several intervals' lags are not merged for a percentile that only a table shows: the worst one stands for all.
    let worst = |percent| {
        let values = lags.iter().filter_map(|lag| lag.percentile(percent));
        values.max_by(f64::total_cmp)
    };
    Moment {
        intervals: range,
        from: from.as_secs_f64() - start,
        until: until.as_secs_f64() - start,
        offered: due as f64 / seconds,
        achieved: answered as f64 / seconds,
        failures: tally.failures.map(|n| n as f64 / seconds),
        failed_share: (due > 0).then(|| tally.failed() as f64 / due as f64),
        response: PERCENTILES.map(|(percent, _)| response.percentile(percent)),
        good_p99: Distribution::new(&tally.response, 0, 0).percentile(99.0),
        lag_p99: worst(99.0),
        lag_max: worst(100.0),
    }
}
