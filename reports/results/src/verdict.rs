//! Thresholds and published figures held against a run.

use crate::facts::{PublishedFacts, ThresholdFacts};
use crate::figure::{Estimate, estimate};
use crate::record::RunRecord;

/// What became of a threshold.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The threshold.
    pub threshold: ThresholdFacts,
    /// The run's figure.
    pub estimate: Option<Estimate>,
    /// Whether it holds. None where the run has no time in that part (no fault falls into it, say), so that there is
    /// nothing to judge; a part without a single request fails.
    pub passed: Option<bool>,
}

impl Verdict {
    /// Judges a run by a threshold.
    pub fn new(record: &RunRecord, threshold: &ThresholdFacts) -> Self {
        let estimate = estimate(record, &threshold.figure);
        let judged = record.seconds(threshold.figure.scope) > 0.0;
        let holds = estimate.is_some_and(|e| threshold.comparison.holds(e.value, threshold.limit));
        Self { threshold: threshold.clone(), estimate, passed: judged.then_some(holds) }
    }
}

/// What became of a published figure.
#[derive(Clone, Debug, PartialEq)]
pub struct Reproduction {
    /// The published figure.
    pub published: PublishedFacts,
    /// The run's figure.
    pub estimate: Option<Estimate>,
    /// The run's figure over the published one, minus 1.
    pub error: Option<f64>,
    /// Whether the error is within the tolerance.
    pub reproduced: Option<bool>,
}

impl Reproduction {
    /// Holds a run against a published figure.
    pub fn new(record: &RunRecord, published: &PublishedFacts) -> Self {
        let estimate = estimate(record, &published.figure);
        let error = estimate.map(|e| e.value / published.value - 1.0);
        let reproduced = error.map(|e| e.abs() <= published.tolerance);
        Self { published: published.clone(), estimate, error, reproduced }
    }
}
