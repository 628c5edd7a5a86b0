//! What a machine does to the work on it: sharing, priorities, speed, stolen time, burst credits. Seeds are fixed;
//! intervals are 99.9% from batch means.

use results::{RunRecord, World, observed_series};
use scenarios::threshold::Aggregate;

use crate::support::{batched, covers, parse, run};

const MS: f64 = 1e-3;

/// One machine with one core, for requests `page` and `other` of 1 ms each on average.
fn machine(host: &str, rate: u32, page: &str, other: &str, mix: &str) -> String {
    format!(
        r#"
title = "One machine"
[run]
duration = "990s"
warmup = "10s"
[hosts.app]
{host}
[components.shop]
kind = "service"
host = "app"
workers = 50000
[requests.page]
path = "/"
{page}
[[requests.page.steps]]
work = "lognormal(mean=1ms, cv=2)"
[requests.other]
path = "/other"
{other}
[[requests.other.steps]]
work = "exponential(mean=1ms)"
[traffic.users]
to = "shop"
mix = {{ {mix} }}
executor = "constant-arrival-rate"
rate = "{rate}/s"
connections = 60000
max_in_flight = 60000
timeout = "60s"
"#
    )
}

#[test]
fn shared_cores_serve_in_the_time_of_mm1_whatever_the_law_of_the_work() {
    // Kleinrock 1976, 4.4: insensitivity of M/G/1-PS.
    let run = run(&machine("scheduling = \"processor-sharing\"", 800, "", "", "page = 1"));
    covers(&run.means(), 5.0 * MS, 0.15);
    covers(&run.metric("shop", 0, "utilisation"), 0.8, 0.02);
}

#[test]
fn a_priority_queue_waits_by_class_as_cobham_says() {
    // W1 = R / (1 - ρ1), W2 = R / ((1 - ρ1)(1 - ρ)), R = Σ λ E[S²] / 2 (Cobham 1954).
    let text = machine("scheduling = \"priority\"", 800, "priority = 1", "", "page = 1, other = 1");
    let run = run(&text);
    let residual = 0.4 * (5.0 + 2.0) / 2.0;
    covers(&run.class_means(0), (1.0 + residual / 0.6) * MS, 0.05);
    covers(&run.class_means(1), (1.0 + residual / (0.6 * 0.2)) * MS, 0.2);
}

#[test]
fn a_preemptive_priority_lets_the_first_class_not_notice_the_second() {
    // T1 = 1 + R1 / (1 - ρ1); T2 = 1 / (1 - ρ1) + R / ((1 - ρ1)(1 - ρ)).
    let text =
        machine("scheduling = \"preemptive-priority\"", 800, "", "priority = 1", "page = 1, other = 1");
    let run = run(&text);
    covers(&run.class_means(1), (1.0 + 0.4 / 0.6) * MS, 0.05);
    covers(&run.class_means(0), (1.0 / 0.6 + 0.4 * 3.5 / (0.6 * 0.2)) * MS, 0.2);
}

#[test]
fn a_slower_core_and_a_stolen_share_of_it_are_the_same() {
    let slow = run(&machine("speed = 0.8", 400, "", "", "other = 1"));
    let stolen = run(&machine("steal = { share = \"20%\" }", 400, "", "", "other = 1"));
    covers(&slow.means(), 2.5 * MS, 0.05);
    assert_eq!(slow.means(), stolen.means());
}

#[test]
fn time_stolen_in_bursts_hurts_more_than_the_same_time_spread_out() {
    let steady = "steal = { share = \"20%\" }";
    let bursts =
        "steal = { share = \"80%\", bursts = \"exponential(mean=1s)\", gaps = \"exponential(mean=3s)\" }";
    let (steady, bursts) =
        [steady, bursts].map(|s| batched(&run(&machine(s, 400, "", "", "other = 1")).means()).0).into();
    assert!(bursts > 10.0 * steady, "{bursts} s against {steady} s");
}

#[test]
fn a_small_instance_is_throttled_when_its_credits_are_gone() {
    // 80% of a core costs 0.8 credits a minute, of which 0.1 is earned: 7 credits last for ten minutes.
    let host = "cpu_credits = { per_hour = 6, launch = 7 }";
    let text = machine(host, 800, "", "", "other = 1").replace("timeout = \"60s\"", "timeout = \"5s\"");
    let run = run(&text);
    let credits = run.metric("host:app", 0, "cpu_credits");
    let utilisation = run.metric("shop", 0, "utilisation");
    assert!((credits[289] - 3.5).abs() < 0.1, "after five minutes {}", credits[289]);
    assert!(credits[620..].iter().all(|c| *c < 0.01), "after ten minutes");
    assert!((utilisation[620..].iter().sum::<f64>() / utilisation[620..].len() as f64 - 0.1).abs() < 0.001);
    // Six of them are gone after 514 s, of which the warm-up is ten.
    let record = RunRecord::in_memory(&parse(&text), World::Sim, &run.outcome.delta, &run.outcome.samples);
    let below = |limit| observed_series(&record, "host:app", "cpu_credits", Aggregate::Below(limit));
    let spent = below(1.0).expect("the machine has credits");
    assert!((spent - 504.3).abs() < 20.0, "fewer than one after {spent} s");
    assert_eq!(below(-1.0), Some(f64::INFINITY), "there are never fewer than none");
    let answered = run.counts();
    assert!(answered[500] > 700, "before: {}", answered[500]);
    assert!(
        answered[650..].iter().all(|n| *n < 200),
        "at a tenth of a core nobody is served in five seconds"
    );
}

#[test]
fn what_was_used_before_a_machine_is_slowed_down_for_the_first_time_counts() {
    let fault = "[[faults]]\nat = \"5900ms\"\nfor = \"5s\"\ncpu_steal = { target = \"host:app[*]\", share = \"5%\" }\n";
    let text = machine("", 800, "", "", "page = 1").replace("990s", "20s") + fault;
    let used = run(&text).metric("shop", 0, "utilisation");
    // One second's standard deviation is 0.06; without the first 900 ms it would be 0.08.
    assert!(used[5] > 0.5, "{used:?}");
}
