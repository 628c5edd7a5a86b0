//! Plays a scenario: stack or target, progress, record, report, summary.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::Ordering;

use anyhow::Context as _;
use loadgen::http::Limits;
use loadgen::{Entries, Job};
use results::{Provenance, RunRecord};

use crate::arguments::Options;
use crate::prepare::{Prepared, prepare};
use crate::problem::Problem;
use crate::progress::Progress;
use crate::stack::StackSystem;
use crate::{interrupt, summary};

/// The report's name beside the record.
const REPORT: &str = "report.html";

/// Plays a file, or the quickstart; the exit code.
pub(crate) fn play(file: Option<&Path>, options: &Options) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("cannot listen for signals")?;
    let prepared = prepare(file, options)?;
    if !options.quiet {
        say(&prepared)?;
    }
    let record = measure(&prepared, options, stop).inspect_err(|_| prepared.forget())?;
    let Some(record) = record else {
        prepared.forget();
        return Ok(interrupt::EXIT_INTERRUPTED);
    };
    let report = prepared.directory.join(REPORT);
    if !options.no_report {
        fs::write(&report, reports::render(std::slice::from_ref(&record)))
            .context("cannot write the report")?;
    }
    let mut out = io::stdout().lock();
    if options.quiet {
        writeln!(out, "{}", prepared.directory.display())?;
    } else {
        summary::print(&record, &mut out)?;
        writeln!(out, "record  {}", prepared.directory.join(results::writer::RECORD).display())?;
        if !options.no_report {
            writeln!(out, "report  {}", report.display())?;
        }
    }
    Ok(record.exit_code())
}

/// What is going to be played.
fn say(prepared: &Prepared) -> io::Result<()> {
    let mut out = io::stderr().lock();
    writeln!(out, "{}: {}", prepared.scenario.source.path.display(), prepared.scenario.title)?;
    for warning in &prepared.warnings {
        writeln!(out, "note: {warning}")?;
    }
    Ok(())
}

/// The record of the run; none where it was interrupted before it began.
fn measure(
    prepared: &Prepared,
    options: &Options,
    stop: &'static std::sync::atomic::AtomicBool,
) -> Result<Option<RunRecord>, Problem> {
    let scenario = &prepared.scenario;
    let (entries, system) = match &options.target {
        Some(url) => {
            let target =
                loadgen::target::resolve(url, options.i_am_authorised).map_err(Problem::configuration)?;
            let by_traffic = scenario.traffic.iter().map(|_| vec![target.entry.clone()]).collect();
            (Entries { by_traffic, base_path: target.base_path }, None)
        }
        None => {
            let system = StackSystem::start(scenario)?;
            (system.entries(scenario)?, Some(system))
        }
    };
    if stop.load(Ordering::Relaxed) {
        return Ok(None);
    }
    let mut engine = loadgen::Options::default();
    engine.threads = options.threads;
    engine.limits = Limits { body_bytes: options.max_body.get(), ..Limits::default() };
    let tool = concat!("loadgen ", env!("CARGO_PKG_VERSION"));
    let job = Job {
        scenario,
        entries: &entries,
        options: engine,
        directory: &prepared.directory,
        provenance: Provenance::here(tool),
        stop,
    };
    let mut progress = Progress::new(!options.quiet, scenario);
    let system = system.as_ref().map(|system| system as &dyn loadgen::system::System);
    let record = loadgen::run(job, system, &mut |snapshot| progress.show(snapshot));
    progress.end();
    Ok(Some(record?))
}
