//! What do users see when one of three nodes dies for a minute? Before, during and after, with two paces of health checks.
#![allow(clippy::print_stdout)]

use std::sync::atomic::AtomicBool;

use results::Frame;
use scenarios::Scenario;
use sim::Simulation;

fn scenario(interval: &str) -> String {
    format!(
        r#"
title = "One of three nodes is unplugged"
[run]
duration = "3m"
[hosts.edge]
[hosts.app]
count = 3
cores = 4
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
health_check = {{ http = "/health", interval = "{interval}" }}
connect_timeout = "1s"
[components.shop]
kind = "service"
host = "app"
workers = 64
[requests.page]
path = "/"
steps = [{{ work = "lognormal(median=8ms, p99=40ms)" }}]
[traffic.users]
to = "balancer"
executor = "constant-arrival-rate"
rate = "500/s"
mix = {{ page = 1 }}
connections = 2000
[[faults]]
at = "1m"
for = "1m"
unplug = "host:app[1]"
"#
    )
}

fn main() {
    for interval in ["500ms", "5s"] {
        let scenario = Scenario::parse("node.toml", scenario(interval)).expect("the scenario is good");
        let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
        let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
        println!("health checks every {interval}:");
        for (i, window) in Frame::new(&scenario).windows.iter().enumerate() {
            let tally = outcome.delta.tallies().window(i, None);
            let times = tally.response_times();
            let millis = |percent| times.percentile(percent).expect("requests came due") * 1e3;
            println!(
                "  {:<30} {:>6} requests, {:>4} failed, p50 {:>4.0} ms, p95 {:>6.0} ms, slowest {:>6.0} ms",
                window.name,
                tally.due(),
                tally.failed(),
                millis(50.0),
                millis(95.0),
                millis(100.0)
            );
        }
    }
}
