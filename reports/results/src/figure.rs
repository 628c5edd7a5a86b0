//! One number of a run with its noise, the same way for thresholds, expectations, reports and comparisons.

use std::fmt;

use scenarios::threshold::{Aggregate, During, Figure, Metric};
use serde::{Deserialize, Serialize};

use crate::frame::{Stands, Window, WindowKind};
use crate::noise;
use crate::part::{Above, Part};
use crate::record::RunRecord;
use crate::statistics::Moments;
use crate::statistics::batch::Ratio;
use crate::tally::{Distribution, rank};
use crate::wire;

/// A figure with an interval that holds in 95 of 100 cases what a very long run would show.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Estimate {
    /// The figure: in seconds, per second, as a fraction, or a count. May be infinite.
    pub value: f64,
    /// The interval's lower end.
    pub low: f64,
    /// The interval's upper end; infinite where the run has too few requests to bound it.
    pub high: f64,
    /// Of how many requests.
    pub n: u64,
    /// How the interval was found.
    pub noise: Noise,
}

/// How an interval was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Noise {
    /// As if requests were independent: too narrow under load.
    Independent,
    /// From the differences between batches of the run.
    Batches {
        /// How many.
        batches: usize,
        /// The correlation of neighbouring ones.
        lag_one: f64,
    },
    /// From the differences between so many replications.
    Replications(u32),
    /// A fact about this run; no interval bounds what another run's would be.
    Fact,
}

impl Noise {
    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Independent => "independent",
            Self::Batches { .. } => "batches",
            Self::Replications(_) => "replications",
            Self::Fact => "fact",
        }
    }
}

/// Which part of a run is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// All that is measured.
    #[default]
    Run,
    /// While any fault lasts.
    Fault,
    /// While none does.
    NoFault,
    /// Before the first fault.
    Before,
    /// After the last fault.
    After,
    /// While this fault lasts, by its place among the scenario's; none for one that the run does not have.
    OneFault(Option<usize>),
    /// One window of the frame.
    Window(usize),
}

impl Scope {
    /// Whether window number `index` belongs to it.
    pub fn includes(self, index: usize, window: &Window) -> bool {
        match self {
            Self::Run => window.is_measured(),
            Self::Fault => matches!(window.kind, WindowKind::Fault(_)),
            Self::NoFault => window.kind == WindowKind::Quiet,
            Self::Before => window.stands == Stands::Before,
            Self::After => window.stands == Stands::After,
            Self::OneFault(wanted) => match &window.kind {
                WindowKind::Fault(lasting) => wanted.is_some_and(|fault| lasting.contains(&fault)),
                _ => false,
            },
            Self::Window(chosen) => index == chosen,
        }
    }
}

/// One number of a run: as [`Figure`], but by position, with windows as possible parts, and storable.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// What is measured.
    #[serde(with = "wire::metric")]
    pub metric: Metric,
    /// Only requests of the class at this position.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<usize>,
    /// Only requests due in this part.
    #[serde(with = "scope")]
    pub scope: Scope,
    /// How it becomes one number.
    #[serde(with = "wire::aggregate")]
    pub aggregate: Aggregate,
}

mod scope {
    use super::{During, Scope, wire};
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    /// A word for a part of the run, a position for a fault or a window.
    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Stored {
        Part(#[serde(with = "wire::during")] During),
        Window { window: usize },
        Fault { fault: Option<usize> },
    }

    pub(super) fn serialize<S: Serializer>(scope: &Scope, to: S) -> Result<S::Ok, S::Error> {
        let stored = match *scope {
            Scope::Run => Stored::Part(During::Run),
            Scope::Fault => Stored::Part(During::Fault),
            Scope::NoFault => Stored::Part(During::NoFault),
            Scope::Before => Stored::Part(During::Before),
            Scope::After => Stored::Part(During::After),
            Scope::OneFault(fault) => Stored::Fault { fault },
            Scope::Window(window) => Stored::Window { window },
        };
        stored.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scope, D::Error> {
        Ok(match Stored::deserialize(from)? {
            Stored::Part(during) => Scope::from(during),
            Stored::Fault { fault } => Scope::OneFault(fault),
            Stored::Window { window } => Scope::Window(window),
        })
    }
}

impl From<During> for Scope {
    fn from(during: During) -> Self {
        match during {
            During::Run => Self::Run,
            During::Fault => Self::Fault,
            During::NoFault => Self::NoFault,
            During::Before => Self::Before,
            During::After => Self::After,
            During::OneFault(fault) => Self::OneFault(fault),
            other => panic!("{other:?} is a scope: one is added with the variant"),
        }
    }
}

impl From<&Figure> for Selection {
    fn from(figure: &Figure) -> Self {
        let class = figure.class.map(|c| c.index());
        Self { metric: figure.metric, class, scope: figure.during.into(), aggregate: figure.aggregate }
    }
}

impl Selection {
    /// A figure of all classes over the measured part.
    pub fn new(metric: Metric, aggregate: Aggregate) -> Self {
        Self { metric, class: None, scope: Scope::Run, aggregate }
    }

    /// Whether its class and its window are there.
    pub(crate) fn check(&self, classes: usize, windows: usize) -> Result<(), String> {
        if let Some(class) = self.class.filter(|class| *class >= classes) {
            return Err(format!("a figure refers to class {class} of {classes}"));
        }
        if self.aggregate.is_moment() {
            return Err(format!("a figure of requests has no {}", self.aggregate));
        }
        match self.scope {
            Scope::Window(window) if window >= windows => {
                Err(format!("a figure refers to window {window} of {windows}"))
            }
            _ => Ok(()),
        }
    }

    /// The same in one part of the run.
    pub fn within(self, scope: Scope) -> Self {
        Self { scope, ..self }
    }

    /// The same for one class.
    pub fn of_class(self, class: usize) -> Self {
        Self { class: Some(class), ..self }
    }
}

impl fmt::Display for Selection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{{{}}}", self.metric.name(), self.aggregate)
    }
}

/// One number of a run. None where there is no such request, or no time in that part of the run.
pub fn figure(record: &RunRecord, figure: &Figure) -> Option<Estimate> {
    estimate(record, &Selection::from(figure))
}

/// As [`figure`](figure()), for a [`Selection`].
///
/// Where the record pools replications, their spread gives the interval; else batches of the run where it is long
/// enough; else the requests are taken as independent, as [`crate::noise`] says.
pub fn estimate(record: &RunRecord, selection: &Selection) -> Option<Estimate> {
    let own = of_run(record, selection)?;
    let Some(values) = record.replications.as_ref().and_then(|r| r.values(selection)) else {
        return Some(own);
    };
    if selection.metric.is_of_recovery() {
        // A recovery of all replications together is none that anybody saw.
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        return Some(Estimate { value: mean, ..own }.with_spread(values));
    }
    Some(own.with_spread(values))
}

/// The confidence of all intervals.
pub const CONFIDENCE: f64 = 0.95;

/// Fewer events than this in all are no matter for batches: most of them would have none.
const RARE: u64 = 20;

impl Estimate {
    /// The same with the interval that replications give.
    fn with_spread(self, values: &[f64]) -> Self {
        let noise = Noise::Replications(values.len() as u32);
        if self.noise == Noise::Fact {
            return self;
        }
        if values.iter().any(|v| !v.is_finite()) {
            let low = values.iter().copied().fold(f64::INFINITY, f64::min);
            return Self { low: low.min(self.value), high: f64::INFINITY, noise, ..self };
        }
        let half = Moments::of(values).half_width(CONFIDENCE);
        // Replications that all agree on zero failures say no more than their requests do.
        if half == 0.0 && self.value == 0.0 { self } else { self.within(half, noise) }
    }

    fn within(self, half: f64, noise: Noise) -> Self {
        Self { low: (self.value - half).max(0.0), high: self.value + half, noise, ..self }
    }

    /// The same with the interval that batches give, where they do.
    fn with_batches(self, ratio: Option<Ratio>, unit: f64) -> Self {
        let Some(ratio) = ratio.filter(|_| self.value.is_finite()) else { return self };
        let noise = Noise::Batches { batches: ratio.batches, lag_one: ratio.lag_one };
        self.within(ratio.half_width(CONFIDENCE) * unit, noise)
    }
}

pub(crate) fn of_run(record: &RunRecord, selection: &Selection) -> Option<Estimate> {
    if let Some(recovery) = record.recovery_times(selection.metric) {
        return recovered(&recovery, selection.aggregate);
    }
    let part = record.part(selection.scope, selection.class);
    let tally = &part.tally;
    // Pooled replications count what several runs did in the same stretch of time.
    let seconds = record.seconds(selection.scope);
    let runs = f64::from(record.runs());
    let due = tally.due();
    match selection.metric {
        Metric::ResponseTime => {
            duration(&part, &part.response, selection.aggregate, Above::ResponseSum, Above::ResponseBeyond)
        }
        Metric::ServiceTime => {
            duration(&part, &part.service, selection.aggregate, Above::ServiceSum, Above::ServiceBeyond)
        }
        Metric::Failed => {
            let failed = tally.failed();
            let batches = |above| if failed < RARE { None } else { part.ratio(above) };
            match selection.aggregate {
                Aggregate::Count => (seconds > 0.0).then(|| {
                    counted(failed, runs).with_batches(batches(Above::FailedPerSecond), seconds / runs)
                }),
                _ if due == 0 => None,
                _ => {
                    let (low, high) = noise::share(failed, due);
                    let value = failed as f64 / due as f64;
                    let independent = Estimate { value, low, high, n: due, noise: Noise::Independent };
                    Some(independent.with_batches(batches(Above::Failed), 1.0))
                }
            }
        }
        _ if seconds <= 0.0 => None,
        _ => {
            let count = selection.aggregate == Aggregate::Count;
            let (divisor, unit) = if count { (runs, seconds / runs) } else { (seconds * runs, 1.0 / runs) };
            let batches = if tally.ok < RARE { None } else { part.ratio(Above::Good) };
            Some(counted(tally.ok, divisor).with_batches(batches, unit))
        }
    }
}

fn counted(events: u64, divisor: f64) -> Estimate {
    let (low, high) = noise::count(events);
    let (value, low, high) = (events as f64 / divisor, low / divisor, high / divisor);
    Estimate { value, low, high, n: events, noise: Noise::Independent }
}

fn duration(
    part: &Part,
    values: &Distribution,
    aggregate: Aggregate,
    sum: Above,
    beyond: fn(u64) -> Above,
) -> Option<Estimate> {
    let n = values.len();
    Some(match aggregate {
        _ if n == 0 => return None,
        Aggregate::Percentile(percent) => {
            let value = values.at_rank(rank(n, percent));
            let ranks = by_batches(part, n, percent, value, beyond);
            let (noise, (low, high)) =
                ranks.unwrap_or_else(|| (Noise::Independent, noise::percentile_ranks(n, percent)));
            Estimate { value, low: values.at_rank(low), high: values.at_rank(high), n, noise }
        }
        Aggregate::Minimum => extreme(values.minimum()?, n),
        Aggregate::Maximum => extreme(values.at_rank(n), n),
        Aggregate::Count => counted(n, 1.0),
        _ => {
            let value = values.mean()?;
            let (low, high) = noise::mean(value, values.deviation(), n);
            let independent = Estimate { value, low, high, n, noise: Noise::Independent };
            independent.with_batches(part.ratio(sum), 1e-9)
        }
    })
}

/// The ranks that bracket a percentile, by how much the share beyond it differs between batches.
fn by_batches(
    part: &Part,
    n: u64,
    percent: f64,
    value: f64,
    beyond: fn(u64) -> Above,
) -> Option<(Noise, (u64, u64))> {
    let share = (percent / 100.0).clamp(0.0, 1.0);
    if !value.is_finite() || ((1.0 - share).min(share) * n as f64) < RARE as f64 {
        return None;
    }
    let ratio = part.ratio(beyond((value * 1e9) as u64))?;
    // Intervals' histograms are coarse: the share that they put beyond is near the one that is meant, and the noise of
    // a share goes with the root of p (1 - p).
    let spread = |p: f64| p * (1.0 - p);
    if spread(ratio.value) <= 0.0 {
        return None;
    }
    let half = ratio.half_width(CONFIDENCE) * (spread(share) / spread(ratio.value)).sqrt();
    let low = (n as f64 * (share - half)).floor().max(0.0) as u64;
    let high = (n as f64 * (share + half)).ceil() as u64 + 1;
    Some((Noise::Batches { batches: ratio.batches, lag_one: ratio.lag_one }, (low, high.min(n + 1))))
}

/// Recoveries are few: facts of this run.
fn recovered(seconds: &[f64], aggregate: Aggregate) -> Option<Estimate> {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    let n = sorted.len() as u64;
    let (first, last) = (*sorted.first()?, *sorted.last()?);
    let value = match aggregate {
        Aggregate::Minimum => first,
        Aggregate::Maximum => last,
        Aggregate::Percentile(percent) => sorted[rank(n, percent) as usize - 1],
        Aggregate::Count => return Some(extreme(n as f64, n)),
        _ => sorted.iter().sum::<f64>() / n as f64,
    };
    // Replications bound it; a single run cannot.
    Some(Estimate { value, low: value, high: value, n, noise: Noise::Independent })
}

/// An extreme is a fact about this run; no interval bounds what another run's would be.
fn extreme(value: f64, n: u64) -> Estimate {
    Estimate { value, low: value, high: value, n, noise: Noise::Fact }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_stored_and_read_again() {
        for scope in [
            Scope::Run,
            Scope::Fault,
            Scope::NoFault,
            Scope::Before,
            Scope::After,
            Scope::OneFault(Some(2)),
            Scope::OneFault(None),
            Scope::Window(3),
        ] {
            let selection = Selection::new(Metric::Failed, Aggregate::Rate).within(scope);
            let text = serde_json::to_string(&selection).expect("it can be written");
            let read: Selection =
                serde_json::from_str(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(read, selection, "{text}");
        }
    }
}
