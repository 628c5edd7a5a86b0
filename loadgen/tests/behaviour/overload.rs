//! A server too slow for the load makes the run fail, not invalid; a generator too slow for the server makes it invalid.

use std::io::Write as _;
use std::sync::{Arc, Mutex};

use loadgen::Options;
use loadgen::run::{CPU_WAIT_S, IN_FLIGHT, STALL_MAX_S};
use results::{Failure, RunRecord, sample};
use scenarios::plan::Plan;

use crate::support::{Server, answer, counts, failures, planned, play, read_request, scenario, scenario_of};

#[test]
fn what_exceeds_max_in_flight_is_dropped() {
    let scenario = scenario(500, 2, "connections = 2\nmax_in_flight = 10\ntimeout = \"5s\"");
    let server = Server::start(|stream, _| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        answer(stream)
    });
    let record = play(&scenario, server.address, Options::default());
    let (due, ok, failed) = counts(&record);
    assert_eq!(due, planned(&scenario));
    let dropped = failures(&record, Failure::Dropped);
    assert_eq!(dropped, failed);
    // Two connections at 100 ms each serve at most 20 a second, and those in flight at the end.
    assert!((1..=50).contains(&ok), "{ok} good answers");
    // A machine that is too busy for the generator would be a reason of its own; the slow server is none.
    let of_the_machine = |reason: &String| reason.contains("stood still") || reason.contains("taken up");
    assert!(record.validity.reasons.iter().all(of_the_machine), "{:?}", record.validity);
}

#[test]
fn a_run_tells_how_many_wait_and_what_its_machine_gave_it() {
    let scenario = scenario(200, 3, "connections = 2\nmax_in_flight = 10\ntimeout = \"5s\"");
    let server = Server::start(|stream, _| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        answer(stream)
    });
    let record = play(&scenario, server.address, Options::default());
    let told = |metric: &str| -> Vec<f64> {
        let series = record.series(sample::GENERATOR, metric);
        series.flat_map(|series| series.values.iter().copied().flatten()).collect()
    };
    let (under_way, waiting) = (told(IN_FLIGHT), told(sample::QUEUE));
    // Whoever was answered has its place taken within 5 ms, and nobody waits at the end.
    assert!(under_way.contains(&2.0), "{under_way:?}");
    assert!(waiting.iter().any(|number| (6.0..=8.0).contains(number)), "{waiting:?}");
    let lag = sample::WAKEUP_LAG_MAX_S;
    for metric in [sample::CPU, sample::STEAL, sample::MACHINE_BUSY, lag, CPU_WAIT_S, STALL_MAX_S] {
        let values = told(metric);
        assert!(!values.is_empty() && values.iter().all(|value| *value >= 0.0), "{metric}: {values:?}");
    }
    assert!(record.tallies.window_send_lag(0).percentile(99.0).is_some());
}

#[test]
fn waiting_requests_are_sent_in_the_order_of_their_due_times() {
    let scenario = scenario(100, 1, "arrivals = \"poisson\"\nconnections = 1\nmax_in_flight = 1000");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let server = {
        let seen = Arc::clone(&seen);
        Server::start(move |stream, _| {
            // The first request was read before this is called; all later ones are read here.
            while answer(stream) {
                // Twice the load that one connection can serve, so that nearly all of them wait.
                std::thread::sleep(std::time::Duration::from_millis(20));
                let Some(request) = read_request(stream) else { break };
                let id = request.lines().find_map(|line| line.strip_prefix("x-rehearsal-request: "));
                seen.lock()
                    .expect("no thread panics with the lock")
                    .push(id.expect("it has a number").to_owned());
            }
            false
        })
    };
    let record = play(&scenario, server.address, Options::default());
    assert_eq!(counts(&record).2, 0);
    let plan: Vec<String> =
        Plan::new(&scenario).requests().map(|planned| format!("{:016x}", planned.id.0)).collect();
    assert_eq!(*seen.lock().expect("no thread panics with the lock"), plan[1..]);
}

#[test]
fn what_is_never_sent_counts_as_dropped() {
    let scenario = scenario(50, 1, "connections = 1\nmax_in_flight = 1000\ntimeout = \"1s\"");
    let server = Server::start(|stream, _| {
        std::thread::sleep(std::time::Duration::from_millis(500));
        answer(stream)
    });
    let record = play(&scenario, server.address, Options::default());
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, ok + failed), (50, 50));
    // Two seconds after the run's end are the timeout and its grace; by then about six of fifty were answered.
    let dropped = failures(&record, Failure::Dropped);
    assert!(dropped >= 35, "{dropped} dropped, {ok} good");
}

/// A closed loop of users who think for nothing, over answers that take much longer to check than to send: whatever the machine is
/// like, they wait for the generator.
pub(crate) fn overwhelmed(engine: &str) -> RunRecord {
    let numbers = "1,".repeat(150_000);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n[{numbers}1]", numbers.len() + 3);
    let server = Server::start(move |stream, _| stream.write_all(answer.as_bytes()).is_ok());
    let users = "executor = \"constant-vus\"\nmix = { product = 1 }\nvus = 8\nthink = \"0s\"";
    let users = format!("{users}\nengine = \"{engine}\"");
    let scenario = scenario_of(3, &users, "check = { json = \"/100000\" }", "");
    play(&scenario, server.address, Options::default())
}

#[test]
fn a_closed_loop_whose_generator_is_the_bottleneck_is_invalid() {
    // Where other tests leave the server no processor, it is the server that all wait for; that does not last.
    let mut told = Vec::new();
    let found = (0..3).any(|_| {
        let record = overwhelmed("rehearsal");
        let (due, ok, _) = counts(&record);
        assert_eq!(due, ok);
        told.push(record.validity.reasons);
        told.iter().flatten().any(|reason| reason.contains("no time to spare"))
    });
    assert!(found, "{told:?}");
}
