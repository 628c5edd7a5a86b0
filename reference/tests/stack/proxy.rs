//! The proxy between a client and servers that live and die.

use std::io::{Read, Write};

use crate::room::{WAIT, connect, eventually, figure, get, node, receive, send, shop, start};
use crate::schedules;

const KILL_FIRST: &str = "kill = \"component:shop[1]\"";
const KILL_SECOND: &str = "kill = \"component:shop[2]\"";

#[test]
fn servers_take_turns() {
    let stack = start(&shop("", "workers = 4", WAIT, &[]));
    let balancer = stack.entry("balancer")[0];
    let mut stream = connect(balancer).expect("the proxy accepts");
    let mut nodes = Vec::new();
    for _ in 0..6 {
        send(&mut stream, "/item/3").expect("sent");
        let (status, body) = receive(&mut stream).expect("answered");
        assert_eq!((status, body.len()), (200, 500));
        nodes.push(node(&body));
    }
    let expected = ["shop[1]", "shop[2]", "shop[1]", "shop[2]", "shop[1]", "shop[2]"];
    assert_eq!(nodes, expected);
}

#[test]
fn a_proxy_and_a_cache_tell_how_busy_their_one_thread_was() {
    let stack = start(&schedules::stack(true, ""));
    let balancer = stack.entry("balancer")[0];
    for _ in 0..50 {
        assert!(get(balancer, "/page/1").is_ok());
    }
    for (component, instances) in [("balancer", 1), ("cache", 2)] {
        let busy: f64 = (1..=instances).map(|n| figure(&stack, component, n, "busy_core_seconds")).sum();
        let cores = figure(&stack, component, 1, "cores");
        assert!(busy > 0.0 && (cores - 1.0).abs() < 1e-9, "{component}: {busy} s of {cores} cores");
    }
}

#[test]
fn a_dead_server_is_passed_over_at_once_with_redispatch() {
    let stack = start(&shop("retries = 1\nredispatch = true", "workers = 4", WAIT, &[KILL_FIRST]));
    let balancer = stack.entry("balancer")[0];
    for _ in 0..4 {
        assert_eq!(get(balancer, "/item/3").expect("answered").0, 200);
    }
    stack.begin_fault(0).expect("the server is killed");
    for _ in 0..6 {
        let (status, body) = get(balancer, "/item/3").expect("answered");
        assert_eq!((status, node(&body)), (200, "shop[2]".to_owned()));
    }
    assert!(figure(&stack, "balancer", 1, "retries") >= 3.0);
    assert!(figure(&stack, "shop", 1, "up") < 0.5);
}

#[test]
fn without_a_living_server_the_answer_is_503() {
    let stack = start(&shop("retries = 1", "workers = 4", WAIT, &[KILL_FIRST, KILL_SECOND]));
    let balancer = stack.entry("balancer")[0];
    stack.begin_fault(0).expect("killed");
    stack.begin_fault(1).expect("killed");
    let mut stream = connect(balancer).expect("the proxy accepts");
    for _ in 0..2 {
        send(&mut stream, "/item/3").expect("sent");
        assert_eq!(receive(&mut stream).expect("the connection stays open").0, 503);
    }
}

#[test]
fn retries_end_when_the_last_server_is_taken_out() {
    let settings = "retries = 100\nredispatch = true\nconnect_timeout = \"200ms\"\n\
                    health_check = { http = \"/health\", interval = \"100ms\", fall = 1 }";
    let unplug = ["unplug = \"component:shop[1]\"", "unplug = \"component:shop[2]\""];
    let stack = start(&shop(settings, "workers = 4", WAIT, &unplug));
    stack.begin_fault(0).expect("unplugged");
    stack.begin_fault(1).expect("unplugged");
    assert_eq!(get(stack.entry("balancer")[0], "/item/3").expect("answered").0, 503);
    let retries = figure(&stack, "balancer", 1, "retries");
    assert!(retries < 99.5, "a server that is out was asked again and again");
}

#[test]
fn a_server_that_dies_over_a_request_makes_it_502() {
    let stack = start(&shop("", "workers = 4", &["wait = \"25s\""], &["kill = \"host:app[1]\""]));
    let mut stream = connect(stack.entry("balancer")[0]).expect("the proxy accepts");
    send(&mut stream, "/item/3").expect("sent");
    eventually("the request is worked on", || figure(&stack, "shop", 1, "in_service") > 0.5);
    stack.begin_fault(0).expect("killed");
    assert_eq!(receive(&mut stream).expect("answered").0, 502);
}

#[test]
fn a_silent_server_makes_it_504() {
    let stack = start(&shop("server_timeout = \"100ms\"", "workers = 4", &["wait = \"25s\""], &[]));
    assert_eq!(get(stack.entry("balancer")[0], "/item/3").expect("answered").0, 504);
}

#[test]
fn health_checks_take_a_failing_server_out_and_back_in() {
    let check = "health_check = { http = \"/health\", interval = \"100ms\", fall = 2, rise = 2 }";
    let stack = start(&shop(check, "workers = 4", WAIT, &["serve_500 = \"component:shop[1]\""]));
    let balancer = stack.entry("balancer")[0];
    stack.begin_fault(0).expect("it fails");
    assert_eq!(get(stack.entry("shop")[0], "/item/3").expect("answered").0, 500);
    // A machine that stands still for two intervals takes the other one out as well, for a moment.
    eventually("the well server answers alone", || {
        (0..4).all(|_| {
            let (status, body) = get(balancer, "/item/3").expect("answered");
            status == 200 && node(&body) == "shop[2]"
        })
    });
    stack.end_fault(0).expect("it is well");
    eventually("both servers are in", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
    eventually("the server answers again", || {
        let (status, body) = get(balancer, "/item/3").expect("answered");
        status == 200 && node(&body) == "shop[1]"
    });
}

#[test]
fn bodies_pass_through_and_nonsense_does_not() {
    let stack = start(&shop("", "workers = 4", WAIT, &[]));
    let balancer = stack.entry("balancer")[0];
    let mut stream = connect(balancer).expect("the proxy accepts");
    // The service reads a body away; if a byte of it were taken for a request, the next answer would not be 200.
    let chunked = "5\r\nhello\r\n0\r\n\r\n";
    let head = "GET /item/3 HTTP/1.1\r\nHost: test\r\n";
    for request in [
        format!("{head}Content-Length: 100000\r\n\r\n{}", "y".repeat(100_000)),
        format!("{head}Transfer-Encoding: chunked\r\n\r\n{chunked}"),
    ] {
        stream.write_all(request.as_bytes()).expect("sent");
        assert_eq!(receive(&mut stream).expect("answered").0, 200);
    }
    stream
        .write_all(format!("{head}Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n").as_bytes())
        .expect("sent");
    assert_eq!(receive(&mut stream).expect("answered").0, 400);
    assert_eq!(stream.read(&mut [0]).expect("closed in order"), 0);
}
