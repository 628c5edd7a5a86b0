//! The service: its steps, its workers, its backlog.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use scenarios::Scenario;

use crate::room::{connect, figure, get, receive, send, shop, start};

#[test]
fn no_more_requests_are_worked_on_than_there_are_workers() {
    let stack = start(&shop("", "workers = 3\nbacklog = 100", &["wait = \"20ms\""], &[]));
    let shop = stack.entry("shop")[0];
    let clients: Vec<_> = (0..30).map(|_| thread::spawn(move || get(shop, "/item/3"))).collect();
    for client in clients {
        assert_eq!(client.join().expect("no panic").expect("answered").0, 200);
    }
    assert!((figure(&stack, "shop", 1, "in_service_max") - 3.0).abs() < 0.5);
    // 30 requests of 20 ms kept workers busy for 0.6 s together.
    let busy = figure(&stack, "shop", 1, "busy_worker_seconds");
    assert!(busy >= 0.6, "{busy} s");
    assert!(figure(&stack, "shop", 1, "queue_seconds") > 0.0);
}

#[test]
fn beyond_workers_and_backlog_connections_are_not_accepted() {
    let stack = start(&shop("", "workers = 1\nbacklog = 2", &["wait = \"25s\""], &[]));
    let shop = stack.entry("shop")[0];
    let mut held = Vec::new();
    let refused = (0..16).find_map(|_| match TcpStream::connect_timeout(&shop, Duration::from_millis(300)) {
        Ok(mut stream) => {
            send(&mut stream, "/item/3").expect("sent");
            held.push(stream);
            None
        }
        Err(error) => Some(error.kind()),
    });
    assert_eq!(refused, Some(ErrorKind::TimedOut), "{} connections were opened", held.len());
    assert!(held.len() >= 3, "only {} connections were opened", held.len());
}

#[test]
fn a_miss_is_read_from_sql_and_filled_in() {
    let get_item = "get = { keyspace = \"items\", count = 5, on_miss = { from = \"archive\", fill = true } }";
    let steps = [
        get_item,
        "work = \"1ms\"",
        "update = { in = \"archive\", keyspace = \"items\" }",
        "set = { keyspace = \"carts\" }",
    ];
    let stack = start(&shop("", "workers = 4", &steps, &[]));
    let shop = stack.entry("shop")[0];
    let mut stream = connect(shop).expect("accepted");
    for _ in 0..20 {
        send(&mut stream, "/item/3").expect("sent");
        assert_eq!(receive(&mut stream).expect("answered").0, 200);
    }
    let store = |name| figure(&stack, "objects", 1, name);
    assert!((store("hits") + store("misses") - 100.0).abs() < 0.5, "20 reads of 5 keys");
    assert!(store("misses") > 0.0 && store("keys") > 150.0, "missed keys are there afterwards");
    let statements = figure(&stack, "archive", 1, "statements");
    assert!(
        (21.0..=40.0).contains(&statements),
        "20 updates, and one for all that a request missed: {statements}"
    );
    assert!(store("misses") > 20.0, "most of them missed several");
    assert!(figure(&stack, "shop", 1, "busy_core_seconds") >= 0.020, "20 times 1 ms");
    assert!(figure(&stack, "archive", 1, "busy_core_seconds") >= 21.0 * 0.0002);
}

#[test]
fn serializing_takes_processor_time_by_the_size_of_the_answer() {
    let stack = start(&shop("", "workers = 4", &["serialize = { per_kb = \"2ms\" }"], &[]));
    let shop = stack.entry("shop")[0];
    let mut bytes = 0;
    for key in 0..10 {
        let (status, body) = get(shop, &format!("/item/{key}")).expect("answered");
        assert_eq!(status, 200);
        bytes += body.len();
    }
    let busy = figure(&stack, "shop", 1, "busy_core_seconds");
    let least = bytes as f64 * 2e-6;
    assert!(busy >= least, "{busy} s for {bytes} bytes, which take {least} s");
}

#[test]
fn a_dead_store_makes_it_500_until_it_is_back() {
    let steps = ["get = { keyspace = \"carts\" }"];
    let stack = start(&shop("", "workers = 4", &steps, &["kill = \"component:objects[1]\""]));
    let shop = stack.entry("shop")[0];
    assert_eq!(get(shop, "/item/3").expect("answered").0, 200);
    let before = figure(&stack, "objects", 1, "keys");
    assert!((before - 150.0).abs() < 0.5, "100 prefilled, 50 persistent: {before}");
    assert!((figure(&stack, "objects", 1, "keys_with_ttl") - 100.0).abs() < 0.5);
    stack.begin_fault(0).expect("killed");
    assert_eq!(get(shop, "/item/3").expect("answered").0, 500);
    stack.end_fault(0).expect("restarted");
    assert_eq!(get(shop, "/item/3").expect("answered").0, 200);
    let after = figure(&stack, "objects", 1, "keys");
    assert!((after - 50.0).abs() < 0.5, "only the persistent ones are back: {after}");
}

#[test]
fn another_service_does_the_steps_that_are_its() {
    let text = r#"
title = "Two services"
[run]
duration = "10s"
[hosts.front]
[hosts.back]
[components.shop]
kind = "service"
host = "front"
workers = 4
[components.search]
kind = "service"
host = "back"
workers = 4
[requests.find]
path = "/find"
[[requests.find.steps]]
work = "2ms"
at = "search"
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { find = 1 }
"#;
    let scenario = Scenario::parse("two.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    assert_eq!(get(stack.entry("shop")[0], "/find").expect("answered").0, 200);
    assert!(figure(&stack, "search", 1, "busy_core_seconds") >= 0.002);
    assert!(figure(&stack, "shop", 1, "busy_core_seconds") < 0.001);
}

#[test]
fn work_that_is_to_burn_uses_processors_of_this_machine() {
    let text = shop("", "workers = 4", &["work = \"5ms\""], &[]).source.text;
    let burning = text.replace("count = 2\ncores = 2", "count = 2\ncores = 1\ncpu = \"burn\"");
    assert_ne!(text, burning);
    let scenario = Scenario::parse("burn.toml", burning).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    let shop = stack.entry("shop")[0];
    let used = |name| figure(&stack, "shop", 1, name);
    let before = used("cpu_seconds");
    let clients: Vec<_> = (0..10).map(|_| thread::spawn(move || get(shop, "/item/3"))).collect();
    for client in clients {
        assert_eq!(client.join().expect("no panic").expect("answered").0, 200);
    }
    // 50 ms; how long an iteration takes may be another by now.
    assert!(used("busy_core_seconds") > 0.025, "{} s", used("busy_core_seconds"));
    assert!(used("cpu_seconds") - before > 0.025, "{} s", used("cpu_seconds") - before);
}
