//! Limits: workers, backlog, connections, timeouts, requests in flight.

use results::Failure;

use crate::support::{Shop, run, step};

fn shop(service: &str, action: &str, traffic: &str) -> String {
    Shop {
        run: "duration = \"30s\"",
        balancer: Some("connect_timeout = \"5s\"\nretries = 0"),
        service,
        steps: &step(action),
        traffic: &format!("arrivals = \"uniform\"\n{traffic}"),
        ..Shop::default()
    }
    .text()
}

#[test]
fn requests_above_the_limit_in_flight_are_dropped() {
    let traffic =
        "to = \"shop\"\nrate = \"100/s\"\nconnections = 50\nmax_in_flight = 200\ntimeout = \"100s\"";
    let run = run(&shop("workers = 10", "wait = \"1s\"", traffic));
    // 10 answers a second of 100: the queue grows by 90 a second up to 200.
    let dropped = run.failures(Failure::Dropped);
    assert_eq!(dropped[..2], [0, 0]);
    assert!(dropped[3..].iter().all(|d| (88..=92).contains(d)), "{dropped:?}");
    assert_eq!(run.outcome.counts.failed, dropped.iter().sum::<u64>());
}

#[test]
fn clients_give_up_after_their_timeout() {
    let traffic = "to = \"shop\"\nrate = \"10/s\"\ntimeout = \"1s\"";
    let run = run(&shop("workers = 1000", "wait = \"3s\"", traffic));
    assert_eq!(run.failures(Failure::Timeout).iter().sum::<u64>(), run.outcome.counts.due);
    for (low, high, _) in run.outcome.delta.tallies().interval(5, None).failed_response.iter() {
        assert!(low <= 1_000_000_000 && high >= 1_000_000_000);
    }
}

#[test]
fn waiting_for_a_connection_counts_in_the_response_time_alone() {
    let traffic = "to = \"shop\"\nrate = \"2/s\"\nconnections = 1\ntimeout = \"100s\"";
    let run = run(&shop("workers = 10", "wait = \"1s\"", traffic));
    let tally = run.outcome.delta.tallies().interval(29, None);
    let service = tally.service_times().percentile(50.0).expect("requests in it");
    let response = tally.response_times().percentile(50.0).expect("requests in it");
    assert!((0.99..1.01).contains(&service), "{service}");
    assert!(response > 29.0, "{response}");
    let (queue, under_way) = (run.metric("generator", 0, "queue"), run.metric("generator", 0, "in_flight"));
    assert!(queue[29] > 20.0 && under_way[29] <= 1.0, "{queue:?} {under_way:?}");
}

#[test]
fn full_backlog_makes_new_connections_wait_for_their_second_syn() {
    let traffic = "to = \"balancer\"\nrate = \"10/s\"\nconnections = 100\ntimeout = \"100s\"";
    let run = run(&shop("workers = 1\nbacklog = 1", "wait = \"150ms\"", traffic));
    let failed = run.failures(Failure::Status);
    // Connections that no SYN opened within 5 s are 503s; those that a later SYN opened waited at least a second.
    assert!(failed.iter().sum::<u64>() > 0, "{failed:?}");
    let all: u64 = run.counts().iter().sum();
    assert!((150..=230).contains(&all), "{all} answers of one worker in 30 s at 150 ms");
    let slow = run.percentiles(90.0);
    assert!(slow[5..25].iter().any(|p| *p > 1.0), "{slow:?}");
}

#[test]
fn abandoned_requests_keep_their_workers_to_the_end() {
    let traffic = "to = \"shop\"\nrate = \"1/s\"\ntimeout = \"500ms\"";
    let run = run(&shop("workers = 4", "wait = \"2s\"", traffic));
    let busy = run.metric("shop", 0, "in_service");
    assert!(busy[5..].iter().all(|b| (b - 2.0).abs() < 1e-9), "{busy:?}");
}

#[test]
fn full_backlog_of_a_called_service_makes_its_caller_wait_for_another_syn() {
    let called = "[hosts.tools]\n[components.images]\nkind = \"service\"\nhost = \"tools\"\nworkers = 1\nbacklog = 1\n";
    let traffic = format!("to = \"shop\"\nrate = \"4/s\"\ntimeout = \"100s\"\n{called}");
    let step = "at = \"images\"\nwait = \"200ms\"";
    let calm = run(&shop("workers = 100", step, &traffic));
    assert!(
        calm.percentiles(100.0).iter().all(|p| (0.199..0.203).contains(p)),
        "{:?}",
        calm.percentiles(100.0)
    );
    let busy = run(&shop("workers = 100", step, &traffic.replace("4/s", "20/s")));
    // One is served and one waits; the third connection is opened by a SYN a second later.
    let slow = busy.percentiles(100.0)[0];
    assert!(slow > 1.0, "{slow}");
}
