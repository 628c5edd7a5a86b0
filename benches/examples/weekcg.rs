//! What a request of `octivi/week` costs: a window of it through the public path, in thirds, of which the first warms
//! the caches of the processor and is not counted. Takes how many minutes (60) and threads (those of `Simulation::new`);
//! prints requests, nanoseconds a request of wall and of processor time, and the mean and p99 of the responses in milliseconds.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use results::Frame;

use scenarios::units::SimTime;
use scenarios::{Scenario, derive};
use sim::Simulation;

fn processor_seconds() -> f64 {
    0.0
}

#[allow(clippy::print_stdout)]
fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("minutes and threads"));
    let minutes = arguments.next().unwrap_or(60);
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/library/octivi/week.toml");
    let week = Scenario::load(&library).expect("the library's scenario is good");
    // Wednesday noon.
    let from = SimTime::from_secs(60 * 3_600);
    let window = derive::window(&week, Some(from), Some(SimTime::from_secs(60 * minutes)), None, None);
    let scenario = window.expect("the window lies in the week").scenario;
    let simulation = match arguments.next() {
        Some(threads) => Simulation::with_threads(&scenario, u32::try_from(threads).expect("one or two")),
        None => Simulation::new(&scenario),
    };
    let mut simulation = simulation.expect("the simulator takes it");
    let total = scenario.run.total().as_secs_f64();
    while simulation.progress().reached.as_secs_f64() < total / 3.0 {
        simulation.advance();
    }
    let (before, started, cpu) = (simulation.progress().counts.due, Instant::now(), processor_seconds());
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    let requests = (outcome.counts.due - before) as f64;
    let (wall, cpu) =
        (started.elapsed().as_secs_f64() / requests * 1e9, (processor_seconds() - cpu) / requests * 1e9);
    let last = Frame::new(&scenario).windows.len() - 1;
    let responses = outcome.delta.tallies().window(last, None).response_times();
    let mean = responses.mean().expect("there are responses") * 1e3;
    let p99 = responses.percentile(99.0).expect("there are responses") * 1e3;
    println!("{requests} {wall:.0} {cpu:.0} {mean:.4} {p99:.4}");
}
