//! From a file and options to the scenario that is played, and to the directory of its run.

use std::fs;
use std::path::{Path, PathBuf};

use programs::Problem;
use results::World;
use scenarios::{Scenario, derive, library};

use crate::arguments::Options;

/// A scenario, ready to be played.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) scenario: Scenario,
    /// The run's directory.
    pub(crate) directory: PathBuf,
    /// What a derived scenario does not keep of the original.
    pub(crate) warnings: Vec<String>,
    /// Which part of the file it is, in words; none of the whole.
    pub(crate) part: Option<String>,
}

/// Reads the scenario (the quickstart without a file), derives the part asked for, and makes the run's directory.
pub(crate) fn prepare(file: Option<&Path>, options: &Options) -> Result<Prepared, Problem> {
    let whole = match file {
        Some(file) => Scenario::load(file)?,
        None => Scenario::parse("quickstart.toml", library::QUICKSTART)?,
    };
    let part = &options.part;
    // Without a window, and against this project's own stack, it is the file that says what is played.
    let is_own = part.takes_no_window() && options.target.is_none();
    let play = whole.play.as_ref().filter(|play| is_own && play.impossible.is_none());
    let (words, programs::part::Prepared { scenario, warnings }) = match play {
        Some(play) => (part.words_of_play(play), part.of_play(&whole)?),
        None => (part.words(), part.of(whole)?),
    };
    Ok(Prepared { warnings, part: words, ..of(scenario, options)? })
}

/// Holds a scenario against what can be played, and makes the run's directory.
pub(crate) fn of(mut scenario: Scenario, options: &Options) -> Result<Prepared, Problem> {
    loadgen::supports::check(&scenario)?;
    if options.skip_faults && !scenario.faults.is_empty() {
        scenario = derive::without_faults(&scenario).map_err(Problem::configuration)?.scenario;
    } else if let (Some(_), Some(fault)) = (&options.target, scenario.faults.first()) {
        let hint = "add --skip-faults, or leave --target out to play against the reference stack";
        let expected = "no fault where --target is given: loadgen can only break what it has started";
        let found = format!("the fault {:?}", fault.name);
        return Err(scenario.problem_at(&fault.place, found, expected, Some(hint)).into());
    }
    if options.target.is_some() {
        let first = scenario.traffic.first().map(|t| t.to);
        if let Some(other) = scenario.traffic.iter().find(|t| Some(t.to) != first) {
            let hint = "play such a scenario against the reference stack, or split it by entry";
            let found = format!("{:?}", scenario.component(other.to).name);
            let expected = "one entry for all traffic where --target is given: it names one place";
            let place = format!("traffic.{}.to", other.name);
            return Err(scenario.problem_at(&place, found, expected, Some(hint)).into());
        }
    }
    scenario.choose_engines(&options.engine)?;
    loadgen::limits::check(&scenario).map_err(Problem::configuration)?;
    let directory = results::run_directory(&options.out, &scenario, World::Loadgen)?;
    Ok(Prepared { scenario, directory, warnings: Vec::new(), part: None })
}

impl Prepared {
    /// Takes the directory of a run that never started away again.
    pub(crate) fn forget(&self) {
        // It cannot be removed where it holds something after all.
        let _ = fs::remove_dir(&self.directory);
    }
}
