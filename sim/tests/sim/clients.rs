//! Clients whose connections break, or whose requests are not answered before the run is given up.

use results::Failure;

use crate::support::{Shop, run, step};

/// A service on one machine, or behind a balancer on each of two; 10 to 1,000 requests a second, evenly spaced.
fn shop(service: &str, action: &str, traffic: &str) -> String {
    Shop {
        run: "duration = \"30s\"",
        edge: "count = 2",
        balancer: Some(""),
        service,
        steps: &step(action),
        traffic: &format!("arrivals = \"uniform\"\n{traffic}"),
        ..Shop::default()
    }
    .text()
}

#[test]
fn a_hung_service_is_sent_no_more_than_its_backlog_and_the_connections_that_were_open() {
    let traffic =
        "to = \"shop\"\nrate = \"1000/s\"\nconnections = 50\nmax_in_flight = 1000\ntimeout = \"100ms\"";
    let fault = "[[faults]]\nat = \"5s\"\nfor = \"20s\"\nhang = \"component:shop\"\n";
    let text = shop("workers = 4\nbacklog = 16", "wait = \"1ms\"", &format!("{traffic}\n{fault}"));
    let run = run(&text);
    let queue = run.metric("shop", 0, "queue");
    // 500 requests a second are given up; once nothing is accepted any more, they leave nothing behind.
    assert!(queue[8..25].iter().all(|q| (20.0..=70.0).contains(q)), "{queue:?}");
    let failed = run.failures(Failure::Timeout);
    assert!(failed[10] > 400, "{failed:?}");
    // What was accepted is worked off, and new requests are answered again.
    assert!(run.failed()[27..].iter().all(|f| *f == 0), "{:?}", run.failed());
}

#[test]
fn a_request_on_a_replaced_connection_waits_for_the_service_to_accept_it() {
    let traffic = "to = \"shop\"\nrate = \"5/s\"\nconnections = 10\ntimeout = \"1500ms\"";
    let fault = "[[faults]]\nat = \"5s\"\nfor = \"10500ms\"\nunplug = \"host:app[1]\"\n";
    let run = run(&shop("workers = 4\nbacklog = 16", "wait = \"1ms\"", &format!("{traffic}\n{fault}")));
    let slowest = run.percentiles(100.0);
    // Whoever asked just before the cable was back got its connection with the SYN of a second later.
    assert!((1.0..1.01).contains(&slowest[15]), "{slowest:?}");
    assert!(slowest[17..].iter().all(|s| *s < 0.002), "{slowest:?}");
}

#[test]
fn free_connections_to_a_dead_entry_are_not_used_while_others_are_free() {
    let traffic = "to = \"balancer\"\nrate = \"100/s\"\nconnections = 100\n";
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"8s\"\nkill = \"host:edge[1]\"\n";
    let text = shop("workers = 64", "wait = \"100ms\"", &format!("{traffic}{fault}"));
    let run = run(&text);
    assert_eq!(run.failures(Failure::Refused).iter().sum::<u64>(), 0);
    let reset: u64 = run.failures(Failure::Reset).iter().sum();
    assert!((1..=10).contains(&reset), "what was under way on the dead balancer, {reset}");
    assert_eq!(run.outcome.counts.failed, reset);
}

#[test]
fn connections_to_a_dead_entry_are_used_where_no_other_is_free() {
    let traffic = "to = \"balancer\"\nrate = \"100/s\"\nconnections = 12\n";
    let fault = "[[faults]]\nat = \"10s\"\nfor = \"8s\"\nkill = \"host:edge[1]\"\n";
    let run = run(&shop("workers = 64", "wait = \"100ms\"", &format!("{traffic}{fault}")));
    let refused = run.failures(Failure::Refused);
    // Six connections carry 60 a second.
    assert!(refused[10..18].iter().all(|f| (38..=46).contains(f)), "{refused:?}");
    assert_eq!(refused[18..].iter().sum::<u64>(), 0, "{refused:?}");
}

#[test]
fn what_is_unanswered_when_a_run_is_given_up_has_timed_out_or_was_never_sent() {
    let traffic = "to = \"shop\"\nrate = \"2/s\"\nconnections = 2\ntimeout = \"20s\"";
    let run = run(&shop("workers = 1", "wait = \"10s\"", traffic));
    // A minute's requests; the end is 20 s and 1 s after the run's, and by then six or so have had an answer.
    assert_eq!(run.outcome.counts.due, 60);
    let dropped: u64 = run.failures(Failure::Dropped).iter().sum();
    assert!((50..60).contains(&dropped), "{dropped} were never sent");
    let timed_out: u64 = run.failures(Failure::Timeout).iter().sum();
    assert!(timed_out >= 2, "both connections were in use: {timed_out}");
    for (_, high, _) in run.outcome.delta.tallies().interval(29, None).failed_response.iter() {
        assert!(high < 22_200_000_000, "nothing lasts longer than the run: {high}");
    }
}
