//! Messages between services: kept, delivered at least once, and thrown away when there are too many.

use std::time::Instant;

use reference::client::Stack;
use scenarios::Scenario;

use crate::room::{BOUND, eventually, figure, get, start};

/// A shop that publishes for `GET /page`; two workers of `letters` take `steps` for each message.
fn post(queue: &str, steps: &str, faults: &[&str]) -> Stack {
    let faults: String =
        faults.iter().map(|f| format!("[[faults]]\nat = \"1ms\"\nfor = \"50s\"\n{f}\n")).collect();
    let text = format!(
        r#"
title = "A shop that sends letters"
[run]
duration = "60s"
[hosts.front]
[hosts.back]
count = 2
[hosts.bus]
[components.shop]
kind = "service"
host = "front"
workers = 8
[components.letters]
kind = "service"
host = "back"
workers = 4
[components.mail]
kind = "queue"
host = "bus"
to = "letters"
class = "letter"
{queue}
[components.lost]
kind = "queue"
host = "bus"
to = "shop"
class = "lost"
[requests.page]
path = "/page"
steps = [{{ publish = {{ to = "mail" }} }}]
[requests.letter]
path = "/letter"
steps = [{steps}]
[requests.lost]
path = "/lost"
steps = [{{ wait = "30s" }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
{faults}
"#
    );
    let scenario = Scenario::parse("post.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let stack = start(&scenario);
    eventually("both consumers are there", || count(&stack, "connections") == 2);
    stack
}

fn publish(stack: &Stack, count: usize) -> usize {
    let good = |_: &usize| get(stack.entry("shop")[0], "/page").expect("answered").0 == 200;
    (0..count).filter(good).count()
}

fn count(stack: &Stack, name: &str) -> u64 {
    figure(stack, "mail", 1, name).round() as u64
}

#[test]
fn a_publisher_does_not_wait_for_consumers_and_each_of_them_has_its_turn() {
    let stack = post("", "{ work = \"20ms\" }", &[]);
    assert_eq!(publish(&stack, 20), 20);
    eventually("all are acknowledged", || count(&stack, "acknowledged") == 20);
    for instance in [1, 2] {
        let worked = figure(&stack, "letters", instance, "busy_core_seconds");
        assert!((0.1..0.3).contains(&worked), "10 times 20 ms at {instance}: {worked} s");
    }
    assert_eq!(
        [count(&stack, "published"), count(&stack, "waiting"), count(&stack, "redelivered")],
        [20, 0, 0]
    );
}

#[test]
fn what_a_dead_consumer_had_in_hand_is_delivered_to_another() {
    let stack = post("prefetch = 3", "{ wait = \"4s\" }", &["kill = \"component:letters[1]\""]);
    assert_eq!(publish(&stack, 6), 6);
    eventually("both have all that they may have", || count(&stack, "in_service") == 6);
    stack.begin_fault(0).expect("killed");
    eventually("all are acknowledged", || count(&stack, "acknowledged") == 6);
    assert_eq!(count(&stack, "redelivered"), 3);
}

#[test]
fn messages_outlive_a_durable_queue_and_no_other() {
    for (queue, kept) in [("durable = true", 5), ("durable = false", 0)] {
        let faults = ["kill = \"component:letters[*]\"", "kill = \"component:mail[1]\""];
        let stack = post(queue, "{ work = \"1ms\" }", &faults);
        stack.begin_fault(0).expect("killed");
        assert_eq!(publish(&stack, 5), 5, "nobody is there, and the queue has them");
        stack.begin_fault(1).expect("killed");
        assert_eq!(publish(&stack, 1), 0, "nobody confirms");
        stack.end_fault(1).expect("restarted");
        assert_eq!(count(&stack, "waiting"), kept);
        stack.end_fault(0).expect("restarted");
        eventually("all are acknowledged", || count(&stack, "acknowledged") == kept);
    }
}

#[test]
fn what_fails_so_often_goes_to_the_dead_letters_and_a_full_queue_refuses() {
    let broken = "{ third_party = { latency = \"1ms\", error = \"100%\" } }";
    let stack = post("deliveries = 3\ndead_letters = \"lost\"", broken, &[]);
    assert_eq!(publish(&stack, 4), 4);
    eventually("all are dead", || count(&stack, "dead_lettered") == 4);
    assert_eq!([count(&stack, "redelivered"), count(&stack, "acknowledged")], [8, 0]);
    eventually("they are in the other queue", || figure(&stack, "lost", 1, "in_service") > 3.5);
    let faults = ["kill = \"component:letters[*]\""];
    let stack = post("max_length = 2\noverflow = \"reject-publish\"", broken, &faults);
    stack.begin_fault(0).expect("killed");
    assert_eq!(publish(&stack, 5), 2);
    assert_eq!([count(&stack, "dropped"), count(&stack, "waiting")], [3, 2]);
}

#[test]
fn a_consumer_that_is_silent_for_too_long_loses_what_it_has() {
    let stack = post(
        "prefetch = 1\nheartbeat = \"900ms\"",
        "{ wait = \"400ms\" }",
        &["hang = \"component:letters[1]\""],
    );
    stack.begin_fault(0).expect("hung");
    let start = Instant::now();
    assert_eq!(publish(&stack, 4), 4);
    eventually("the other has done all", || count(&stack, "acknowledged") == 4);
    assert!(start.elapsed() < BOUND && count(&stack, "redelivered") == 1);
}

#[test]
fn publishers_wait_while_the_disk_is_full() {
    let stack = post("", "{ work = \"1ms\" }", &["disk_full = \"component:mail[1]\""]);
    stack.begin_fault(0).expect("full");
    let shop = stack.entry("shop")[0];
    let publisher = std::thread::spawn(move || get(shop, "/page"));
    std::thread::sleep(std::time::Duration::from_millis(300));
    assert!(!publisher.is_finished());
    stack.end_fault(0).expect("there is room again");
    assert_eq!(publisher.join().expect("no panic").expect("answered").0, 200);
}

/// A cache before a shop whose pages `GET /change` makes invalid by way of a queue: a consumer throws them out. `cache` and `mail`
/// are further lines of the cache and of the queue; `rest` and the faults stand at the end of the file.
pub(crate) fn news(cache: &str, mail: &str, rest: &str, faults: &[&str]) -> Scenario {
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
[components.cache]
kind = "http-cache"
host = "edge"
to = "shop"
memory = "16MiB"
{cache}
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
{mail}
[requests.page]
path = "/page"
cache = {{ ttl = "60s", tags = ["news"] }}
steps = [{{ wait = "1ms" }}]
[requests.change]
path = "/change"
steps = [{{ publish = {{ to = "mail" }} }}]
[requests.invalidate]
path = "/invalidate"
steps = [{{ purge = {{ in = "cache", tags = ["news"] }} }}]
[traffic.people]
to = "cache"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 9, change = 1 }}
{rest}
{faults}
"#
    );
    Scenario::parse("news.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn what_a_cache_does_not_answer_is_thrown_out_by_a_later_delivery() {
    let stack = start(&news("", "", "", &["hang = \"component:cache[1]\""]));
    let page = || get(stack.entry("cache")[0], "/page").expect("answered").0;
    let change = || get(stack.entry("shop")[0], "/change").expect("answered").0;
    let misses = || figure(&stack, "cache", 1, "misses").round() as u64;
    assert_eq!(([page(), page()], misses()), ([200; 2], 1));
    assert_eq!(change(), 200);
    eventually("it is acknowledged", || count(&stack, "acknowledged") == 1);
    assert_eq!((page(), misses()), (200, 2), "it was thrown out");
    stack.begin_fault(0).expect("it hangs");
    assert_eq!(change(), 200, "nobody waits for the cache");
    eventually("it is delivered again", || count(&stack, "redelivered") > 0);
    assert_eq!(count(&stack, "acknowledged"), 1);
    stack.end_fault(0).expect("it goes on");
    eventually("it is acknowledged", || count(&stack, "acknowledged") == 2);
    assert_eq!((page(), misses()), (200, 3), "it was thrown out at last");
}

#[cfg(feature = "rabbitmq")]
mod rabbitmq {
    use std::net::TcpListener;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// The server itself: what stands in the path may want to be another user.
    const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

    struct Server {
        process: Child,
        /// Knows where the nodes of a machine are. Without one of ours, the server would leave one behind.
        names: Child,
        _directory: tempfile::TempDir,
    }

    impl Drop for Server {
        fn drop(&mut self) {
            // It and all that it started.
            let group = format!("-{}", self.process.id());
            let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
            let _ = self.process.wait();
            let _ = self.names.kill();
            let _ = self.names.wait();
        }
    }

    /// A port that was free a moment ago: the server cannot be handed a socket.
    fn port() -> String {
        TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").port().to_string()
    }

    fn server(node_port: &str) -> Option<Server> {
        if !std::path::Path::new(SERVER).exists() {
            return None;
        }
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = |name: &str| directory.path().join(name);
        let epmd_port = port();
        let names = Command::new("epmd")
            .args(["-address", "127.0.0.1", "-port", &epmd_port])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let process = Command::new(SERVER)
            .env("HOME", directory.path())
            .env("RABBITMQ_NODENAME", format!("rehearsal-{node_port}@localhost"))
            .env("RABBITMQ_NODE_PORT", node_port)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_DIST_PORT", port())
            .env("ERL_EPMD_PORT", &epmd_port)
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_MNESIA_BASE", path("data"))
            .env("RABBITMQ_LOG_BASE", path("log"))
            .env("RABBITMQ_PID_FILE", path("pid"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", path("plugins"))
            .env("RABBITMQ_CONFIG_FILE", path("none"))
            .env("RABBITMQ_CONF_ENV_FILE", path("none"))
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Server { process, names, _directory: directory })
    }

    #[test]
    fn messages_that_rabbitmq_keeps_outlive_this_process_and_are_acknowledged_there() {
        let node_port = port();
        let Some(_server) = server(&node_port) else {
            let required = std::env::var("REHEARSAL_REQUIRE").unwrap_or_default();
            assert!(
                !required.split(',').any(|name| name == "rabbitmq-server"),
                "RabbitMQ is required and absent"
            );
            return println!("SKIPPED: there is no RabbitMQ here");
        };
        let start = Instant::now();
        while std::net::TcpStream::connect(format!("127.0.0.1:{node_port}")).is_err() {
            assert!(start.elapsed() < 4 * BOUND, "RabbitMQ does not start");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        let faults = ["kill = \"component:letters[*]\"", "kill = \"component:mail[1]\""];
        let engine = format!("prefetch = 2\nengine = \"amqp://guest:guest@127.0.0.1:{node_port}/\"");
        let stack = post(&engine, "{ work = \"1ms\" }", &faults);
        eventually("it is connected", || publish(&stack, 1) == 1);
        eventually("it is acknowledged", || count(&stack, "acknowledged") == 1);
        stack.begin_fault(0).expect("killed");
        assert_eq!(publish(&stack, 9), 9);
        stack.begin_fault(1).expect("killed");
        stack.end_fault(1).expect("restarted");
        stack.end_fault(0).expect("restarted");
        eventually("all are acknowledged", || count(&stack, "acknowledged") == 9);
        // Nothing comes again to who begins anew.
        stack.begin_fault(1).expect("killed");
        stack.end_fault(1).expect("restarted");
        eventually("it is connected", || publish(&stack, 1) == 1);
        eventually("it is acknowledged", || count(&stack, "acknowledged") == 1);
        eventually("nothing waits there", || count(&stack, "waiting") == 0);
    }
}
