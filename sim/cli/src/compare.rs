//! Two scenarios with common random numbers, and the intervals of their differences.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use programs::{Problem, Progress, interrupt};
use results::{Collector, Replications};
use scenarios::{Scenario, exit};

use crate::arguments::CompareArguments;

/// Runs both and prints how they differ; the exit code.
pub(crate) fn run(arguments: &CompareArguments) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("signal handlers cannot be set")?;
    let a = arguments.part.load(&arguments.a)?.scenario;
    let mut b = arguments.part.load(&arguments.b)?.scenario;
    // The same seed gives both the same arrivals, keys and durations: only what differs between the files remains.
    b.run.seed = a.run.seed;
    let mut progress = Progress::new(!arguments.quiet);
    let mut play = |scenario: &Scenario, name| replicate(arguments, scenario, name, &mut progress, &stop);
    let (of_a, of_b) = (play(&a, "A")?, play(&b, "B")?);
    progress.end();
    let (Some(of_a), Some(of_b)) = (of_a, of_b) else { return Ok(exit::INTERRUPTED) };
    let named = |path: &std::path::Path| path.display().to_string();
    let paired = reports::Paired::new((named(&arguments.a), &of_a), (named(&arguments.b), &of_b));
    let mut out = io::stdout().lock();
    if arguments.json {
        writeln!(out, "{:#}", paired.json())?;
    } else if arguments.markdown {
        write!(out, "{}", paired.markdown())?;
    } else {
        write!(out, "{}", paired.text())?;
    }
    Ok(exit::GOOD)
}

/// All replications of a scenario; none where that was interrupted.
fn replicate(
    arguments: &CompareArguments,
    scenario: &Scenario,
    name: &str,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<Option<Replications>, Problem> {
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.map_or_else(cores, usize::from);
    let (most, mut collector) = (arguments.replications, Collector::new(scenario, 1.0));
    let mut observe = |done: f64| {
        progress.show(done / f64::from(most), || format!("{done:.2} of {most} replications of {name}"));
    };
    let end = sim::replicate(scenario, most, threads, stop, &mut observe, &mut |_, outcome| {
        if outcome.complete {
            collector.add(&outcome.delta);
        }
        ControlFlow::Continue(())
    })?;
    Ok(end.then(|| collector.finish(None)))
}
