//! One run: the scenario or a window of it, the simulation, the record.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use results::{Provenance, RunWriter, Status, Validity, World, run_directory};
use scenarios::{Scenario, derive};
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::progress::Bar;
use super::{RunArguments, summary};
use crate::Simulation;

/// How often the journal is written.
const JOURNAL_PERIOD: Duration = Duration::from_secs(1);

pub(super) fn run(arguments: &RunArguments) -> anyhow::Result<u8> {
    let scenario = scenario(arguments)?;
    let provenance = Provenance::here(concat!("sim ", env!("CARGO_PKG_VERSION")));
    let cancel = cancelled_by_signals().context("signal handlers cannot be set")?;
    let mut bar = Bar::new(arguments.quiet);
    bar.message("building the world");
    let mut simulation = Simulation::new(&scenario)?;
    let directory = run_directory(&arguments.out, &scenario, World::Sim)?;
    let mut writer = RunWriter::create(&directory, &scenario, World::Sim, provenance)?;
    let started = Instant::now();
    let mut journalled = started;
    let mut complete = false;
    while !complete && !cancel.load(Ordering::Relaxed) {
        complete = simulation.advance();
        if journalled.elapsed() >= JOURNAL_PERIOD {
            journalled = Instant::now();
            let (delta, samples) = simulation.take();
            writer.append(&delta, &samples)?;
        }
        bar.update(&simulation.progress());
    }
    bar.finish();
    if !complete {
        simulation.give_up();
    }
    let (delta, samples) = simulation.take();
    writer.append(&delta, &samples)?;
    let took = started.elapsed();
    let status = if complete { Status::Complete } else { Status::Interrupted };
    let record = writer.finish(status, Validity::default())?;
    if arguments.json {
        summary::json(&record, &directory, took)?;
    } else if !arguments.quiet {
        summary::table(&record, &directory, took)?;
    }
    Ok(record.exit_code())
}

/// The scenario that is run: the file's, or a window of it, which is a scenario of its own.
fn scenario(arguments: &RunArguments) -> anyhow::Result<Scenario> {
    let RunArguments { file, from, length, rate, seed, quiet, .. } = arguments;
    let whole = Scenario::load(file)?;
    if from.is_none() && length.is_none() && rate.is_none() && seed.is_none() {
        return Ok(whole);
    }
    let part = derive::window(&whole, *from, *length, *rate, *seed)?;
    if !quiet {
        for warning in &part.warnings {
            summary::complain(&format!("note: {warning}"));
        }
    }
    // The record keeps the derived text, under the name of what it was derived from.
    Ok(Scenario::parse(file, part.text)?)
}

/// A flag that SIGINT and SIGTERM set; the second of them ends the process.
fn cancelled_by_signals() -> std::io::Result<Arc<AtomicBool>> {
    let cancel = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 105, Arc::clone(&cancel))?;
        flag::register(signal, Arc::clone(&cancel))?;
    }
    Ok(cancel)
}
