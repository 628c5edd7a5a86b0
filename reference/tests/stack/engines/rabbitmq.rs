//! RabbitMQ in a queue's place.

use std::time::{Duration, Instant};

use super::*;
use crate::lifetime::{ordinary_holder, user_of};
use crate::queue;

/// News by way of RabbitMQ. What cannot be delivered goes to another one.
fn news(faults: &[&str]) -> Scenario {
    let mail = r#"
prefetch = 2
max_length = 100
overflow = "reject-publish"
dead_letters = "lost"
engine = "rabbitmq""#;
    let lost = r#"
[hosts.lost]
[components.lost]
kind = "queue"
host = "lost"
to = "shop"
class = "forget"
durable = false
engine = "rabbitmq"
[requests.forget]
path = "/forget"
steps = [{ work = "1ms" }]"#;
    queue::news("grace = \"0s\"", mail, lost, faults)
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
        ["consumers", "messages_ready", "messages_unacknowledged"].map(|name| mail(&stack, name)) == [1, 0, 0]
    });
    // The queue's process takes what its consumer may have in hand; the rest stays in RabbitMQ.
    stack.begin_fault(0).expect("killed");
    assert_eq!([(); 5].map(|()| change()), [200; 5]);
    eventually("RabbitMQ says so", || {
        ["messages_ready", "messages_unacknowledged", "waiting"].map(|name| mail(&stack, name)) == [3, 2, 5]
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
