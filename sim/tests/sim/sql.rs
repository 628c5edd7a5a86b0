//! SQL stores: row locks, pages and disks, replicas, a virtual address, hibernation. Seeds are fixed; intervals are 99.9%
//! from batch means.

use crate::support::{covers, run};

const MS: f64 = 1e-3;

/// A service that sends one statement a request to a database.
fn stack(host: &str, database: &str, keys: &str, step: &str, rate: &str) -> String {
    format!(
        r#"
title = "One database"
[run]
duration = "200s"
warmup = "10s"
[hosts.app]
[hosts.cache]
[hosts.db]
cores = 64
{host}
[components.shop]
kind = "service"
host = "app"
workers = 50000
[components.objects]
kind = "kv-store"
host = "cache"
[components.archive]
kind = "sql-store"
host = "db"
connections = 40000
{database}
[keyspaces.items]
in = "objects"
{keys}
value = "1kB"
persistent = true
[requests.page]
path = "/"
[[requests.page.steps]]
{step}
[traffic.users]
to = "shop"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "{rate}"
connections = 60000
max_in_flight = 60000
timeout = "30s"
"#
    )
}

const UPDATE: &str = r#"update = { in = "archive", keyspace = "items" }"#;
const SELECT: &str = r#"select = { from = "archive", keyspace = "items" }"#;

#[test]
fn updates_of_one_row_queue_for_it_though_cores_are_free() {
    let database = "read = \"0ms\"\nwrite = \"exponential(mean=1ms)\"\n";
    let free = run(&stack("", database, "keys = 1", UPDATE, "500/s"));
    covers(&free.means(), 1.0 * MS, 0.02);
    let locked = run(&stack("", &format!("{database}lock_wait = \"50s\""), "keys = 1", UPDATE, "500/s"));
    covers(&locked.means(), 2.0 * MS, 0.1);
    let spread =
        run(&stack("", &format!("{database}lock_wait = \"50s\""), "keys = 100_000", UPDATE, "500/s"));
    covers(&spread.means(), 1.0 * MS, 0.02);
}

#[test]
fn who_waits_too_long_for_a_row_fails() {
    let database = "read = \"0ms\"\nwrite = \"10ms\"\nlock_wait = \"100ms\"";
    let run = run(&stack("", database, "keys = 1", UPDATE, "200/s"));
    let timeouts: f64 = run.metric("archive", 0, "lock_timeouts").iter().sum();
    // One in ten milliseconds gets the row.
    assert!((timeouts / 200.0 - 100.0).abs() < 5.0, "{timeouts} in 200 s");
    assert!(run.failed().iter().sum::<u64>() as f64 >= timeouts);
}

#[test]
fn a_statement_that_takes_too_long_fails_and_gives_its_core_back() {
    let database = "read = \"exponential(mean=10ms)\"\nstatement_timeout = \"20ms\"";
    let run = run(&stack("", database, "keys = 10", SELECT, "500/s"));
    let timeouts: f64 = run.metric("archive", 0, "statement_timeouts").iter().sum();
    // An exponential time is above twice its mean with the chance e^-2, and held up to there 1 - e^-2 of its mean on the average.
    let above = (-2.0_f64).exp();
    assert!((timeouts / 100_000.0 - above).abs() < 0.005, "{timeouts} in 200 s");
    covers(&run.metric("archive", 0, "utilisation"), 500.0 * 10.0 * MS * (1.0 - above) / 64.0, 0.02);
    assert!(run.failed().iter().sum::<u64>() as f64 >= timeouts);
}

#[test]
fn who_waits_for_a_row_or_a_core_or_holds_one_too_long_is_ended_alike() {
    // A row, or two cores, for many times as many as can have them: whoever comes to it has next to no time left.
    for (lock, rate) in [("lock_wait = \"50s\"", 300.0), ("", 200.0)] {
        let database = format!("read = \"0ms\"\nwrite = \"30ms\"\n{lock}\nstatement_timeout = \"100ms\"");
        let text = stack("", &database, "keys = 1", UPDATE, &format!("{rate}/s"));
        let run = run(&text.replace("cores = 64", "cores = 2"));
        let sum = |metric| run.metric("archive", 0, metric).iter().sum::<f64>();
        let (timeouts, failed) = (sum("statement_timeouts"), run.failed().iter().sum::<u64>() as f64);
        assert!(timeouts > 10_000.0 && (timeouts / failed - 1.0).abs() < 0.1, "{timeouts} of {failed}");
        // Little: as many are there as come in a tenth of a second.
        let inside = sum("in_service") / 200.0;
        assert!((0.95..=1.02).contains(&(inside / (0.1 * rate))), "{lock}: {inside} at once");
        if !lock.is_empty() {
            assert_eq!(sum("lock_timeouts"), 0.0);
        }
    }
}

#[test]
fn pages_that_are_not_in_memory_queue_for_the_disk() {
    // Ten million rows, 64 pages in memory: every read goes to the disk, which is M/D/1.
    let host = r#"disk = { read = "1ms" }"#;
    let run =
        run(&stack(host, "read = \"0ms\"\nbuffer_pool = \"1MiB\"", "keys = 10_000_000", SELECT, "500/s"));
    covers(&run.means(), 1.5 * MS, 0.05);
    covers(&run.metric("host:db", 0, "disk"), 0.5, 0.02);
}

#[test]
fn only_misses_pay_for_the_disk() {
    let host = r#"disk = { read = "5ms", parallel = 100 }"#;
    let keys = "keys = 200_000\npopularity = \"zipf(0.9)\"";
    let run = run(&stack(host, "read = \"0ms\"\nbuffer_pool = \"64MiB\"", keys, SELECT, "2000/s"));
    let sum = |metric| run.metric("archive", 0, metric).iter().sum::<f64>();
    let misses = sum("misses") / (sum("hits") + sum("misses"));
    assert!(misses > 0.05 && misses < 0.7, "{misses}");
    covers(&run.means(), 5.0 * MS * misses, 0.03);
}

#[test]
fn a_replica_is_stale_for_as_long_as_it_lags() {
    let host = "count = 2";
    let database = "read = \"0ms\"\nreplicas = { lag = \"50ms\" }";
    let text = stack(host, database, "keys = 100", SELECT, "2000/s");
    let run = run(&text.replace(
        "[traffic.users]",
        "[requests.change]\npath = \"/change\"\nmethod = \"POST\"\n[[requests.change.steps]]\nupdate = { in = \"archive\", keyspace = \"items\" }\n[traffic.users]",
    ).replace("mix = { page = 1 }", "mix = { page = 1, change = 1 }"));
    let stale: f64 = run.metric("archive", 1, "stale_reads").iter().sum();
    // 1000 updates a second of 100 rows: a row is untouched for 50 ms with probability e^-0.5.
    let expected = 1_000.0 * 200.0 * (1.0 - (-0.5_f64).exp());
    assert!((stale / expected - 1.0).abs() < 0.02, "{stale} stale reads, {expected} expected");
}

#[test]
fn another_machine_takes_the_address_over_and_lacks_the_last_commits() {
    let host = "count = 2";
    let database = "read = \"1ms\"\nvip = {}\nreplicas = { lag = \"500ms\", reads = \"0%\" }";
    let text = stack(host, database, "keys = 1000", UPDATE, "200/s")
        + "[[faults]]\nat = \"60s\"\nfor = \"60s\"\nkill = \"host:db[1]\"\n";
    let run = run(&text);
    let lost: f64 = run.metric("archive", 1, "lost_commits").iter().sum();
    assert!((lost - 100.0).abs() < 40.0, "{lost} commits lost: those of half a second");
    // Between three and four seconds nobody holds the address; who asks waits and is served.
    let slow = run.means().iter().filter(|mean| **mean > 0.1).count();
    assert!((3..=12).contains(&slow), "{slow} slow seconds");
    assert!(run.failed().iter().sum::<u64>() < 10);
}

#[test]
fn the_first_request_after_a_long_silence_wakes_the_database() {
    let database = "read = \"1ms\"\nhibernation = { after = \"30s\", wake = \"5s\" }";
    let often =
        run(&stack("", database, "keys = 10", SELECT, "1/s")
            .replace("rate =", "arrivals = \"uniform\"\nrate ="));
    assert!(often.means().iter().all(|mean| mean.is_nan() || *mean < 2.0 * MS));
    let seldom =
        run(&stack("", database, "keys = 10", SELECT, "1/m")
            .replace("rate =", "arrivals = \"uniform\"\nrate ="));
    let means: Vec<f64> = seldom.means().into_iter().filter(|mean| !mean.is_nan()).collect();
    assert!(!means.is_empty() && means.iter().all(|mean| (mean - 5.001).abs() < 1e-6), "{means:?}");
}

#[test]
fn a_store_starts_again_only_after_its_restart_and_the_reading_of_its_data() {
    // 1 GB of records at 500 MB/s.
    let text = stack("", "read = \"1ms\"", "keys = 1_000_000", "get = { keyspace = \"items\" }", "100/s")
        .replace("[hosts.cache]", "[hosts.cache]\ndisk = { read = \"1ms\", throughput = \"4Gbit/s\" }")
        .replace("kind = \"kv-store\"", "kind = \"kv-store\"\nrestart = \"3s\"")
        + "[[faults]]\nat = \"60s\"\nfor = \"10s\"\nkill = \"component:objects\"\n";
    let run = run(&text);
    let down: f64 = run.metric("objects", 0, "up").iter().map(|up| 1.0 - up).sum();
    assert!((15.0..16.5).contains(&down), "{down} s");
}
