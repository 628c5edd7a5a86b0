//! Faults that leave a system running, but worse.

use crate::support::{Run, run};

/// Two nodes behind a balancer; 5 ms of work on one core each, 100 requests a second, a cache before a database.
fn shop(faults: &str) -> String {
    format!(
        r#"
title = "Two nodes"
[run]
duration = "40s"
[hosts.edge]
[hosts.app]
count = 2
zone = "a"
[hosts.data]
zone = "b"
[hosts.db]
zone = "b"
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
[components.shop]
kind = "service"
host = "app"
workers = 64
[components.objects]
kind = "kv-store"
host = "data"
[components.archive]
kind = "sql-store"
host = "db"
read = "2ms"
[keyspaces.items]
in = "objects"
keys = 50
ttl = "1h"
prefill = 50
value = "400B"
[requests.page]
path = "/"
[[requests.page.steps]]
work = "5ms"
[[requests.page.steps]]
get = {{ keyspace = "items", on_miss = {{ from = "archive" }} }}
[requests.order]
path = "/order"
method = "POST"
[[requests.order.steps]]
update = {{ in = "archive", keyspace = "items" }}
[traffic.users]
to = "balancer"
mix = {{ page = 9, order = 1 }}
executor = "constant-arrival-rate"
rate = "100/s"
arrivals = "uniform"
connections = 2000
timeout = "10s"
{faults}
"#
    )
}

fn fault(what: &str) -> String {
    format!("[[faults]]\nat = \"10s\"\nfor = \"10s\"\n{what}\n")
}

fn mean(run: &Run, seconds: std::ops::Range<usize>) -> f64 {
    let means = run.means();
    means[seconds.clone()].iter().sum::<f64>() / seconds.len() as f64
}

fn failed(run: &Run, seconds: std::ops::Range<usize>) -> u64 {
    run.failed()[seconds].iter().sum()
}

#[test]
fn slow_work_takes_that_many_times_as_long() {
    let run = run(&shop(&fault("slow = { target = \"component:shop[*]\", times = 3 }")));
    let (before, during, after) = (mean(&run, 1..9), mean(&run, 11..19), mean(&run, 22..39));
    // Pages are 90% of the requests and work 15 ms instead of 5 ms; the cores are busy for 68% of the time.
    assert!(during - before > 0.008 && (after - before).abs() < 0.001, "{before} {during} {after}");
}

#[test]
fn stolen_time_slows_what_is_running_and_only_as_long_as_it_lasts() {
    let run = run(&shop(&fault("cpu_steal = { target = \"host:app[*]\", share = \"50%\" }")));
    let (before, during, after) = (mean(&run, 1..9), mean(&run, 11..19), mean(&run, 22..39));
    assert!(during - before > 0.004 && (after - before).abs() < 0.001, "{before} {during} {after}");
}

#[test]
fn an_error_rate_fails_that_share_of_the_requests() {
    let run = run(&shop(&fault("error_rate = { target = \"component:shop[*]\", share = \"20%\" }")));
    let during = failed(&run, 10..20);
    // 20% of 1,000, give or take four standard deviations.
    assert!((149..=251).contains(&during), "{during}");
    assert_eq!(failed(&run, 0..40), during);
}

#[test]
fn a_flushed_cache_sends_its_reads_to_the_database_until_it_is_warm_again() {
    let flush = "[[faults]]\nat = \"10s\"\nflush = \"component:objects\"\n";
    let run = run(&shop(flush));
    let misses = run.metric("objects", 0, "misses");
    assert_eq!(misses[..10].iter().sum::<f64>(), 0.0, "{misses:?}");
    // Each of the fifty keys is missed once, and by those that ask while it is fetched.
    let after: f64 = misses[10..].iter().sum();
    assert!((50.0..70.0).contains(&after), "{misses:?}");
}

#[test]
fn on_a_full_disk_writes_fail_and_reads_do_not() {
    let run = run(&shop(&fault("disk_full = \"component:archive\"")));
    let during = failed(&run, 10..20);
    // One request in ten is an order.
    assert!((60..=140).contains(&during), "{during}");
    assert_eq!(failed(&run, 0..40), during);
}

/// The shop with a store that saves each second and is written to by each request.
fn saving_shop(faults: &str) -> String {
    shop(faults)
        .replace(
            "kind = \"kv-store\"",
            "kind = \"kv-store\"\nsnapshot = { every = \"1s\", fork_per_gb = \"10ms\" }",
        )
        .replace(
            "[[requests.page.steps]]",
            "[[requests.page.steps]]\nset = { keyspace = \"items\" }\n[[requests.page.steps]]",
        )
}

#[test]
fn a_store_that_cannot_save_refuses_writes_until_a_save_succeeds() {
    // The save at 10 s fails; those of 11 to 19 s do too; the tries go on each second, and the one at 20 s succeeds.
    let run = run(&saving_shop(&fault("disk_full = \"component:objects\"")));
    let failed_at = |second: usize| failed(&run, second..second + 1);
    assert_eq!(failed(&run, 0..9), 0);
    assert!((11..20).all(|second| failed_at(second) >= 80), "{:?}", run.failed());
    assert_eq!(failed(&run, 21..40), 0, "{:?}", run.failed());
}

#[test]
fn a_store_that_never_saves_cannot_have_a_full_disk() {
    let problems = scenarios::Scenario::parse("test.toml", shop(&fault("disk_full = \"component:objects\"")))
        .expect_err("it has no snapshot")
        .to_string();
    assert!(problems.contains("expected a target that writes to a disk"), "{problems}");
}

#[test]
fn the_loss_of_a_zone_takes_all_its_machines() {
    let run = run(&shop(&fault("kill = \"zone:b\"")));
    assert!(failed(&run, 10..20) >= 990, "{:?}", run.failed());
    for component in ["objects", "archive"] {
        let up = run.metric(component, 0, "up");
        assert_eq!((up[5], up[15], up[30]), (1.0, 0.0, 1.0), "{component}");
    }
}

fn deploy(keys: &str) -> String {
    format!("[[faults]]\nat = \"10s\"\ndeploy = {{ component = \"shop\", {keys} }}\n")
}

#[test]
fn a_rolling_deployment_with_a_drain_loses_nothing() {
    let run = run(&shop(&deploy("drain = \"1s\", down = \"3s\", warm_up = \"2s\", slower = 2")));
    assert_eq!(failed(&run, 0..40), 0);
    let up = |n: u32| run.metric("shop", n - 1, "up");
    // The first is down from 11 s to 14 s, the second, after two seconds of warming up, from 17 s to 20 s.
    assert_eq!((up(1)[12], up(2)[12]), (0.0, 1.0));
    assert_eq!((up(1)[18], up(2)[18]), (1.0, 0.0));
    let window =
        run.frame.windows.iter().find(|w| w.name.contains("deploy")).expect("the deployment's window");
    assert_eq!((window.from.as_secs_f64(), window.until.as_secs_f64()), (10.0, 22.0));
}

#[test]
fn a_deployment_without_a_drain_breaks_what_is_in_hand() {
    // Fifty requests a second on each of two nodes, 5 ms each: a quarter of them is in hand at any time, so work is slowed.
    let slow =
        "[[faults]]\nat = \"0s\"\nfor = \"40s\"\nslow = { target = \"component:shop[*]\", times = 3.9 }\n";
    let without = run(&shop(&format!("{}{slow}", deploy("down = \"3s\""))));
    let with = run(&shop(&format!("{}{slow}", deploy("drain = \"2s\", down = \"100ms\""))));
    assert!(failed(&without, 0..40) >= 2, "{:?}", without.failed());
    assert_eq!(failed(&with, 0..40), 0, "{:?}", with.failed());
}
