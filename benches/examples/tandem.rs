//! Ours on the peers' system: three M/M/8 stations in tandem at 80% load, a scenario through the public path, every response
//! recorded. Takes how many customers, a seed and, where it is not to be `Simulation::new`'s choice, the threads; prints customers, seconds, mean and p99 of the responses in milliseconds.

use std::sync::atomic::AtomicBool;
use std::time::Instant;

use results::Frame;
use scenarios::Scenario;
use sim::Simulation;

fn scenario(seconds: f64, seed: u64) -> String {
    format!(
        r#"
title = "Three stations of eight cores"
[run]
duration = "{seconds}s"
seed = {seed}
[hosts.first]
cores = 8
[hosts.second]
cores = 8
[hosts.third]
cores = 8
[components.a]
kind = "service"
host = "first"
workers = 10000
[components.b]
kind = "service"
host = "second"
workers = 10000
[components.c]
kind = "service"
host = "third"
workers = 10000
[requests.page]
path = "/"
[[requests.page.steps]]
work = "exponential(mean=1ms)"
[[requests.page.steps]]
at = "b"
work = "exponential(mean=1ms)"
[[requests.page.steps]]
at = "c"
work = "exponential(mean=1ms)"
[traffic.users]
to = "a"
executor = "constant-arrival-rate"
rate = "6400/s"
arrivals = "poisson"
mix = {{ page = 1 }}
connections = 10000
max_in_flight = 10000
timeout = "10s"
"#
    )
}

#[allow(clippy::print_stdout)]
fn main() {
    let mut arguments = std::env::args().skip(1).map(|a| a.parse::<u64>().expect("customers and a seed"));
    let customers = arguments.next().unwrap_or(1_000_000);
    let seed = arguments.next().unwrap_or(1);
    let text = scenario((customers as f64 / 6_400.0).ceil(), seed);
    let scenario = Scenario::parse("tandem.toml", &text).expect("the scenario is good");
    let started = Instant::now();
    let simulation = match arguments.next() {
        Some(threads) => Simulation::with_threads(&scenario, u32::try_from(threads).expect("one or two")),
        None => Simulation::new(&scenario),
    };
    let mut simulation = simulation.expect("the simulator takes it");
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    let seconds = started.elapsed().as_secs_f64();
    let window = Frame::new(&scenario).windows.len() - 1;
    let responses = outcome.delta.tallies().window(window, None).response_times();
    let mean = responses.mean().expect("there are responses") * 1e3;
    let p99 = responses.percentile(99.0).expect("there are responses") * 1e3;
    println!("{} {seconds:.6} {mean:.4} {p99:.4}", outcome.counts.due);
}
