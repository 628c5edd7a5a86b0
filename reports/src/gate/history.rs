//! Losses too small for one change: what sessions came to, a line each, and where the level of that changes.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use results::statistics::change_point::change_points;
use results::statistics::signed_rank::normal_quantile;
use serde::{Deserialize, Serialize};

use super::judge::Finding;
use super::quantity::Quantity;
use super::session::Session;
use super::settings::Settings;

/// What a session came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// When, as RFC 3339 has it.
    pub time: String,
    /// What the base is called: a commit, a tag.
    pub base: String,
    /// What the candidate is called.
    pub candidate: String,
    /// What was found.
    pub quantities: Vec<Found>,
}

/// What was found of a quantity: differences as in [`super::quantity::Rules`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Found {
    /// Which.
    pub quantity: Quantity,
    /// How much worse the candidate was.
    pub estimate: f64,
    /// The 95% interval's lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
    /// Whether somebody accepted it, so that it is no loss to add up.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub accepted: bool,
}

/// Why a history cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file system says no.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line is something else.
    #[error("{}:{line}: found {found}, expected a line as `report gate --history` appends it", path.display())]
    Line {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        found: String,
    },
}

impl Entry {
    /// Of a session.
    pub fn of(session: &Session, time: String, base: String, candidate: String) -> Self {
        let bounded = session.judgements.iter().filter(|j| j.low.is_finite() && j.high.is_finite());
        let found = |j: &super::judge::Judgement| Found {
            quantity: j.quantity.clone(),
            estimate: j.estimate,
            low: j.low,
            high: j.high,
            accepted: j.finding == Finding::Accepted,
        };
        Self { time, base, candidate, quantities: bounded.map(found).collect() }
    }

    /// Appends it to a file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn append(&self, path: &Path) -> Result<(), Error> {
        let line = serde_json::to_string(self)
            .expect("an entry has no keys but text, and no numbers but finite ones");
        let file = OpenOptions::new().create(true).append(true).open(path);
        // One write, so that two sessions that end at once have a line each.
        file.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()))
            .map_err(|source| Error::Io { path: path.to_owned(), source })
    }
}

/// Reads a history.
///
/// # Errors
/// If the file cannot be read, or a line of it is none of a history.
pub fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let entry = |(i, line): (usize, &str)| {
        let wrong =
            |e: serde_json::Error| Error::Line { path: path.to_owned(), line: i + 1, found: e.to_string() };
        serde_json::from_str(line).map_err(wrong)
    };
    lines.map(entry).collect()
}

/// What a history says of a quantity.
#[derive(Clone, Debug, PartialEq)]
pub struct Drift {
    /// Of which.
    pub quantity: Quantity,
    /// How many sessions.
    pub sessions: usize,
    /// The candidates from which on the level is another, and the worsening before and after.
    pub changes: Vec<(String, f64, f64)>,
    /// From the first candidate of the worst stretch to the last of all: how much worse, with its 95% interval. None where
    /// all sessions have the same base, so that their differences do not add up.
    pub total: Option<(String, f64, f64, f64)>,
    /// How much worse it has become: by that stretch, or from the first level to the last.
    pub worse: f64,
    /// Whether that is more than the margin.
    pub regressed: bool,
}

/// How probable a change of level may be to be none.
const ALARM: f64 = 0.01;

/// Looks for drift. Where all sessions have one base, the level of their differences tells; where the base of each is the
/// candidate before, their sum does, from wherever it has grown most.
pub fn drift(entries: &[Entry], settings: &Settings) -> Vec<Drift> {
    let mut quantities: Vec<Quantity> = Vec::new();
    for found in entries.iter().flat_map(|e| &e.quantities) {
        if !quantities.contains(&found.quantity) {
            quantities.push(found.quantity.clone());
        }
    }
    let pinned = entries.windows(2).all(|pair| pair[0].base == pair[1].base);
    quantities.into_iter().map(|quantity| of_quantity(entries, quantity, pinned, settings)).collect()
}

fn of_quantity(entries: &[Entry], quantity: Quantity, pinned: bool, settings: &Settings) -> Drift {
    let found: Vec<(&Entry, &Found)> = entries
        .iter()
        .filter_map(|e| e.quantities.iter().find(|f| f.quantity == quantity).map(|f| (e, f)))
        .filter(|(_, f)| !f.accepted)
        .collect();
    let margin = settings.rules(quantity.metric).margin;
    let estimates: Vec<f64> = found.iter().map(|(_, f)| f.estimate).collect();
    if pinned {
        let points = change_points(&estimates, ALARM);
        let worse = points.last().map_or(0.0, |p| p.after - points[0].before);
        let regressed = worse > margin;
        let change = |p: &results::statistics::change_point::ChangePoint| {
            (found[p.at].0.candidate.clone(), p.before, p.after)
        };
        let changes = points.iter().map(change).collect();
        return Drift { quantity, sessions: found.len(), changes, total: None, worse, regressed };
    }
    // Whoever looks for the worst of many stretches has to be surer of each (Bonferroni).
    let sure = normal_quantile(ALARM / found.len().max(1) as f64);
    let half = normal_quantile(0.025);
    let (mut sum, mut variance) = (0.0, 0.0);
    let mut worst: Option<(f64, (String, f64, f64, f64))> = None;
    let mut later: Option<&str> = None;
    for (entry, one) in found.iter().rev() {
        // Of several sessions against one base, such as those of a change that was pushed again, the last one counts.
        if later.replace(&entry.base) == Some(&entry.base) {
            continue;
        }
        let error = (one.high - one.low) / (2.0 * half);
        sum += one.estimate;
        variance += error * error;
        let certain = sum - sure * f64::sqrt(variance);
        let width = half * f64::sqrt(variance);
        if worst.as_ref().is_none_or(|(most, _)| certain > *most) {
            worst = Some((certain, (entry.candidate.clone(), sum, sum - width, sum + width)));
        }
    }
    let regressed = worst.as_ref().is_some_and(|(certain, _)| *certain > margin);
    let total = worst.map(|(_, total)| total);
    let worse = total.as_ref().map_or(0.0, |(_, total, ..)| *total);
    Drift { quantity, sessions: found.len(), changes: Vec::new(), total, worse, regressed }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::quantity::Metric;

    fn entry(number: usize, base: &str, estimate: f64) -> Entry {
        let quantity = Quantity { scenario: "steady".to_owned(), metric: Metric::CpuPerRequest };
        Entry {
            time: "2026-01-01T00:00:00Z".to_owned(),
            base: base.to_owned(),
            candidate: format!("c{number}"),
            quantities: vec![Found {
                quantity,
                estimate,
                low: estimate - 0.008,
                high: estimate + 0.008,
                accepted: false,
            }],
        }
    }

    fn wobble(i: usize) -> f64 {
        0.002 * ((i * 7 % 5) as f64 - 2.0)
    }

    #[test]
    fn small_losses_add_up() {
        let settings = Settings::default();
        let chain = |loss: f64| -> Vec<Entry> {
            (0..20).map(|i| entry(i, &format!("c{}", i + 100), loss + wobble(i))).collect()
        };
        let drifted = &drift(&chain(0.006), &settings)[0];
        assert!(drifted.regressed, "{drifted:?}");
        let (_, total, low, high) = drifted.total.clone().expect("a sum");
        assert!(low < 0.12 && 0.12 < high && total > 0.05, "{drifted:?}");
        assert!(!drift(&chain(0.0), &settings)[0].regressed);
    }

    #[test]
    fn a_change_that_was_looked_at_five_times_counts_once() {
        let settings = Settings::default();
        let mut entries: Vec<Entry> = (0..5).map(|i| entry(i, "b", 0.015)).collect();
        entries.insert(0, entry(9, "a", 0.0));
        let drifted = &drift(&entries, &settings)[0];
        assert!(!drifted.regressed, "{drifted:?}");
        let (_, total, ..) = drifted.total.clone().expect("a sum");
        assert!((total - 0.015).abs() < 1e-12, "{drifted:?}");
    }

    #[test]
    fn what_was_accepted_is_no_loss_to_add_up() {
        let settings = Settings::default();
        let mut entries: Vec<Entry> =
            (0..20).map(|i| entry(i, &format!("c{}", i + 100), wobble(i))).collect();
        entries[10] = entry(10, "c110", 0.08);
        assert!(drift(&entries, &settings)[0].regressed);
        entries[10].quantities[0].accepted = true;
        let drifted = &drift(&entries, &settings)[0];
        assert!(!drifted.regressed && drifted.sessions == 19, "{drifted:?}");
    }

    #[test]
    fn a_step_against_one_base_has_its_place() {
        let settings = Settings::default();
        let entries: Vec<Entry> =
            (0..24).map(|i| entry(i, "v1", wobble(i) + if i < 14 { 0.0 } else { 0.03 })).collect();
        let drifted = &drift(&entries, &settings)[0];
        assert!(drifted.regressed && drifted.changes.len() == 1, "{drifted:?}");
        assert_eq!(drifted.changes[0].0, "c14");
    }

    #[test]
    fn a_history_is_read_line_by_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("history.jsonl");
        for i in 0..3 {
            entry(i, "v1", 0.01).append(&path).expect("it can be written");
        }
        assert_eq!(read(&path).expect("it can be read").len(), 3);
        std::fs::OpenOptions::new()
            .append(true)
            .open(&path)
            .and_then(|mut f| f.write_all(b"{\"time\":1}\n"))
            .expect("it can be written");
        let error = read(&path).expect_err("the fourth line is wrong").to_string();
        assert!(error.contains("history.jsonl:4: found"), "{error}");
    }
}
