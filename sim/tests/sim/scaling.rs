//! Instances that come and go with the load.

use crate::support::{Run, run};

/// Two to ten machines of four cores, half of eight of which are busy; four times that from 100 s to 500 s.
fn crowd(autoscale: &str, step: &str, more: &str) -> String {
    format!(
        r#"
title = "A flash crowd"
[run]
duration = "990s"
[hosts.edge]
cores = 64
[hosts.app]
count = 10
cores = 4
[components.front]
kind = "load-balancer"
host = "edge"
to = "shop"
balance = "least-connections"
health_check = {{ http = "/health", interval = "2s" }}
[components.shop]
kind = "service"
host = "app"
workers = 200
backlog = 2000
autoscale = {{ min = 2, target = "50%"{autoscale} }}
[components.gate]
kind = "service"
host = "edge"
workers = 4000
[requests.page]
path = "/"
[[requests.page.steps]]
{step}
{more}
[traffic.users]
to = "front"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "80/s"
flash = [{{ at = "100s", rise = "1s", hold = "400s", fall = "1s", times = 4 }}]
connections = 5000
timeout = "30s"
"#
    )
}

const WORK: &str = "work = \"exponential(mean=50ms)\"";

fn instances(run: &Run) -> Vec<f64> {
    run.metric("shop", 0, "instances")
}

/// When something first holds for the values of each second.
fn first(values: &[f64], holds: impl Fn(f64) -> bool) -> usize {
    values.iter().position(|value| holds(*value)).expect("it comes to hold")
}

#[test]
fn it_follows_a_flash_crowd_with_its_delay_and_lets_go_after_its_window() {
    let run = run(&crowd("", WORK, ""));
    let there = instances(&run);
    assert!(there[..100].iter().all(|n| *n == 2.0), "half busy is what is wanted");
    let ordered = first(&there, |n| n > 2.5);
    assert!((100..=131).contains(&ordered), "ordered within two decisions: {ordered} s");
    let serves = first(&run.metric("shop", 2, "up"), |up| up > 0.0);
    assert!((60..=61).contains(&(serves - ordered)), "ordered at {ordered} s, serves at {serves} s");
    // 16 busy cores are half of eight machines; it overshoots while the queue of the first minutes is worked off.
    assert!((8.0..=10.0).contains(&there[350]), "{} instances", there[350]);
    assert!(
        run.failed()[420..].iter().all(|n| *n == 0),
        "all is well again, and nobody notices the end of the crowd"
    );
    assert!(there[500..800].iter().all(|n| *n >= 8.0), "what the crowd took stays for 300 s");
    let gone = first(&there[800..], |n| n < 7.5) + 800;
    assert!((800..=840).contains(&gone), "it goes at {gone} s");
    assert!(there[960] <= 3.0, "40% busy is near enough to half: {}", there[960]);
}

#[test]
fn boot_time_is_what_the_crowd_waits_for() {
    let slow_requests = |boot: &str| {
        let run = run(&crowd(boot, WORK, ""));
        run.means()[100..500].iter().filter(|mean| **mean > 1.0).count()
    };
    let (quick, slow) = (slow_requests(", boot = \"5s\""), slow_requests(", boot = \"120s\""));
    assert!(quick < 150 && slow > quick + 100, "{quick} bad seconds with 5 s, {slow} with 120 s");
}

#[test]
fn step_bounds_what_is_ordered_at_once() {
    let there = instances(&run(&crowd(", step = 1, boot = \"1s\"", WORK, "")));
    let ordered = first(&there, |n| n > 2.5);
    assert!((there[ordered + 2] - 3.0).abs() < 1e-9, "one at first: {:?}", &there[ordered..ordered + 3]);
    assert!(there[ordered + 16] > 3.5, "another at the next decision");
}

#[test]
fn what_drains_ends_what_it_has_unless_that_takes_too_long() {
    let failed = |drain: &str| {
        let autoscale = format!(", metric = \"workers\", drain = \"{drain}\", down_after = \"60s\"");
        let text = crowd(&autoscale, "wait = \"10s\"", "")
            .replace("workers = 200", "workers = 800")
            .replace("rate = \"80/s\"", "rate = \"75/s\"");
        let run = run(&text);
        assert!(instances(&run)[960] < instances(&run)[450], "some have gone");
        run.failed()[480..].iter().sum::<u64>()
    };
    assert_eq!(failed("30s"), 0, "ten seconds is enough for all");
    assert!(failed("2s") > 100, "four fifths of what a machine has in hand are lost with it");
}

#[test]
fn who_calls_in_turn_passes_over_those_that_are_not_there() {
    let text = crowd(", boot = \"5s\"", "call = { to = \"shop\", work = \"exponential(mean=50ms)\" }", "")
        .replace("to = \"front\"\nmix", "to = \"gate\"\nmix");
    let run = run(&text);
    let shares = |instance, from: usize, to: usize| {
        let samples = run.outcome.samples.iter().filter(move |s| {
            (s.component.as_str(), s.instance, &*s.metric) == ("shop", instance, "utilisation")
                && (from..to).contains(&s.interval)
        });
        samples.map(|s| s.value).collect::<Vec<f64>>()
    };
    let busy = |instance, from: usize, to: usize| {
        let values = shares(instance, from, to);
        values.iter().sum::<f64>() / values.len() as f64
    };
    for instance in 0..2 {
        assert!((busy(instance, 20, 100) - 0.5).abs() < 0.04, "{}", busy(instance, 20, 100));
    }
    assert_eq!(shares(2, 20, 100), [0.0; 0], "what is not there is not idle");
    // All in turn: the new ones get as much as the old.
    assert!((busy(0, 440, 500) - busy(5, 440, 500)).abs() < 0.05);
    assert!(run.failed()[420..].iter().all(|n| *n == 0));
}

#[test]
fn a_dead_instance_counts_as_there_and_idle_and_comes_back_where_it_was() {
    let fault = "[[faults]]\nat = \"20s\"\nfor = \"60s\"\nkill = \"host:app[1]\"\n";
    let run = run(&crowd(", boot = \"5s\"", WORK, fault));
    let there = instances(&run);
    // A pod that is not ready counts as one that uses nothing: the other's 100% is 50% of both.
    assert_eq!(there[70], 2.0);
    let up = run.metric("shop", 0, "up");
    assert_eq!((up[50], up[90]), (0.0, 1.0));
}

#[test]
fn instances_without_a_worker_just_now_are_idle_and_go() {
    // Workers are there on demand: after the crowd some instances have none at most decisions, for a health check keeps one
    // only for some two of its seven seconds.
    let text = crowd(", metric = \"workers\", down_after = \"60s\", boot = \"5s\"", "wait = \"500ms\"", "")
        .replace("workers = 200", "workers = { manager = \"ondemand\", max = 20, idle_timeout = \"1s\" }")
        .replace("interval = \"2s\"", "interval = \"7s\"")
        .replace("rate = \"80/s\"", "rate = \"0.2/s\"")
        .replace("times = 4", "times = 600");
    let there = instances(&run(&text));
    assert!(
        (5.0..=10.0).contains(&there[450]),
        "60 busy workers are half of six times twenty: {}",
        there[450]
    );
    assert_eq!(there[700], 2.0, "{there:?}");
}

#[test]
fn an_instance_that_drains_still_holds_its_memory() {
    let text = crowd(", metric = \"workers\", drain = \"30s\", down_after = \"60s\"", "wait = \"10s\"", "")
        .replace("workers = 200", "workers = 800\nmemory = { base = \"100MiB\" }")
        .replace("cores = 4", "cores = 4\nmemory = \"1GiB\"")
        .replace("rate = \"80/s\"", "rate = \"75/s\"");
    let run = run(&text);
    for number in 0..10 {
        let up = run.metric("shop", number, "up");
        let held = run.metric("host:app", number, "memory_bytes");
        let lives = |second: &usize| up[second - 1..=second + 1] == [1.0; 3];
        let without: Vec<usize> =
            (1..up.len() - 1).filter(lives).filter(|&second| held[second] == 0.0).collect();
        assert!(without.is_empty(), "instance {number} lives without memory at {without:?} s");
    }
}
