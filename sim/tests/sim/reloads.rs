//! Users who press reload: what that mends, and what it can bring down.

use crate::support::{Run, Shop, run};

fn shop(steps: &str, retries: &str, rate: u32) -> String {
    Shop {
        run: "duration = \"160s\"\nseed = 3",
        service: "workers = 4000\nbacklog = 10000",
        steps,
        traffic: &format!(
            "to = \"shop\"\nrate = \"{rate}/s\"\nconnections = 10000\nmax_in_flight = 20000\ntimeout = \"1s\"\n{retries}"
        ),
        ..Shop::default()
    }
    .text()
}

#[test]
fn a_reload_makes_up_for_what_fails_by_chance() {
    let steps = "[[requests.page.steps]]\nthird_party = { latency = \"5ms\", error = \"50%\" }\n";
    let run = run(&shop(steps, "retries = { times = 2, backoff = \"10ms\", jitter = \"none\" }", 100));
    let counts = run.outcome.counts;
    let failed = counts.failed as f64 / counts.due as f64;
    assert!((failed - 0.125).abs() < 0.01, "{failed}");
    // An answer after 0, 1, 2 reloads comes after 5, 20, 45 ms, and of eight requests the last's is an error.
    let (sum, ok) = run
        .means()
        .iter()
        .zip(run.counts())
        .fold((0.0, 0.0), |(sum, ok), (mean, count)| (sum + mean * count as f64, ok + count as f64));
    let mean = sum / ok * 1e3;
    assert!((mean - 150.0 / 7.0).abs() < 0.5, "{mean} ms");
}

/// Eighty requests a second of 8 ms on one core: 64% of it. Ten seconds of a hang are the trigger.
fn after_a_hang(retries: &str) -> Run {
    let steps = "[[requests.page.steps]]\nwork = \"8ms\"\n";
    let fault = "[[faults]]\nat = \"20s\"\nfor = \"10s\"\nhang = \"component:shop\"\n";
    run(&(shop(steps, retries, 80) + fault))
}

/// The failed share of what comes due in the last thirty seconds, more than a minute and a half after the trigger.
fn failed_at_the_end(run: &Run) -> f64 {
    let failed = run.failed();
    let last = &failed[failed.len() - 30..];
    last.iter().sum::<u64>() as f64 / (80.0 * last.len() as f64)
}

#[test]
fn a_storm_of_reloads_outlives_its_trigger() {
    assert_eq!(failed_at_the_end(&after_a_hang("")), 0.0, "without reloads the shop recovers");
    let storm =
        failed_at_the_end(&after_a_hang("retries = { times = 5, backoff = \"100ms\", cap = \"1s\" }"));
    assert!(storm > 0.9, "five reloads keep the shop down: {storm} fail");
}

#[test]
fn a_retry_budget_keeps_the_storm_from_lasting() {
    let budget = "budget = { share = \"20%\", min_rate = \"1/s\", window = \"10s\" }";
    let retries = format!("retries = {{ times = 5, backoff = \"100ms\", cap = \"1s\", {budget} }}");
    assert_eq!(failed_at_the_end(&after_a_hang(&retries)), 0.0);
}
