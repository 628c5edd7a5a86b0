//! Regressions that somebody has accepted, with a reason and an end: a file that is committed beside the code.

use std::path::{Path, PathBuf};

use jiff::civil::Date;
use serde::Deserialize;

use super::judge::{Finding, Judgement};
use super::quantity::{Metric, Quantity};
use super::session::{Session, Verdict};
use scenarios::units::Ratio;

/// An accepted regression.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accepted {
    /// Of which metric.
    pub metric: Metric,
    /// Of which scenario; of all, if it is not said.
    pub scenario: Option<String>,
    /// Up to which worsening, such as `8%`.
    up_to: String,
    /// Why.
    pub reason: String,
    /// The last day on which it is accepted, such as `2027-01-31`.
    expires: String,
    #[serde(skip)]
    limit: f64,
    #[serde(skip)]
    last_day: Option<Date>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    accepted: Vec<Accepted>,
}

/// Why a file of accepted regressions cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {problem}", path.display())]
pub struct Error {
    path: PathBuf,
    problem: String,
}

/// Reads a file of accepted regressions.
///
/// # Errors
/// If it cannot be read, or something in it is not what it should be.
pub fn read(path: &Path) -> Result<Vec<Accepted>, Error> {
    let error = |problem: String| Error { path: path.to_owned(), problem };
    let text = std::fs::read_to_string(path).map_err(|e| error(e.to_string()))?;
    let mut file: File = toml::from_str(&text).map_err(|e| error(e.to_string()))?;
    for (i, one) in file.accepted.iter_mut().enumerate() {
        let wrong = |key: &str, found: &str, expected: &str| {
            error(format!("accepted[{}].{key}: found {found:?}, expected {expected}", i + 1))
        };
        let share: Ratio =
            one.up_to.parse().map_err(|_| wrong("up_to", &one.up_to, "a worsening, such as \"8%\""))?;
        one.limit = if one.metric.is_relative() { share.get().ln_1p() } else { share.get() };
        let day = one
            .expires
            .parse()
            .map_err(|_| wrong("expires", &one.expires, "a day, such as \"2027-01-31\""))?;
        one.last_day = Some(day);
        if one.reason.trim().is_empty() {
            return Err(wrong("reason", "", "why it is accepted"));
        }
    }
    Ok(file.accepted)
}

impl Accepted {
    fn is_of(&self, quantity: &Quantity) -> bool {
        self.metric == quantity.metric && self.scenario.as_ref().is_none_or(|name| *name == quantity.scenario)
    }

    /// Whether so much of a worsening is accepted on this day.
    pub fn covers(&self, quantity: &Quantity, worsening: f64, today: Date) -> bool {
        self.is_of(quantity) && worsening <= self.limit && self.last_day.is_some_and(|last| today <= last)
    }
}

/// Takes what is accepted today out of a session's regressions; a sentence on each, on each that is not accepted any more, and on what
/// has expired without anybody's needing it.
pub fn apply(session: &mut Session, accepted: &[Accepted], today: Date) -> Vec<String> {
    let mut notes = Vec::new();
    if session.verdict == Verdict::Invalid {
        return notes;
    }
    for judgement in session.judgements.iter_mut().filter(|j| j.finding == Finding::Regressed) {
        if let Some(one) =
            accepted.iter().find(|one| one.covers(&judgement.quantity, judgement.estimate, today))
        {
            judgement.finding = Finding::Accepted;
            notes.push(format!(
                "{} is worse, which is accepted until {}: {}",
                judgement.quantity, one.expires, one.reason
            ));
        } else if let Some(one) = accepted.iter().find(|one| one.is_of(&judgement.quantity)) {
            notes.push(format!(
                "{} was accepted up to {} until {}, which does not cover this",
                judgement.quantity, one.up_to, one.expires
            ));
        }
    }
    for one in accepted.iter().filter(|one| one.last_day.is_none_or(|last| last < today)) {
        let is_told = |j: &Judgement| {
            one.is_of(&j.quantity) && matches!(j.finding, Finding::Regressed | Finding::Accepted)
        };
        if !session.judgements.iter().any(is_told) {
            let metric = one.metric.name();
            notes.push(format!("{metric} was accepted until {}, which is past: take that out", one.expires));
        }
    }
    let regressed = session.judgements.iter().any(|j| j.finding == Finding::Regressed);
    if session.verdict == Verdict::Regressed && !regressed {
        let open = session.judgements.iter().any(|j| j.finding == Finding::Open && j.rules.gated);
        session.verdict = if open { Verdict::Inconclusive } else { Verdict::Pass };
    }
    notes
}
