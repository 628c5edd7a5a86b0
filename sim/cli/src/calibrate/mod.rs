//! `sim calibrate`: the fixed costs of a stack, from runs of `loadgen measure`, as a file that a scenario includes.
//!
//! - `evidence`: what a run says of each probe, and whether it may be used
//! - [`fit`]: from sums to costs; it knows neither records nor files
//! - `overlay`: the file, and the table

mod evidence;
mod fit;
mod overlay;
#[cfg(test)]
mod tests;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use programs::{Part, Problem};
use results::{RunRecord, writer};
use scenarios::derive::{self, measuring::Measuring};
use scenarios::scenario::Engine;
use scenarios::units::SimTime;
use scenarios::{Scenario, exit};

use evidence::Run;

/// Fewer runs tell nothing of their own noise.
const FEWEST: usize = 3;
/// The frame does not matter here: only which probes there are.
const FRAME: (SimTime, SimTime) = (SimTime::from_secs(1), SimTime::from_secs(10));

/// What is calibrated, from what.
#[derive(Debug, Args)]
pub(crate) struct Calibrate {
    /// The scenario file whose stack was measured
    pub(crate) file: PathBuf,
    /// Runs of `loadgen measure`, or directories of runs
    #[arg(long, value_name = "RUN", required = true, num_args = 1..)]
    pub(crate) from: Vec<PathBuf>,
    /// The variant of the file
    #[arg(long, value_name = "NAME")]
    pub(crate) variant: Option<String>,
    /// What did a component's work, instead of what the file says, such as objects=redis; once for each
    #[arg(long, value_name = "COMPONENT=ENGINE", value_parser = Engine::choice)]
    pub(crate) engine: Vec<(String, String)>,
    /// Writes the file that the scenario includes, instead of printing it
    #[arg(long, short, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// Takes runs in which the whole machine was more than 60% busy, too; the written file says so
    #[arg(long)]
    pub(crate) allow_busy: bool,
    /// Prints no table
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// Fits the costs and writes them; the exit code.
pub(crate) fn run(arguments: &Calibrate) -> Result<u8, Problem> {
    let part = Part { variant: arguments.variant.clone(), ..Part::default() };
    let mut scenario = part.load(&arguments.file)?.scenario;
    scenario.choose_engines(&arguments.engine)?;
    let measuring = derive::measuring(&scenario, FRAME, 1).map_err(Problem::configuration)?;
    let (runs, refused) = read(arguments, &scenario, &measuring)?;
    if !arguments.quiet {
        for (path, why) in &refused {
            writeln!(io::stderr(), "left out: {}: {why}", path.display())?;
        }
    }
    if runs.len() < FEWEST {
        return Err(Problem::configuration(too_few(runs.len(), &refused)));
    }
    let fitted = fit::fit(&evidence::equations(&measuring.probes, &runs), runs.len());
    let text = overlay::text(&scenario, &runs, &fitted);
    if !arguments.quiet {
        write!(io::stderr(), "{}", overlay::table(&fitted, &measuring, &runs))?;
    }
    match &arguments.out {
        Some(path) => {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
            if !arguments.quiet {
                let name = path.file_name().unwrap_or_default().to_string_lossy();
                writeln!(io::stderr(), "include it: [calibration] include = \"{name}\"")?;
            }
        }
        None => io::stdout().lock().write_all(text.as_bytes())?,
    }
    Ok(exit::GOOD)
}

fn too_few(found: usize, refused: &[(PathBuf, String)]) -> anyhow::Error {
    let mut why = format!(
        "--from: found {found} runs that can be used, expected at least {FEWEST}: fewer tell nothing of their own noise"
    );
    for (path, reason) in refused.iter().take(8) {
        why += &format!("\n  {}: {reason}", path.display());
    }
    anyhow::anyhow!(
        "{why}\nhint: loadgen measure FILE --repetitions 5 --out DIRECTORY, on a machine that has nothing else to do"
    )
}

/// The runs that can be used, and those that cannot, each with the reason.
#[expect(clippy::type_complexity, reason = "two lists that belong together")]
fn read(
    arguments: &Calibrate,
    scenario: &Scenario,
    measuring: &Measuring,
) -> Result<(Vec<Run>, Vec<(PathBuf, String)>), Problem> {
    let (mut runs, mut refused) = (Vec::new(), Vec::new());
    for path in paths(&arguments.from)? {
        let record = match RunRecord::read(&path) {
            Ok(record) => record,
            Err(error) => {
                refused.push((path, error.to_string()));
                continue;
            }
        };
        match Run::of(&record, scenario, measuring).and_then(|run| run.on_idle_machine(arguments.allow_busy))
        {
            Ok(run) => runs.push(run),
            Err(why) => refused.push((path, why)),
        }
    }
    Ok((runs, refused))
}

/// The runs that are meant: those named, and those in directories that are no runs themselves.
fn paths(places: &[PathBuf]) -> Result<Vec<PathBuf>, Problem> {
    let is_run = |path: &Path| path.join(writer::RECORD).is_file() || path.join(writer::JOURNAL).is_file();
    let mut paths = Vec::new();
    for place in places {
        if !place.is_dir() || is_run(place) {
            paths.push(place.clone());
            continue;
        }
        let entries = fs::read_dir(place).with_context(|| format!("cannot read {}", place.display()))?;
        let mut inside: Vec<PathBuf> =
            entries.flatten().map(|entry| entry.path()).filter(|path| is_run(path)).collect();
        inside.sort();
        paths.append(&mut inside);
    }
    Ok(paths)
}
