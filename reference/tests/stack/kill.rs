//! What a death under load costs where somebody else can do the work: what the dead one had in hand, and nothing after it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{DEATHS, connect, eventually, figure, get, receive, send, shop, start};

/// Clients, each of which has one request under way at most; together they send up to 2,000 a second.
const CLIENTS: u64 = 16;
const PACE: Duration = Duration::from_millis(8);
const BEFORE: Duration = Duration::from_millis(700);
const AFTER: Duration = Duration::from_millis(1200);

/// The requests of one client: when each was sent, and whether it was answered well.
fn client(front: SocketAddr, number: u64, over: &AtomicBool) -> Vec<(Instant, bool)> {
    let mut requests = Vec::new();
    let mut stream = connect(front).ok();
    let mut due = Instant::now() + PACE.mul_f64(number as f64 / CLIENTS as f64);
    while !over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = Instant::now().max(due + PACE);
        let sent = Instant::now();
        let answer = stream
            .as_mut()
            .ok_or(())
            .and_then(|stream| send(stream, "/item/1").and_then(|()| receive(stream)).map_err(drop));
        if answer.is_err() {
            stream = connect(front).ok();
        }
        requests.push((sent, answer.is_ok_and(|(status, _)| status == 200)));
    }
    requests
}

/// Kills a component's first instance under load and mends it, twice.
fn dies_under_load(scenario: &Scenario) {
    let stack = start(scenario);
    let front = stack.entry("balancer")[0];
    assert_eq!(get(front, "/item/1").expect("answered").0, 200);
    for _ in 0..2 {
        let costs_what_was_in_hand = (0..DEATHS).any(|_| {
            eventually("both are there", || figure(&stack, "balancer", 1, "servers_up") > 1.5);
            cost_of_a_death(&stack, front) <= CLIENTS
        });
        assert!(costs_what_was_in_hand, "each of {DEATHS} deaths cost more than {CLIENTS} requests");
    }
}

/// How many requests fail as the first instance is killed and mended.
fn cost_of_a_death(stack: &Stack, front: SocketAddr) -> u64 {
    let over = AtomicBool::new(false);
    let (mut requests, began, killed) = thread::scope(|scope| {
        let over = &over;
        let clients: Vec<_> =
            (0..CLIENTS).map(|number| scope.spawn(move || client(front, number, over))).collect();
        thread::sleep(BEFORE);
        let began = Instant::now();
        stack.begin_fault(0).expect("it is dead");
        let killed = Instant::now();
        thread::sleep(AFTER);
        stack.end_fault(0).expect("it is there again");
        thread::sleep(BEFORE);
        over.store(true, Ordering::Relaxed);
        let requests: Vec<_> =
            clients.into_iter().flat_map(|client| client.join().expect("no panic")).collect();
        (requests, began, killed)
    });
    requests.sort_unstable();
    let rate = requests.len() as f64 / (2 * BEFORE + AFTER).as_secs_f64();
    let failed: Vec<_> = requests.iter().filter(|(_, good)| !good).collect();
    let of_them = |when: &dyn Fn(Instant) -> bool| failed.iter().filter(|(sent, _)| when(*sent)).count();
    assert_eq!(of_them(&|sent| sent > killed), 0, "once it is dead, the others do its work");
    let in_hand = of_them(&|sent| sent < began) as u64;
    assert!(in_hand <= CLIENTS, "{in_hand} of {} were in hand, at {rate:.0}/s", requests.len());
    assert_eq!(of_them(&|sent| sent + Duration::from_secs(1) < began), 0, "nothing was wrong before");
    assert!(requests.len() > 500, "there was a load: {}", requests.len());
    failed.len() as u64
}

const RETRIES: &str =
    "retries = 3\nredispatch = true\nhealth_check = { http = \"/health\", interval = \"200ms\" }";

#[test]
fn a_service_that_dies_under_load_costs_what_it_had_in_hand() {
    let steps = ["wait = \"3ms\""];
    dies_under_load(&shop(RETRIES, "workers = 32", &steps, &["kill = \"component:shop[1]\""]));
}

#[test]
fn a_cache_that_dies_under_load_costs_what_it_had_in_hand() {
    let steps = ["wait = \"3ms\""];
    let text = shop(RETRIES, "workers = 32", &steps, &[]).source.text.clone();
    let text = text.replacen("to = \"shop\"", "to = \"cache\"", 1).replace(
        "[components.shop]",
        "[hosts.front]\ncount = 2\n[components.cache]\nkind = \"http-cache\"\nhost = \"front\"\nto = \"shop\"\n\
         memory = \"8MiB\"\n[components.shop]",
    );
    let text = text + "[[faults]]\nat = \"1ms\"\nfor = \"50s\"\nkill = \"component:cache[1]\"\n";
    dies_under_load(&Scenario::parse(Path::new("kill.toml"), text).unwrap_or_else(|p| panic!("{p}")));
}
