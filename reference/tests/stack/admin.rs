//! The admin API, the logs, and how a stack ends what is under way.

use std::io::Write;
use std::net::TcpStream;
use std::process::Command;

use reference::client::Stack;
use scenarios::Scenario;
use serde_json::Value;

use crate::room::{connect, eventually, figure, get, receive, send, start};

pub(crate) fn shop(steps: &str) -> Scenario {
    let text = format!(
        r#"
title = "A shop that is looked after"
[run]
duration = "60s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
workers = 8
[requests.page]
path = "/page"
steps = [{steps}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
[[faults]]
at = "1ms"
for = "50s"
kill = "component:shop[1]"
[[faults]]
at = "1ms"
for = "50s"
hang = "component:shop[1]"
"#
    );
    Scenario::parse("admin.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// What the admin API answers to somebody with the token, or without.
fn administer(stack: &Stack, request: &str, with_token: bool) -> (u16, String) {
    let (address, token) = stack.admin();
    let mut stream = connect(address).expect("it listens");
    let token = if with_token { format!("Authorization: Bearer {token}\r\n") } else { String::new() };
    stream.write_all(format!("{request} HTTP/1.1\r\nHost: test\r\n{token}\r\n").as_bytes()).expect("sent");
    receive(&mut stream).expect("answered")
}

#[test]
fn figures_are_open_and_everything_else_is_for_who_shows_the_token() {
    let stack = start(&shop("{ wait = \"1ms\" }"));
    assert_eq!(get(stack.entry("shop")[0], "/page").expect("answered").0, 200);
    let (status, metrics) = administer(&stack, "GET /metrics", false);
    assert_eq!(status, 200);
    assert!(
        metrics.lines().any(|l| l == "rehearsal_requests{component=\"shop\",instance=\"1\"} 1"),
        "{metrics}"
    );
    for request in ["GET /state", "POST /faults/1/begin", "POST /switches/x?on=true", "GET /nothing"] {
        assert_eq!(administer(&stack, request, false).0, 401, "{request}");
    }
    let (status, state) = administer(&stack, "GET /state", true);
    let state: Value = serde_json::from_str(&state).expect("JSON");
    assert_eq!((status, state["instances"][0]["name"].as_str()), (200, Some("shop[1]")));
    for (request, status) in
        [("GET /nothing", 404), ("POST /faults/9/begin", 400), ("POST /instances/shop[7]/trouble", 400)]
    {
        assert_eq!(administer(&stack, request, true).0, status, "{request}");
    }
}

#[test]
fn an_instance_is_ailed_by_hand_and_a_fault_begun_and_ended() {
    let stack = start(&shop("{ wait = \"1ms\" }"));
    let shop = stack.entry("shop")[0];
    let status = || get(shop, "/page").map(|(status, _)| status).ok();
    assert_eq!(administer(&stack, "POST /instances/shop[1]/trouble?failing=true", true).0, 200);
    assert_eq!(status(), Some(500));
    assert_eq!(administer(&stack, "POST /instances/shop[1]/trouble?error_share=x", true).0, 400);
    assert_eq!(administer(&stack, "POST /instances/shop%5B1%5D/trouble", true).0, 200);
    assert_eq!(status(), Some(200));
    assert_eq!(administer(&stack, "POST /faults/1/begin", true).0, 200);
    assert_eq!(status(), None);
    assert_eq!(administer(&stack, "POST /faults/1/end", true).0, 200);
    assert_eq!(status(), Some(200));
}

#[test]
fn a_step_that_is_switched_off_is_left_out_also_after_a_death() {
    let stack = start(&shop("{ third_party = { latency = \"1ms\", error = \"100%\" } }, { wait = \"1ms\" }"));
    let status = || get(stack.entry("shop")[0], "/page").expect("answered").0;
    assert_eq!(status(), 500);
    let switched = administer(&stack, "POST /switches/requests.page.steps[1]?on=false", true);
    assert_eq!(switched.0, 200, "{}", switched.1);
    assert_eq!(status(), 200);
    stack.begin_fault(0).expect("killed");
    stack.end_fault(0).expect("restarted");
    assert_eq!(status(), 200);
    assert_eq!(administer(&stack, "POST /switches/requests.page.steps[1]?on=true", true).0, 200);
    assert_eq!(status(), 500);
    assert_eq!(administer(&stack, "POST /switches/requests.page.steps[9]?on=true", true).0, 400);
}

#[test]
fn what_is_done_to_a_service_while_it_hangs_is_so_when_it_goes_on() {
    let stack = start(&shop("{ third_party = { latency = \"1ms\", error = \"100%\" } }, { wait = \"1ms\" }"));
    let status = || get(stack.entry("shop")[0], "/page").expect("answered").0;
    assert_eq!(status(), 500);
    stack.begin_fault(1).expect("stopped");
    assert_eq!(administer(&stack, "POST /switches/requests.page.steps[1]?on=false", true).0, 200);
    stack.end_fault(1).expect("goes on");
    assert_eq!(status(), 200, "the step that fails is left out");
    stack.begin_fault(1).expect("stopped");
    assert_eq!(administer(&stack, "POST /instances/shop[1]/trouble?failing=true", true).0, 200);
    stack.end_fault(1).expect("goes on");
    assert_eq!(status(), 500, "it fails by hand");
}

#[test]
fn a_stack_that_is_stopped_ends_what_is_under_way() {
    // Shorter than a service is waited for at the end.
    let stack = start(&shop("{ wait = \"600ms\" }"));
    let sent = || {
        let mut stream = connect(stack.entry("shop")[0]).expect("accepted");
        send(&mut stream, "/page").expect("sent");
        stream
    };
    let mut stream = sent();
    eventually("one is worked on", || {
        // It may have been over before it was looked for, where this machine stood still.
        if is_answered(&stream) {
            stream = sent();
        }
        figure(&stack, "shop", 1, "in_service") > 0.5
    });
    stack.stop();
    assert_eq!(receive(&mut stream).expect("answered before the end").0, 200);
}

/// Whether an answer has come.
fn is_answered(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("a socket");
    let has_come = stream.peek(&mut [0]).is_ok();
    stream.set_nonblocking(false).expect("a socket");
    has_come
}

#[test]
fn who_connects_and_says_nothing_locks_nobody_out() {
    let stack = start(&shop("{ wait = \"1ms\" }"));
    let _silent: Vec<_> = (0..32).map(|_| connect(stack.admin().0).expect("accepted")).collect();
    assert_eq!(administer(&stack, "GET /state", true).0, 200);
}

#[test]
fn a_service_that_is_silent_keeps_no_other_from_leaving_a_step_out() {
    let text =
        shop("{ third_party = { latency = \"1ms\", error = \"100%\" } }, { wait = \"1ms\" }").source.text;
    let text = text.replace("[hosts.app]\n", "[hosts.app]\ncount = 2\n");
    let scenario = Scenario::parse("two.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    let pid = stack.listeners()[0].pid.to_string();
    let signal = |name: &str| Command::new("kill").args([name, &pid]).status().expect("kill runs").success();
    assert!(signal("-STOP"));
    let (status, told) = administer(&stack, "POST /switches/requests.page.steps[1]?on=false", true);
    assert!(signal("-CONT"));
    assert!(status == 400 && told.contains("shop[1]") && !told.contains("shop[2]"), "{told}");
    assert_eq!(get(stack.entry("shop")[1], "/page").expect("answered").0, 200, "the step is left out");
}
