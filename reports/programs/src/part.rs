//! Which part of which scenario is run: a part is a scenario of its own.

use std::path::Path;

use scenarios::quantity::Misread;
use scenarios::units::{Ratio, SimTime};
use scenarios::{Scenario, derive};

use crate::problem::Problem;

/// The options that derive a scenario from the file's.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Part {
    /// Where on the timeline the measured part starts, such as 2d20h
    #[arg(long, value_name = "TIME", value_parser = str::parse::<SimTime>)]
    pub from: Option<SimTime>,
    /// How long is measured, such as 1m
    #[arg(long = "for", value_name = "DURATION", value_parser = str::parse::<SimTime>)]
    pub length: Option<SimTime>,
    /// The share of the traffic, keys, memory and cores, such as 10%
    #[arg(long, value_name = "SHARE", value_parser = ratio)]
    pub rate: Option<Ratio>,
    /// Another seed than the scenario's
    #[arg(long)]
    pub seed: Option<u64>,
}

/// Reads a share, such as 10%.
///
/// # Errors
/// Where the text is none.
pub fn ratio(text: &str) -> Result<Ratio, Misread> {
    text.parse()
}

/// A scenario that is going to be run.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// The scenario.
    pub scenario: Scenario,
    /// What a derived scenario does not keep of the original.
    pub warnings: Vec<String>,
}

impl Part {
    /// Whether the whole file is meant, with its own seed.
    pub fn is_whole(&self) -> bool {
        self.from.is_none() && self.length.is_none() && self.rate.is_none() && self.seed.is_none()
    }

    /// Reads a file and takes the part from it.
    ///
    /// # Errors
    /// Where the file is no scenario, or has no such part.
    pub fn load(&self, file: &Path) -> Result<Prepared, Problem> {
        self.of(Scenario::load(file)?)
    }

    /// The part of a scenario.
    ///
    /// # Errors
    /// Where the scenario has no such part.
    pub fn of(&self, whole: Scenario) -> Result<Prepared, Problem> {
        if self.is_whole() {
            return Ok(Prepared { scenario: whole, warnings: Vec::new() });
        }
        let part = derive::window(&whole, self.from, self.length, self.rate, self.seed);
        let part = part.map_err(Problem::configuration)?;
        Ok(Prepared { scenario: part.scenario, warnings: part.warnings })
    }
}
