//! From a file and options to the scenario that is played, and to the directory of its run.

use std::fs;
use std::path::{Path, PathBuf};

use loadgen::target::{self, Reach};
use programs::Problem;
use results::World;
use scenarios::scenario::Engine;
use scenarios::{Diagnostic, Diagnostics, Scenario, derive, library};

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
    if options.trusted.is_given() && !options.target.as_ref().is_some_and(|url| url.starts_with("https://")) {
        let found = options.target.as_deref().unwrap_or("no target");
        return Err(Problem::configuration(anyhow::anyhow!(
            "--ca-file, --sni, --insecure: found {found}, expected a target over TLS\nhint: write it as --target https://127.0.0.1:8443"
        )));
    }
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
    if options.target.is_none() {
        look_at_engines(&scenario, options)?;
    }
    loadgen::limits::check(&scenario).map_err(Problem::configuration)?;
    let directory = results::run_directory(&options.out, &scenario, World::Loadgen)?;
    Ok(Prepared { scenario, directory, warnings: Vec::new(), part: None })
}

/// A file alone sends load to no other machine: a server elsewhere in a component's place has to be named on the command line too, and a
/// public one is its owner's.
fn look_at_engines(scenario: &Scenario, options: &Options) -> Result<(), Problem> {
    let mut problems: Vec<Diagnostic> = Vec::new();
    for component in &scenario.components {
        let Engine::Url(url) = &component.engine else { continue };
        let place = format!("components.{}.engine", component.name);
        // The URL is not shown: it may hold a password.
        let Some(host) = target::host_of(url) else {
            let expected = "a URL with one host, such as mysql://user:password@127.0.0.1:3306/shop";
            let hint = "percent-encode what is none of a name's in user and password";
            problems.push(scenario.problem_at(&place, "a URL without a clear host", expected, Some(hint)));
            continue;
        };
        let is_chosen = options.engine.iter().any(|(name, _)| *name == component.name);
        let (what, hint) = match target::reach(host).map_err(Problem::configuration)? {
            Reach::Own => continue,
            _ if options.i_am_authorised => continue,
            Reach::Private if is_chosen => continue,
            Reach::Private => (
                "another machine's",
                "say it on the command line, --engine COMPONENT=URL, or add --i-am-authorised",
            ),
            Reach::Public => (
                "a public address",
                "load only what is yours or what its owner lets you load; then add --i-am-authorised",
            ),
        };
        let found = format!("a server at {host}, {what}");
        let expected = "one on this machine: a file alone sends load nowhere else";
        problems.push(scenario.problem_at(&place, found, expected, Some(hint)));
    }
    if problems.is_empty() { Ok(()) } else { Err(Diagnostics::new(problems).into()) }
}

impl Prepared {
    /// Takes the directory of a run that never started away again.
    pub(crate) fn forget(&self) {
        // It cannot be removed where it holds something after all.
        let _ = fs::remove_dir(&self.directory);
    }
}
