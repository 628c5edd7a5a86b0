//! What must not change at all, or hardly: a seeded simulation's record, counts of instructions.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use results::RunRecord;
use results::figure::{Selection, estimate};
use scenarios::threshold::{Aggregate, Metric};

use crate::format::relative;
use crate::table::Table;

/// How far counts of instructions may lie apart: the same program with other addresses executes a few more or less.
const COUNTS_TOLERANCE: f64 = 0.01;

/// What two files that should agree come to.
#[derive(Clone, Debug)]
pub struct Exact {
    /// Whether they agree, or counts have only become fewer.
    pub same: bool,
    /// What differs.
    differences: Table,
}

/// Why two files cannot be held against each other.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of them cannot be read.
    #[error(transparent)]
    Record(#[from] results::Error),
    /// One is neither.
    #[error("{}: found {found}, expected a run, or a JSON object of names and counts", path.display())]
    Neither {
        /// Which.
        path: PathBuf,
        /// What was found.
        found: String,
    },
    /// A measured run is never the same twice.
    #[error("{}: is a measured run, which never comes out the same twice; `report gate` compares those", path.display())]
    Measured {
        /// Which.
        path: PathBuf,
    },
}

/// Holds two runs of the simulator, or two files of counts, against each other.
///
/// # Errors
/// If they cannot be read, or are something else.
pub fn exact(base: &Path, candidate: &Path) -> Result<Exact, Error> {
    match (counts(base)?, counts(candidate)?) {
        (Some(a), Some(b)) => Ok(of_counts(&a, &b)),
        _ => Ok(of_runs(simulated(base)?, simulated(candidate)?)),
    }
}

fn counts(path: &Path) -> Result<Option<BTreeMap<String, u64>>, Error> {
    if path.is_dir() {
        return Ok(None);
    }
    let neither = |found: String| Error::Neither { path: path.to_owned(), found };
    let text = std::fs::read_to_string(path).map_err(|e| neither(e.to_string()))?;
    Ok(serde_json::from_str(&text).ok())
}

fn simulated(path: &Path) -> Result<RunRecord, Error> {
    let record = RunRecord::read(path)?;
    match record.world {
        results::World::Sim => Ok(record),
        results::World::Loadgen => Err(Error::Measured { path: path.to_owned() }),
    }
}

fn of_counts(a: &BTreeMap<String, u64>, b: &BTreeMap<String, u64>) -> Exact {
    let mut differences = Table::new(&["count", "base", "candidate", "change"]);
    let names: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    let show = |count: Option<&u64>| count.map_or("none".to_owned(), ToString::to_string);
    let mut same = true;
    for name in names {
        let (of_a, of_b) = (a.get(name), b.get(name));
        let change = of_a.zip(of_b).map(|(a, b)| *b as f64 / (*a as f64).max(1.0) - 1.0);
        if change.is_none_or(|change| change.abs() > COUNTS_TOLERANCE) {
            // Fewer instructions are told and no fault, nor is a count that is new; one that is gone has nothing to say for itself.
            same &= of_b.is_some() && change.is_none_or(|change| change < 0.0);
            let gone = if of_a.is_none() { "is new" } else { "is gone" };
            let change = change.map_or(gone.to_owned(), relative);
            differences.rows.push(vec![name.clone(), show(of_a), show(of_b), change]);
        }
    }
    Exact { same, differences }
}

fn of_runs(a: RunRecord, mut b: RunRecord) -> Exact {
    // Where and when it was made is no part of what came out.
    b.provenance = a.provenance.clone();
    let same = a == b;
    let mut differences = Table::new(&["figure", "base", "candidate", "change"]);
    let figures = [
        (Metric::Rate, Aggregate::Rate),
        (Metric::Failed, Aggregate::Rate),
        (Metric::ResponseTime, Aggregate::Average),
        (Metric::ResponseTime, Aggregate::Percentile(50.0)),
        (Metric::ResponseTime, Aggregate::Percentile(99.0)),
        (Metric::ResponseTime, Aggregate::Maximum),
    ];
    for (metric, aggregate) in figures {
        let selection = Selection::new(metric, aggregate);
        let [of_a, of_b] = [&a, &b].map(|record| estimate(record, &selection).map(|e| e.value));
        if of_a != of_b {
            let unit = crate::verdict::unit(metric, aggregate);
            let show = |v: Option<f64>| v.map_or("none".to_owned(), |v| unit.show(v));
            let change = of_a.zip(of_b).map_or(String::new(), |(a, b)| relative(b / a - 1.0));
            differences.rows.push(vec![selection.to_string(), show(of_a), show(of_b), change]);
        }
    }
    if !same && differences.rows.is_empty() {
        let others =
            vec!["none of the main figures; others".to_owned(), String::new(), String::new(), String::new()];
        differences.rows.push(others);
    }
    Exact { same, differences }
}

impl Exact {
    /// For a terminal.
    pub fn text(&self) -> String {
        match (self.same, self.differences.rows.is_empty()) {
            (true, true) => "the same\n".to_owned(),
            (true, false) => format!("no count has grown\n\n{}", self.differences.text()),
            (false, _) => format!("differs\n\n{}", self.differences.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_may_differ_by_a_hundredth() {
        let counts = |pairs: &[(&str, u64)]| pairs.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect();
        assert!(of_counts(&counts(&[("parse", 10_000)]), &counts(&[("parse", 10_099)])).same);
        let slower = of_counts(&counts(&[("parse", 10_000)]), &counts(&[("parse", 10_200), ("new", 1)]));
        assert!(!slower.same && slower.text().contains("+2"), "{}", slower.text());
        assert!(slower.text().contains("is new"));
        let faster = of_counts(&counts(&[("parse", 10_000)]), &counts(&[("parse", 9_000), ("new", 1)]));
        assert!(faster.same && faster.text().starts_with("no count has grown"), "{}", faster.text());
        assert!(!of_counts(&counts(&[("parse", 10_000)]), &counts(&[])).same, "it is gone");
    }
}
