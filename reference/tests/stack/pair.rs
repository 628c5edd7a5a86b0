//! Instances that share an address: one holds it, another takes it over.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{BOUND, WAIT, connect, eventually, figure, get, receive, send, shop, start};
use crate::schedules::status;

/// Advertisements four times a second: a takeover comes after 0.75 s and a skew.
const FAST: &str = "vip = { advertise = \"250ms\", check = \"250ms\" }";
const TAKEOVER: Duration = Duration::from_millis(652);

/// A pair of balancers with these faults.
fn pair(vip: &str, faults: &[&str]) -> Stack {
    let text = shop(vip, "workers = 4", WAIT, &[]).source.text.clone();
    let text = text.replace("[hosts.edge]", "[hosts.edge]\ncount = 2");
    let faults = faults.iter().map(|f| format!("[[faults]]\nat = \"1ms\"\nfor = \"50s\"\n{f}\n"));
    let text = text + &faults.collect::<String>();
    start(&Scenario::parse(Path::new("pair.toml"), text).unwrap_or_else(|problems| panic!("{problems}")))
}

/// Where the pair is found.
fn address(stack: &Stack) -> SocketAddr {
    let [address] = stack.entry("balancer")[..] else { panic!("they share one address") };
    address
}

/// How many requests each has had since its start. One that has never answered has had none.
fn requests(stack: &Stack) -> [f64; 2] {
    let all = stack.stats().expect("the supervisor answers");
    [1, 2].map(|number| {
        let one = all.iter().find(|s| s.component == "balancer" && s.instance == number);
        one.and_then(|one| one.metrics.get("requests").copied()).unwrap_or(0.0)
    })
}

/// Breaks the first one and waits until requests are answered again; how long it took.
fn takes_over(stack: &Stack, fault: usize) -> Duration {
    let began = Instant::now();
    stack.begin_fault(fault).expect("it is broken");
    eventually("the other one answers", || status(address(stack), "/item/1") == Some(200));
    began.elapsed()
}

/// A connection to the holder over which it has answered.
fn in_use(stack: &Stack) -> TcpStream {
    let mut stream = connect(address(stack)).expect("accepted");
    send(&mut stream, "/item/1").expect("sent");
    assert_eq!(receive(&mut stream).expect("answered").0, 200);
    stream
}

/// Whether a connection was ended, rather than left in silence.
fn has_ended(stream: &mut TcpStream) -> bool {
    let answer = send(stream, "/item/1").and_then(|()| receive(stream));
    answer.is_err_and(|error| error.kind() != ErrorKind::WouldBlock)
}

#[test]
fn one_of_a_pair_has_all_requests() {
    let stack = pair("vip = {}", &[]);
    for _ in 0..5 {
        assert_eq!(get(address(&stack), "/item/1").expect("answered").0, 200);
    }
    assert_eq!(requests(&stack), [5.0, 0.0]);
}

#[test]
fn a_dead_machines_address_is_taken_over_after_three_advertisements_and_goes_back() {
    let stack = pair(FAST, &["kill = \"host:edge[1]\""]);
    let mut old = in_use(&stack);
    let took = takes_over(&stack, 0);
    // The last advertisement came up to an interval before.
    assert!(took >= TAKEOVER - Duration::from_millis(250), "{took:?}");
    assert!(has_ended(&mut old), "it ended with the old holder");
    assert!(requests(&stack)[1] > 0.5);
    let mut other = connect(address(&stack)).expect("accepted");
    stack.end_fault(0).expect("it is there again");
    eventually("the first has it again", || {
        status(address(&stack), "/item/1");
        requests(&stack)[0] > 0.5
    });
    assert!(has_ended(&mut other), "and nobody else");
    eventually("both are up", || [1, 2].iter().all(|n| figure(&stack, "balancer", *n, "up") > 0.5));
}

#[test]
fn a_dead_process_refuses_until_its_machine_gives_the_address_up() {
    let slow = "vip = { advertise = \"10s\", check = \"100ms\" }";
    let stack = pair(slow, &["kill = \"component:balancer[1]\""]);
    stack.begin_fault(0).expect("it is dead");
    let refused = TcpStream::connect_timeout(&address(&stack), BOUND).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let began = Instant::now();
    eventually("the other one answers", || status(address(&stack), "/item/1") == Some(200));
    // The skew is 6.1 s, three advertisements would be half a minute.
    assert!(began.elapsed() < Duration::from_secs(25), "{:?}", began.elapsed());
}

#[test]
fn a_hung_holder_loses_its_address_and_stays_passive_when_told_not_to_preempt() {
    let stack = pair(
        "vip = { advertise = \"250ms\", preempt = false }",
        &["hang = \"component:balancer[1]\"", "unplug = \"component:balancer[2]\""],
    );
    let mut old = in_use(&stack);
    let took = takes_over(&stack, 0);
    assert!(took >= TAKEOVER - Duration::from_millis(250), "{took:?}");
    assert!(has_ended(&mut old), "the hung one is dead");
    stack.end_fault(0).expect("it goes on");
    eventually("it is up", || figure(&stack, "balancer", 1, "up") > 0.5);
    std::thread::sleep(2 * TAKEOVER);
    assert_eq!(get(address(&stack), "/item/1").expect("answered").0, 200);
    assert!(requests(&stack)[0] < 0.5, "it is passive now");
    takes_over(&stack, 1);
    assert!(requests(&stack)[0] > 0.5);
    stack.end_fault(1).expect("its cable is in");
    assert_eq!(get(address(&stack), "/item/1").expect("answered").0, 200);
}

#[test]
fn a_holder_that_stands_still_without_a_fault_loses_its_address_and_is_started_again() {
    let stack = pair("vip = { advertise = \"250ms\", preempt = false }", &[]);
    assert_eq!(get(address(&stack), "/item/1").expect("answered").0, 200);
    let holder = stack.listeners().iter().find(|l| l.component == "balancer" && l.instance == 1);
    let pid = holder.expect("it is listed").pid.to_string();
    let stopped = Command::new("kill").args(["-STOP", &pid]).status().expect("kill runs");
    assert!(stopped.success());
    eventually("the other one answers", || status(address(&stack), "/item/1") == Some(200));
    assert!(requests(&stack)[1] > 0.5);
    eventually("the first is up again", || figure(&stack, "balancer", 1, "up") > 0.5);
}

/// A shop before a pair of databases with a fault.
fn databases(fault: &str) -> Stack {
    let steps = ["select = { from = \"archive\", keyspace = \"items\" }"];
    let text = shop("", "workers = 4", &steps, &[fault]).source.text.clone();
    let text = text.replace("[hosts.db]", "[hosts.db]\ncount = 2");
    let text = text.replace("connections = 4", &format!("connections = 4\n{FAST}"));
    start(&Scenario::parse(Path::new("pair.toml"), text).unwrap_or_else(|problems| panic!("{problems}")))
}

#[test]
fn a_database_behind_a_shared_address_is_taken_over() {
    let stack = databases("kill = \"host:db[1]\"");
    let shop = stack.entry("shop")[0];
    assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
    assert_eq!(figure(&stack, "archive", 2, "statements"), 0.0);
    stack.begin_fault(0).expect("the master is dead");
    assert_eq!(get(shop, "/item/1").expect("answered").0, 200, "it waits until somebody has the address");
    assert!(figure(&stack, "archive", 2, "statements") > 0.5);
}

#[test]
fn a_hung_database_loses_its_address_and_its_connections_end() {
    let stack = databases("hang = \"component:archive[1]\"");
    let [archive] = stack.entry("archive")[..] else { panic!("they share one address") };
    let shop = stack.entry("shop")[0];
    assert_eq!(get(shop, "/item/1").expect("answered").0, 200);
    let mut client = connect(archive).expect("accepted");
    let mut answer = [0; 7];
    client.write_all(b"PING\r\n").expect("sent");
    client.read_exact(&mut answer).expect("answered");
    stack.begin_fault(0).expect("it hangs");
    client.write_all(b"PING\r\n").expect("the kernel takes it");
    eventually("the other one answers", || status(shop, "/item/1") == Some(200));
    assert!(figure(&stack, "archive", 2, "statements") > 0.5);
    let end = client.read(&mut answer).expect_err("the hung one never read that");
    assert_eq!(end.kind(), ErrorKind::ConnectionReset);
}
