//! Equal runs are equal; every request is accounted for, whatever breaks.

use std::sync::atomic::{AtomicBool, Ordering};

use scenarios::Scenario;
use sim::{SimOutcome, Simulation};

use crate::support::run;

/// Everything at once: two balancers, kills of every tier, overload, timeouts, eviction.
const TROUBLE: &str = include_str!("trouble.toml");

#[test]
fn the_same_seed_gives_the_same_run() {
    let (a, b) = (run(TROUBLE), run(TROUBLE));
    assert_eq!(a.outcome.delta, b.outcome.delta);
    assert_eq!(a.outcome.samples, b.outcome.samples);
    assert!(a.outcome.counts.failed > 100 && a.outcome.counts.ok > 1_000, "{:?}", a.outcome.counts);
    let other = run(&TROUBLE.replace("seed = 1", "seed = 2"));
    assert_ne!(a.outcome.delta, other.outcome.delta);
}

/// One service after the other and nothing else, which is swept without events.
const CHAIN: &str = r#"
title = "Stations one after the other"
[run]
duration = "200s"
[hosts.app]
cores = 4
[hosts.back]
cores = 4
[components.shop]
kind = "service"
host = "app"
workers = 500
[components.second]
kind = "service"
host = "back"
workers = 500
[requests.page]
path = "/"
[[requests.page.steps]]
work = "exponential(mean=1ms)"
[[requests.page.steps]]
at = "second"
work = "exponential(mean=1ms)"
[traffic.users]
to = "shop"
mix = { page = 1 }
executor = "constant-arrival-rate"
rate = "3000/s"
connections = 2000
timeout = "10s"
"#;

#[test]
fn the_number_of_threads_changes_nothing() {
    // Long enough that a second thread plans ahead.
    let trouble = TROUBLE.replace("duration = \"40s\"", "duration = \"400s\"");
    let sampled = trouble.replace("seed = 1", "seed = 1\nsampling = \"1/16\"");
    for text in [trouble, sampled, CHAIN.to_owned()] {
        let scenario = Scenario::parse("test.toml", text).expect("the test's scenario is good");
        let play = |threads| {
            let mut simulation =
                Simulation::with_threads(&scenario, threads).expect("the simulator takes it");
            simulation.run(&mut |_| {}, &AtomicBool::new(false))
        };
        let (one, two) = (play(1), play(2));
        assert!(one.counts.due > 100_000, "{:?}", one.counts);
        assert!(!one.evidence.laws.is_empty() && one.evidence.violations().is_empty());
        let all = |outcome: SimOutcome| (outcome.counts, outcome.delta, outcome.samples, outcome.evidence);
        assert!(all(one) == all(two), "{}", scenario.title);
    }
}

#[test]
fn no_request_is_lost_whatever_breaks() {
    // `run` holds due = ok + failed; seeds vary what is under way when something breaks.
    for seed in 10..30 {
        let run = run(&TROUBLE.replace("seed = 1", &format!("seed = {seed}")));
        assert!(run.outcome.counts.due > 10_000, "seed {seed}");
    }
}

#[test]
fn a_run_advanced_in_pieces_is_the_same_run() {
    let scenario = Scenario::parse("trouble.toml", TROUBLE).expect("the test's scenario is good");
    let whole = run(TROUBLE);
    let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
    let (mut delta, mut samples) = simulation.take();
    while !simulation.advance() {
        let (d, s) = simulation.take();
        delta.merge(&d);
        samples.extend(s);
    }
    let (d, s) = simulation.take();
    delta.merge(&d);
    samples.extend(s);
    assert_eq!(delta, whole.outcome.delta);
    assert_eq!(samples, whole.outcome.samples);
}

#[test]
fn a_cancelled_run_says_so() {
    let scenario = Scenario::parse("trouble.toml", TROUBLE).expect("the test's scenario is good");
    let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
    let cancel = AtomicBool::new(false);
    let outcome = simulation.run(&mut |_| cancel.store(true, Ordering::Relaxed), &cancel);
    assert!(!outcome.complete);
    assert!(outcome.counts.due > 0);
    // What was under way has an outcome too: leaving it out would leave out the slowest.
    assert_eq!(outcome.counts.due, outcome.counts.ok + outcome.counts.failed);
}
