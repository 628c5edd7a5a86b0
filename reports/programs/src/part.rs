//! Which part of which scenario is run: a part is a scenario of its own.

use std::fmt::Write as _;
use std::path::Path;

use scenarios::quantity::Misread;
use scenarios::scenario::{Play, Window};
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
    fn within(self, window: Window) -> Self {
        Self { from: window.from, length: window.length, rate: window.rate, ..self }
    }

    /// Whether the whole file is meant, with its own seed.
    pub fn is_whole(&self) -> bool {
        self.takes_no_window() && self.seed.is_none() && self.variant.is_none()
    }

    /// The part in words, for records; none of the whole file.
    pub fn words(&self) -> Option<String> {
        self.told("")
    }

    /// What the file says is played, in words, for records.
    pub fn words_of_play(&self, play: &Play) -> Option<String> {
        let part = Self { variant: self.variant.clone().or_else(|| play.variant.clone()), ..self.clone() };
        let words = part.within(play.window).told("the file's [play]: ");
        let mut words = words.unwrap_or_else(|| "the file's [play]".to_owned());
        if !play.removes.is_empty() {
            let _ = write!(words, ", without {}", play.removes.join(", "));
        }
        if !play.sets.is_empty() {
            let _ = write!(words, ", with another {}", play.sets.join(", "));
        }
        Some(words)
    }

    fn told(&self, of: &str) -> Option<String> {
        let window = [
            self.length.map(|length| format!("{length}")),
            self.from.map(|from| format!("from {from}")),
            self.rate.map(|rate| format!("at {rate} of its traffic, keys, memory and cores")),
        ];
        let window = window.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let parts = [
            self.variant.as_ref().map(|name| format!("variant {name}")),
            (!window.is_empty()).then_some(format!("{of}{window}")),
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

    /// Reads a file and takes what it says is played; also in words.
    ///
    /// # Errors
    /// Where the file is no scenario, or says that nothing of it is played.
    pub fn load_play(&self, file: &Path) -> Result<(Option<String>, Prepared), Problem> {
        let whole = Scenario::load(file)?;
        match whole.play.as_ref().filter(|play| play.impossible.is_none()) {
            Some(play) => Ok((self.words_of_play(play), self.of_play(&whole)?)),
            None => {
                let found = whole.play.as_ref().and_then(|play| play.impossible.clone());
                let found = found.map_or("nothing".to_owned(), |why| format!("{why:?}"));
                let hint = "add [play] with for = \"30s\" and rate = \"10%\"";
                Err(whole.problem_at("play", found, "a part that is played", Some(hint)).into())
            }
        }
    }

    /// What the file says is played, of the variant and with the seed asked for.
    ///
    /// # Errors
    /// Where there is no such variant, or the file's `[play]` names nothing that can be made.
    ///
    /// # Panics
    /// Where the file says nothing of what is played.
    pub fn of_play(&self, whole: &Scenario) -> Result<Prepared, Problem> {
        let part = derive::played(whole, self.variant.as_deref(), self.seed);
        let part = part.map_err(Problem::configuration)?;
        Ok(Prepared { scenario: part.scenario, warnings: part.warnings })
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
        assert_eq!(Part::default().words(), None);
        assert_eq!(Part { seed: Some(7), ..Part::default() }.words().as_deref(), Some("seed 7"));
        let part = Part {
            from: Some(SimTime::from_secs(2)),
            length: Some(SimTime::from_secs(60)),
            rate: Some(Ratio::new(0.05)),
            variant: Some("two".to_owned()),
            seed: None,
        };
        let told = "variant two, 1m from 2s at 5% of its traffic, keys, memory and cores";
        assert_eq!(part.words().as_deref(), Some(told));
    }

    #[test]
    fn what_is_played_says_what_of_the_file_it_leaves_out() {
        let text = scenarios::library::QUICKSTART.to_owned()
            + r#"
[play]
for = "10s"
rate = "50%"
variant = "larger"
remove = ["components.balancer.retries"]
set."hosts.app.cores" = 4
[variants.larger]
what = "a node more"
set."hosts.app.count" = 3
"#;
        let whole = Scenario::parse("shop.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let play = whole.play.as_ref().expect("it says what is played");
        let told = "variant larger, the file's [play]: 10s at 50% of its traffic, keys, memory and cores, without \
                    components.balancer.retries, with another hosts.app.cores";
        assert_eq!(Part::default().words_of_play(play).as_deref(), Some(told));
        let part = Part::default().of_play(&whole).unwrap_or_else(|_| panic!("it can be made")).scenario;
        let app = part.hosts.iter().find(|host| host.name == "app").expect("it has one");
        assert_eq!((app.count, app.cores), (3, 2));
    }
}
