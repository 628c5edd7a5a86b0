//! What a service does about calls that are slow or fail, several of them at once, and how its workers come and go.

use std::io::Read;
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{connect, eventually, figure, get, receive, send, start};

/// A shop that takes `steps` for `GET /page` and can ask `search`, alone or behind its balancer; `shop` are further lines of the
/// service.
fn shop(shop: &str, steps: &str) -> Stack {
    let text = format!(
        r#"
title = "A shop that asks others"
[run]
duration = "60s"
[hosts.front]
cores = 4
[hosts.edge]
[hosts.back]
count = 2
[components.shop]
kind = "service"
host = "front"
{shop}
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "search"
[components.search]
kind = "service"
host = "back"
workers = 8
[requests.page]
path = "/page"
steps = [{steps}]
[requests.find]
path = "/find"
steps = [{{ work = "2ms" }}, {{ wait = "1ms" }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
"#
    );
    let scenario = Scenario::parse("policies.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    start(&scenario)
}

/// The status of an answer, and how long it took.
fn ask(stack: &Stack) -> (u16, Duration) {
    let start = Instant::now();
    let (status, _) = get(stack.entry("shop")[0], "/page").expect("answered");
    (status, start.elapsed())
}

fn count(stack: &Stack, name: &str) -> u64 {
    figure(stack, "shop", 1, name).round() as u64
}

#[test]
fn an_attempt_that_takes_too_long_is_made_again_and_then_fails() {
    let stack = shop(
        "workers = 4",
        "{ call = { to = \"search\", wait = \"20s\" }, policy = { timeout = \"60ms\", retries = { times = 2, \
         backoff = \"1ms\" } } }",
    );
    let (status, took) = ask(&stack);
    assert!(
        status == 500 && took >= Duration::from_millis(180) && took < Duration::from_secs(15),
        "{took:?}"
    );
    assert_eq!([count(&stack, "timeouts"), count(&stack, "retries")], [3, 2]);
}

#[test]
fn a_second_attempt_beside_a_slow_one_answers_first() {
    // Drawn anew by each attempt: far more than one in a hundred takes 30 ms, and hardly any two of a pair do.
    let stack = shop(
        "workers = 4",
        "{ third_party = { latency = \"lognormal(median=1ms, p99=2s)\" }, policy = { hedge = { after = \"30ms\", \
         times = 3 } } }",
    );
    let mut slowest = Duration::ZERO;
    for _ in 0..40 {
        let (status, took) = ask(&stack);
        assert_eq!(status, 200);
        slowest = slowest.max(took);
    }
    let hedges = count(&stack, "hedges");
    assert!((1..40).contains(&hedges), "{hedges} hedges, the slowest took {slowest:?}");
}

#[test]
fn who_keeps_failing_is_asked_no_more() {
    let stack = shop(
        "workers = 4",
        "{ third_party = { latency = \"1ms\", error = \"100%\" }, policy = { circuit_breaker = { min_calls = 5, \
         open = \"60s\" } } }",
    );
    for _ in 0..12 {
        assert_eq!(ask(&stack).0, 500);
    }
    assert_eq!(count(&stack, "refused"), 7, "after the fifth");
}

#[test]
fn a_bulkhead_refuses_what_its_queue_has_no_room_for() {
    let stack = shop(
        "workers = 8",
        "{ call = { to = \"search\", wait = \"3s\" }, policy = { bulkhead = { calls = 2, queue = 1 } } }",
    );
    let address = stack.entry("shop")[0];
    let one = |_| {
        let mut stream = connect(address).expect("accepted");
        send(&mut stream, "/page").expect("sent");
        stream
    };
    let mut streams: Vec<_> = (0..3).map(one).collect();
    eventually("three are inside", || figure(&stack, "shop", 1, "in_service") > 2.5);
    for _ in 0..3 {
        assert_eq!(ask(&stack).0, 500, "two at once and one in the queue are all");
    }
    for stream in &mut streams {
        assert_eq!(receive(stream).expect("answered").0, 200);
    }
    assert_eq!(count(&stack, "refused"), 3);
}

#[test]
fn steps_are_taken_at_once_as_often_as_they_say_and_for_their_share() {
    let stack = shop(
        "workers = 4",
        "{ parallel = [{ wait = \"3s\" }, { wait = \"3s\" }, { call = { to = \"search\", wait = \"3s\" } }] }, \
         { call = { to = \"balancer\", class = \"find\" }, repeat = 4 }, \
         { third_party = { latency = \"1ms\", error = \"100%\", required = false } }, \
         { third_party = { latency = \"1ms\", error = \"100%\" }, share = \"0%\" }",
    );
    let (status, took) = ask(&stack);
    assert_eq!(status, 200);
    assert!((3..9).contains(&took.as_secs()), "one after the other they would take 9 s: {took:?}");
    let worked = |instance| figure(&stack, "search", instance, "busy_core_seconds");
    let all = worked(1) + worked(2);
    assert!((0.008..0.009).contains(&all), "four times 2 ms: {all} s");
    assert!(worked(1) > 0.003 && worked(2) > 0.003, "the balancer takes them in turn");
}

#[test]
fn a_worker_stays_with_its_connection_until_that_has_been_idle_for_too_long() {
    let stack = shop("workers = 1\nworker_holds = \"connection\"\nkeep_alive = \"4s\"", "{ wait = \"1ms\" }");
    let address = stack.entry("shop")[0];
    let mut first = connect(address).expect("accepted");
    for _ in 0..2 {
        send(&mut first, "/page").expect("sent");
        assert_eq!(receive(&mut first).expect("answered").0, 200);
    }
    assert_eq!(count(&stack, "held"), 1);
    let start = Instant::now();
    let (status, _) = get(address, "/page").expect("answered when the worker lets go");
    assert_eq!(status, 200);
    // The worker began to wait before the clock was read.
    assert!(start.elapsed() >= Duration::from_millis(300), "{:?}", start.elapsed());
    assert_eq!(first.read(&mut [0; 16]).expect("closed in order"), 0);
}

#[test]
fn a_manager_starts_workers_when_few_are_idle_and_ends_them_again() {
    let stack = shop(
        "workers = { manager = \"dynamic\", max = 20, start = 2, min_spare = 2, max_spare = 4 }",
        "{ wait = \"2s\" }",
    );
    let address = stack.entry("shop")[0];
    assert_eq!(count(&stack, "workers_alive"), 2);
    let clients: Vec<_> = (0..5).map(|_| std::thread::spawn(move || get(address, "/page"))).collect();
    eventually("some more start", || figure(&stack, "shop", 1, "workers_alive") > 4.5);
    for client in clients {
        assert_eq!(client.join().expect("no panic").expect("answered").0, 200);
    }
    eventually("four are enough again", || figure(&stack, "shop", 1, "workers_alive") < 4.5);
}

#[test]
fn a_request_that_finds_all_workers_busy_is_answered_503_where_it_may_not_wait() {
    let stack = shop("workers = 1\nbacklog = 0\nwhen_full = \"reject\"", "{ wait = \"2s\" }");
    let address = stack.entry("shop")[0];
    let mut first = connect(address).expect("accepted");
    send(&mut first, "/page").expect("sent");
    eventually("it is worked on", || figure(&stack, "shop", 1, "in_service") > 0.5);
    assert_eq!(get(address, "/page").expect("answered").0, 503);
    assert_eq!(receive(&mut first).expect("answered").0, 200);
}
