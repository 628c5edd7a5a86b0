//! Random schedules of faults: whatever breaks, overlapping and at a fast pace, the stack serves again when all is mended,
//! and leaves no process behind.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use reference::client::Stack;
use scenarios::Scenario;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::FaultKind;
use scenarios::units::Seed;

use crate::lifetime::{descendants, is_gone, parent_of};
use crate::room::{receive, send, start};

const SCHEDULES: u64 = 24;
/// How many are played at a time.
const AT_A_TIME: usize = 4;
/// Everything must serve so long after the last mend. Health checks and reconnections take about a second of it.
const RECOVERY: Duration = Duration::from_secs(15);
/// How long a client of the schedules waits for an answer.
const PATIENCE: Duration = Duration::from_millis(400);

/// A pair of balancers before two caches and two services, or one before three services; and a store with a copy.
pub(crate) fn stack(cached: bool, faults: &str) -> Scenario {
    parse(text(cached) + faults)
}

fn parse(text: String) -> Scenario {
    Scenario::parse(Path::new("schedule.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The same, whose orders change a row of a pair of databases and then send a message to a queue, which the services consume.
fn text_with_data(cached: bool) -> String {
    let data = r#"
[hosts.db]
count = 2
[hosts.bus]
[components.archive]
kind = "sql-store"
host = "db"
connections = 16
read = "200us"
vip = { advertise = "200ms", check = "100ms" }
[components.mail]
kind = "queue"
host = "bus"
to = "shop"
class = "letter"
[requests.letter]
path = "/letter"
steps = [{ wait = "1ms" }]
[requests.order]
path = "/order/{carts}"
response = "500B"
[[requests.order.steps]]
update = { in = "archive", keyspace = "carts" }
[[requests.order.steps]]
publish = { to = "mail" }
[keyspaces.carts]"#;
    let text = text(cached);
    let more = text.replace("[keyspaces.carts]", data);
    let more = more.replace("mix = { page = 1, cart = 1 }", "mix = { page = 1, cart = 1, order = 1 }");
    assert!(more.contains("components.archive") && more.contains("order = 1"));
    more
}

fn text(cached: bool) -> String {
    let (to, services) = if cached { ("cache", 2) } else { ("shop", 3) };
    let cache = if cached {
        "[hosts.front]\ncount = 2\n[components.cache]\nkind = \"http-cache\"\nhost = \"front\"\nto = \"shop\"\n\
         memory = \"8MiB\"\nconnect_timeout = \"200ms\"\nfirst_byte_timeout = \"300ms\"\n"
    } else {
        ""
    };
    let (pair, vip) =
        if cached { ("count = 2", "vip = { advertise = \"200ms\", check = \"100ms\" }") } else { ("", "") };
    format!(
        r#"
title = "A schedule of faults"
[run]
duration = "60s"
[hosts.edge]
{pair}
[hosts.app]
count = {services}
[hosts.data]
{cache}
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "{to}"
{vip}
retries = 2
redispatch = true
connect_timeout = "200ms"
server_timeout = "300ms"
health_check = {{ http = "/health", interval = "100ms", timeout = "100ms" }}
[components.shop]
kind = "service"
host = "app"
workers = 8
[components.objects]
kind = "kv-store"
host = "data"
max_memory = "1MiB"
eviction = "volatile-lru"
replicas = 1
replication_lag = "20ms"
failover = {{ detect = "100ms", switch = "50ms" }}
[keyspaces.carts]
in = "objects"
keys = 50
persistent = true
value = "100B"
[requests.page]
path = "/page/{{carts}}"
response = "500B"
cache = {{ ttl = "1s" }}
[[requests.page.steps]]
get = {{ keyspace = "carts" }}
[requests.cart]
path = "/cart/{{carts}}"
response = "500B"
[[requests.cart.steps]]
get = {{ keyspace = "carts" }}
[[requests.cart.steps]]
set = {{ keyspace = "carts" }}
[traffic.shoppers]
to = "balancer"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1, cart = 1 }}
"#
    )
}

/// Three to seven faults that begin within a second and last up to half of one; a deployment among them at times.
fn schedule(seed: u64) -> Scenario {
    let mut random = Stream::new(Seed(seed), Purpose::named("fault-schedule"), 0);
    let cached = seed.is_multiple_of(2);
    let (servers, services) = if cached { ("cache", 2) } else { ("shop", 3) };
    let mut faults = String::new();
    for _ in 0..3 + random.below(5) {
        let number = 1 + random.below(services);
        let http = match random.below(4) {
            0 => "component:balancer[1]".to_owned(),
            1 => format!("component:{servers}[{number}]"),
            2 => format!("component:shop[{number}]"),
            _ => format!("host:app[{number}]"),
        };
        let any = if random.below(3) == 0 { "component:objects[1]".to_owned() } else { http.clone() };
        let held =
            if cached { format!("component:cache[{number}]") } else { "component:objects[1]".to_owned() };
        let places = ["clients", "edge", if cached { "front" } else { "app" }, "app", "data"];
        let first = random.below(4) as usize;
        let way = format!("\"{}\", \"{}\"", places[first], places[first + 1]);
        let what = match random.below(15) {
            0..=2 => format!("kill = \"{any}\""),
            3..=4 => format!("hang = \"{any}\""),
            5..=6 => format!("unplug = \"{any}\""),
            7 => format!("serve_500 = \"{http}\""),
            8 => "slow = { target = \"component:objects[1]\", times = 1000 }".to_owned(),
            9 => format!("error_rate = {{ target = \"{http}\", share = \"50%\" }}"),
            10 => format!("cpu_steal = {{ target = \"host:app[{number}]\", share = \"90%\" }}"),
            11 => format!("partition = [{way}]"),
            12 => format!("delay = {{ between = [{way}], added = \"20ms\" }}"),
            13 => format!("loss = {{ between = [{way}], share = \"10%\" }}"),
            _ => format!("flush = \"{held}\""),
        };
        let length =
            if what.starts_with("flush") { String::new() } else { span("for", 50 + random.below(450)) };
        write!(faults, "[[faults]]\n{}{length}{what}\n", span("at", 100 + random.below(900)))
            .expect("writing to a string cannot fail");
    }
    if random.below(3) == 0 {
        faults += "[[faults]]\nat = \"300ms\"\ndeploy = { component = \"shop\", drain = \"100ms\", down = \"100ms\", \
                   warm_up = \"100ms\", slower = 5 }\n";
    }
    if seed % 4 > 1 {
        return stack(cached, &faults);
    }
    parse(text_with_data(cached) + &faults + &data_faults(seed))
}

/// One to three faults more, of databases and the queue. Of each kind there is one by the eighth such seed.
fn data_faults(seed: u64) -> String {
    let mut random = Stream::new(Seed(seed), Purpose::named("fault-schedule-data"), 0);
    let first = seed / 4 * 2 + seed % 4;
    let mut faults = String::new();
    for turn in first..first + 1 + random.below(3) {
        let number = 1 + random.below(2);
        let database = format!("component:archive[{number}]");
        let any = match random.below(3) {
            0 => "component:mail[1]".to_owned(),
            1 => database.clone(),
            _ => format!("host:db[{number}]"),
        };
        let what = match turn % 8 {
            0 => format!("kill = \"{any}\""),
            1 => format!("disk_full = \"{database}\""),
            2 => format!("hang = \"{any}\""),
            3 => "disk_full = \"component:mail[1]\"".to_owned(),
            4 => format!("unplug = \"{any}\""),
            5 => format!("kill = \"{database}\""),
            6 => "kill = \"component:mail[1]\"".to_owned(),
            _ => format!("slow = {{ target = \"{database}\", times = 100 }}"),
        };
        let (at, length) = (span("at", 100 + random.below(900)), span("for", 50 + random.below(450)));
        write!(faults, "[[faults]]\n{at}{length}{what}\n").expect("writing to a string cannot fail");
    }
    faults
}

/// Whether a stack has a pair of databases and a queue.
fn has_data(running: &Stack) -> bool {
    running.listeners().iter().any(|listener| listener.component == "mail")
}

fn span(key: &str, milliseconds: u64) -> String {
    format!("{key} = \"{milliseconds}ms\"\n")
}

/// Starts it, breaks what the schedule breaks and mends it again, except for the fault `unmended`, under a light load. What is
/// wrong at the end, if anything.
fn play(scenario: &Scenario, unmended: Option<usize>, recovery: Duration) -> Result<(), String> {
    let running = start(scenario);
    let supervisor = parent_of(running.listeners()[0].pid).ok_or("there is no supervisor")?;
    let mut family: BTreeSet<u32> = descendants(supervisor).into_iter().chain([supervisor]).collect();
    let over = AtomicBool::new(false);
    let good = AtomicU32::new(0);
    let played = thread::scope(|scope| {
        let paths = ["/page/1", "/cart/2"].into_iter().chain(has_data(&running).then_some("/order/3"));
        let clients: Vec<_> = paths
            .map(|path| scope.spawn(|| load(running.entry("balancer")[0], path, &over, &good)))
            .collect();
        let orders = give_orders(&running, scenario, unmended);
        let recovered = orders.and_then(|()| recover(&running, recovery));
        over.store(true, Ordering::Relaxed);
        let answers =
            clients.into_iter().try_for_each(|client| client.join().expect("a client does not panic"));
        recovered.and(answers)
    });
    // Some of them were started again meanwhile.
    family.extend(descendants(supervisor));
    drop(running);
    played?;
    match family.into_iter().find(|pid| !is_gone(*pid)) {
        Some(pid) => Err(format!("process {pid} is left")),
        None if good.load(Ordering::Relaxed) == 0 => {
            Err("no request was answered well at any time".to_owned())
        }
        None => Ok(()),
    }
}

/// Carries out the schedule at its times.
fn give_orders(running: &Stack, scenario: &Scenario, unmended: Option<usize>) -> Result<(), String> {
    let faults = scenario.faults.iter().enumerate();
    let mut orders: Vec<_> = faults
        .flat_map(|(index, fault)| [(fault.from, false, index), (fault.until, true, index)])
        .filter(|(_, ends, index)| !ends || Some(*index) != unmended)
        .collect();
    orders.sort_unstable();
    let began = Instant::now();
    for (at, ends, index) in orders {
        thread::sleep(Duration::from_nanos(at.as_nanos()).saturating_sub(began.elapsed()));
        let order = if ends { running.end_fault(index) } else { running.begin_fault(index) };
        let verb = if ends { "end" } else { "begin" };
        order.map_err(|error| format!("{} does not {verb}: {error}", scenario.faults[index].name))?;
    }
    Ok(())
}

/// One request at a time. Whatever is broken, an answer is one that such a stack gives.
fn load(front: SocketAddr, path: &str, over: &AtomicBool, good: &AtomicU32) -> Result<(), String> {
    while !over.load(Ordering::Relaxed) {
        match status(front, path) {
            Some(200) => _ = good.fetch_add(1, Ordering::Relaxed),
            Some(500 | 502 | 503 | 504) | None => {}
            Some(other) => return Err(format!("{path} was answered by {other}")),
        }
        thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The status of an answer that comes in time.
pub(crate) fn status(address: SocketAddr, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    send(&mut stream, path).ok()?;
    receive(&mut stream).ok().map(|(status, _)| status)
}

/// Waits until every server answers well, the front among them, and all instances are up.
fn recover(running: &Stack, bound: Duration) -> Result<(), String> {
    let began = Instant::now();
    let mut missing = Vec::new();
    while began.elapsed() < bound {
        missing = broken(running)?;
        if missing.is_empty() {
            return Ok(());
        }
        thread::sleep(Duration::from_millis(20));
    }
    Err(format!("{bound:?} after the last mend these do not serve: {missing:?}"))
}

/// What does not serve.
fn broken(running: &Stack) -> Result<Vec<String>, String> {
    let mut missing = Vec::new();
    let paths = ["/page/7", "/cart/8"].into_iter().chain(has_data(running).then_some("/order/9"));
    let speaks_http = |component: &str| ["balancer", "cache", "shop"].contains(&component);
    for listener in running.listeners().iter().filter(|listener| speaks_http(&listener.component)) {
        for path in paths.clone() {
            let status = status(listener.address, path);
            if status != Some(200) {
                missing.push(format!("{}[{}] {path}: {status:?}", listener.component, listener.instance));
            }
        }
    }
    let stats = running.stats().map_err(|error| error.to_string())?;
    let down = stats.iter().filter(|one| one.metrics["up"] < 0.5);
    missing.extend(down.map(|one| format!("{}[{}] is not up", one.component, one.instance)));
    // Since its latest start.
    let mail = stats.iter().find(|one| one.component == "mail");
    if mail.is_some_and(|one| one.metrics.get("acknowledged").is_none_or(|count| *count < 0.5)) {
        missing.push("no message of mail was worked on".to_owned());
    }
    Ok(missing)
}

#[test]
fn after_any_schedule_of_faults_the_stack_serves_and_leaves_no_process() {
    let next = AtomicU64::new(0);
    let problems = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= SCHEDULES {
                        return;
                    }
                    let scenario = schedule(seed);
                    if let Err(problem) = play(&scenario, None, RECOVERY) {
                        let faults =
                            scenario.source.text.split_once("[[faults]]").map_or("", |(_, faults)| faults);
                        let report = format!("seed {seed}: {problem}\n[[faults]]{faults}");
                        problems.lock().expect("no holder panics").push(report);
                    }
                }
            });
        }
    });
    let problems = problems.into_inner().expect("no holder panics");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn the_schedules_break_databases_and_queues_and_fill_their_disks() {
    let faults: Vec<_> = (0..SCHEDULES).flat_map(|seed| schedule(seed).faults).collect();
    for name in ["archive", "mail"] {
        for kind in [FaultKind::Kill, FaultKind::DiskFull] {
            let is_there = faults.iter().any(|fault| fault.kind == kind && fault.name.contains(name));
            assert!(is_there, "{kind:?} of {name}");
        }
    }
}

#[test]
fn a_schedule_whose_mend_is_left_out_is_noticed() {
    // A store is replaced by its copy, and a database by its fellow, so that no answer is missing where one stays broken.
    let is_behind =
        |name: &str| ["objects", "archive", "mail", "host:db"].iter().any(|part| name.contains(part));
    let first_with = |kind: FaultKind| {
        let found = (0..SCHEDULES).find_map(|seed| {
            let scenario = schedule(seed);
            let mut faults = scenario.faults.iter();
            let place = faults.position(|fault| fault.kind == kind && !is_behind(&fault.name))?;
            Some((scenario, place))
        });
        found.expect("the schedules have all kinds of faults")
    };
    thread::scope(|scope| {
        for kind in [FaultKind::Kill, FaultKind::Hang, FaultKind::Unplug, FaultKind::Serve500] {
            let (scenario, place) = first_with(kind);
            scope.spawn(move || {
                let problem = play(&scenario, Some(place), Duration::from_secs(2)).err();
                assert!(problem.is_some_and(|p| p.contains("do not serve")), "{kind:?} was not noticed");
            });
        }
    });
}
