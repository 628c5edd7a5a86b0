//! One number of a run with its noise, the same way for thresholds, expectations, reports and comparisons.

use std::fmt;

use scenarios::threshold::{Aggregate, During, Figure, Metric};
use serde::{Deserialize, Serialize};

use crate::frame::{Window, WindowKind};
use crate::noise;
use crate::record::RunRecord;
use crate::tally::{Distribution, rank};
use crate::wire;

/// A figure with the interval in which it would lie in 95 of 100 runs; see [`crate::noise`] for what that assumes.
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
    /// Only requests due in this part. Stored without windows, which thresholds cannot name.
    #[serde(with = "scope")]
    pub scope: Scope,
    /// How it becomes one number.
    #[serde(with = "wire::aggregate")]
    pub aggregate: Aggregate,
}

mod scope {
    use super::{During, Scope, wire};
    use serde::{Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(scope: &Scope, to: S) -> Result<S::Ok, S::Error> {
        let during = match scope {
            Scope::Run => During::Run,
            Scope::Fault => During::Fault,
            Scope::NoFault => During::NoFault,
            Scope::Window(_) => {
                return Err(serde::ser::Error::custom("a window is no part that can be stored"));
            }
        };
        wire::during::serialize(&during, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Scope, D::Error> {
        wire::during::deserialize(from).map(Scope::from)
    }
}

impl From<During> for Scope {
    fn from(during: During) -> Self {
        match during {
            During::Run => Self::Run,
            During::Fault => Self::Fault,
            During::NoFault => Self::NoFault,
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
        write!(f, "{}{{{}}}", self.metric.name(), wire::aggregate::word(self.aggregate))
    }
}

/// One number of a run. None where there is no such request, or no time in that part of the run.
pub fn figure(record: &RunRecord, figure: &Figure) -> Option<Estimate> {
    estimate(record, &Selection::from(figure))
}

/// As [`figure`](figure()), for a [`Selection`].
pub fn estimate(record: &RunRecord, selection: &Selection) -> Option<Estimate> {
    let tally = record.tally(selection.scope, selection.class);
    let seconds = record.seconds(selection.scope);
    let due = tally.due();
    match selection.metric {
        Metric::ResponseTime => duration(&tally.response_times(), selection.aggregate),
        Metric::ServiceTime => duration(&tally.service_times(), selection.aggregate),
        Metric::Failed => {
            let failed = tally.failed();
            match selection.aggregate {
                Aggregate::Count => (seconds > 0.0).then(|| counted(failed, 1.0)),
                _ if due == 0 => None,
                _ => {
                    let (low, high) = noise::share(failed, due);
                    Some(Estimate { value: failed as f64 / due as f64, low, high, n: due })
                }
            }
        }
        _ if seconds <= 0.0 => None,
        _ => {
            let divisor = if selection.aggregate == Aggregate::Count { 1.0 } else { seconds };
            Some(counted(tally.ok, divisor))
        }
    }
}

fn counted(events: u64, divisor: f64) -> Estimate {
    let (low, high) = noise::count(events);
    Estimate { value: events as f64 / divisor, low: low / divisor, high: high / divisor, n: events }
}

fn duration(values: &Distribution, aggregate: Aggregate) -> Option<Estimate> {
    let n = values.len();
    Some(match aggregate {
        _ if n == 0 => return None,
        Aggregate::Percentile(percent) => {
            let (low, high) = noise::percentile_ranks(n, percent);
            let value = values.at_rank(rank(n, percent));
            Estimate { value, low: values.at_rank(low), high: values.at_rank(high), n }
        }
        Aggregate::Minimum => extreme(values.minimum()?, n),
        Aggregate::Maximum => extreme(values.at_rank(n), n),
        Aggregate::Count => counted(n, 1.0),
        _ => {
            let value = values.mean()?;
            let (low, high) = noise::mean(value, values.deviation(), n);
            Estimate { value, low, high, n }
        }
    })
}

/// An extreme is a fact about this run; no interval bounds what another run's would be.
fn extreme(value: f64, n: u64) -> Estimate {
    Estimate { value, low: value, high: value, n }
}
