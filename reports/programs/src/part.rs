//! Which part of which scenario is run: a part is a scenario of its own.

use std::path::Path;

use scenarios::quantity::Misread;
use scenarios::scenario::Window;
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
    /// The variant of the file
    #[arg(long, value_name = "NAME")]
    pub variant: Option<String>,
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
    /// Whether it is as long and as large as the file says.
    pub fn takes_no_window(&self) -> bool {
        self.from.is_none() && self.length.is_none() && self.rate.is_none()
    }

    /// The same with another window.
    pub fn within(self, window: Window) -> Self {
        Self { from: window.from, length: window.length, rate: window.rate, ..self }
    }

    /// Whether the whole file is meant, with its own seed.
    pub fn is_whole(&self) -> bool {
        self.takes_no_window() && self.seed.is_none() && self.variant.is_none()
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
        let whole = match &self.variant {
            Some(name) => derive::variant(&whole, name).map_err(Problem::configuration)?.scenario,
            None => whole,
        };
        if self.takes_no_window() && self.seed.is_none() {
            return Ok(Prepared { scenario: whole, warnings: Vec::new() });
        }
        let part = derive::window(&whole, self.from, self.length, self.rate, self.seed);
        let part = part.map_err(Problem::configuration)?;
        Ok(Prepared { scenario: part.scenario, warnings: part.warnings })
    }
}
