//! Thresholds, published figures and outcomes that must hold, held against a run or against several.

use scenarios::scenario::Claim;

use crate::facts::{PublishedFacts, ThresholdFacts};
use crate::figure::{Estimate, estimate};
use crate::observation::observed;
use crate::record::RunRecord;
use crate::statistics::Moments;

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

/// What some runs say of a published figure, or of an outcome that must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Judgement {
    /// Within the tolerance; the error, relative.
    Reproduced(f64),
    /// Not within it; the error.
    Off(f64),
    /// Parameters were chosen so that it comes out; the error.
    Fitted(f64),
    /// In all runs.
    Holds,
    /// In so many of so many runs only.
    Broken(usize, usize),
}

impl Judgement {
    /// Judges the values of some runs, of which there is at least one: the mean by a value, each one by what must hold.
    pub fn new(claim: &Claim, fitted: bool, values: &[f64]) -> Self {
        match *claim {
            Claim::Near { value, tolerance } => {
                let error = Moments::of(values).mean / value - 1.0;
                match fitted {
                    true => Self::Fitted(error),
                    false if error.abs() <= tolerance.get() => Self::Reproduced(error),
                    false => Self::Off(error),
                }
            }
            Claim::Holds(comparison, limit) => {
                let times = values.iter().filter(|value| comparison.holds(**value, limit)).count();
                if times == values.len() { Self::Holds } else { Self::Broken(times, values.len()) }
            }
        }
    }

    /// Whether it came out; what was fitted is neither a success nor a failure.
    pub fn came_out(&self) -> Option<bool> {
        match self {
            Self::Reproduced(_) | Self::Holds => Some(true),
            Self::Off(_) | Self::Broken(..) => Some(false),
            Self::Fitted(_) => None,
        }
    }

    /// The relative error, where there is a value.
    pub fn error(&self) -> Option<f64> {
        match *self {
            Self::Reproduced(error) | Self::Off(error) | Self::Fitted(error) => Some(error),
            Self::Holds | Self::Broken(..) => None,
        }
    }

    /// In words.
    pub fn words(&self) -> String {
        let percent = |error: f64| match error {
            e if e.is_finite() => format!("{:+.1}%", e * 100.0).replace('-', "−"),
            _ => "+∞".to_owned(),
        };
        match *self {
            Self::Reproduced(error) => format!("reproduced, {}", percent(error)),
            Self::Off(error) => format!("NOT reproduced, {}", percent(error)),
            Self::Fitted(error) => format!("fitted, {}", percent(error)),
            Self::Holds => "holds".to_owned(),
            Self::Broken(0, 1) => "DOES NOT HOLD".to_owned(),
            Self::Broken(times, of) => format!("DOES NOT HOLD: {times} of {of}"),
        }
    }
}

/// What became of a published figure, or of an outcome that must hold.
#[derive(Clone, Debug, PartialEq)]
pub struct Reproduction {
    /// What is said.
    pub published: PublishedFacts,
    /// The run's value; none where the run has no such observation.
    pub value: Option<f64>,
    /// The same with its interval, where it is a figure of requests.
    pub estimate: Option<Estimate>,
    /// What that means.
    pub judgement: Option<Judgement>,
}

impl Reproduction {
    /// Holds a run against what is said.
    pub fn new(record: &RunRecord, published: &PublishedFacts) -> Self {
        let estimate = published.figure.and_then(|figure| estimate(record, &figure));
        let seen = || published.observed().and_then(|of| observed(record, &of));
        let value = if published.figure.is_some() { estimate.map(|e| e.value) } else { seen() };
        let judgement = value.zip(published.claim());
        let judgement = judgement.map(|(value, claim)| Judgement::new(&claim, published.fitted, &[value]));
        Self { published: published.clone(), value, estimate, judgement }
    }
}

#[cfg(test)]
mod tests {
    use scenarios::threshold::Comparison;
    use scenarios::units::Ratio;

    use super::*;

    #[test]
    fn a_value_is_judged_by_the_mean_and_an_outcome_by_each_run() {
        let near = Claim::Near { value: 10.0, tolerance: Ratio::new(0.1) };
        assert_eq!(Judgement::new(&near, false, &[8.0, 13.0]).words(), "reproduced, +5.0%");
        assert_eq!(Judgement::new(&near, false, &[8.0]).words(), "NOT reproduced, −20.0%");
        let fitted = Judgement::new(&near, true, &[8.0]);
        assert_eq!((fitted.words().as_str(), fitted.came_out()), ("fitted, −20.0%", None));
        let below = Claim::Holds(Comparison::Less, 10.0);
        assert_eq!(Judgement::new(&below, false, &[8.0, 9.0]), Judgement::Holds);
        let broken = Judgement::new(&below, false, &[8.0, 13.0]);
        assert_eq!((broken.words().as_str(), broken.came_out()), ("DOES NOT HOLD: 1 of 2", Some(false)));
        assert_eq!(Judgement::new(&below, false, &[13.0]).words(), "DOES NOT HOLD");
        assert_eq!(Judgement::new(&near, false, &[f64::INFINITY]).words(), "NOT reproduced, +∞");
    }
}
