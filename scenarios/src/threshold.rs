//! Thresholds in k6's syntax, parsed: what is judged, over which requests, by which limit.
//!
//! `response_time = ["p(99)<250ms"]`, `"response_time{during:fault}" = [...]`, `failed = ["rate<0.1%"]`. Reading them
//! from text is `quantity::selector`'s; evaluating them against a run is the `results` crate's.

use std::fmt;

use crate::scenario::ClassId;
use crate::units::SimTime;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Metric {
    /// From the due time to the last byte; failures count with their time, dropped requests as infinitely late. Seconds.
    ResponseTime,
    /// From sending to the last byte. Seconds.
    ServiceTime,
    /// The share of due requests that failed or were dropped.
    Failed,
    /// Good answers per second.
    Rate,
    /// From the end of what was broken until the system is as it was before. Seconds.
    RecoveryTime,
    /// From the start of what was broken until the system is as it was before. Seconds.
    DisruptionTime,
}

impl Metric {
    /// Every metric.
    pub const ALL: [Self; 6] = [
        Self::ResponseTime,
        Self::ServiceTime,
        Self::Failed,
        Self::Rate,
        Self::RecoveryTime,
        Self::DisruptionTime,
    ];

    /// The name in files and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ResponseTime => "response_time",
            Self::ServiceTime => "service_time",
            Self::Failed => "failed",
            Self::Rate => "rate",
            Self::RecoveryTime => "recovery_time",
            Self::DisruptionTime => "disruption_time",
        }
    }

    /// Whether it has one value per episode of faults, rather than one per request or second.
    pub const fn is_of_recovery(self) -> bool {
        matches!(self, Self::RecoveryTime | Self::DisruptionTime)
    }
}

/// Which part of the run is looked at; the warm-up never is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum During {
    /// All that is measured.
    #[default]
    Run,
    /// The time while any fault lasts.
    Fault,
    /// The time while no fault lasts.
    NoFault,
    /// The time before the first fault of the run; nothing where it has none.
    Before,
    /// The time after the last fault of the run; nothing where it has none.
    After,
    /// The time while this one lasts, by its place among the scenario's faults from 0; none where the run has no such part.
    OneFault(Option<usize>),
}

/// How a metric becomes one number.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Aggregate {
    /// The mean.
    Average,
    /// The least value.
    Minimum,
    /// The greatest value.
    Maximum,
    /// The percentile, from 0 to 100: `p(99.9)`; `med` is `p(50)`.
    Percentile(f64),
    /// A share or a rate.
    Rate,
    /// A count.
    Count,
    /// When what is observed of something in each interval was first below this, in seconds of the measured part.
    Below(f64),
    /// When it was first above this.
    Above(f64),
}

/// As in a threshold: `p(99)`, `avg`.
impl fmt::Display for Aggregate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Average => f.pad("avg"),
            Self::Minimum => f.pad("min"),
            Self::Maximum => f.pad("max"),
            Self::Percentile(p) => f.pad(&format!("p({p})")),
            Self::Rate => f.pad("rate"),
            Self::Count => f.pad("count"),
            Self::Below(limit) => f.pad(&format!("below({limit})")),
            Self::Above(limit) => f.pad(&format!("above({limit})")),
        }
    }
}

impl Aggregate {
    /// Reads what [`Display`](fmt::Display) writes.
    pub fn read(text: &str) -> Option<Self> {
        Some(match text {
            "avg" => Self::Average,
            "min" => Self::Minimum,
            "max" => Self::Maximum,
            "rate" => Self::Rate,
            "count" => Self::Count,
            _ => {
                let (name, number) = text.strip_suffix(')')?.split_once('(')?;
                let number: f64 = number.parse().ok().filter(|number: &f64| number.is_finite())?;
                return match name {
                    "p" => (0.0..=100.0).contains(&number).then_some(Self::Percentile(number)),
                    "below" => Some(Self::Below(number)),
                    "above" => Some(Self::Above(number)),
                    _ => None,
                };
            }
        })
    }

    /// Whether it is a moment rather than a value: what is observed in each interval has one, requests have none.
    pub const fn is_moment(self) -> bool {
        matches!(self, Self::Below(_) | Self::Above(_))
    }
}

/// One number of a run: a metric, over some of its requests, aggregated.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// What is measured.
    pub metric: Metric,
    /// Only requests of this class.
    pub class: Option<ClassId>,
    /// Only requests due in this part of the run.
    pub during: During,
    /// How it becomes one number.
    pub aggregate: Aggregate,
}

/// How a figure is compared to its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparison {
    /// Whether `value` stands in this relation to `limit`.
    pub fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::Less => value < limit,
            Self::LessOrEqual => value <= limit,
            Self::Greater => value > limit,
            Self::GreaterOrEqual => value >= limit,
        }
    }
}

/// A condition that a run must meet.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Threshold {
    /// What is judged.
    pub figure: Figure,
    /// How.
    pub comparison: Comparison,
    /// Against which limit: in seconds, per second, or as a fraction.
    pub limit: f64,
    /// The metric as written, with its filter.
    pub selector: String,
    /// The condition as written.
    pub condition: String,
    /// Whether a run over sockets stops as soon as it fails, and how long after the warm-up at the earliest.
    pub abort: Option<SimTime>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregates_are_read_as_they_are_written() {
        let all = [
            Aggregate::Average,
            Aggregate::Minimum,
            Aggregate::Maximum,
            Aggregate::Percentile(99.9),
            Aggregate::Rate,
            Aggregate::Count,
            Aggregate::Below(0.5),
            Aggregate::Above(-1.0),
        ];
        for aggregate in all {
            assert_eq!(Aggregate::read(&aggregate.to_string()), Some(aggregate), "{aggregate}");
        }
        for text in ["p(101)", "p()", "below", "below(1", "below(inf)", "above(x)", "under(1)"] {
            assert_eq!(Aggregate::read(text), None, "{text}");
        }
    }
}
