//! Latency against load: runs of one system under different loads, such as the trials of `loadgen capacity`, and where an objective
//! breaks.

use results::record::Status;
use results::{Estimate, RunRecord, Scope};
use scenarios::threshold::{Aggregate, Metric};

use crate::format::{self, Unit};
use crate::page;
use crate::phases::{FAILED, Key, P50, P90, P99, THROUGHPUT};
use crate::table::Table;

/// Loads that differ by less than this factor may be one that was drawn with other seeds.
const DIFFERENT: f64 = 1.1;
/// The lines of the chart.
pub(crate) const KEYS: [Key; 3] = [P50, P90, P99];

/// Why runs are no runs under different loads.
#[derive(Debug, thiserror::Error)]
pub enum Unlike {
    /// They ask for different things.
    #[error(
        "the runs are not of one system: the first has the requests {first}; another has {other}\n  hint: name runs of one scenario under different loads, such as the trials of loadgen capacity"
    )]
    Requests {
        /// The classes of the first run.
        first: String,
        /// Those of one that differs.
        other: String,
    },
    /// There is nothing to compare.
    #[error("found runs under one load alone, expected two loads at least")]
    OneLoad,
}

/// A run and its load.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// Requests due, per second.
    pub(crate) rate: f64,
    /// By [`KEYS`].
    pub(crate) times: [Option<Estimate>; KEYS.len()],
    good: Option<Estimate>,
    failed: Option<Estimate>,
    /// Whether all that judges it holds; none where nothing does, or where the run itself is doubtful.
    holds: Option<bool>,
    /// Whether the generator did not play what was asked, so that its figures say nothing of the system.
    doubtful: bool,
}

/// Runs under different loads, the least load first.
#[derive(Clone, Debug)]
pub struct Loads<'a> {
    pub(crate) first: &'a RunRecord,
    pub(crate) points: Vec<Point>,
}

/// Puts runs in order of their load.
///
/// # Errors
/// If they ask for different things, or have one load.
pub fn loads(runs: &[RunRecord]) -> Result<Loads<'_>, Unlike> {
    let first = runs.first().ok_or(Unlike::OneLoad)?;
    let names = |run: &RunRecord| run.scenario.classes.join(", ");
    if let Some(other) = runs.iter().find(|run| run.scenario.classes != first.scenario.classes) {
        return Err(Unlike::Requests { first: names(first), other: names(other) });
    }
    let point = |run: &RunRecord| {
        let judged: Vec<bool> = run.thresholds.iter().filter_map(|verdict| verdict.passed).collect();
        let fails = judged.contains(&false);
        // A run that was given up because a threshold failed has failed; one that somebody cut short says nothing.
        let is_whole = run.status == Status::Complete || (run.status == Status::Aborted && fails);
        let doubtful = !run.validity.is_valid() || !is_whole;
        Point {
            rate: run.tally(Scope::Run, None).due() as f64 / run.counted_seconds(Scope::Run).max(1e-9),
            times: KEYS.map(|key| key.of(run, Scope::Run).filter(|_| !doubtful)),
            good: THROUGHPUT.of(run, Scope::Run),
            failed: FAILED.of(run, Scope::Run),
            holds: (!doubtful && !judged.is_empty()).then_some(!fails),
            doubtful,
        }
    };
    let mut points: Vec<Point> = runs.iter().map(point).collect();
    points.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let (least, most) = (points[0].rate, points[points.len() - 1].rate);
    if most < 1.01 * least {
        return Err(Unlike::OneLoad);
    }
    Ok(Loads { first, points })
}

impl Loads<'_> {
    /// Whether loads were meant to be different.
    pub(crate) fn differ(&self) -> bool {
        self.points[self.points.len() - 1].rate > DIFFERENT * self.points[0].rate
    }

    /// Limits of percentiles of the response time: what it is called, and its seconds.
    pub(crate) fn objectives(&self) -> Vec<(String, f64)> {
        let of_all = |t: &&results::verdict::Verdict| {
            let figure = t.threshold.figure;
            figure.metric == Metric::ResponseTime
                && matches!(figure.aggregate, Aggregate::Percentile(_))
                && figure.class.is_none()
        };
        let told = |t: &results::verdict::Verdict| {
            (format!("{} {}", t.threshold.selector, t.threshold.condition), t.threshold.limit)
        };
        self.first.thresholds.iter().filter(of_all).map(told).collect()
    }

    /// Between which loads all that judges the runs stops to hold: the greatest below which nothing fails, and the least that fails.
    pub fn crossing(&self) -> (Option<f64>, Option<f64>) {
        let fails = self.points.iter().find(|p| p.holds == Some(false)).map(|p| p.rate);
        let below = |p: &&Point| p.holds == Some(true) && fails.is_none_or(|rate| p.rate < rate);
        (self.points.iter().rfind(below).map(|p| p.rate), fails)
    }

    /// What came of it, in a sentence.
    pub fn headline(&self) -> String {
        let rate = |rate: f64| Unit::PerSecond.show(rate);
        match self.crossing() {
            (Some(low), Some(high)) => {
                format!("holds up to {}; fails from {} on", rate(low), rate(high))
            }
            (Some(low), None) => format!("holds at every load tried, up to {}", rate(low)),
            (None, Some(high)) => format!("fails at every load tried, down to {}", rate(high)),
            (None, None) => format!("no threshold judges these {} runs", self.points.len()),
        }
    }

    /// A row for each run.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["offered", "throughput", "failed", "p50", "p90", "p99", "verdict"]);
        for point in &self.points {
            let mut row = vec![
                Unit::PerSecond.show(point.rate),
                format::with_noise(point.good, Unit::PerSecond),
                format::with_noise(point.failed, Unit::Share),
            ];
            row.extend(point.times.map(|time| format::with_noise(time, Unit::Seconds)));
            let verdict = match point.holds {
                _ if point.doubtful => "⚠ invalid",
                Some(true) => "✓ holds",
                Some(false) => "✗ fails",
                None => "–",
            };
            row.push(verdict.to_owned());
            table.rows.push(row);
        }
        table
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        format!("{}\n{}\n\n{}", self.first.scenario.title, self.headline(), self.table().text())
    }

    /// One self-contained HTML page.
    pub fn html(&self) -> String {
        page::loads(self)
    }
}
