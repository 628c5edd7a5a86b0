//! Sessions that a service's instances keep: known where they began, and lost elsewhere or after a death.

use std::io::Write;

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{connect, figure, receive_whole, start};

fn shop() -> Stack {
    let text = r#"
title = "A shop that knows its users"
[run]
duration = "60s"
[hosts.app]
count = 2
[components.shop]
kind = "service"
host = "app"
workers = 4
[requests.page]
path = "/page"
steps = [{ wait = "1ms" }]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { page = 1 }
session = { requests = 3, think = "1s", state = "instance" }
[[faults]]
at = "1ms"
for = "50s"
kill = "component:shop[1]"
"#;
    let scenario = Scenario::parse("sessions.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    start(&scenario)
}

/// What an instance says of cookies to a user with this one.
fn ask(stack: &Stack, instance: usize, id: u64, cookie: &str) -> Option<String> {
    let mut stream = connect(stack.entry("shop")[instance]).expect("accepted");
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let request =
        format!("GET /page HTTP/1.1\r\nHost: test\r\nX-Rehearsal-Request: {id:016x}\r\n{cookie}\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let head = receive_whole(&mut stream).expect("answered").0;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    head.lines().find_map(|line| line.strip_prefix("set-cookie: ").map(str::to_owned))
}

#[test]
fn a_session_is_known_where_it_began_and_lost_elsewhere_and_after_a_death() {
    let stack = shop();
    let begun = ask(&stack, 0, 1, "").expect("a session begins");
    assert!(!begun.contains("Rehearsal-Lost"), "{begun}");
    let cookie = begun.split(';').next().expect("a pair").to_owned();
    assert_eq!(ask(&stack, 0, 2, &cookie), None, "it is known");
    let lost = ask(&stack, 1, 3, &cookie).expect("another begins");
    assert!(lost.contains("Rehearsal-Lost") && !lost.contains(&cookie), "{lost}");
    stack.begin_fault(0).expect("killed");
    stack.end_fault(0).expect("restarted");
    assert!(ask(&stack, 0, 4, &cookie).is_some_and(|lost| lost.contains("Rehearsal-Lost")));
    for instance in [1, 2] {
        assert!((figure(&stack, "shop", instance, "lost_sessions") - 1.0).abs() < 0.5);
    }
}
