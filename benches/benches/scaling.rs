//! Whether the cost of a request grows with what is configured (nodes) or only with what happens: processor time a request,
//! as a Markdown table. `cargo bench -p benches --bench scaling > benches/tables/scaling.md` makes the committed one.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;

use rustix::time::{ClockId, clock_gettime};
use scenarios::Scenario;
use sim::Simulation;

/// Requests of a cell; the least of so many runs counts, for what disturbs a run only ever adds.
const REQUESTS: f64 = 1e6;
const RUNS: usize = 3;

/// Nodes behind a balancer, all together at the same load: 16,000 requests/s of 1 ms on 32 cores.
fn nodes(count: u32, balancer: &str) -> String {
    let seconds = REQUESTS / 16_000.0;
    format!(
        r#"
title = "Nodes behind a balancer"
[run]
duration = "{seconds}s"
[hosts.edge]
[hosts.app]
count = {count}
cores = {cores}
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
{balancer}
[components.shop]
kind = "service"
host = "app"
workers = 1000
[requests.page]
path = "/"
[[requests.page.steps]]
work = "exponential(mean=1ms)"
[traffic.users]
to = "balancer"
executor = "constant-arrival-rate"
rate = "16000/s"
mix = {{ page = 1 }}
connections = 10000
max_in_flight = 10000
"#,
        cores = (32 / count).max(1)
    )
}

/// One service at which so many requests wait at once, each for itself.
fn in_flight(count: u32) -> String {
    let seconds = REQUESTS / 10_000.0;
    format!(
        r#"
title = "Requests in flight"
[run]
duration = "{seconds}s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 1000000
[requests.page]
path = "/"
[[requests.page.steps]]
wait = "exponential(mean={wait}us)"
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
rate = "10000/s"
mix = {{ page = 1 }}
connections = 1000000
max_in_flight = 1000000
timeout = "1h"
"#,
        wait = count * 100
    )
}

fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Nanoseconds of processor time a request.
fn cost(text: &str) -> f64 {
    let scenario = Scenario::parse("scaling.toml", text).expect("the bench's scenario is good");
    let run = |_| {
        let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
        let before = processor_seconds();
        let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
        let nanos = (processor_seconds() - before) * 1e9;
        assert_eq!(outcome.counts.failed, 0, "what fails costs less");
        nanos / outcome.counts.due as f64
    };
    (0..RUNS).map(run).fold(f64::INFINITY, f64::min)
}

#[allow(clippy::print_stdout)]
fn main() {
    let balancers = [
        ("round robin", "balance = \"round-robin\""),
        ("with health checks every 2 s", "health_check = { http = \"/\", interval = \"2s\" }"),
    ];
    let counts = [1, 10, 100, 1_000];
    let mut table =
        String::from("| nanoseconds a request | 1 node | 10 | 100 | 1,000 |\n|---|--:|--:|--:|--:|\n");
    for (name, balancer) in balancers {
        let _ = write!(table, "| {name} |");
        for count in counts {
            let _ = write!(table, " {:.0} |", cost(&nodes(count, balancer)));
        }
        table.push('\n');
    }
    table += "\n| requests in flight | 10 | 100 | 1,000 | 10,000 | 100,000 |\n|---|--:|--:|--:|--:|--:|\n| nanoseconds a request |";
    for count in [10, 100, 1_000, 10_000, 100_000] {
        let _ = write!(table, " {:.0} |", cost(&in_flight(count)));
    }
    println!("{table}");
}
