//! One run: the scenario or a part of it, the simulation, the record.

use std::io::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use programs::{Problem, Progress, interrupt};
use results::{
    Evidence, ModelNote, Provenance, RunRecord, RunWriter, Status, Validity, World, run_directory,
};
use scenarios::Scenario;
use sim::Simulation;

use crate::arguments::RunArguments;
use crate::executor::Executor;
use crate::replications::{self, Rule};
use crate::{summary, tracing, warmup};

/// How often the journal is written.
const JOURNAL_PERIOD: Duration = Duration::from_secs(1);

/// Runs a file and tells what came out; the exit code.
pub(crate) fn run(arguments: &RunArguments) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("signal handlers cannot be set")?;
    let part = &arguments.part;
    let (words, prepared) = match arguments.play {
        true => part.load_play(&arguments.file)?,
        false => (part.words(), part.load(&arguments.file)?),
    };
    let given = arguments.changes.apply(prepared.scenario)?;
    if !arguments.quiet {
        for warning in scenarios::explain::warnings(&given) {
            writeln!(io::stderr().lock(), "warning: {warning}")?;
        }
        for warning in &prepared.warnings {
            writeln!(io::stderr().lock(), "note: {warning}")?;
        }
    }
    let mut progress = Progress::new(!arguments.quiet);
    let (scenario, note) = warmup::apply(arguments.warmup, given, &mut progress, &stop)?;
    let scenario = &scenario;
    progress.message("building the world");
    let rule = Rule::new(&arguments.replication, scenario)?;
    // What the simulator refuses is told before anything is left on the disk.
    let mut simulation = Simulation::new(scenario)?;
    let refused = match (rule.is_pooled(), arguments.makers.are_elsewhere()) {
        (true, _) => Some("of one run\n  hint: leave --replications and --precision out"),
        (false, true) => Some("of a run that is made here\n  hint: leave --nats out"),
        (false, false) => None,
    };
    if let Some(refused) = refused.filter(|_| arguments.tracing.is_wanted()) {
        return Err(Problem::configuration(anyhow::anyhow!(
            "--trace and --slowest follow requests {refused}"
        )));
    }
    tracing::begin(&arguments.tracing, scenario, &mut simulation)?;
    let by = arguments.makers.executor(arguments.replication.threads)?;
    let directory = run_directory(&arguments.out, scenario, World::Sim)?;
    let tool = concat!("sim ", env!("CARGO_PKG_VERSION"));
    let provenance = Provenance::here(tool).of_part(words);
    let mut writer = RunWriter::create(&directory, scenario, World::Sim, provenance)?;
    let notes = note.into_iter().chain(fixed_costs(scenario)).chain(rule.lacks(scenario));
    writer.add_evidence(Evidence { model: notes.collect(), ..Evidence::default() });
    let record = if rule.is_pooled() {
        drop(simulation);
        replications::pooled((&rule, &*by), scenario, writer, &mut progress, &stop)?
    } else if arguments.makers.are_elsewhere() {
        drop(simulation);
        single_elsewhere((&rule, &*by), scenario, writer, &mut progress, &stop)?
    } else {
        single(simulation, arguments, (&rule, &*by), scenario, writer, &mut progress, &stop)?
    };
    progress.end();
    if arguments.json {
        summary::json(&record, &directory)?;
    } else if !arguments.quiet {
        let costs = scenarios::explain::monthly_cost(scenario, &|host| record.machines(scenario, host));
        summary::text(&record, &directory, &costs)?;
    }
    Ok(record.exit_code())
}

/// Where the stack's fixed costs come from, where the scenario says.
fn fixed_costs(scenario: &Scenario) -> Option<ModelNote> {
    let calibration = &scenario.calibration;
    let source = calibration.source.clone()?;
    let error = match (scenario.calibration_warning(), &calibration.fitted_to) {
        (Some(_), _) => "not known: they were fitted to another stack",
        (None, Some(_)) => "within calibration.uncertainty, at low load",
        (None, None) => "not stated",
    };
    Some(ModelNote::new("fixed costs", source, error))
}

/// Plays one simulation to its end or its interruption, with a journal as it goes.
fn single(
    mut simulation: Simulation,
    arguments: &RunArguments,
    replications: (&Rule, &dyn Executor),
    scenario: &Scenario,
    mut writer: RunWriter,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<RunRecord, Problem> {
    let mut journalled = Instant::now();
    let mut complete = false;
    while !complete && !stop.load(Ordering::Relaxed) {
        complete = simulation.advance();
        if journalled.elapsed() >= JOURNAL_PERIOD {
            journalled = Instant::now();
            let (delta, samples) = simulation.take();
            writer.append(&delta, &samples)?;
        }
        let reached = simulation.progress();
        let share = reached.reached.as_secs_f64() / reached.total.as_secs_f64().max(1e-9);
        let seconds = progress.elapsed().as_secs_f64();
        progress.show(share, || line(&reached, seconds));
    }
    if !complete {
        simulation.give_up();
    }
    let (delta, samples) = simulation.take();
    writer.append(&delta, &samples)?;
    writer.add_evidence(tracing::evidence(&arguments.tracing, scenario, &mut simulation, progress, stop)?);
    drop(simulation);
    if let Some(scaled) = replications::scaled(replications, scenario, progress, stop)? {
        writer.beside(scaled);
    }
    let status = if complete { Status::Complete } else { Status::Interrupted };
    Ok(writer.finish(status, Validity::default())?)
}

/// Has one run made by others. There is nothing to be journalled before all of it is there.
fn single_elsewhere(
    replications: (&Rule, &dyn Executor),
    scenario: &Scenario,
    mut writer: RunWriter,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<RunRecord, Problem> {
    let by = replications.1;
    let mut observe = |share: f64| {
        progress.show(share, || format!("{:.0}% of the run simulated{}", share * 100.0, by.told()));
    };
    let outcome = by.run(scenario, &mut observe, stop)?;
    let complete = outcome.as_ref().is_some_and(|outcome| outcome.complete);
    if let Some(outcome) = outcome {
        writer.append(&outcome.delta, &outcome.samples)?;
        writer.add_evidence(outcome.evidence);
    }
    if let Some(scaled) = replications::scaled(replications, scenario, progress, stop)? {
        writer.beside(scaled);
    }
    let status = if complete { Status::Complete } else { Status::Interrupted };
    Ok(writer.finish(status, Validity::default())?)
}

/// How a simulation stands.
fn line(progress: &sim::Progress, seconds: f64) -> String {
    let counts = progress.counts;
    format!(
        "{:.0} of {:.0} s simulated, {} requests ({:.2} million/s), {} failed",
        progress.reached.as_secs_f64(),
        progress.total.as_secs_f64(),
        counts.due,
        counts.due as f64 / seconds.max(1e-3) / 1e6,
        counts.failed
    )
}
