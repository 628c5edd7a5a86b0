//! Messages between services: kept, delivered at least once, and thrown away when there are too many.

use std::time::Instant;

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{BOUND, eventually, figure, get, start};

/// A shop that publishes for `GET /page`; two workers of `letters` take `steps` for each message.
fn post(queue: &str, steps: &str, faults: &[&str]) -> Stack {
    let faults: String =
        faults.iter().map(|f| format!("[[faults]]\nat = \"1ms\"\nfor = \"50s\"\n{f}\n")).collect();
    let text = format!(
        r#"
title = "A shop that sends letters"
[run]
duration = "60s"
[hosts.front]
[hosts.back]
count = 2
[hosts.bus]
[components.shop]
kind = "service"
host = "front"
workers = 8
[components.letters]
kind = "service"
host = "back"
workers = 4
[components.mail]
kind = "queue"
host = "bus"
to = "letters"
class = "letter"
{queue}
[components.lost]
kind = "queue"
host = "bus"
to = "shop"
class = "lost"
[requests.page]
path = "/page"
steps = [{{ publish = {{ to = "mail" }} }}]
[requests.letter]
path = "/letter"
steps = [{steps}]
[requests.lost]
path = "/lost"
steps = [{{ wait = "30s" }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
{faults}
"#
    );
    let scenario = Scenario::parse("post.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    eventually("both consumers are there", || count(&stack, "connections") == 2);
    stack
}

fn publish(stack: &Stack, count: usize) -> usize {
    let good = |_: &usize| get(stack.entry("shop")[0], "/page").expect("answered").0 == 200;
    (0..count).filter(good).count()
}

fn count(stack: &Stack, name: &str) -> u64 {
    figure(stack, "mail", 1, name).round() as u64
}

#[test]
fn a_publisher_does_not_wait_for_consumers_and_each_of_them_has_its_turn() {
    let stack = post("", "{ work = \"20ms\" }", &[]);
    assert_eq!(publish(&stack, 20), 20);
    eventually("all are acknowledged", || count(&stack, "acknowledged") == 20);
    for instance in [1, 2] {
        let worked = figure(&stack, "letters", instance, "busy_core_seconds");
        assert!((0.1..0.3).contains(&worked), "10 times 20 ms at {instance}: {worked} s");
    }
    assert_eq!(
        [count(&stack, "published"), count(&stack, "waiting"), count(&stack, "redelivered")],
        [20, 0, 0]
    );
}

#[test]
fn what_a_dead_consumer_had_in_hand_is_delivered_to_another() {
    let stack = post("prefetch = 3", "{ wait = \"1500ms\" }", &["kill = \"component:letters[1]\""]);
    assert_eq!(publish(&stack, 6), 6);
    eventually("both have all that they may have", || count(&stack, "in_service") == 6);
    stack.begin_fault(0).expect("killed");
    eventually("all are acknowledged", || count(&stack, "acknowledged") == 6);
    assert_eq!(count(&stack, "redelivered"), 3);
}

#[test]
fn messages_outlive_a_durable_queue_and_no_other() {
    for (queue, kept) in [("durable = true", 5), ("durable = false", 0)] {
        let faults = ["kill = \"component:letters[*]\"", "kill = \"component:mail[1]\""];
        let stack = post(queue, "{ work = \"1ms\" }", &faults);
        stack.begin_fault(0).expect("killed");
        assert_eq!(publish(&stack, 5), 5, "nobody is there, and the queue has them");
        stack.begin_fault(1).expect("killed");
        assert_eq!(publish(&stack, 1), 0, "nobody confirms");
        stack.end_fault(1).expect("restarted");
        assert_eq!(count(&stack, "waiting"), kept);
        stack.end_fault(0).expect("restarted");
        eventually("all are acknowledged", || count(&stack, "acknowledged") == kept);
    }
}

#[test]
fn what_fails_so_often_goes_to_the_dead_letters_and_a_full_queue_refuses() {
    let broken = "{ third_party = { latency = \"1ms\", error = \"100%\" } }";
    let stack = post("deliveries = 3\ndead_letters = \"lost\"", broken, &[]);
    assert_eq!(publish(&stack, 4), 4);
    eventually("all are dead", || count(&stack, "dead_lettered") == 4);
    assert_eq!([count(&stack, "redelivered"), count(&stack, "acknowledged")], [8, 0]);
    eventually("they are in the other queue", || figure(&stack, "lost", 1, "in_service") > 3.5);
    let faults = ["kill = \"component:letters[*]\""];
    let stack = post("max_length = 2\noverflow = \"reject-publish\"", broken, &faults);
    stack.begin_fault(0).expect("killed");
    assert_eq!(publish(&stack, 5), 2);
    assert_eq!([count(&stack, "dropped"), count(&stack, "waiting")], [3, 2]);
}

#[test]
fn a_consumer_that_is_silent_for_too_long_loses_what_it_has() {
    let stack = post(
        "prefetch = 1\nheartbeat = \"900ms\"",
        "{ wait = \"400ms\" }",
        &["hang = \"component:letters[1]\""],
    );
    stack.begin_fault(0).expect("hung");
    let start = Instant::now();
    assert_eq!(publish(&stack, 4), 4);
    eventually("the other has done all", || count(&stack, "acknowledged") == 4);
    assert!(start.elapsed() < BOUND && count(&stack, "redelivered") == 1);
}

#[test]
fn publishers_wait_while_the_disk_is_full() {
    let stack = post("", "{ work = \"1ms\" }", &["disk_full = \"component:mail[1]\""]);
    stack.begin_fault(0).expect("full");
    let shop = stack.entry("shop")[0];
    let publisher = std::thread::spawn(move || get(shop, "/page"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!publisher.is_finished());
    stack.end_fault(0).expect("there is room again");
    assert_eq!(publisher.join().expect("no panic").expect("answered").0, 200);
}
