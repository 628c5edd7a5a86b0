//! Commands and statements under a policy.

use crate::support::{Run, run};

/// A service, a key-value store that misses a half of what it is asked, and a database; a hundred requests a second.
fn shop(step: &str, more: &str) -> Run {
    run(&format!(
        r#"
title = "Stores under a policy"
[run]
duration = "60s"
[hosts.app]
cores = 16
[hosts.data]
[hosts.db]
cores = 16
disk = {{ read = "5ms", parallel = 16 }}
[components.shop]
kind = "service"
host = "app"
workers = 500
[components.objects]
kind = "kv-store"
host = "data"
[components.archive]
kind = "sql-store"
host = "db"
connections = 50
read = "lognormal(median=2ms, p99=60ms)"
write = "5ms"
[keyspaces.items]
in = "objects"
keys = 1000
prefill = 500
value = "100B"
[requests.page]
path = "/"
[[requests.page.steps]]
{step}
[traffic.users]
to = "shop"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "100/s"
connections = 2000
timeout = "10s"
[calibration]
source = "made up for the test"
components.objects = {{ latency = "100us", command = "20us" }}
{more}
"#
    ))
}

const GET: &str = r#"get = { keyspace = "items" }"#;
const SELECT: &str = r#"select = { from = "archive", keyspace = "items" }"#;

fn fault(what: &str, length: &str) -> String {
    format!("[[faults]]\nat = \"20s\"\nfor = \"{length}\"\n{what}\n")
}

fn slowest(run: &Run) -> f64 {
    run.percentiles(100.0).into_iter().fold(0.0, f64::max)
}

fn total(run: &Run, metric: &str) -> f64 {
    run.metric("shop", 0, metric).iter().sum()
}

#[test]
fn a_policy_that_never_acts_changes_nothing() {
    for step in [
        GET,
        SELECT,
        r#"mget = { keyspace = "items", count = 5, on_miss = { from = "archive", fill = true } }"#,
    ] {
        let (plain, guarded) =
            (shop(step, ""), shop(&format!("{step}\npolicy = {{ timeout = \"9s\", retries = 3 }}"), ""));
        assert_eq!(plain.means(), guarded.means(), "{step}");
    }
}

#[test]
fn a_hung_store_costs_its_timeout_and_no_more() {
    let hung = fault("hang = \"component:objects\"", "5s");
    let patient = shop(GET, &hung);
    assert!(slowest(&patient) > 4.9, "without a policy all wait until it goes on: {} s", slowest(&patient));
    let run = shop(&format!("{GET}\npolicy = {{ timeout = \"50ms\" }}"), &hung);
    let failed: u64 = run.failed().iter().sum();
    assert!((440..=560).contains(&failed), "{failed} fail in five seconds");
    assert!(slowest(&run) < 0.051, "{} s", slowest(&run));
    assert_eq!(total(&run, "timeouts") as u64, failed);
}

#[test]
fn retries_bridge_a_database_that_is_gone_for_a_moment() {
    let gone = fault("kill = \"component:archive\"", "300ms");
    assert!(shop(SELECT, &gone).outcome.counts.failed > 20);
    let policy = r#"policy = { retries = { times = 3, backoff = "200ms", jitter = "none" } }"#;
    let run = shop(&format!("{SELECT}\n{policy}"), &gone);
    assert_eq!(run.outcome.counts.failed, 0);
    assert!(total(&run, "retries") > 20.0);
}

#[test]
fn a_hedged_read_is_done_with_the_quicker_of_two_statements() {
    let run_plain = shop(SELECT, "");
    let run_hedged = shop(&format!("{SELECT}\npolicy = {{ hedge = {{ after = \"20ms\" }} }}"), "");
    let p99 = |run: &Run| run.batch_percentiles(99.0).iter().sum::<f64>() / 20.0;
    assert!(p99(&run_hedged) < 0.6 * p99(&run_plain), "{} s, {} s hedged", p99(&run_plain), p99(&run_hedged));
    assert!(total(&run_hedged, "hedges") > 100.0);
}

#[test]
fn an_open_breaker_answers_for_a_dead_store_at_once() {
    let dead = fault("unplug = \"host:data\"", "20s");
    let policy = r#"policy = { timeout = "500ms", circuit_breaker = { failures = "50%", min_calls = 10, window = "2s", open = "5s", probes = 2 } }"#;
    let run = shop(&format!("{GET}\n{policy}"), &dead);
    // Each time it opens, those under way time out and two probes more.
    assert!(total(&run, "timeouts") < 300.0, "{} wait in vain", total(&run, "timeouts"));
    assert!(total(&run, "refused") > 1_500.0, "{} are spared", total(&run, "refused"));
    assert_eq!(run.failed()[50..].iter().sum::<u64>(), 0);
}

#[test]
fn a_bulkhead_keeps_a_slow_database_from_taking_all_workers() {
    let slow = fault("slow = { target = \"component:archive\", times = 100 }", "20s");
    let busy = |policy: &str| {
        let run = shop(&format!("{SELECT}\n{policy}"), &slow);
        run.metric("shop", 0, "in_service").into_iter().fold(0.0, f64::max)
    };
    assert!(busy("") > 50.0);
    assert!(busy("policy = { bulkhead = { calls = 10 } }") < 10.01);
}
