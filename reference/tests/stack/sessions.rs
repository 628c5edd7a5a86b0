//! Sessions: those that a service's instances keep are known where they began, and lost elsewhere or after a death; those with
//! records are known everywhere, and lost with their store.

use std::io::Write;
use std::net::TcpStream;

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{connect, eventually, figure, receive_whole, start};

/// A shop with two instances, a store and a database, whose sessions have this state.
fn shop(state: &str, faults: &[&str]) -> Stack {
    let faults: String = faults.iter().map(|fault| format!("[[faults]]\nat = \"1ms\"\n{fault}\n")).collect();
    let text = format!(
        r#"
title = "A shop that knows its users"
[run]
duration = "60s"
[hosts.app]
count = 2
[hosts.data]
[hosts.db]
[components.shop]
kind = "service"
host = "app"
workers = 4
[components.records]
kind = "kv-store"
host = "data"
[components.archive]
kind = "sql-store"
host = "db"
connections = 4
read = "100us"
write = "100us"
lock_wait = "100ms"
[keyspaces.visits]
in = "records"
keys = 1_000_000
ttl = "1h"
value = "500B"
[requests.page]
path = "/page"
steps = [{{ wait = "1ms" }}]
[requests.report]
path = "/report"
steps = [{{ wait = "25s" }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1, report = 1 }}
session = {{ requests = 3, think = "1s", state = {state} }}
{faults}
"#
    );
    let scenario = Scenario::parse("sessions.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    start(&scenario)
}

const KILL: &str = "for = \"50s\"\nkill = \"component:shop[1]\"";

/// Sends a request with this cookie to an instance.
fn send(stack: &Stack, instance: usize, path: &str, id: u64, cookie: &str) -> TcpStream {
    let mut stream = connect(stack.entry("shop")[instance]).expect("accepted");
    let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
    let request =
        format!("GET {path} HTTP/1.1\r\nHost: test\r\nX-Rehearsal-Request: {id:016x}\r\n{cookie}\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    stream
}

/// The cookie of a `Set-Cookie` field, as it is sent back.
fn pair(set_cookie: &str) -> String {
    set_cookie.split(';').next().expect("a pair").to_owned()
}

/// What an instance says of cookies to a user with this one.
fn ask(stack: &Stack, instance: usize, id: u64, cookie: &str) -> Option<String> {
    let head = receive_whole(&mut send(stack, instance, "/page", id, cookie)).expect("answered").0;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    head.lines().find_map(|line| line.strip_prefix("set-cookie: ").map(str::to_owned))
}

#[test]
fn a_session_is_known_where_it_began_and_lost_elsewhere_and_after_a_death() {
    let stack = shop("\"instance\"", &[KILL]);
    let begun = ask(&stack, 0, 1, "").expect("a session begins");
    assert!(!begun.contains("Rehearsal-Lost"), "{begun}");
    let cookie = pair(&begun);
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

#[test]
fn a_session_in_files_is_not_found_on_another_machine_and_outlives_its_process() {
    let stack = shop("\"files\"", &[KILL]);
    let cookie = pair(&ask(&stack, 0, 1, "").expect("a session begins"));
    assert_eq!(ask(&stack, 0, 2, &cookie), None, "it is known");
    let lost = ask(&stack, 1, 3, &cookie).expect("another begins");
    assert!(lost.contains("Rehearsal-Lost") && !lost.contains(&cookie), "{lost}");
    stack.begin_fault(0).expect("killed");
    stack.end_fault(0).expect("restarted");
    assert_eq!(ask(&stack, 0, 4, &cookie), None, "the process that was started again finds it");
    assert!(ask(&stack, 0, 5, &pair(&lost)).is_some_and(|lost| lost.contains("Rehearsal-Lost")));
    assert_eq!(figure(&stack, "shop", 1, "sessions"), 2.0);
    assert_eq!([1, 2].map(|instance| figure(&stack, "shop", instance, "lost_sessions")), [1.0, 1.0]);
}

#[test]
fn a_session_with_a_record_is_known_everywhere_and_lost_with_its_store() {
    let stack = shop("{ keyspace = \"visits\" }", &[KILL, "flush = \"component:records[1]\""]);
    let cookie = pair(&ask(&stack, 0, 1, "").expect("a session begins"));
    assert_eq!(ask(&stack, 1, 2, &cookie), None, "another instance knows it");
    stack.begin_fault(0).expect("killed");
    stack.end_fault(0).expect("restarted");
    assert_eq!(ask(&stack, 0, 3, &cookie), None, "it outlives the instance");
    stack.begin_fault(1).expect("flushed");
    let lost = ask(&stack, 0, 4, &cookie).expect("another begins");
    assert!(lost.contains("Rehearsal-Lost") && pair(&lost) != cookie, "{lost}");
    assert_eq!(ask(&stack, 1, 5, &pair(&lost)), None, "a loss counts once");
    assert_eq!(figure(&stack, "shop", 1, "lost_sessions"), 1.0);
    assert_eq!(figure(&stack, "records", 1, "keys"), 1.0);
}

#[test]
fn a_session_in_a_row_has_one_request_at_a_time() {
    let state = "{ in = \"archive\", keyspace = \"visits\" }";
    let stack = shop(state, &[KILL, "flush = \"component:records[1]\""]);
    let cookie = pair(&ask(&stack, 0, 1, "").expect("a session begins"));
    assert_eq!(ask(&stack, 1, 2, &cookie), None, "another instance knows it");
    stack.begin_fault(1).expect("flushed");
    assert_eq!(ask(&stack, 1, 3, &cookie), None, "it is not in that store");
    let statements = || figure(&stack, "archive", 1, "statements");
    let before = statements();
    // It has its row for 25 s.
    let _held = send(&stack, 0, "/report", 4, &cookie);
    eventually("the row is locked", || {
        statements() > before && figure(&stack, "archive", 1, "in_service") < 0.5
    });
    let head = receive_whole(&mut send(&stack, 1, "/page", 5, &cookie)).expect("answered").0;
    assert!(head.starts_with("HTTP/1.1 500"), "it waits for the row in vain: {head}");
    assert_eq!(figure(&stack, "archive", 1, "lock_timeouts"), 1.0);
    let other = pair(&ask(&stack, 1, 6, "").expect("a session begins"));
    assert_eq!(ask(&stack, 1, 7, &other), None, "others do not wait");
    // The transaction of whoever dies ends with the connection.
    stack.begin_fault(0).expect("killed");
    eventually("the row is free", || {
        let head = receive_whole(&mut send(&stack, 1, "/page", 8, &cookie)).expect("answered").0;
        head.starts_with("HTTP/1.1 200")
    });
    assert_eq!(figure(&stack, "shop", 2, "lost_sessions"), 0.0);
}
