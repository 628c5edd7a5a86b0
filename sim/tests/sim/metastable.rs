//! A metastable failure: what set it off is over, and what keeps it up is the system's own answer to it.
//!
//! Nothing in the simulator knows of such a state. It follows from timeouts that give up work which is done all the same,
//! and from retries that ask for it again (Bronson et al., "Metastable failures in distributed systems", HotOS 2021).

use crate::support::{Run, run};

/// A service that calls another, whose one core is busy for 64% of the time: 80 calls of 8 ms a second. For four seconds
/// that work takes four times as long.
fn shop(retries: &str) -> Run {
    run(&format!(
        r#"
title = "A retry storm"
[run]
duration = "100s"
[hosts.web]
cores = 8
[hosts.api]
[components.web]
kind = "service"
host = "web"
workers = 100_000
[components.api]
kind = "service"
host = "api"
workers = 100_000
[policies.patient]
timeout = "300ms"
{retries}
[requests.page]
path = "/"
[[requests.page.steps]]
call = {{ to = "api", work = "8ms" }}
policy = "patient"
[traffic.users]
to = "web"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "80/s"
connections = 100_000
max_in_flight = 100_000
timeout = "10s"
[[faults]]
at = "20s"
for = "4s"
slow = {{ target = "component:api", times = 4 }}
"#
    ))
}

/// The share of the requests that fail in some seconds of the run.
fn failing(run: &Run, seconds: std::ops::Range<usize>) -> f64 {
    let failed: u64 = run.failed()[seconds.clone()].iter().sum();
    failed as f64 / (80.0 * seconds.len() as f64)
}

#[test]
fn a_retry_storm_outlives_its_trigger() {
    let run = shop("retries = { times = 3, backoff = \"10ms\" }");
    assert_eq!(failing(&run, 0..19), 0.0, "it is well before the trigger");
    assert!(failing(&run, 22..24) > 0.9);
    // For more than a minute after work is as fast again as before, nobody is served.
    assert!(failing(&run, 60..95) > 0.9, "{:?}", run.failed());
}

#[test]
fn a_retry_budget_lets_the_same_system_recover() {
    let run =
        shop("retries = { times = 3, backoff = \"10ms\", budget = { share = \"10%\", min_rate = \"1/s\" } }");
    assert!(failing(&run, 22..24) > 0.9, "the trigger is the same");
    assert_eq!(failing(&run, 60..95), 0.0, "{:?}", run.failed());
}

#[test]
fn without_retries_the_same_system_recovers_too() {
    let run = shop("");
    assert!(failing(&run, 22..24) > 0.9);
    assert_eq!(failing(&run, 60..95), 0.0, "{:?}", run.failed());
}
