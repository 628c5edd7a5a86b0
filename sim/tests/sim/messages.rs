//! Message queues: consumers' rate, backlog, deliveries again, dead letters. Seeds are fixed; intervals are 99.9% from batch
//! means.

use crate::support::{covers, run};

const MS: f64 = 1e-3;

/// A service that publishes a message a request, and consumers that take `work` for each.
fn stack(consumers: u32, queue: &str, work: &str, rate: u32) -> String {
    format!(
        r#"
title = "A queue"
[run]
duration = "200s"
warmup = "10s"
[hosts.app]
cores = 8
[hosts.queue]
[hosts.worker]
count = {consumers}
[hosts.other]
[components.shop]
kind = "service"
host = "app"
workers = 1000
[components.worker]
kind = "service"
host = "worker"
workers = 1
backlog = 10000
[components.invalidations]
kind = "queue"
host = "queue"
to = "worker"
class = "invalidate"
{queue}
[requests.page]
path = "/"
[[requests.page.steps]]
work = "1ms"
[[requests.page.steps]]
publish = {{ to = "invalidations" }}
[requests.invalidate]
path = "/invalidate"
[[requests.invalidate.steps]]
work = "{work}"
[traffic.users]
to = "shop"
mix = {{ page = 1 }}
executor = "constant-arrival-rate"
rate = "{rate}/s"
connections = 10000
max_in_flight = 10000
"#
    )
}

fn sum(run: &crate::support::Run, metric: &str) -> f64 {
    run.metric("invalidations", 0, metric).iter().sum()
}

#[test]
fn consumers_are_the_servers_of_an_mmc_queue_that_publishers_do_not_wait_for() {
    // Four consumers with one message each at a time, 5 ms of work, 640 messages a second: M/M/4 at 0.8.
    let run = run(&stack(4, "prefetch = 1", "exponential(mean=5ms)", 640));
    // Erlang C for 3.2 erlangs on 4 servers is 0.596438; the mean number that wait is that times 4.
    covers(&run.metric("invalidations", 0, "queue"), 0.596_438 * 4.0, 0.35);
    covers(&run.metric("invalidations", 0, "in_service"), 3.2, 0.05);
    assert!(run.means().iter().all(|mean| *mean < 1.2 * MS), "publishers wait for the queue only");
}

#[test]
fn a_backlog_grows_while_consumers_are_away_and_nothing_is_lost() {
    let faults = "[[faults]]\nat = \"50s\"\nfor = \"20s\"\nkill = \"component:worker[1]\"\n";
    let run = run(&(stack(1, "prefetch = 5", "exponential(mean=5ms)", 100) + faults));
    let backlog = run.metric("invalidations", 0, "queue");
    let most = backlog.iter().copied().fold(0.0, f64::max);
    assert!((1_800.0..2_300.0).contains(&most), "{most} at most");
    assert!(backlog[150..].iter().all(|n| *n < 20.0), "it is gone in the end");
    assert!((sum(&run, "published") - sum(&run, "acknowledged")).abs() < 20.0);
    let redelivered = sum(&run, "redelivered");
    assert!(redelivered <= 5.0, "{redelivered} are more than were in the consumer's hands");
    assert!(run.failed().iter().all(|n| *n == 0));
}

#[test]
fn publishers_wait_while_the_disk_of_the_queue_is_full() {
    let faults = "[[faults]]\nat = \"50s\"\nfor = \"4500ms\"\ndisk_full = \"component:invalidations\"\n";
    let run = run(&(stack(1, "prefetch = 5", "1ms", 100) + faults));
    let published = run.metric("invalidations", 0, "published");
    assert!(published[50..54].iter().all(|n| *n == 0.0), "{published:?}");
    assert!(published[54] > 450.0, "all that waited, at once: {}", published[54]);
    assert!(run.failed().iter().all(|n| *n == 0));
    // Recorded when they are due: those of 50 s wait for 4 s on average.
    let means = run.means();
    assert!((3.8..4.2).contains(&means[50]) && means[56] < 2.0 * MS, "{means:?}");
}

#[test]
fn messages_that_nobody_can_take_go_to_the_dead_letters() {
    let faults = "[[faults]]\nat = \"50s\"\nfor = \"20s\"\nserve_500 = \"component:worker[1]\"\n";
    let dead =
        "[components.dead]\nkind = \"queue\"\nhost = \"other\"\nto = \"worker\"\nclass = \"invalidate\"\n";
    let queue = "deliveries = 3\ndead_letters = \"dead\"";
    let run = run(&(stack(1, queue, "1ms", 100)
        .replace("[requests.page]\n", &format!("{dead}[requests.page]\n"))
        + faults));
    let lettered = sum(&run, "dead_lettered");
    assert!((lettered - 2_000.0).abs() < 200.0, "{lettered} dead letters");
    assert_eq!(sum(&run, "redelivered"), 2.0 * lettered);
    let published = |name: &str| run.metric(name, 0, "published").iter().sum::<f64>();
    assert_eq!(published("dead"), 0.0, "they are moved, not published");
    let ends: f64 = run.metric("dead", 0, "dead_lettered").iter().sum();
    assert!(ends > 0.9 * lettered, "{ends}: their consumer fails as well");
}

#[test]
fn a_full_queue_refuses_or_forgets_as_it_is_told() {
    let refuses = run(&stack(1, "max_length = 10\noverflow = \"reject-publish\"", "20ms", 100));
    let (dropped, failed) = (sum(&refuses, "dropped"), refuses.failed()[10..].iter().sum::<u64>() as f64);
    assert!((dropped / 200.0 - 50.0).abs() < 3.0 && (dropped - failed).abs() < 10.0, "{dropped} {failed}");
    let forgets = run(&stack(1, "max_length = 10", "20ms", 100));
    assert!((sum(&forgets, "dropped") / 200.0 - 50.0).abs() < 3.0);
    assert!(forgets.failed().iter().all(|n| *n == 0));
}

#[test]
fn durable_messages_outlive_the_queue_and_others_do_not() {
    let faults = "[[faults]]\nat = \"50s\"\nfor = \"5s\"\nkill = \"component:invalidations\"\n";
    let away = "[[faults]]\nat = \"40s\"\nfor = \"20s\"\nkill = \"component:worker[1]\"\n";
    let keeps = run(&(stack(1, "", "1ms", 100) + away + faults));
    assert_eq!(sum(&keeps, "dropped"), 0.0);
    assert!((sum(&keeps, "acknowledged") - sum(&keeps, "published")).abs() < 20.0);
    let loses = run(&(stack(1, "durable = false", "1ms", 100) + away + faults));
    assert!((sum(&loses, "dropped") - 1_000.0).abs() < 150.0, "{}", sum(&loses, "dropped"));
}

#[test]
fn what_a_hung_consumer_has_in_hand_goes_to_another_after_the_heartbeat() {
    let faults = "[[faults]]\nat = \"50s\"\nfor = \"30s\"\nhang = \"component:worker[1]\"\n";
    let run = run(&(stack(2, "prefetch = 3\nheartbeat = \"5500ms\"", "1ms", 100) + faults));
    let redelivered = run.metric("invalidations", 0, "redelivered");
    assert_eq!((redelivered[55], redelivered.iter().sum::<f64>()), (3.0, 3.0), "{redelivered:?}");
    let in_hand = run.metric("invalidations", 0, "in_service");
    // Three are in its hands from the fiftieth second to half past the fifty-fifth, and a tenth of one in the other's.
    assert!(in_hand[51..55].iter().all(|n| (3.0..3.3).contains(n)), "{in_hand:?}");
    assert!((1.52..1.8).contains(&in_hand[55]) && in_hand[56..80].iter().all(|n| *n < 0.4), "{in_hand:?}");
    let sent = run.metric("worker", 0, "requests");
    assert!(sent[51..80].iter().all(|n| *n == 0.0) && sent[81] > 30.0, "{sent:?}");
    assert!((sum(&run, "published") - sum(&run, "acknowledged")).abs() < 5.0, "each once");
}

#[test]
fn a_consumer_that_is_cut_off_gives_back_what_it_has_and_connects_again() {
    let faults = "[[faults]]\nat = \"50s\"\nfor = \"20s\"\npartition = [\"queue\", \"worker\"]\n";
    let run = run(&(stack(1, "prefetch = 3\nheartbeat = \"5500ms\"", "1ms", 100) + faults));
    let redelivered = run.metric("invalidations", 0, "redelivered");
    assert_eq!((redelivered[55], redelivered.iter().sum::<f64>()), (3.0, 3.0), "{redelivered:?}");
    let in_hand = run.metric("invalidations", 0, "in_service");
    assert!(in_hand[51..55].iter().all(|n| *n == 3.0), "{in_hand:?}");
    assert!(in_hand[56..70].iter().all(|n| *n == 0.0) && in_hand[70] > 0.5, "{in_hand:?}");
    assert!((sum(&run, "published") - sum(&run, "acknowledged")).abs() < 5.0);
    assert!(run.failed().iter().all(|n| *n == 0));
}
