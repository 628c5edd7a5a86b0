//! One published figure, or one outcome that must hold: what came out, and what that means.

use results::figure::CONFIDENCE;
use results::statistics::Moments;
use scenarios::scenario::{Claim, Published, Role};

/// A figure with its values.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) published: Published,
    /// The value in each replication; none where there is no such observation.
    pub(super) values: Vec<Option<f64>>,
}

/// What became of a figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Verdict {
    /// Within the tolerance; the error.
    Reproduced(f64),
    /// Not within it; the error.
    Off(f64),
    /// Parameters were chosen so that it comes out; the error.
    Fitted(f64),
    /// In all replications.
    Holds,
    /// In so many of so many replications only.
    Broken(usize, usize),
    /// It is put in.
    Input,
    /// The file cannot tell.
    Outside,
}

impl Verdict {
    /// Whether something that must hold does not.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Broken(..))
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        let percent = |error: &f64| format!("{:+.1}%", error * 100.0).replace('-', "−");
        match self {
            Self::Reproduced(error) => format!("reproduced, {}", percent(error)),
            Self::Off(error) => format!("NOT reproduced, {}", percent(error)),
            Self::Fitted(error) => format!("fitted, {}", percent(error)),
            Self::Holds => "holds".to_owned(),
            Self::Broken(times, of) => format!("DOES NOT HOLD: {times} of {of}"),
            Self::Input => "input".to_owned(),
            Self::Outside => "cannot be told".to_owned(),
        }
    }
}

impl Row {
    pub(super) fn new(published: Published) -> Self {
        Self { published, values: Vec::new() }
    }

    fn known(&self) -> Vec<f64> {
        self.values.iter().flatten().copied().collect()
    }

    /// What became of it.
    pub(super) fn verdict(&self) -> Verdict {
        let Some((_, claim)) = &self.published.claim else {
            return if self.published.role == Role::Input { Verdict::Input } else { Verdict::Outside };
        };
        let values = self.known();
        match *claim {
            Claim::Near { value, tolerance } => {
                let error = Moments::of(&values).mean / value - 1.0;
                match self.published.role {
                    Role::Fitted => Verdict::Fitted(error),
                    _ if error.abs() <= tolerance.get() => Verdict::Reproduced(error),
                    _ => Verdict::Off(error),
                }
            }
            Claim::Holds(comparison, limit) => {
                let times = values.iter().filter(|value| comparison.holds(**value, limit)).count();
                if times == values.len() { Verdict::Holds } else { Verdict::Broken(times, values.len()) }
            }
        }
    }

    /// What came out, with the interval of its mean.
    pub(super) fn here(&self) -> String {
        let Some((observed, _)) = &self.published.claim else { return String::new() };
        let moments = Moments::of(&self.known());
        let mean = reports::shown(observed, moments.mean);
        let half = moments.half_width(CONFIDENCE);
        if half.is_finite() && half > 0.0 {
            format!("{mean} ± {}", reports::shown(observed, half))
        } else {
            mean
        }
    }

    /// What was published or must hold.
    pub(super) fn stated(&self) -> String {
        match &self.published.claim {
            Some((_, Claim::Near { tolerance, .. })) => format!("{} ± {tolerance}", self.published.stated),
            _ => self.published.stated.clone(),
        }
    }
}
