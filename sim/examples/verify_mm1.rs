//! Is the simulator right? M/M/1 at 80% load has a mean sojourn of 5 service times and a p99 of 23.03.
#![allow(clippy::print_stdout)]

use std::sync::atomic::AtomicBool;

use results::Frame;
use scenarios::Scenario;
use sim::Simulation;
use sim::verify::{formulas, interval};

const MM1: &str = r#"
title = "One core, 800 requests a second of 1 ms"
[run]
duration = "500s"
warmup = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 10000
[requests.page]
path = "/"
steps = [{ work = "exponential(mean=1ms)" }]
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
rate = "800/s"
mix = { page = 1 }
connections = 10000
"#;

fn main() {
    let (mut means, mut tails) = (Vec::new(), Vec::new());
    for seed in 1..=10 {
        let text = MM1.replace("[run]", &format!("[run]\nseed = {seed}"));
        let scenario = Scenario::parse("mm1.toml", &text).expect("the scenario is good");
        let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
        let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
        let measured = Frame::new(&scenario).window_of(scenario.run.warmup);
        let times = outcome.delta.tallies().window(measured, None).response_times();
        means.push(times.mean().expect("requests were answered") * 1e3);
        tails.push(times.percentile(99.0).expect("requests were answered") * 1e3);
    }
    let mean = 1.0 + formulas::mmc_wait(1, 0.8, 1.0);
    let p99 = formulas::mmc_sojourn_quantile(1, 0.8, 1.0, 0.99);
    for (name, exact, values) in [("mean", mean, means), ("p99", p99, tails)] {
        let found = interval::controlled(&values, &[], 0.01);
        println!("{name:>4}: {exact:.3} ms exactly, {:.3} ± {:.3} ms simulated", found.mean, found.half);
    }
}
