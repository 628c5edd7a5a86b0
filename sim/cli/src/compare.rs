//! Two scenarios with common random numbers, and the intervals of their differences.

use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use programs::{Problem, Progress, interrupt};
use results::{Collector, Replications};
use scenarios::scenario::Breakdowns;
use scenarios::{Scenario, exit};

use crate::arguments::{CompareArguments, threads};
use crate::warmup;

/// Runs both and prints how they differ; the exit code.
pub(crate) fn run(arguments: &CompareArguments) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("signal handlers cannot be set")?;
    let load = |file| arguments.changes.apply(arguments.part.load(file)?.scenario);
    let (a, mut b) = (load(&arguments.a)?, load(&arguments.b)?);
    if !arguments.quiet {
        for note in notes(&a, &b) {
            writeln!(io::stderr().lock(), "note: {note}")?;
        }
    }
    let mut progress = Progress::new(!arguments.quiet);
    let a = warmup::apply(None, a, &mut progress, &stop)?.0;
    // The same seed gives both the same arrivals, keys and durations: only what differs between the files remains.
    b.run.seed = a.run.seed;
    let b = warmup::apply(None, b, &mut progress, &stop)?.0;
    let how = (arguments.replications, threads(arguments.threads));
    let mut play = |scenario: &Scenario, name| replicate(how, scenario, name, &mut progress, &stop);
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

/// What differs between the scenarios and decides what their differences mean.
fn notes(a: &Scenario, b: &Scenario) -> Vec<String> {
    let mut notes = Vec::new();
    if a.run.seed != b.run.seed {
        let (own, other) = (a.run.seed, b.run.seed);
        notes.push(format!("B has the seed {other}; both are run with A's, which is {own}, as they are to have the same requests"));
    }
    let told = |scenario: &Scenario| {
        let fault = |f: &scenarios::scenario::Fault| {
            let at = f.from.saturating_sub(scenario.run.warmup).saturating_add(scenario.run.from);
            format!("{} at {at} for {}", f.name, f.until.saturating_sub(f.from))
        };
        let by_chance = breakdowns(scenario).into_iter().map(|(what, laws)| {
            format!("{what} dies after {} and for {} on average", laws.up.mean(), laws.down.mean())
        });
        let all: Vec<String> = scenario.faults.iter().map(fault).chain(by_chance).collect();
        if scenario.breaks() { all.join(", ") } else { "none".to_owned() }
    };
    let (own, other) = (told(a), told(b));
    if own != other || breakdowns(a) != breakdowns(b) {
        notes.push(format!(
            "the faults differ, so what is told includes their effect, and \"during faults\" is a time of each one's own \
             (A: {own}; B: {other}); --skip-faults leaves them out"
        ));
    }
    notes
}

/// What breaks down by chance, and by which laws.
fn breakdowns(scenario: &Scenario) -> Vec<(String, Breakdowns)> {
    let hosts = scenario.hosts.iter().map(|host| ("host", &host.name, host.breakdowns));
    let components = scenario.components.iter().map(|c| ("component", &c.name, c.breakdowns));
    hosts.chain(components).filter_map(|(kind, name, laws)| Some((format!("{kind}:{name}"), laws?))).collect()
}

/// So many replications of a scenario, on so many threads; none where that was interrupted.
pub(crate) fn replicate(
    (most, threads): (u32, usize),
    scenario: &Scenario,
    name: &str,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<Option<Replications>, Problem> {
    let mut collector = Collector::new(scenario, 1.0);
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
