//! Plays a scenario: stack or target, progress, record, report, summary.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use loadgen::http::Limits;
use loadgen::{Entries, Job, Share};
use programs::{Problem, Progress, interrupt};
use results::{Provenance, RunRecord};
use scenarios::{Scenario, exit};

use crate::arguments::{Options, Together, Trusted};
use crate::metrics::Metrics;
use crate::prepare::{Prepared, prepare};
use crate::progress;
use crate::stack::StackSystem;
use crate::{problem, summary};

/// The report's name beside the record.
const REPORT: &str = "report.html";
/// What records say of who made them.
pub(crate) const TOOL: &str = concat!("loadgen ", env!("CARGO_PKG_VERSION"));
/// An interruption is noticed this soon.
const LOOK: Duration = Duration::from_millis(20);

/// Plays a file, or the quickstart; the exit code.
pub(crate) fn play(file: Option<&Path>, options: &Options, together: &Together) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("cannot listen for signals")?;
    let agents = together.agents()?;
    let prepared = prepare(file, options)?;
    if !options.quiet {
        say(&prepared)?;
    }
    let metrics = metrics(options).inspect_err(|_| prepared.forget())?;
    if let Some(metrics) = metrics.as_ref().filter(|_| !options.quiet) {
        writeln!(io::stderr(), "metrics at http://{}/metrics", metrics.address())?;
    }
    let shown = (metrics.as_ref(), !options.quiet);
    let record = match agents {
        None => measure(&prepared, options, &stop, shown),
        #[cfg(feature = "nats")]
        Some(agents) => crate::together::conduct(&prepared, options, (together, agents), (&stop, shown)),
        #[cfg(not(feature = "nats"))]
        Some(nobody) => match nobody {},
    };
    let record = record.inspect_err(|_| prepared.forget())?;
    let Some(record) = record else {
        prepared.forget();
        return Ok(exit::INTERRUPTED);
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

/// The reference stack, started; none where that was interrupted. Filling its stores can take a while.
pub(crate) fn start(
    scenario: &Scenario,
    quiet: bool,
    stop: &AtomicBool,
) -> Result<Option<StackSystem>, Problem> {
    let begun = Instant::now();
    let (started, stack) = mpsc::channel();
    let own = scenario.clone();
    // The stack's processes end with this one, so an interrupted start needs no more than that.
    thread::spawn(move || {
        // Nobody waits for it any more where the start was interrupted.
        let _ = started.send(StackSystem::start(&own));
    });
    if !quiet {
        writeln!(io::stderr(), "starting the reference stack")?;
    }
    loop {
        match stack.recv_timeout(LOOK) {
            Ok(stack) => {
                if !quiet {
                    writeln!(io::stderr(), "started in {:.1} s", begun.elapsed().as_secs_f64())?;
                }
                return stack.map(Some);
            }
            Err(RecvTimeoutError::Timeout) if stop.load(Ordering::Relaxed) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                panic!("the thread that starts the stack says how it went")
            }
        }
    }
}

/// How connections to a target are encrypted.
#[cfg(feature = "tls")]
pub(crate) fn tls(
    target: &loadgen::target::Target,
    trusted: &Trusted,
) -> Result<Option<loadgen::Tls>, Problem> {
    use loadgen::trust::{Trust, tls};
    let trust = match &trusted.ca_file {
        _ if trusted.insecure => Trust::Anybody,
        Some(path) => Trust::File(path.clone()),
        None => Trust::System,
    };
    let name = target.secure.as_ref().map(|host| trusted.sni.as_ref().unwrap_or(host));
    name.map(|name| tls(name, &trust)).transpose().map_err(Problem::configuration)
}

/// A build without TLS takes no target that asks for it, though the library may have it.
#[cfg(not(feature = "tls"))]
pub(crate) fn tls(target: &loadgen::target::Target, _: &Trusted) -> Result<Option<loadgen::Tls>, Problem> {
    match &target.secure {
        None => Ok(None),
        Some(host) => Err(Problem::configuration(anyhow::anyhow!(
            "target: {host:?} asks for TLS, expected http:// (TLS needs a build with --features tls)"
        ))),
    }
}

/// The endpoint that was asked for, for all runs of this program.
pub(crate) fn metrics(options: &Options) -> Result<Option<Metrics>, Problem> {
    let refused =
        |error| Problem::configuration(anyhow::anyhow!("--metrics: nothing can listen there: {error}"));
    options.metrics.map(Metrics::listen).transpose().map_err(refused)
}

/// The record of the run, with its progress `shown`; none where it was interrupted before it began.
pub(crate) fn measure(
    prepared: &Prepared,
    options: &Options,
    stop: &AtomicBool,
    (metrics, shown): (Option<&Metrics>, bool),
) -> Result<Option<RunRecord>, Problem> {
    let scenario = &prepared.scenario;
    let (entries, system) = match &options.target {
        Some(url) => {
            let target =
                loadgen::target::resolve(url, options.i_am_authorised).map_err(Problem::configuration)?;
            let target = match options.dns_refresh {
                Some(every) => target.refreshed(every.as_duration(), options.i_am_authorised),
                None => target,
            };
            let by_traffic = scenario.traffic.iter().map(|_| vec![target.entry.clone()]).collect();
            let tls = tls(&target, &options.trusted)?;
            (Entries { by_traffic, base_path: target.base_path, tls }, None)
        }
        None => {
            let Some(system) = start(scenario, !shown, stop)? else { return Ok(None) };
            (system.entries(scenario)?, Some(system))
        }
    };
    let mut engine = loadgen::Options::default();
    engine.threads = options.threads;
    engine.start = options.start_at;
    engine.share = options.segment.unwrap_or(Share::WHOLE);
    engine.limits = Limits { body_bytes: options.max_body.get(), ..Limits::default() };
    let job = Job {
        scenario,
        entries: &entries,
        options: engine,
        directory: &prepared.directory,
        provenance: Provenance::here(TOOL).of_part(prepared.part.clone()),
        stop,
    };
    let mut progress = Progress::new(shown);
    let system = system.as_ref().map(|system| system as &dyn loadgen::system::System);
    let record = loadgen::run(job, system, &mut |snapshot| {
        if let Some(metrics) = metrics {
            metrics.show(snapshot);
        }
        progress.show(progress::share(snapshot), || progress::line(snapshot, scenario.run.warmup));
    });
    progress.end();
    Ok(Some(record.map_err(problem::of_loadgen)?))
}
