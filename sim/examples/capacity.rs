//! How many nodes hold the p99 under 60 ms at peak? Asked of more and more nodes, five runs each.
#![allow(clippy::print_stdout)]

use std::sync::atomic::AtomicBool;

use results::Frame;
use scenarios::Scenario;
use sim::Simulation;
use sim::verify::interval;

const LIMIT_MS: f64 = 60.0;

fn scenario(nodes: u32, seed: u64) -> String {
    format!(
        r#"
title = "The shop at peak"
[run]
duration = "60s"
warmup = "10s"
seed = {seed}
[hosts.edge]
[hosts.app]
count = {nodes}
cores = 4
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
[components.shop]
kind = "service"
host = "app"
workers = 64
[requests.page]
path = "/"
steps = [{{ work = "lognormal(median=8ms, p99=40ms)" }}, {{ wait = "lognormal(median=5ms, p99=30ms)" }}]
[traffic.users]
to = "balancer"
executor = "constant-arrival-rate"
rate = "2500/s"
mix = {{ page = 1 }}
connections = 2000
"#
    )
}

/// The p99 of the response time, in milliseconds.
fn p99(nodes: u32, seed: u64) -> f64 {
    let scenario = Scenario::parse("peak.toml", scenario(nodes, seed)).expect("the scenario is good");
    let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    let measured = Frame::new(&scenario).window_of(scenario.run.warmup);
    let times = outcome.delta.tallies().window(measured, None).response_times();
    times.percentile(99.0).expect("requests came due") * 1e3
}

fn main() {
    for nodes in 6..=12 {
        let runs: Vec<f64> = (1..=5).map(|seed| p99(nodes, seed)).collect();
        if runs.iter().any(|p99| p99.is_infinite()) {
            println!("{nodes} nodes: requests are dropped");
            continue;
        }
        let found = interval::controlled(&runs, &[], 0.05);
        println!("{nodes} nodes: p99 {:.1} ± {:.1} ms", found.mean, found.half);
        if found.mean + found.half < LIMIT_MS {
            println!("{nodes} nodes hold the p99 under {LIMIT_MS} ms.");
            return;
        }
    }
    println!("Twelve nodes are not enough.");
}
