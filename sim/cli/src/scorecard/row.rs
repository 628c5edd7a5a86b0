//! One published figure, or one outcome that must hold: what came out, and what that means.

use results::figure::CONFIDENCE;
use results::statistics::Moments;
use results::verdict::Judgement;
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
    /// What the replications say of it.
    Judged(Judgement),
    /// The same of a value that was worked out, and not published.
    Derived(Judgement),
    /// It is put in.
    Input,
    /// The file cannot tell.
    Outside,
}

impl Verdict {
    /// Whether something that must hold does not.
    pub(super) fn is_broken(&self) -> bool {
        matches!(self, Self::Judged(Judgement::Broken(..)) | Self::Derived(Judgement::Broken(..)))
    }

    /// In words.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Judged(judgement) => judgement.words(),
            Self::Derived(judgement) => format!("derived; {}", judgement.words()),
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
        let fitted = self.published.role == Role::Fitted;
        let judgement = Judgement::new(claim, fitted, &self.known());
        match self.published.role {
            Role::Derived => Verdict::Derived(judgement),
            _ => Verdict::Judged(judgement),
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
