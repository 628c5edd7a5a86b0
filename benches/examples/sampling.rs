//! What following some keys costs in error: `octivi/week` at a hundredth of its size with every key followed, and with one in
//! 64 and one in 256. Takes where on the timeline to start and for how long (`2d18h 6h`); without, the week with its faults.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use results::Frame;
use results::sample::{HITS, MISSES};
use scenarios::scenario::Sampling;
use scenarios::units::{Ratio, SimTime};
use scenarios::{Scenario, derive};
use sim::Simulation;

/// Part of the week's rate, keys and memory.
const SCALE: f64 = 0.01;

fn part(span: &[SimTime]) -> Scenario {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/library/octivi/week.toml");
    let week = Scenario::load(&library).expect("the library's scenarios are good");
    let (from, length) = (span.first().copied(), span.get(1).copied());
    derive::window(&week, from, length, Some(Ratio::new(SCALE)), None)
        .expect("the span lies in the week")
        .scenario
}

#[allow(clippy::print_stdout, clippy::print_stderr)]
fn main() {
    let span = std::env::args().skip(1).map(|text| text.parse().expect("a duration, such as 6h"));
    let span: Vec<SimTime> = span.collect();
    let part = part(&span);
    println!("| keys followed | hit ratio | p50 (ms) | p99 (ms) | mean (ms) |");
    println!("|---|--:|--:|--:|--:|");
    for sampling in [Sampling::Exact, Sampling::OneIn(64), Sampling::OneIn(256)] {
        let scenario = derive::with_sampling(&part, sampling).expect("any sampling is good").scenario;
        let start = Instant::now();
        let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
        let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
        let took = start.elapsed().as_secs_f64();
        let (tallies, frame) = (outcome.delta.tallies(), Frame::new(&scenario));
        let measured = frame.windows.iter().enumerate().filter(|(_, window)| window.is_measured());
        let run = measured.map(|(i, _)| tallies.window(i, None)).reduce(|mut all, window| {
            all.merge(&window);
            all
        });
        let run = run.expect("the run has a measured part");
        let sum = |metric: &str| -> f64 {
            outcome
                .samples
                .iter()
                .filter(|s| s.component == "objects" && s.metric == metric)
                .map(|s| s.value)
                .sum()
        };
        let ratio = sum(HITS) / (sum(HITS) + sum(MISSES));
        let times = run.response_times();
        let [p50, p99] = [50.0, 99.0].map(|p| times.percentile(p).unwrap_or(f64::NAN) * 1e3);
        let mean = times.mean().unwrap_or(f64::NAN) * 1e3;
        println!("| {sampling} | {ratio:.4} | {p50:.2} | {p99:.1} | {mean:.3} |");
        let keys = sum(HITS) + sum(MISSES);
        eprintln!("{sampling}: {} requests that read {keys} keys took {took:.1} s", run.due());
    }
}
