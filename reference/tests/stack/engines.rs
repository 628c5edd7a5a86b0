//! Real servers in the components' places: started from the scenario, filled, broken, asked for figures, and gone at the end.

use std::path::Path;
use std::process::Command;

use reference::client::Stack;
use scenarios::Scenario;
use scenarios::scenario::Engine;

use crate::lifetime::{descendants, is_gone, parent_of};
use crate::room::{eventually, figure, get, start};

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
        let directories = || {
            let all = std::fs::read_dir(std::env::temp_dir()).expect("a directory").flatten();
            all.filter(|entry| entry.file_name().to_string_lossy().starts_with(&mark)).count()
        };
        assert_eq!(directories(), 3, "a store and two caches");
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
        eventually("the directories are gone", || directories() == 0);
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

#[cfg(feature = "rabbitmq")]
mod rabbitmq {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::lifetime::{ordinary_holder, user_of};

    /// A cache before a shop whose pages `GET /change` makes invalid by way of a queue: a consumer throws them out. What cannot be
    /// delivered goes to another RabbitMQ.
    fn news(faults: &[&str]) -> Scenario {
        let faults: String =
            faults.iter().map(|f| format!("[[faults]]\nat = \"1ms\"\nfor = \"50s\"\n{f}\n")).collect();
        let text = format!(
            r#"
title = "News that are thrown out by messages"
[run]
duration = "60s"
[hosts.edge]
[hosts.app]
[hosts.back]
[hosts.bus]
[hosts.lost]
[components.cache]
kind = "http-cache"
host = "edge"
to = "shop"
memory = "16MiB"
grace = "0s"
[components.shop]
kind = "service"
host = "app"
workers = 4
[components.invalidator]
kind = "service"
host = "back"
workers = 2
[components.mail]
kind = "queue"
host = "bus"
to = "invalidator"
class = "invalidate"
prefetch = 2
max_length = 100
overflow = "reject-publish"
dead_letters = "lost"
engine = "rabbitmq"
[components.lost]
kind = "queue"
host = "lost"
to = "shop"
class = "forget"
durable = false
engine = "rabbitmq"
[requests.page]
path = "/page"
cache = {{ ttl = "60s", tags = ["news"] }}
steps = [{{ work = "1ms" }}]
[requests.change]
path = "/change"
steps = [{{ publish = {{ to = "mail" }} }}]
[requests.invalidate]
path = "/invalidate"
steps = [{{ purge = {{ in = "cache", tags = ["news"] }} }}]
[requests.forget]
path = "/forget"
steps = [{{ work = "1ms" }}]
[traffic.people]
to = "cache"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 9, change = 1 }}
{faults}
"#
        );
        Scenario::parse("news.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The processes of this machine that were started for one of these directories.
    fn of_directories(mark: &str) -> Vec<String> {
        let all = std::fs::read_dir("/proc").expect("a /proc").flatten();
        let line = |entry: std::fs::DirEntry| {
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            let is_one = String::from_utf8_lossy(&environment).contains(mark);
            is_one.then(|| std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default())
        };
        all.filter_map(line).collect()
    }

    fn directories(mark: &str) -> usize {
        let all = std::fs::read_dir(std::env::temp_dir()).expect("a directory").flatten();
        all.filter(|entry| entry.file_name().to_string_lossy().starts_with(mark)).count()
    }

    fn mail(stack: &Stack, figure: &str) -> u64 {
        count(stack, "mail", figure)
    }

    #[test]
    fn a_real_rabbitmq_keeps_what_is_published_and_leaves_nothing_behind() {
        if !is_there("rabbitmq-server") {
            return;
        }
        let faults = ["kill = \"component:invalidator[1]\"", "kill = \"component:mail[1]\""];
        let stack = start(&news(&faults));
        let supervisor = parent_of(stack.listeners()[0].pid).expect("it lives");
        let mark = format!("rehearsal-{supervisor}-");
        let page = || get(stack.entry("cache")[0], "/page").expect("answered").0;
        let change = || get(stack.entry("shop")[0], "/change").expect("answered").0;
        let misses = || count(&stack, "cache", "misses");
        assert_eq!([page(), page()], [200; 2]);
        assert_eq!(misses(), 1, "it is kept");
        assert_eq!(change(), 200);
        eventually("it was delivered and is done with", || mail(&stack, "acknowledged") == 1);
        assert_eq!((page(), misses()), (200, 2), "it was thrown out");
        assert_eq!([mail(&stack, "published"), mail(&stack, "delivered")], [1, 1]);
        assert!(mail(&stack, "up") == 1 && figure(&stack, "mail", 1, "cpu_seconds") > 0.1);
        eventually("RabbitMQ says that it has one consumer and nothing to deliver", || {
            ["consumers", "messages_ready", "messages_unacknowledged"].map(|name| mail(&stack, name))
                == [1, 0, 0]
        });
        // The queue's process takes what its consumer may have in hand; the rest stays in RabbitMQ.
        stack.begin_fault(0).expect("killed");
        assert_eq!([(); 5].map(|()| change()), [200; 5]);
        eventually("RabbitMQ says so", || {
            ["messages_ready", "messages_unacknowledged", "waiting"].map(|name| mail(&stack, name))
                == [3, 2, 5]
        });
        stack.begin_fault(1).expect("killed");
        assert!(!is_up(&stack, "mail"));
        assert_ne!(change(), 200, "nobody takes it");
        // It takes seconds to start, and nobody's figures wait for it.
        let longest = std::thread::scope(|scope| {
            let mending = scope.spawn(|| stack.end_fault(1));
            let mut longest = Duration::ZERO;
            while !mending.is_finished() {
                let asked = Instant::now();
                assert!(stack.stats().is_ok_and(|all| all.len() == 5));
                longest = longest.max(asked.elapsed());
                std::thread::sleep(Duration::from_millis(20));
            }
            mending.join().expect("no panic").expect("started again");
            longest
        });
        assert!(longest < Duration::from_secs(2), "figures took {longest:?}");
        eventually("what is durable is there again", || mail(&stack, "waiting") == 5);
        stack.end_fault(0).expect("started again");
        eventually("all is done", || mail(&stack, "acknowledged") == 5);
        assert_eq!(directories(&mark), 2);
        let started = of_directories(&mark);
        for program in ["beam.smp", "epmd"] {
            let count = started.iter().filter(|name| name.trim() == program).count();
            assert_eq!(count, 2, "{program}, of its own for each: {started:?}");
        }
        let family = descendants(supervisor);
        drop(stack);
        assert!(family.into_iter().all(is_gone), "all are gone before it ends");
        assert_eq!((of_directories(&mark), directories(&mark)), (Vec::new(), 0));
    }

    #[test]
    fn a_real_rabbitmq_of_an_ordinary_user_is_his_alone_and_ends_with_a_holder_that_dies() {
        if !is_there("rabbitmq-server") {
            return;
        }
        let (mut child, lines, _directory) = ordinary_holder(&news(&[]));
        assert!(lines.iter().any(|line| line.contains("mail[1]")), "{lines:?}");
        let family = descendants(child.id());
        let is_beam = |pid: &&u32| {
            std::fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "beam.smp")
        };
        let beams: Vec<u32> = family.iter().filter(is_beam).copied().collect();
        assert!(beams.len() == 2 && beams.iter().all(|pid| user_of(*pid) != 0), "{beams:?}");
        let supervisor = family[0];
        let mark = format!("rehearsal-{supervisor}-");
        child.kill().expect("SIGKILL");
        child.wait().expect("reaped");
        for pid in family {
            eventually("a descendant is gone", || is_gone(pid));
        }
        eventually("the directories are gone", || directories(&mark) == 0);
        eventually("nothing else is left", || of_directories(&mark).is_empty());
    }
}
