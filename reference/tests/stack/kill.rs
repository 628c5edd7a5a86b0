//! What a death under load costs where somebody else can do the work: what the dead one had in hand, and nothing after it.
//!
//! Clients try again what they could not send. Each has one request under way at most, and where a request goes follows from its
//! client, so that what was in hand at the one that died is known: what its clients had sent before it was dead, and had no answer
//! to when its death began.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{DEATHS, connect, eventually, figure, get, receive, shop, start};

/// Clients, each of which has one request under way at most; together they send up to 2,000 a second.
const CLIENTS: usize = 16;
const PACE: Duration = Duration::from_millis(8);
const BEFORE: Duration = Duration::from_millis(700);
const AFTER: Duration = Duration::from_millis(1200);

/// A request of a client.
#[derive(Clone, Copy, Debug)]
struct Request {
    client: usize,
    sent: Instant,
    done: Instant,
    is_good: bool,
}

/// The server, from one, to which a client's cookie binds it where there is a choice.
fn server_of(client: usize) -> usize {
    1 + client % 2
}

/// A connection on which a request can be sent: nobody has closed it. Tries again until it is `over`.
fn usable(stream: Option<TcpStream>, front: SocketAddr, over: &AtomicBool) -> Option<TcpStream> {
    let is_open = |stream: &TcpStream| {
        let nothing = stream.set_nonblocking(true).and_then(|()| stream.peek(&mut [0]));
        stream.set_nonblocking(false).is_ok()
            && nothing.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    };
    let mut stream = stream.filter(is_open);
    while stream.is_none() && !over.load(Ordering::Relaxed) {
        stream = connect(front).ok();
        if stream.is_none() {
            thread::sleep(Duration::from_millis(2));
        }
    }
    stream
}

/// The requests of one client.
fn requests(front: SocketAddr, client: usize, over: &AtomicBool) -> Vec<Request> {
    let head = format!("GET /item/1 HTTP/1.1\r\nHost: test\r\nCookie: SRV=s{}\r\n\r\n", server_of(client));
    let (mut requests, mut stream) = (Vec::new(), None);
    let mut due = Instant::now() + PACE.mul_f64(client as f64 / CLIENTS as f64);
    while !over.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        due = Instant::now().max(due + PACE);
        let Some(mut open) = usable(stream.take(), front, over) else { break };
        let sent = Instant::now();
        let answer = open.write_all(head.as_bytes()).and_then(|()| receive(&mut open));
        let is_good = answer.as_ref().is_ok_and(|(status, _)| *status == 200);
        requests.push(Request { client, sent, done: Instant::now(), is_good });
        stream = answer.is_ok().then_some(open);
    }
    requests
}

/// Something of which there are two.
struct Pair<'a> {
    stack: &'a Stack,
    front: SocketAddr,
    /// Whether both are there.
    is_whole: &'a dyn Fn() -> bool,
    /// Whose requests are in the hand of the one that dies by the first or the second fault.
    is_at_risk: &'a dyn Fn(usize, usize) -> bool,
    /// Whether the other is to die the next time, as it has the work from now on.
    alternates: bool,
}

impl Pair<'_> {
    /// One of them dies under load and comes back, twice.
    fn dies_under_load(&self) {
        assert_eq!(get(self.front, "/item/1").expect("answered").0, 200);
        let mut deaths = 0;
        // Where checks choose among servers, a machine that stands still can have a request sent elsewhere than its cookie says.
        let tries = if self.alternates { 1 } else { DEATHS };
        for _ in 0..2 {
            let costs_what_was_in_hand = (0..tries).any(|_| {
                eventually("both are there", self.is_whole);
                let fault = if self.alternates { deaths % 2 } else { 0 };
                deaths += 1;
                self.dies(fault)
            });
            assert!(costs_what_was_in_hand, "each of {tries} deaths cost more than was in hand");
        }
    }

    /// Whether it costs nothing but what was in hand when one dies by this fault, and nothing at all when it is mended.
    #[allow(clippy::print_stdout, reason = "how many were lost at which rate is worth knowing")]
    fn dies(&self, fault: usize) -> bool {
        let (over, front) = (AtomicBool::new(false), self.front);
        let (requests, began, dead) = thread::scope(|scope| {
            let over = &over;
            let clients: Vec<_> =
                (0..CLIENTS).map(|client| scope.spawn(move || requests(front, client, over))).collect();
            thread::sleep(BEFORE);
            let began = Instant::now();
            self.stack.begin_fault(fault).expect("it is dead");
            let dead = Instant::now();
            thread::sleep(AFTER);
            self.stack.end_fault(fault).expect("it is there again");
            thread::sleep(BEFORE);
            over.store(true, Ordering::Relaxed);
            let all = clients.into_iter().flat_map(|client| client.join().expect("no panic"));
            (all.collect::<Vec<Request>>(), began, dead)
        });
        let failed: Vec<&Request> = requests.iter().filter(|request| !request.is_good).collect();
        let later = failed.iter().filter(|request| request.sent > dead).count();
        assert_eq!(later, 0, "once it is dead, the other does its work");
        assert!(requests.len() > 1_000, "there was a load: {}", requests.len());
        // The kernel closes a dying process's connections one by one, so that a client that was cut off may be cut off once more.
        let most = (0..CLIENTS).map(|client| failed.iter().filter(|r| r.client == client).count()).max();
        assert!(most <= Some(2), "{most:?} of one client failed");
        let was_in_hand = |request: &Request| {
            (self.is_at_risk)(fault, request.client) && request.done >= began && request.sent <= dead
        };
        let in_hand = requests.iter().filter(|request| was_in_hand(request)).count();
        let elsewhere = failed.iter().filter(|request| !was_in_hand(request)).count();
        let rate = requests.len() as f64 / (2 * BEFORE + AFTER).as_secs_f64();
        println!(
            "{} failed, {elsewhere} of them not in hand, of {in_hand} in hand, at {rate:.0}/s",
            failed.len()
        );
        elsewhere == 0 && failed.len() <= in_hand
    }
}

const RETRIES: &str = "cookie = \"SRV\"\nretries = 3\nredispatch = true\n\
                       health_check = { http = \"/health\", interval = \"200ms\" }";
/// Advertisements four times a second; who was away does not take the work back.
const VIP: &str = "vip = { advertise = \"250ms\", check = \"100ms\", preempt = false }";
/// What failed is tried again for three seconds.
const POLICY: &str =
    "policy = { retries = { times = 60, backoff = \"50ms\", factor = 1, jitter = \"none\" } }";

/// Kills of these, one after the other.
fn kills(targets: &[&str]) -> String {
    let kill = |target: &&str| format!("[[faults]]\nat = \"1ms\"\nfor = \"50s\"\nkill = \"{target}\"\n");
    targets.iter().map(kill).collect()
}

fn started(text: String) -> Stack {
    start(&Scenario::parse(Path::new("kill.toml"), text).unwrap_or_else(|problems| panic!("{problems}")))
}

/// Requests at the first of a balancer's servers are at risk.
fn a_server_dies(stack: &Stack) {
    let pair = Pair {
        stack,
        front: stack.entry("balancer")[0],
        is_whole: &|| figure(stack, "balancer", 1, "servers_up") > 1.5,
        is_at_risk: &|_, client| server_of(client) == 1,
        alternates: false,
    };
    pair.dies_under_load();
}

/// All requests are at risk at the one that has the work.
fn a_holder_dies(stack: &Stack, component: &str) {
    let pair = Pair {
        stack,
        front: stack.entry("balancer")[0],
        is_whole: &|| [1, 2].iter().all(|number| figure(stack, component, *number, "up") > 0.5),
        is_at_risk: &|_, _| true,
        alternates: true,
    };
    pair.dies_under_load();
}

#[test]
fn a_service_that_dies_under_load_costs_what_it_had_in_hand() {
    let steps = ["wait = \"3ms\""];
    let text = shop(RETRIES, "workers = 32", &steps, &[]).source.text;
    a_server_dies(&started(text + &kills(&["component:shop[1]"])));
}

#[test]
fn a_cache_that_dies_under_load_costs_what_it_had_in_hand() {
    let steps = ["wait = \"3ms\""];
    let text = shop(RETRIES, "workers = 32", &steps, &[]).source.text;
    let text = text.replacen("to = \"shop\"", "to = \"cache\"", 1).replace(
        "[components.shop]",
        "[hosts.front]\ncount = 2\n[components.cache]\nkind = \"http-cache\"\nhost = \"front\"\nto = \"shop\"\n\
         memory = \"8MiB\"\n[components.shop]",
    );
    a_server_dies(&started(text + &kills(&["component:cache[1]"])));
}

#[test]
fn a_balancer_that_dies_under_load_costs_what_it_had_in_hand() {
    let text = shop(VIP, "workers = 32", &["wait = \"3ms\""], &[]).source.text;
    let text = text.replace("[hosts.edge]", "[hosts.edge]\ncount = 2");
    a_holder_dies(&started(text + &kills(&["host:edge[1]", "host:edge[2]"])), "balancer");
}

#[test]
fn a_database_that_dies_under_load_costs_what_it_had_in_hand_at_most() {
    let step = format!("select = {{ from = \"archive\", keyspace = \"items\" }}\n{POLICY}");
    let text = shop("", "workers = 32", &[&step], &[]).source.text;
    let text = text.replace("[hosts.db]", "[hosts.db]\ncount = 2\ncores = 2");
    let text = text.replace("connections = 4", &format!("connections = 16\n{VIP}"));
    a_holder_dies(&started(text + &kills(&["host:db[1]", "host:db[2]"])), "archive");
}

/// Whether a store has a copy that follows it.
fn has_copy(store: SocketAddr) -> bool {
    let mut text = String::new();
    let told = connect(store).and_then(|mut stream| {
        stream.write_all(b"INFO replication\r\nQUIT\r\n")?;
        stream.read_to_string(&mut text)
    });
    told.is_ok() && text.contains("connected_slaves:1")
}

#[test]
fn a_store_with_a_copy_that_dies_under_load_costs_what_it_had_in_hand_at_most() {
    let step = format!("get = {{ keyspace = \"carts\" }}\n{POLICY}");
    let text = shop("", "workers = 32", &[&step], &[]).source.text;
    let copy =
        "eviction = \"volatile-lru\"\nreplicas = 1\nfailover = { detect = \"200ms\", switch = \"100ms\" }";
    let text = text.replace("eviction = \"volatile-lru\"", copy) + &kills(&["component:objects[1]"]);
    let stack = started(text);
    let pair = Pair {
        stack: &stack,
        front: stack.entry("balancer")[0],
        is_whole: &|| has_copy(stack.entry("objects")[0]),
        is_at_risk: &|_, _| true,
        alternates: false,
    };
    pair.dies_under_load();
}
