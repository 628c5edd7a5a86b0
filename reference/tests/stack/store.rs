//! The store, as Redis's own clients see it.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use redis::TypedCommands;

use crate::room::{connect, eventually, figure, shop, start};

fn room() -> (reference::client::Stack, std::net::SocketAddr) {
    let stack = start(&shop("", "workers = 4", &["wait = \"1ms\""], &[]));
    let store = stack.entry("objects")[0];
    (stack, store)
}

#[test]
fn the_rust_client_reads_and_writes() {
    let (_stack, store) = room();
    let client = redis::Client::open(format!("redis://{store}")).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    assert_eq!(
        connection.get("carts:7").expect("GET").map(|v| v.len()),
        Some(100),
        "persistent keys are there"
    );
    assert_eq!(connection.get("items:99").expect("GET").map(|v| v.len()), Some(200), "so are prefilled ones");
    assert!(connection.ttl("items:99").is_ok());
    connection.mset(&[("a", "1"), ("b", "2")]).expect("MSET");
    let values: Vec<Option<String>> =
        redis::cmd("MGET").arg(&["a", "b", "c"]).query(&mut connection).expect("MGET");
    assert_eq!(values, [Some("1".to_owned()), Some("2".to_owned()), None]);
    let many: Vec<usize> = {
        let mut pipeline = redis::pipe();
        for _ in 0..1000 {
            pipeline.cmd("INCR").arg("n");
        }
        pipeline.query(&mut connection).expect("a pipeline")
    };
    assert!(many.into_iter().eq(1..=1000));
    let big = "x".repeat(300_000) + "y";
    connection.set("big", &big).expect("SET");
    assert_eq!(connection.get("big").expect("GET"), Some(big));
}

#[test]
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn the_command_line_client_is_served() {
    let (_stack, store) = room();
    let required =
        std::env::var("REHEARSAL_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == "redis-cli"));
    let run = |arguments: &[&str]| {
        let (host, port) = (store.ip().to_string(), store.port().to_string());
        let output = Command::new("redis-cli").args(["-h", &host, "-p", &port]).args(arguments).output();
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned())
    };
    match run(&["PING"]) {
        Ok(answer) => assert_eq!(answer, "PONG\n"),
        Err(error) => {
            assert!(!required, "redis-cli: {error}");
            eprintln!("skipped: redis-cli: {error}");
            return;
        }
    }
    assert_eq!(run(&["SET", "k", "v", "PX", "100000"]).expect("it runs"), "OK\n");
    assert_eq!(run(&["-3", "GET", "k"]).expect("it runs"), "v\n");
    assert!(run(&["CONFIG", "GET", "maxmemory*"]).expect("it runs").contains("volatile-lru"));
    assert!(run(&["INFO"]).expect("it runs").contains("db0:keys="));
}

#[test]
fn nonsense_is_answered_with_an_error_and_the_store_lives_on() {
    let (_stack, store) = room();
    for nonsense in ["*1\r\n:5\r\n", "*99999999\r\n", "*1\r\n$-5\r\n", "*1\r\n$999999999999\r\n"] {
        let mut stream = connect(store).expect("accepted");
        stream.write_all(nonsense.as_bytes()).expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("closed after the error");
        assert!(answer.starts_with("-ERR Protocol error"), "{answer}");
    }
    let mut stream = connect(store).expect("accepted");
    stream.write_all(b"PING\r\nQUIT\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("closed after QUIT");
    assert_eq!(answer, "+PONG\r\n+OK\r\n");
}

#[test]
fn a_flush_leaves_persistent_keys_only() {
    let text = shop("", "workers = 4", &["wait = \"1ms\""], &[]).source.text;
    let text = format!("{text}\n[[faults]]\nat = \"1ms\"\nflush = \"component:objects[1]\"\n");
    let scenario =
        scenarios::Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    let client = redis::Client::open(format!("redis://{}", stack.entry("objects")[0])).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    connection.set("carts:7", "changed").expect("SET");
    stack.begin_fault(0).expect("flushed");
    assert_eq!(connection.get("items:99").expect("GET"), None);
    assert_eq!(connection.get("carts:7").expect("GET").as_deref(), Some("changed"));
    assert!((figure(&stack, "objects", 1, "keys") - 50.0).abs() < 0.5, "all of them, and nothing else");
}

#[test]
fn prefilled_keys_live_from_the_first_command_on() {
    let text = shop("", "workers = 4", &["wait = \"1ms\""], &[]).source.text;
    let text = text.replace("base = \"10m\"", "base = \"100ms\"");
    let scenario =
        scenarios::Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    let keys = || figure(&stack, "objects", 1, "keys");
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(300) {
        assert!((keys() - 150.0).abs() < 0.5, "100 prefilled, 50 persistent");
    }
    let mut stream = connect(stack.entry("objects")[0]).expect("accepted");
    stream.write_all(b"PING\r\n").expect("sent");
    eventually("most of the prefilled ones are expired", || keys() < 75.0);
}

/// A day and a half after the timeline's zero, most of the popular keys are others than then.
#[test]
fn what_is_prefilled_is_what_is_popular_when_the_run_starts() {
    let text = shop("", "workers = 4", &["get = { keyspace = \"items\" }"], &[]).source.text;
    let text = text.replace("duration = \"60s\"", "duration = \"60s\"\nfrom = \"36h\"");
    let text = text.replace("popularity = \"uniform\"", "popularity = \"zipf(0.9)\"\nchurn = \"100%/day\"");
    let scenario =
        scenarios::Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let draws = scenarios::plan::Draws::new(&scenario);
    let items = scenario.keyspace_ids().find(|id| scenario.keyspace(*id).name == "items");
    let items = items.expect("the shop has items");
    let churn = draws.churn(items).expect("they churn");
    let popular: BTreeSet<u64> = (0..100).map(|rank| churn.at(churn.start_nanos()).key(rank)).collect();
    let others = popular.iter().filter(|key| **key >= 100).count();
    assert!(others > 25, "{others} of 100 were not popular at the timeline's zero");
    let stack = start(&scenario);
    let client = redis::Client::open(format!("redis://{}", stack.entry("objects")[0])).expect("an address");
    let mut connection = client.get_connection().expect("a connection");
    let there = (0..1000).filter(|key| connection.exists(format!("items:{key}")).expect("EXISTS"));
    assert_eq!(there.collect::<BTreeSet<u64>>(), popular);
}
