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
[requests.change]
method = "POST"
path = "/change"
steps = [{{ update = {{ in = "archive", keyspace = "visits" }} }}, {{ wait = "2s" }}]
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

/// Sessions are rows of the database.
const ROWS: &str = "{ in = \"archive\", keyspace = \"visits\" }";
const LOCKED: &str = "lock_wait = \"300ms\"";
/// The same, and a second database.
const TWO_DATABASES: &str = r#"
lock_wait = "300ms"
[components.ledger]
kind = "sql-store"
host = "db"
connections = 1000
read = "200us"
write = "300us"
lock_wait = "300ms"
"#;

/// Requests that were answered with an error, as those are that a database fails.
fn failed(run: &Run) -> u64 {
    run.failures(Failure::Status).iter().sum()
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
    let rows = Visitors { state: ROWS, faults, ..VISITORS };
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
    // Whoever gives up a report after a second asks again 100 ms later, while the row is still locked for most of a second. An
    // update on the way is a transaction of its own, and frees its own row alone.
    for classes in ["page = 1, report = 1", "page = 1, change = 1"] {
        let visitors = Visitors { rows: LOCKED, classes, think: "100ms", state: ROWS, ..VISITORS };
        let run = visitors.run();
        let timeouts: f64 = run.metric("archive", 0, LOCK_TIMEOUTS).iter().sum();
        let failed = failed(&run);
        // Some fail after the last sample.
        assert!(
            timeouts > 1_000.0 && (timeouts - failed as f64).abs() < 0.02 * timeouts,
            "{classes}: {timeouts} waits in vain, {failed} failed"
        );
        let free = Visitors { rows: "", ..visitors }.run();
        assert_eq!(self::failed(&free), 0, "without lock_wait nobody waits");
    }
}

#[test]
fn another_database_knows_nothing_of_the_transaction_that_a_session_holds() {
    let lookup = r#"
[requests.lookup]
path = "/lookup"
steps = [{ select = { from = "ledger", keyspace = "visits" } }, { update = { in = "ledger", keyspace = "visits" } }]
"#;
    let classes = "page = 1, lookup = 1";
    let run = Visitors { rows: TWO_DATABASES, classes, state: ROWS, faults: lookup, ..VISITORS }.run();
    assert!(run.outcome.counts.due > 10_000 && run.outcome.counts.failed == 0, "{:?}", run.outcome.counts);
}

#[test]
fn users_of_one_class_have_their_sessions_where_their_traffic_says() {
    // Each class begins and ends with a step for the records of both; the first to be written is not that of the clerks.
    let clerks = r#"
[traffic.clerks]
to = "balancer"
executor = "constant-arrival-rate"
rate = "20/s"
mix = { page = 1 }
session = { requests = 6, think = "1s", state = { in = "ledger", keyspace = "visits" } }
connections = 2000
timeout = "1s"
"#;
    let run = Visitors { rows: TWO_DATABASES, state: ROWS, faults: clerks, ..VISITORS }.run();
    assert!(run.outcome.counts.due > 10_000 && run.outcome.counts.failed == 0, "{:?}", run.outcome.counts);
}
