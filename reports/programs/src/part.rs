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

    /// The part in words, for records; none of the whole file. `play` says that the file's own `[play]` names it.
    pub fn words(&self, play: bool) -> Option<String> {
        let window = [
            self.length.map(|length| format!("{length}")),
            self.from.map(|from| format!("from {from}")),
            self.rate.map(|rate| format!("at {rate} of its traffic, keys, memory and cores")),
        ];
        let window = window.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let parts = [
            self.variant.as_ref().map(|name| format!("variant {name}")),
            (!window.is_empty()).then_some(if play {
                format!("the file's [play]: {window}")
            } else {
                window
            }),
            self.seed.map(|seed| format!("seed {seed}")),
        ];
        let words = parts.into_iter().flatten().collect::<Vec<_>>().join(", ");
        (!words.is_empty()).then_some(words)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_says_in_words_what_it_is() {
        assert_eq!(Part::default().words(true), None);
        let window = Window::default();
        assert_eq!(
            Part { seed: Some(7), ..Part::default() }.within(window).words(true).as_deref(),
            Some("seed 7")
        );
        let part = Part {
            from: Some(SimTime::from_secs(2)),
            length: Some(SimTime::from_secs(60)),
            rate: Some(Ratio::new(0.05)),
            variant: Some("two".to_owned()),
            seed: None,
        };
        let told = "variant two, the file's [play]: 1m from 2s at 5% of its traffic, keys, memory and cores";
        assert_eq!(part.words(true).as_deref(), Some(told));
        assert_eq!(part.words(false).as_deref(), Some(told.replace("the file's [play]: ", "").as_str()));
    }
}
