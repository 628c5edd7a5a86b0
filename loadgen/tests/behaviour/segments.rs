//! A plan that several generators play together.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use loadgen::{Options, Share};
use results::{Provenance, RunRecord, Scope};
use scenarios::Scenario;
use scenarios::plan::Plan;

use crate::support::{Server, answer, entries, field, scenario, try_at};

/// The record of a segment that begins at this time.
fn segment(
    scenario: &Scenario,
    share: &str,
    start: Timestamp,
    server: &Server,
) -> Result<RunRecord, loadgen::Error> {
    let mut options = Options::default();
    options.share = Share::parse(share).expect("it is one");
    options.start = Some(start);
    try_at(scenario, &entries(server.address), options, &AtomicBool::new(false), &mut |_| {})
}

fn soon(milliseconds: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_millis(milliseconds)
}

#[test]
fn four_segments_send_every_request_of_the_plan_once_and_join_to_one_record() {
    let scenario = scenario(400, 3, "arrivals = \"poisson\"\nconnections = 20\nmax_in_flight = 4_001");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = Server::noting(move |stream, request| {
        if let Ok(id) = u64::from_str_radix(&field(request, "x-rehearsal-request"), 16) {
            noted.lock().expect("nobody panics with it").push(id);
        }
        answer(stream)
    });
    let start = soon(1_000);
    let records: Vec<RunRecord> = thread::scope(|scope| {
        let play = |index: u32| {
            let (scenario, server) = (&scenario, &server);
            scope
                .spawn(move || segment(scenario, &format!("{index}/4"), start, server).expect("it is played"))
        };
        let running: Vec<_> = (1..=4).map(play).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let mut planned: Vec<u64> = Plan::new(&scenario).segment(0, 1).map(|planned| planned.id.0).collect();
    let mut sent = seen.lock().expect("all have ended").clone();
    planned.sort_unstable();
    sent.sort_unstable();
    assert_eq!(sent, planned, "every request once");
    let shares: Vec<u64> = records.iter().map(|record| record.tally(Scope::Run, None).due()).collect();
    assert!(shares.iter().all(|due| *due > planned.len() as u64 / 8), "all have their part: {shares:?}");
    let joined = results::join(records, Provenance::here("loadgen test")).expect("they are one run's");
    let tally = joined.tally(Scope::Run, None);
    assert_eq!((tally.due(), tally.ok), (planned.len() as u64, planned.len() as u64));
    assert_eq!(tally.response.iter().map(|(_, _, n)| n).sum::<u64>(), planned.len() as u64);
    assert_eq!(joined.provenance.segments.len(), 4);
    assert!(joined.provenance.segments.iter().all(|segment| segment.start == start));
}

#[test]
fn a_start_that_is_past_is_refused() {
    let scenario = scenario(10, 1, "connections = 4");
    let server = Server::start(|stream, _| answer(stream));
    let error = segment(&scenario, "1/2", soon(-1_000), &server).expect_err("too late").to_string();
    assert!(error.contains("is past, expected a time to come"), "{error}");
}

#[test]
fn more_segments_than_connections_are_refused() {
    let scenario = scenario(10, 1, "connections = 4");
    let server = Server::start(|stream, _| answer(stream));
    let error = segment(&scenario, "1/5", soon(1_000), &server).expect_err("no connection").to_string();
    assert!(error.contains("found 5 segments of 1 threads each, expected at most 4"), "{error}");
}

#[test]
fn nothing_is_sent_before_the_start() {
    let scenario = scenario(200, 1, "connections = 4");
    let early = Arc::new(AtomicBool::new(false));
    let start = soon(600);
    let noted = Arc::clone(&early);
    let server = Server::noting(move |stream, _| {
        noted.fetch_or(Timestamp::now() < start, Ordering::Relaxed);
        answer(stream)
    });
    segment(&scenario, "1/1", start, &server).expect("it is played");
    assert!(!early.load(Ordering::Relaxed));
    assert!(
        start.duration_until(Timestamp::now())
            >= SignedDuration::try_from(Duration::from_secs(1)).expect("short")
    );
}
