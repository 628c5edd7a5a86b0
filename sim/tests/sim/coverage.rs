//! Do the 95% intervals that records tell hold the truth in 95 of 100 runs? Asked of a queue whose truth is known.
//!
//! Seeds are fixed. A share of n experiments has a standard error of √(0.95 · 0.05 / n); three of them are allowed.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use results::figure::{Noise, estimate};
use results::{Collector, RunRecord, Selection, World};
use scenarios::Scenario;
use scenarios::threshold::{Aggregate, Metric};

use crate::support::parse;

/// M/M/1 at half load: responses are exponential with a mean of 2 ms.
fn queue(seconds: u32, seed: u64) -> Scenario {
    parse(&format!(
        r#"
title = "M/M/1"
[run]
duration = "{seconds}s"
warmup = "1s"
seed = {seed}
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.page]
path = "/"
[[requests.page.steps]]
work = "exponential(mean=1ms)"
[traffic.all]
to = "shop"
executor = "constant-arrival-rate"
rate = "500/s"
mix = {{ page = 1 }}
connections = 1000
"#
    ))
}

const MEAN: f64 = 2e-3;

fn figures() -> [(Selection, f64); 3] {
    let response = |aggregate| Selection::new(Metric::ResponseTime, aggregate);
    [
        (response(Aggregate::Average), MEAN),
        // -ln(1 - p) times the mean.
        (response(Aggregate::Percentile(50.0)), MEAN * 2f64.ln()),
        (response(Aggregate::Percentile(99.0)), MEAN * 100f64.ln()),
    ]
}

fn is_covered(share: f64, experiments: u32) -> bool {
    (share - 0.95).abs() <= 3.0 * (0.95 * 0.05 / f64::from(experiments)).sqrt()
}

#[test]
fn batch_intervals_cover_the_truth_in_95_of_100_runs() {
    const RUNS: u32 = 100;
    let mut covered = [0; 3];
    // Replications of one scenario are runs of their own.
    let mut take = |_, outcome: sim::SimOutcome| {
        let record = RunRecord::in_memory(&queue(40, 1), World::Sim, &outcome.delta, &outcome.samples);
        for ((selection, truth), covered) in figures().into_iter().zip(&mut covered) {
            let e = estimate(&record, &selection).expect("there are requests");
            assert!(matches!(e.noise, Noise::Batches { .. }), "{selection}: {e:?}");
            // A bucket of the histogram is 0.1% wide.
            *covered += u32::from(e.low <= truth * 1.001 && truth <= e.high * 1.001);
        }
        ControlFlow::Continue(())
    };
    sim::replicate(&queue(40, 1), RUNS, 2, &AtomicBool::new(false), &mut |_| {}, &mut take)
        .expect("the simulator takes it");
    for ((selection, _), covered) in figures().into_iter().zip(covered) {
        let share = f64::from(covered) / f64::from(RUNS);
        assert!(is_covered(share, RUNS), "{selection}: {covered} of {RUNS}");
    }
}

#[test]
fn replications_intervals_cover_the_truth_in_95_of_100_experiments() {
    const EXPERIMENTS: u32 = 100;
    let mut covered = [0; 3];
    for seed in 0..EXPERIMENTS {
        let scenario = queue(6, u64::from(seed) + 1_000);
        let mut collector = Collector::new(&scenario, 1.0);
        let mut take = |_, outcome: sim::SimOutcome| {
            collector.add(&outcome.delta);
            ControlFlow::Continue(())
        };
        sim::replicate(&scenario, 4, 1, &AtomicBool::new(false), &mut |_| {}, &mut take)
            .expect("the simulator takes it");
        let replications = collector.finish(None);
        for ((selection, truth), covered) in figures().into_iter().zip(&mut covered) {
            let values = replications.values(&selection).expect("it is followed");
            let moments = results::statistics::Moments::of(values);
            *covered += u32::from((moments.mean - truth).abs() <= moments.half_width(0.95));
        }
    }
    for ((selection, _), covered) in figures().into_iter().zip(covered) {
        let share = f64::from(covered) / f64::from(EXPERIMENTS);
        assert!(is_covered(share, EXPERIMENTS), "{selection}: {covered} of {EXPERIMENTS}");
    }
}
