//! Queues with closed solutions. Seeds are fixed; intervals are from batch means.

use crate::support::{covers, run};

/// A station of `cores` cores, or of `workers` workers that each wait, at a mean service time of 1 s.
fn station(rate: f64, cores: u32, workers: u32, step: &str) -> String {
    format!(
        r#"
title = "One station"
[run]
duration = "100000s"
warmup = "1000s"
[hosts.app]
cores = {cores}
[components.shop]
kind = "service"
host = "app"
workers = {workers}
[requests.page]
path = "/"
[[requests.page.steps]]
{step}
[traffic.users]
to = "shop"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "{rate}/s"
connections = 60000
max_in_flight = 60000
timeout = "10000s"
"#
    )
}

#[test]
fn mm1_has_the_mean_sojourn_of_the_formula() {
    let run = run(&station(0.8, 1, 10_000, r#"work = "exponential(mean=1s)""#));
    covers(&run.means(), 5.0, 0.2);
}

#[test]
fn mm8_by_cores_has_the_mean_sojourn_of_erlang_c() {
    let run = run(&station(6.4, 8, 10_000, r#"work = "exponential(mean=1s)""#));
    covers(&run.means(), 1.286_028_08, 0.05);
}
