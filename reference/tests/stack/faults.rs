//! What breaks as TCP shows it, and what is there again afterwards.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::Scenario;

use crate::lifetime::is_gone;
use crate::room::{BOUND, WAIT, connect, eventually, figure, get, node, receive, send, shop, start};

#[test]
fn a_killed_instance_refuses_and_comes_back_on_its_address() {
    let stack = start(&shop("", "workers = 4", WAIT, &["kill = \"host:app[2]\""]));
    let shop = stack.entry("shop")[1];
    let pid = stack.listeners().iter().find(|l| l.address == shop).expect("it is listed").pid;
    for _ in 0..2 {
        assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
        stack.begin_fault(0).expect("killed");
        let refused = TcpStream::connect_timeout(&shop, BOUND).expect_err("nobody listens");
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
        stack.end_fault(0).expect("restarted");
    }
    assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
    assert!(figure(&stack, "shop", 2, "up") > 0.5);
}

#[test]
fn a_hung_instance_accepts_and_answers_when_it_goes_on() {
    let stack = start(&shop("", "workers = 4", WAIT, &["hang = \"component:shop[1]\""]));
    let shop = stack.entry("shop")[0];
    stack.begin_fault(0).expect("stopped");
    let mut stream = connect(shop).expect("the kernel accepts");
    send(&mut stream, "/item/1").expect("sent");
    stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    let silence = receive(&mut stream).expect_err("nobody answers");
    assert_eq!(silence.kind(), ErrorKind::WouldBlock);
    assert!(figure(&stack, "shop", 1, "up") < 0.5);
    stack.end_fault(0).expect("continued");
    stream.set_read_timeout(Some(BOUND)).expect("a timeout");
    assert_eq!(receive(&mut stream).expect("answered").0, 200);
    assert!(figure(&stack, "shop", 1, "up") > 0.5);
}

#[test]
fn an_unplugged_instance_is_silent_to_old_and_new_connections() {
    let stack = start(&shop("", "workers = 4", WAIT, &["unplug = \"component:shop[1]\""]));
    let shop = stack.entry("shop")[0];
    let mut old = connect(shop).expect("accepted");
    send(&mut old, "/item/1").expect("sent");
    assert_eq!(receive(&mut old).expect("answered").0, 200);
    stack.begin_fault(0).expect("unplugged");
    send(&mut old, "/item/1").expect("the kernel buffers it");
    old.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
    assert_eq!(receive(&mut old).expect_err("silence").kind(), ErrorKind::WouldBlock);
    let unanswered =
        TcpStream::connect_timeout(&shop, Duration::from_millis(100)).expect_err("no SYN is answered");
    assert_eq!(unanswered.kind(), ErrorKind::TimedOut);
    stack.end_fault(0).expect("plugged in");
    old.set_read_timeout(Some(BOUND)).expect("a timeout");
    assert_eq!(receive(&mut old).expect("answered").0, 200);
    assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
}

/// What clients saw of a deployment.
#[derive(Debug, Default)]
struct Deployed {
    /// How many were answered by the first alone, and by the second.
    alone: [u32; 2],
    /// Those that took long.
    slow: u32,
    failed: Vec<Duration>,
    /// The longest turn of the one who asked.
    longest: Duration,
}

/// Asks one request after the other while a deployment goes its way, of two turns of a second each.
fn watch_deployment(stack: &Stack) -> Deployed {
    let balancer = stack.entry("balancer")[0];
    let mut seen = Deployed::default();
    let began = Instant::now();
    stack.begin_fault(0).expect("it begins");
    let mut before = Duration::ZERO;
    while before < Duration::from_millis(2_300) {
        let (status, body) = get(balancer, "/item/1").expect("answered");
        let turn = began.elapsed();
        let took = turn - std::mem::replace(&mut before, turn);
        seen.longest = seen.longest.max(took);
        if status != 200 {
            seen.failed.push(turn);
            continue;
        }
        seen.slow += u32::from(took > Duration::from_millis(30));
        for (which, during) in [(0, 1_100..1_550), (1, 100..550)] {
            let is_other = node(&body) == ["shop[1]", "shop[2]"][which];
            seen.alone[which] += u32::from(during.contains(&turn.as_millis()) && is_other);
        }
    }
    stack.end_fault(0).expect("it is over");
    eventually("both are there", || figure(stack, "balancer", 1, "servers_up") > 1.5);
    seen
}

#[test]
fn a_deployment_goes_through_the_instances_and_costs_no_request() {
    let deployment = "deploy = { component = \"shop\", drain = \"300ms\", down = \"300ms\", warm_up = \"400ms\", slower = 10 }";
    let stack = start(&shop_deployed(deployment));
    // Where this machine stands still, a request may outlast the drain, and the turns are not where they should be.
    let deployed = (0..8).map(|_| watch_deployment(&stack)).find(|d| d.longest <= Duration::from_millis(100));
    let Some(deployed) = deployed else {
        return eprintln!("SKIPPED: this machine was too busy to tell what a deployment costs");
    };
    assert!(deployed.failed.is_empty(), "{deployed:?}");
    // None takes more than 100 ms, so that at least four ended in each 450 ms.
    assert!(
        deployed.alone.iter().all(|count| *count > 3),
        "the other one has all of the requests: {deployed:?}"
    );
    assert!(deployed.slow >= 2, "cold ones take ten times as long: {deployed:?}");
    assert!(get(stack.entry("shop")[0], "/item/1").is_ok() && get(stack.entry("shop")[1], "/item/1").is_ok());
}

#[test]
fn a_balancer_that_is_silent_keeps_no_instance_from_being_deployed() {
    let deployment = "deploy = { component = \"shop\", drain = \"50ms\", down = \"50ms\", warm_up = \"50ms\", slower = 2 }";
    let stack = start(&shop_deployed(deployment));
    let pid = |component: &str| {
        stack.listeners().iter().find(|l| l.component == component).expect("it is listed").pid
    };
    let signal = |name: &str| {
        let sent = Command::new("kill").args([name, &pid("balancer").to_string()]).status();
        assert!(sent.expect("kill runs").success());
    };
    signal("-STOP");
    stack.begin_fault(0).expect("it begins");
    eventually("the first is replaced", || is_gone(pid("shop")));
    signal("-CONT");
    stack.end_fault(0).expect("it is over");
    eventually("both are there", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
    assert_eq!(get(stack.entry("balancer")[0], "/item/1").expect("answered").0, 200);
}

/// A shop with a deployment, and without what needs data.
fn shop_deployed(deployment: &str) -> Scenario {
    let text = shop("retries = 0", "workers = 4", &["work = \"4ms\""], &[]).source.text.clone();
    let text = format!("{text}[[faults]]\nat = \"1ms\"\n{deployment}\n");
    Scenario::parse(Path::new("test.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn faults_that_overlap_end_one_by_one() {
    let faults =
        ["kill = \"component:shop[1]\"", "serve_500 = \"component:shop[1]\"", "kill = \"host:app[1]\""];
    let stack = start(&shop("", "workers = 4", WAIT, &faults));
    let shop = stack.entry("shop")[0];
    for fault in 0..3 {
        stack.begin_fault(fault).expect("begun");
    }
    stack.end_fault(0).expect("one ended");
    assert!(get(shop, "/item/1").is_err(), "still dead for the other");
    stack.end_fault(2).expect("both ended");
    assert_eq!(get(shop, "/item/1").expect("answered").0, 500, "alive, and failing still");
    stack.end_fault(1).expect("all ended");
    assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
}

#[test]
fn what_waits_when_a_service_begins_to_fail_fails_without_its_steps() {
    let steps = ["wait = \"3s\"", "get = { keyspace = \"carts\" }"];
    let stack = start(&shop("", "workers = 1", &steps, &["serve_500 = \"component:shop[1]\""]));
    let shop = stack.entry("shop")[0];
    let mut working = connect(shop).expect("accepted");
    send(&mut working, "/item/1").expect("sent");
    eventually("one is worked on", || figure(&stack, "shop", 1, "in_service") > 0.5);
    let mut waiting = connect(shop).expect("accepted");
    send(&mut waiting, "/item/1").expect("sent");
    eventually("one waits", || figure(&stack, "shop", 1, "waiting") > 0.5);
    stack.begin_fault(0).expect("it fails");
    assert_eq!(get(shop, "/item/1").expect("answered").0, 500, "without waiting for the worker");
    assert!(figure(&stack, "shop", 1, "waiting") > 0.5);
    assert_eq!(receive(&mut working).expect("answered").0, 500);
    assert_eq!(receive(&mut waiting).expect("answered").0, 500);
    assert!((figure(&stack, "objects", 1, "hits") - 1.0).abs() < 0.5, "only the first one's steps are done");
}

#[test]
fn a_store_on_a_host_that_serves_500_goes_on() {
    let text = r#"
title = "One host"
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 4
[components.objects]
kind = "kv-store"
host = "app"
[keyspaces.carts]
in = "objects"
keys = 10
persistent = true
value = "100B"
[requests.cart]
path = "/cart/{carts}"
[[requests.cart.steps]]
get = { keyspace = "carts" }
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { cart = 1 }
[[faults]]
at = "1s"
for = "5s"
serve_500 = "host:app"
"#;
    let scenario =
        scenarios::Scenario::parse("one.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    let mut store = connect(stack.entry("objects")[0]).expect("accepted");
    for failing in [true, false] {
        let (status, order) = if failing { (500, stack.begin_fault(0)) } else { (200, stack.end_fault(0)) };
        order.expect("carried out");
        assert_eq!(get(stack.entry("shop")[0], "/cart/3").expect("answered").0, status);
        store.write_all(b"PING\r\n").expect("sent");
        let mut answer = [0; 7];
        store.read_exact(&mut answer).expect("answered");
        assert_eq!(&answer, b"+PONG\r\n");
    }
}
