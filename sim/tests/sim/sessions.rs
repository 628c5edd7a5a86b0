//! Sessions whose records are in a store: known everywhere, and lost with the record.

use results::Failure;
use results::sample::LOCK_TIMEOUTS;

use crate::support::{Run, run};

/// Sessions of six requests, a hundred of which begin each second, at three instances in turn. `store` and `rows` are lines of the
/// store and the database, `visits` of the records' keyspace, `classes` the mix.
struct Visitors<'a> {
    store: &'a str,
    rows: &'a str,
    visits: &'a str,
    classes: &'a str,
    think: &'a str,
    state: &'a str,
    faults: &'a str,
}

const VISITORS: Visitors<'_> = Visitors {
    store: "",
    rows: "",
    visits: "ttl = \"1h\"",
    classes: "page = 1",
    think: "1s",
    state: "{ keyspace = \"visits\" }",
    faults: "",
};

impl Visitors<'_> {
    fn run(&self) -> Run {
        let Self { store, rows, visits, classes, think, state, faults } = self;
        run(&format!(
            r#"
title = "Visitors"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
count = 3
cores = 8
[hosts.data]
[hosts.db]
cores = 64
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"
[components.shop]
kind = "service"
host = "app"
workers = 2000
[components.records]
kind = "kv-store"
host = "data"
{store}
[components.archive]
kind = "sql-store"
host = "db"
connections = 1000
read = "200us"
write = "300us"
{rows}
[keyspaces.visits]
in = "records"
keys = 1_000_000_000
value = "500B"
{visits}
[requests.page]
path = "/"
steps = [{{ wait = "10ms" }}]
[requests.report]
path = "/report"
steps = [{{ wait = "2s" }}]
[traffic.users]
to = "balancer"
executor = "constant-arrival-rate"
rate = "100/s"
mix = {{ {classes} }}
session = {{ requests = 6, think = "{think}", state = {state} }}
connections = 2000
max_in_flight = 10000
timeout = "1s"
{faults}
"#
        ))
    }
}

fn lost(run: &Run) -> u64 {
    run.failures(Failure::LostSession).iter().sum()
}

#[test]
fn a_record_is_known_at_every_instance_and_lost_once_with_its_store() {
    let quiet = VISITORS.run();
    assert_eq!(lost(&quiet), 0);
    let hits: f64 = quiet.metric("records", 0, "hits").iter().sum();
    let misses: f64 = quiet.metric("records", 0, "misses").iter().sum();
    let due = quiet.outcome.counts.due as f64;
    assert!(
        (hits / due - 5.0 / 6.0).abs() < 0.02 && misses == 0.0,
        "{hits} of {due} requests read, {misses} in vain"
    );
    let faults = "[[faults]]\nat = \"30s\"\nflush = \"component:records\"";
    let flushed = lost(&Visitors { faults, ..VISITORS }.run());
    // A visit takes five seconds and a little.
    assert!((420..=590).contains(&flushed), "{flushed} sessions lost: some 500");
    let rows = Visitors { state: "{ in = \"archive\", keyspace = \"visits\" }", faults, ..VISITORS };
    assert_eq!(lost(&rows.run()), 0, "rows are not in that store");
}

#[test]
fn a_record_that_expired_or_was_evicted_is_a_session_lost() {
    let expired = Visitors { visits: "ttl = \"500ms\"", ..VISITORS }.run();
    let share = lost(&expired) as f64 / expired.outcome.counts.due as f64;
    assert!((share - 5.0 / 6.0).abs() < 0.02, "{share} of the requests: all but a visit's first");
    // Some five hundred visits go on at once, of which each record takes more than half a kilobyte.
    let small = Visitors { store: "max_memory = \"100kB\"\neviction = \"allkeys-lru\"", ..VISITORS };
    let run = small.run();
    let evicted: f64 = run.metric("records", 0, "evictions").iter().sum();
    assert!(lost(&run) > 1_000 && evicted > 1_000.0, "{} lost, {evicted} evicted", lost(&run));
}

#[test]
fn a_row_that_a_request_left_behind_still_holds_fails_the_next() {
    // Whoever gives up a report after a second asks again 100 ms later, while the row is still locked for most of a second.
    let visitors = Visitors {
        rows: "lock_wait = \"300ms\"",
        classes: "page = 1, report = 1",
        think: "100ms",
        state: "{ in = \"archive\", keyspace = \"visits\" }",
        ..VISITORS
    };
    let run = visitors.run();
    let timeouts: f64 = run.metric("archive", 0, LOCK_TIMEOUTS).iter().sum();
    let failed: u64 = run.failures(Failure::Status).iter().sum();
    // Some fail after the last sample.
    assert!(
        timeouts > 1_000.0 && (timeouts - failed as f64).abs() < 0.02 * timeouts,
        "{timeouts} waits in vain, {failed} failed"
    );
    let free = Visitors { rows: "", ..visitors }.run();
    assert_eq!(free.failures(Failure::Status).iter().sum::<u64>(), 0, "without lock_wait nobody waits");
}
