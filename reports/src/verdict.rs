//! A run in one sentence: may it be believed, and was it good?

use results::RunRecord;
use results::record::Status;
use results::verdict::{Reproduction, Verdict};
use scenarios::threshold::{Aggregate, Metric};

use crate::format::{self, Unit};
use crate::room;

/// How a run came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Complete, valid, and whatever judges it holds.
    Good,
    /// The same, where nothing judges it.
    Unjudged,
    /// A threshold does not hold.
    Bad,
    /// Thresholds hold, but something that must come out does not.
    Unexpected,
    /// Its figures must not be believed.
    Invalid,
    /// It did not come to its end.
    Incomplete,
}

impl Outcome {
    /// The word before the sentence, with a sign so that colour is not needed.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Good => "✓ Good",
            Self::Unjudged => "✓ Complete",
            Self::Bad => "✗ Not good",
            Self::Unexpected => "✗ Not as expected",
            Self::Invalid => "⚠ Invalid",
            Self::Incomplete => "⚠ Incomplete",
        }
    }

    /// The class of the page's style sheet.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good | Self::Unjudged => "good",
            Self::Bad | Self::Unexpected => "bad",
            Self::Invalid | Self::Incomplete => "doubtful",
        }
    }
}

/// The unit of what a threshold judges.
pub(crate) fn unit(metric: Metric, aggregate: Aggregate) -> Unit {
    match (metric, aggregate) {
        (_, Aggregate::Count) => Unit::Count,
        (Metric::Failed, _) => Unit::Share,
        (Metric::Rate, _) => Unit::PerSecond,
        _ => Unit::Seconds,
    }
}

/// A threshold's figure as text.
pub(crate) fn value(verdict: &Verdict) -> String {
    let figure = verdict.threshold.figure;
    match (&verdict.estimate, verdict.passed) {
        (Some(e), Some(_)) => unit(figure.metric, figure.aggregate).show(e.value),
        (_, None) => "no such part in this run".to_owned(),
        (None, _) => "no requests".to_owned(),
    }
}

/// How the run came out.
pub(crate) fn outcome(record: &RunRecord) -> Outcome {
    if record.status != Status::Complete {
        Outcome::Incomplete
    } else if !record.validity.is_valid() {
        Outcome::Invalid
    } else if record.thresholds.iter().any(|v| v.passed == Some(false)) {
        Outcome::Bad
    } else if came_out(record).any(|(_, came_out)| !came_out) {
        Outcome::Unexpected
    } else if record.thresholds.iter().all(|v| v.passed.is_none()) && came_out(record).next().is_none() {
        Outcome::Unjudged
    } else {
        Outcome::Good
    }
}

/// What must come out and was judged, and whether it did.
fn came_out(record: &RunRecord) -> impl Iterator<Item = (&Reproduction, bool)> {
    record.published.iter().filter_map(|r| Some((r, r.judgement?.came_out()?)))
}

/// What became of what must come out, in words; none where nothing was judged.
fn expectations(record: &RunRecord) -> Option<String> {
    let all = came_out(record).count();
    let missed: Vec<&str> =
        came_out(record).filter(|(_, came)| !came).map(|(r, _)| r.published.what.as_str()).collect();
    match (all, missed.len()) {
        (0, _) => None,
        (1, 0) => Some("what must come out does".to_owned()),
        (_, 0) => Some(format!("all {all} that must come out do")),
        (_, n) => Some(format!("{n} of {all} that must come out did not: {}", missed.join("; "))),
    }
}

/// The sentence after the word.
pub(crate) fn sentence(record: &RunRecord) -> String {
    let judged: Vec<_> = record.thresholds.iter().filter(|v| v.passed.is_some()).collect();
    let failing: Vec<_> = judged.iter().filter(|v| v.passed == Some(false)).collect();
    let unjudged = record.thresholds.len() - judged.len();
    let beside = match unjudged {
        0 => String::new(),
        n => format!(" ({n} more judges a part that this run has not)"),
    };
    let thresholds = match (judged.len(), failing.len()) {
        (0, _) => expectations(record).unwrap_or_else(|| "nothing judges this run".to_owned()),
        (1, 0) => "the threshold holds".to_owned(),
        (all, 0) => format!("all {all} thresholds hold"),
        (all, n) => {
            let told = failing
                .iter()
                .map(|v| format!("{} is {}, not {}", v.threshold.selector, value(v), v.threshold.condition));
            let plural = if all == 1 {
                "threshold fails"
            } else if n == 1 {
                "thresholds fails"
            } else {
                "thresholds fail"
            };
            format!("{n} of {all} {plural}: {}", told.collect::<Vec<_>>().join("; "))
        }
    };
    let expected = expectations(record).filter(|_| !judged.is_empty());
    let thresholds = thresholds + &beside + &expected.map_or_else(String::new, |words| format!("; {words}"));
    match outcome(record) {
        Outcome::Incomplete => format!(
            "the run was {} after {} of {}, and shows only that much; of this, {thresholds}.",
            record.status.name(),
            format::span(record.covered()),
            format::span(record.frame.total)
        ),
        Outcome::Invalid => {
            format!(
                "do not believe these figures: {}.",
                record.validity.reasons.join("; ").trim_end_matches('.')
            )
        }
        Outcome::Good | Outcome::Unjudged | Outcome::Bad | Outcome::Unexpected => {
            let room = room::words(&room::busy(record)).map_or_else(String::new, |room| format!("; {room}"));
            format!("{thresholds}{room}.")
        }
    }
}
