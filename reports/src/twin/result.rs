//! What came of a session, as it is kept: for pages, tables, and whoever wants to know how far a prediction can be trusted.

use std::path::{Path, PathBuf};

use scenarios::scenario::TwinTargets;
use serde::{Deserialize, Serialize};

use super::reading::{Group, Quantity};

/// What the file says of itself.
pub const FORMAT: &str = "rehearsal twin";
/// The version of the format.
pub const VERSION: u32 = 1;

/// All of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Results {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The scenario's title.
    pub title: String,
    /// Its file's name.
    pub file: String,
    /// SHA-256 of the file.
    pub hash: String,
    /// What stood in the components' places: `balancer = haproxy`.
    pub engines: Vec<String>,
    /// What it ran on.
    pub machine: String,
    /// How often each case was to be run in each world.
    pub repetitions: u32,
    /// The first of the seeds.
    pub first_seed: u64,
    /// In which order the cases were played: `steady-30 seed 1`.
    pub order: Vec<String>,
    /// How far off is still good.
    pub targets: Targets,
    /// The cases.
    pub cases: Vec<CaseResult>,
}

/// How far off is still good: relative, or as a fraction of shares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Targets {
    /// Good answers a second.
    pub goodput: f64,
    /// The median.
    pub p50: f64,
    /// The 99th percentile.
    pub p99: f64,
    /// The load at which it is equal.
    pub load: f64,
    /// Hit ratios.
    pub hit_ratio: f64,
    /// Depth and duration of a dip.
    pub dip: f64,
    /// Utilisations.
    pub utilisation: f64,
}

impl From<&TwinTargets> for Targets {
    fn from(targets: &TwinTargets) -> Self {
        Self {
            goodput: targets.goodput,
            p50: targets.p50,
            p99: targets.p99,
            load: targets.load,
            hit_ratio: targets.hit_ratio,
            dip: targets.dip,
            utilisation: targets.utilisation,
        }
    }
}

impl Targets {
    /// That of a kind of number.
    pub fn of(&self, group: Group) -> f64 {
        match group {
            Group::Goodput => self.goodput,
            Group::P50 => self.p50,
            Group::P99 => self.p99,
            Group::HitRatio => self.hit_ratio,
            Group::DipDepth | Group::DipDuration => self.dip,
            Group::Utilisation => self.utilisation,
        }
    }
}

/// A case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseResult {
    /// Its name.
    pub name: String,
    /// What is different, in words.
    pub what: String,
    /// Which share of the capacity its load is, where the file says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load: Option<f64>,
    /// Requests due a second; 0 where nothing was run.
    pub rate: f64,
    /// How many pairs of runs there are that can be compared.
    pub pairs: u32,
    /// How many more were set aside, because the hypervisor took much of the machine and there are enough from which it did not.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub set_aside: u32,
    /// The share of the machine that the hypervisor took from the runs that count, their mean; none where nothing was played.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stolen_share: Option<f64>,
    /// The busy share of the machine while it was played, the mean of the runs; none where nothing was played.
    pub machine_share: Option<f64>,
    /// What speaks against the measurement, as sentences.
    pub doubts: Vec<String>,
    /// Whether the calibration was changed after some of its runs were measured, which is then no proof of the calibration.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub calibrated_after: bool,
    /// What was compared.
    pub cells: Vec<Cell>,
}

/// Whether nothing has to be said of it; serde gives a reference.
fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// How an error is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// Predicted over measured, minus 1.
    Relative,
    /// Predicted minus measured, of shares.
    Points,
    /// The load at which the simulator has what was measured, over the load that was played, minus 1.
    Load,
}

/// What is to be thought of a prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Its mean error is within its target.
    Holds,
    /// It is not.
    Misses,
    /// The measurement cannot tell.
    Unmeasured,
}

impl Verdict {
    /// The word, with a sign so that colour is not needed.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Holds => "✓ holds",
            Self::Misses => "✗ misses",
            Self::Unmeasured => "– unmeasured",
        }
    }

    /// The sign alone.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::Holds => "✓",
            Self::Misses => "✗",
            Self::Unmeasured => "–",
        }
    }
}

/// A number of a case: predicted, measured, the error and its noise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cell {
    /// Which number.
    pub quantity: Quantity,
    /// The mean prediction: seconds, per second, or a fraction. None where it is infinite.
    pub predicted: Option<f64>,
    /// The mean measurement.
    pub measured: Option<f64>,
    /// What the error is.
    pub error_is: Measure,
    /// The mean error; none where it is not finite.
    pub error: Option<f64>,
    /// Half the width of its 95% interval; none where it cannot be told.
    pub noise: Option<f64>,
    /// The error of each pair.
    pub errors: Vec<Option<f64>>,
    /// How far off is still good.
    pub target: f64,
    /// What to think of it.
    pub verdict: Verdict,
    /// Why it could not be measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

impl Cell {
    /// The error as a share of its target; none where it is not known.
    pub fn strain(&self) -> Option<f64> {
        self.error.map(|error| error.abs() / self.target)
    }
}

/// Why results cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("{path}: is no result of report twin, version {VERSION}: {why}")]
    Format {
        /// Which.
        path: String,
        /// Why.
        why: String,
    },
}

impl Results {
    /// Reads what was written.
    ///
    /// # Errors
    /// Where there is no such file, or it is something else.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text =
            std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Self::parse(&path.display().to_string(), &text)
    }

    /// The same of a text.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn parse(path: &str, text: &str) -> Result<Self, Error> {
        let wrong = |why: String| Error::Format { path: path.to_owned(), why };
        let results: Self = serde_json::from_str(text).map_err(|error| wrong(error.to_string()))?;
        if (results.format.as_str(), results.version) != (FORMAT, VERSION) {
            return Err(wrong(format!("found {:?}, version {}", results.format, results.version)));
        }
        Ok(results)
    }

    /// As text.
    ///
    /// # Panics
    /// Never: all of it can be written as JSON.
    pub fn json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).expect("numbers, texts and lists are JSON");
        text.push('\n');
        text
    }

    /// All cells with their cases.
    pub fn cells(&self) -> impl Iterator<Item = (&CaseResult, &Cell)> {
        self.cases.iter().flat_map(|case| case.cells.iter().map(move |cell| (case, cell)))
    }

    /// How many cells have a verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cells().filter(|(_, cell)| cell.verdict == verdict).count()
    }
}
