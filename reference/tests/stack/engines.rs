//! Real servers in the components' places: started from the scenario, filled, broken, asked for figures, and gone at the end.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use reference::client::Stack;
use rustix::process::{Pid, Signal, kill_process};
use scenarios::Scenario;
use scenarios::scenario::Engine;

use crate::lifetime::{descendants, holder, is_gone, parent_of};
use crate::room::{eventually, figure, get, start};

#[cfg(feature = "rabbitmq")]
mod rabbitmq;

/// How many directories are there for servers of the stack with this mark.
fn directories(mark: &str) -> usize {
    let all = std::fs::read_dir(std::env::temp_dir()).expect("a directory").flatten();
    all.filter(|entry| entry.file_name().to_string_lossy().starts_with(mark)).count()
}

/// Whether a program is on this machine; says so where it is not, and insists where it must be.
#[allow(clippy::print_stderr, reason = "a skipped test says so")]
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain([Path::new("/usr/sbin").to_owned()]);
    let found = places.into_iter().any(|place| place.join(program).is_file());
    let required = std::env::var("REHEARSAL_REQUIRE").unwrap_or_default();
    assert!(found || !required.split(',').any(|name| name == program), "{program} is required and absent");
    if !found {
        eprintln!("SKIPPED: there is no {program} here");
    }
    found
}

/// A balancer, two nodes, a cache before each, a store and a database, with these engines; `steps` are those of `GET /item/N`, which is
/// cached, and of `GET /page`, which is not. Every fault lasts until it is ended.
fn shop(engines: &[&str], balancer: &str, steps: &str, faults: &[&str]) -> Scenario {
    let faults: String = faults
        .iter()
        .map(|f| {
            let span = if f.starts_with("flush") || f.starts_with("deploy") { "" } else { "for = \"50s\"\n" };
            format!("[[faults]]\nat = \"1ms\"\n{span}{f}\n")
        })
        .collect();
    let text = format!(
        r#"
title = "A shop on real servers"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
count = 2
[hosts.data]
[hosts.db]
[components.balancer]
kind = "load-balancer"
host = "edge"
to = "cache"
health_check = {{ http = "/health", interval = "100ms", fall = 2, rise = 1 }}
connect_timeout = "500ms"
server_timeout = "20s"
{balancer}
[components.cache]
kind = "http-cache"
host = "app"
to = "shop@same-host"
memory = "16MiB"
grace = "0s"
[components.shop]
kind = "service"
host = "app"
workers = 4
[components.objects]
kind = "kv-store"
host = "data"
max_memory = "64MiB"
eviction = "volatile-lru"
[components.archive]
kind = "sql-store"
host = "db"
connections = 20
read = "1ms"
[keyspaces.items]
in = "objects"
keys = 1000
ttl = {{ base = "10m", jitter = "10%" }}
value = "200B"
prefill = 100
[keyspaces.carts]
in = "objects"
keys = 50
persistent = true
value = "100B"
[requests.item]
path = "/item/{{items}}"
cache = {{ ttl = "60s", tags = ["item:{{items}}", "items"] }}
steps = [{steps}]
[requests.page]
path = "/page"
steps = [{steps}]
[requests.change]
path = "/change/{{items}}"
steps = [{{ purge = {{ in = "cache", tags = ["others", "items"] }} }}]
[traffic.people]
to = "balancer"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ item = 1, page = 1, change = 1 }}
{faults}
"#
    );
    let mut scenario = Scenario::parse("engines.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let engines: Vec<_> = engines.iter().map(|text| Engine::choice(text).expect("a choice")).collect();
    scenario.choose_engines(&engines).unwrap_or_else(|problems| panic!("{problems}"));
    scenario
}

fn count(stack: &Stack, component: &str, name: &str) -> u64 {
    figure(stack, component, 1, name).round() as u64
}

fn is_up(stack: &Stack, component: &str) -> bool {
    figure(stack, component, 1, "up") > 0.5
}

/// The status of `GET /page`, which goes through everything.
fn page(stack: &Stack) -> u16 {
    get(stack.entry("balancer")[0], "/page").map_or(0, |(status, _)| status)
}

const CARTS: &str = "{ get = { keyspace = \"carts\" } }";

#[test]
fn a_real_redis_is_filled_flushed_killed_and_started_again() {
    if !is_there("redis-server") {
        return;
    }
    let steps = "{ get = { keyspace = \"carts\" } }, { set = { keyspace = \"items\" } }";
    let faults = ["flush = \"component:objects[1]\"", "kill = \"component:objects[1]\""];
    let stack = start(&shop(&["objects=redis"], "", steps, &faults));
    assert_eq!([count(&stack, "objects", "keys"), count(&stack, "objects", "keys_with_ttl")], [150, 100]);
    assert_eq!(page(&stack), 200);
    assert!(count(&stack, "objects", "hits") >= 1, "the cart was found");
    let looked_up = || ["hits", "misses"].map(|figure| count(&stack, "objects", figure));
    let before = looked_up();
    stack.begin_fault(0).expect("flushed");
    assert_eq!(looked_up(), before, "to be flushed is not to be asked");
    assert_eq!([count(&stack, "objects", "keys"), count(&stack, "objects", "keys_with_ttl")], [50, 0]);
    assert_eq!(page(&stack), 200);
    assert_eq!(count(&stack, "objects", "keys"), 51, "it takes keys as before");
    stack.begin_fault(1).expect("killed");
    assert!(!is_up(&stack, "objects"));
    assert_eq!(page(&stack), 500, "the store is gone");
    stack.end_fault(1).expect("started again");
    eventually("it answers", || page(&stack) == 200);
    assert_eq!(
        count(&stack, "objects", "keys"),
        51,
        "what is persistent is there again, and one that was written"
    );
}

#[test]
fn a_real_redis_that_hangs_or_is_unplugged_answers_nobody_until_it_goes_on() {
    if !is_there("redis-server") {
        return;
    }
    let faults = ["hang = \"component:objects[1]\"", "unplug = \"component:objects[1]\""];
    let stack = start(&shop(&["objects=redis"], "", CARTS, &faults));
    for fault in 0..faults.len() {
        assert_eq!(page(&stack), 200);
        stack.begin_fault(fault).expect("silent");
        assert!(!is_up(&stack, "objects"));
        let shop = stack.entry("balancer")[0];
        let waiting = std::thread::spawn(move || get(shop, "/page"));
        std::thread::sleep(std::time::Duration::from_millis(200));
        assert!(!waiting.is_finished(), "nobody answers it");
        stack.end_fault(fault).expect("it goes on");
        assert_eq!(waiting.join().expect("no panic").expect("answered").0, 200);
        assert!(is_up(&stack, "objects"));
    }
}

/// The command lines of what a process started, directly or not.
fn programs(parent: u32) -> Vec<String> {
    let line = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    descendants(parent).into_iter().map(line).collect()
}

#[test]
fn nothing_of_real_servers_stays_behind_however_the_stack_ends() {
    if !is_there("redis-server") || !is_there("varnishd") {
        return;
    }
    for is_sudden in [false, true] {
        let scenario =
            shop(&["objects=redis", "cache=varnish"], "", CARTS, &["hang = \"component:cache[1]\""]);
        let stack = start(&scenario);
        stack.begin_fault(0).expect("hung");
        let supervisor = parent_of(stack.listeners()[0].pid).expect("it lives");
        let family = descendants(supervisor);
        let lines = programs(supervisor);
        for program in ["redis-server", "varnishd"] {
            assert!(lines.iter().any(|line| line.contains(program)), "{program}: {lines:?}");
        }
        let mark = format!("rehearsal-{supervisor}-");
        assert_eq!(directories(&mark), 3, "a store and two caches");
        if is_sudden {
            let kill =
                Command::new("kill").args(["-KILL", &supervisor.to_string()]).status().expect("it runs");
            assert!(kill.success());
            for pid in &family {
                eventually("a descendant is gone", || is_gone(*pid));
            }
            drop(stack);
        } else {
            drop(stack);
            assert!(family.into_iter().all(is_gone), "all are gone before it ends");
        }
        eventually("the directories are gone", || directories(&mark) == 0);
    }
}

#[test]
fn a_holder_that_dies_while_its_stack_ends_leaves_no_directory() {
    if !is_there("redis-server") {
        return;
    }
    let scenario = shop(&["objects=redis"], "", CARTS, &[]);
    // The end takes some milliseconds, and he dies at any of them.
    for half in 0..12 {
        let (mut child, _lines, _directory) = holder(&scenario, &["--engine", "objects=redis"], "Ctrl-C");
        let supervisor = descendants(child.id())[0];
        let mark = format!("rehearsal-{supervisor}-");
        let before = directories(&mark);
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).expect("it lives");
        std::thread::sleep(Duration::from_micros(500 * half));
        // He may be gone by then.
        let _ = child.kill();
        child.wait().expect("reaped");
        eventually("the supervisor is gone", || is_gone(supervisor));
        let after = directories(&mark);
        assert_eq!((before, after), (1, 0), "a store's, {half} half milliseconds after its end began");
    }
}

#[test]
fn a_real_haproxy_takes_a_dead_node_out_and_counts_what_it_does() {
    if !is_there("haproxy") {
        return;
    }
    let faults = ["kill = \"host:app[1]\"", "kill = \"component:balancer[1]\""];
    let more = "balance = \"round-robin\"\ncookie = \"SERVERID\"\nretries = 3";
    let stack = start(&shop(&["balancer=haproxy"], more, CARTS, &faults));
    eventually("both nodes are well", || count(&stack, "balancer", "servers_up") == 2);
    for _ in 0..4 {
        assert_eq!(page(&stack), 200);
    }
    assert!(count(&stack, "balancer", "requests") >= 4);
    stack.begin_fault(0).expect("killed");
    assert_eq!(page(&stack), 200, "a connection that is refused goes to the other node");
    eventually("it is taken out", || count(&stack, "balancer", "servers_up") == 1);
    stack.end_fault(0).expect("started again");
    eventually("it is back", || count(&stack, "balancer", "servers_up") == 2);
    stack.begin_fault(1).expect("killed");
    assert_eq!(page(&stack), 0, "nobody listens");
    stack.end_fault(1).expect("started again");
    assert_eq!(page(&stack), 200);
}

#[test]
fn a_real_haproxy_sends_nothing_to_a_node_that_is_deployed() {
    if !is_there("haproxy") {
        return;
    }
    let deploy = "deploy = { component = \"shop\", drain = \"4s\", down = \"500ms\" }";
    let text = shop(&[], "", CARTS, &[deploy]).source.text.clone();
    // Directly behind it.
    let text = text.replacen("to = \"cache\"", "to = \"shop\"", 1);
    let mut scenario = Scenario::parse("engines.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    scenario.choose_engines(&[("balancer".to_owned(), "haproxy".to_owned())]).expect("it can be");
    let stack = start(&scenario);
    eventually("both nodes are well", || count(&stack, "balancer", "servers_up") == 2);
    stack.begin_fault(0).expect("it begins");
    eventually("one is drained", || count(&stack, "balancer", "servers_up") == 1);
    for _ in 0..20 {
        assert_eq!(page(&stack), 200);
    }
    stack.end_fault(0).expect("it ends");
    eventually("both are back", || count(&stack, "balancer", "servers_up") == 2);
}

#[test]
fn a_real_varnish_keeps_answers_until_they_are_thrown_out() {
    if !is_there("varnishd") {
        return;
    }
    let faults = ["flush = \"component:cache[1]\"", "kill = \"component:cache[1]\""];
    let stack = start(&shop(&["cache=varnish"], "", CARTS, &faults));
    let cache = stack.entry("cache")[0];
    let ask = |path: &str| get(cache, path).expect("answered").0;
    let misses = || count(&stack, "cache", "misses");
    // Health checks are the others that ask, and are never there.
    assert_eq!([ask("/item/7"), ask("/item/7"), ask("/item/7")], [200; 3]);
    eventually("one was fetched and two were there", || count(&stack, "cache", "hits") == 2 && misses() >= 1);
    assert_eq!(ask("/page"), 200);
    let before = misses();
    // The service throws it out by a tag, in both caches, and nobody waits for it.
    assert_eq!(get(stack.entry("shop")[1], "/change/7").expect("answered").0, 200);
    eventually("it was thrown out", || ask("/item/7") == 200 && misses() > before);
    let before = misses();
    stack.begin_fault(0).expect("flushed");
    assert_eq!(ask("/item/7"), 200);
    eventually("it is fetched again", || misses() > before);
    stack.begin_fault(1).expect("killed");
    assert!(get(cache, "/item/7").is_err());
    stack.end_fault(1).expect("started again");
    assert_eq!(ask("/item/7"), 200);
}

#[test]
fn who_waits_for_a_fetch_of_a_real_varnish_that_fails_gets_the_failure() {
    if !is_there("varnishd") {
        return;
    }
    let faults = ["hang = \"component:objects[1]\"", "kill = \"component:objects[1]\""];
    let stack = start(&shop(&["cache=varnish"], "", CARTS, &faults));
    let cache = stack.entry("cache")[0];
    let coalesced = || count(&stack, "cache", "coalesced");
    let before = coalesced();
    stack.begin_fault(0).expect("hung");
    let asks = [0; 2].map(|_| std::thread::spawn(move || get(cache, "/item/7").expect("answered").0));
    eventually("one waits for the other's fetch", || coalesced() > before);
    stack.begin_fault(1).expect("killed");
    assert_eq!(asks.map(|ask| ask.join().expect("no panic")), [500; 2]);
    eventually("the failure was there for who waited", || count(&stack, "cache", "hits") == 1);
}

#[test]
fn a_real_mariadb_executes_what_the_service_asks_and_keeps_its_rows() {
    if !is_there("mariadbd") {
        return;
    }
    let steps = "{ update = { in = \"archive\", keyspace = \"items\", rows = 3 } }, \
                 { select = { from = \"archive\", keyspace = \"items\", rows = 5 } }";
    let stack = start(&shop(&["archive=mariadb"], "", steps, &["kill = \"component:archive[1]\""]));
    for _ in 0..4 {
        assert_eq!(page(&stack), 200);
    }
    assert!(count(&stack, "archive", "statements") >= 8);
    stack.begin_fault(0).expect("killed");
    assert_eq!(page(&stack), 500, "the database is gone");
    stack.end_fault(0).expect("started again");
    eventually("it answers", || page(&stack) == 200);
}

#[test]
fn a_real_nginx_balances_and_caches() {
    if !is_there("nginx") {
        return;
    }
    let text = shop(&[], "", CARTS, &["kill = \"component:cache[1]\""]).source.text.clone();
    let check = text.lines().find(|line| line.starts_with("health_check")).expect("one line").to_owned();
    let text = text.replace(&check, "retries = 1");
    let purge = "steps = [{ purge = { in = \"cache\", tags = [\"others\", \"items\"] } }]";
    let text = text.replace(purge, "steps = [{ work = \"1ms\" }]");
    let mut scenario = Scenario::parse("engines.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let engines = ["balancer=nginx", "cache=nginx"].map(|text| Engine::choice(text).expect("a choice"));
    scenario.choose_engines(&engines).expect("they can be");
    let stack = start(&scenario);
    let asked = || figure(&stack, "shop", 1, "requests") + figure(&stack, "shop", 2, "requests");
    let before = asked();
    for _ in 0..6 {
        assert_eq!(get(stack.entry("balancer")[0], "/item/7").expect("answered").0, 200);
    }
    assert!(asked() - before < 2.5, "each cache fetched it once");
    assert!(count(&stack, "balancer", "requests") >= 6);
    stack.begin_fault(0).expect("killed");
    for _ in 0..4 {
        assert_eq!(page(&stack), 200, "the other takes all");
    }
}

#[test]
fn a_stack_of_real_servers_serves_from_the_balancer_to_the_database() {
    let programs = ["haproxy", "varnishd", "redis-server", "mariadbd"];
    if !programs.iter().all(|program| is_there(program)) {
        return;
    }
    let engines = ["balancer=haproxy", "cache=varnish", "objects=redis", "archive=mariadb"];
    let steps = "{ get = { keyspace = \"items\", on_miss = { from = \"archive\", fill = true } } }, \
                 { get = { keyspace = \"carts\" } }";
    let stack = start(&shop(&engines, "", steps, &[]));
    eventually("both nodes are well", || count(&stack, "balancer", "servers_up") == 2);
    for key in 0..40 {
        let (status, body) = get(stack.entry("balancer")[0], &format!("/item/{key}")).expect("answered");
        assert_eq!(status, 200, "{body}");
    }
    for component in ["balancer", "cache", "objects", "archive"] {
        assert!(is_up(&stack, component), "{component}");
    }
    // Their start alone takes many of the kernel's ticks.
    for component in ["cache", "archive"] {
        assert!(figure(&stack, component, 1, "cpu_seconds") > 0.0, "{component}");
    }
}
