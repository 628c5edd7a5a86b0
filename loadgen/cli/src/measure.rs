//! Measures the fixed costs of a stack: the measuring scenario, several times with seeds of its own, each against a fresh stack.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use anyhow::Context as _;
use clap::Args;
use programs::{Part, Problem, interrupt};
use results::{RunRecord, Scope};
use scenarios::derive::{self, Measuring};
use scenarios::units::SimTime;
use scenarios::{Scenario, exit};

use crate::arguments::Options;
use crate::play;
use crate::prepare;
use crate::summary::milliseconds;

/// How long a repetition measures where nothing else is said, and what comes before.
const LENGTH: SimTime = SimTime::from_secs(20);
const WARMUP: SimTime = SimTime::from_secs(2);
/// So many times as many runs are made as repetitions are asked for, where some are invalid.
const ATTEMPTS: u32 = 2;

/// What is measured, and how often.
#[derive(Debug, Args)]
pub(crate) struct Measurement {
    /// A scenario file
    pub(crate) file: std::path::PathBuf,
    /// How many valid runs are made, each with a seed and a stack of its own
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) repetitions: u32,
}

/// Measures; the exit code.
pub(crate) fn measure(measure: &Measurement, options: &Options) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("cannot listen for signals")?;
    let scenario = whole(measure, options)?;
    let first = options.part.seed.unwrap_or(scenario.run.seed.0);
    let metrics = play::metrics(options)?;
    let (mut valid, mut records) = (0, Vec::new());
    for attempt in 0..u64::from(measure.repetitions) * u64::from(ATTEMPTS) {
        if valid == measure.repetitions {
            break;
        }
        let measuring = measuring(&scenario, options, first.saturating_add(attempt))?;
        if attempt == 0 && !options.quiet {
            say(&scenario, &measuring)?;
        }
        let prepared = prepare::of(measuring.scenario, options)?;
        let shown = (metrics.as_ref(), !options.quiet);
        let record = play::measure(&prepared, options, &stop, shown).inspect_err(|_| prepared.forget())?;
        let Some(record) = record.filter(|record| record.exit_code() != exit::INTERRUPTED) else {
            prepared.forget();
            return Ok(exit::INTERRUPTED);
        };
        let is_valid = record.validity.is_valid();
        valid += u32::from(is_valid);
        if !options.quiet {
            writeln!(io::stderr(), "{}", line(valid, measure.repetitions, &record))?;
        }
        writeln!(io::stdout().lock(), "{}", prepared.directory.display())?;
        records.push(record);
    }
    if !options.quiet {
        if let Some(last) = records.last() {
            write!(io::stderr(), "{}", table(last))?;
        }
        let next = format!("sim calibrate {} --from {}", measure.file.display(), options.out.display());
        writeln!(io::stderr(), "next: {next}")?;
    }
    Ok(if valid < measure.repetitions { exit::INVALID } else { exit::GOOD })
}

/// The file, or a variant of it, with the engines that were chosen beside it.
fn whole(measure: &Measurement, options: &Options) -> Result<Scenario, Problem> {
    for (given, name) in [
        (options.target.is_some(), "--target"),
        (options.part.from.is_some(), "--from"),
        (options.part.rate.is_some(), "--rate"),
    ] {
        if given {
            let why =
                "what is measured are the parts of a stack that is started for it, at a load of its own";
            return Err(Problem::configuration(anyhow::anyhow!("{name} has no meaning here: {why}")));
        }
    }
    let part = Part { variant: options.part.variant.clone(), ..Part::default() };
    let mut scenario = part.load(&measure.file)?.scenario;
    scenario.choose_engines(&options.engine)?;
    Ok(scenario)
}

fn measuring(scenario: &Scenario, options: &Options, seed: u64) -> Result<Measuring, Problem> {
    let frame = (WARMUP, options.part.length.unwrap_or(LENGTH));
    derive::measuring(scenario, frame, seed).map_err(Problem::configuration)
}

/// What is going to be measured, and what is not.
fn say(scenario: &Scenario, measuring: &Measuring) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(out, "{}: {}", scenario.source.path.display(), measuring.scenario.title)?;
    let classes: Vec<&str> = measuring.probes.iter().map(|probe| probe.class.as_str()).collect();
    writeln!(out, "probes: {}", classes.join(", "))?;
    for reason in &measuring.left_out {
        writeln!(out, "note: {reason}")?;
    }
    Ok(())
}

fn line(valid: u32, of: u32, record: &RunRecord) -> String {
    let mut line = format!("{valid} of {of} valid repetitions, seed {}", record.scenario.seed);
    for reason in &record.validity.reasons {
        write!(line, "; invalid: {reason}").expect("writing to a string does not fail");
    }
    line
}

/// What each probe took in a run.
fn table(record: &RunRecord) -> String {
    let mut text = format!("  {:30} {:>10} {:>10} {:>8}\n", "probe (last run)", "mean", "p50", "count");
    for (number, class) in record.scenario.classes.iter().enumerate() {
        let times = record.tally(Scope::Run, Some(number)).service_times();
        let [mean, median] = [times.mean(), times.percentile(50.0)].map(milliseconds);
        writeln!(text, "  {class:30} {mean:>10} {median:>10} {:>8}", times.len())
            .expect("writing to a string does not fail");
    }
    text
}
