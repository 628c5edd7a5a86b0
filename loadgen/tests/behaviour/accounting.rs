//! Every planned request has exactly one outcome.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};

use loadgen::Options;
use results::{Failure, Status};

use crate::support::{Server, answer, counts, failures, planned, play, play_until, scenario};

#[test]
fn due_is_good_and_failed_together() {
    let scenario = scenario(500, 2, "arrivals = \"poisson\"\nconnections = 10\ntimeout = \"200ms\"");
    // The number is the server's count of requests, so how often each manner shows is known exactly.
    let server = Server::start(|stream, number| match number % 100 {
        7 => stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").is_ok(),
        23 => false,
        51 => {
            crate::support::silence();
            false
        }
        77 => stream.write_all(b"nonsense\r\n\r\n").is_ok(),
        _ => answer(stream),
    });
    let record = play(&scenario, server.address, Options::default());
    let (due, ok, failed) = counts(&record);
    assert_eq!(due, planned(&scenario));
    assert_eq!(due, ok + failed);
    for kind in [Failure::Status, Failure::Reset, Failure::Timeout, Failure::Malformed] {
        assert!(failures(&record, kind) >= due / 200, "{}: {}", kind.name(), failures(&record, kind));
    }
}

#[test]
fn a_stopped_run_keeps_what_it_had() {
    let scenario = scenario(200, 600, "connections = 5");
    let server = Server::start(|stream, _| answer(stream));
    let stop = AtomicBool::new(false);
    let record = play_until(&scenario, server.address, Options::default(), &stop, &mut |snapshot| {
        if snapshot.pulse.ok > 100 {
            stop.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!(record.status, Status::Interrupted);
    assert_eq!(record.exit_code(), 105);
    let (due, ok, _) = counts(&record);
    assert!(ok > 100 && due < planned(&scenario) / 2, "{ok} of {due}");
}

#[test]
fn a_threshold_that_fails_ends_the_run_where_it_is_told_to() {
    let limit = "{ condition = \"rate<1%\", abort_on_fail = true, delay = \"1s\" }";
    let traffic = "executor = \"constant-arrival-rate\"\nrate = \"100/s\"\nmix = { product = 1 }";
    let scenario =
        crate::support::scenario_of(600, traffic, "", &format!("[thresholds]\nfailed = [{limit}]"));
    let server = Server::start(|stream, number| match number % 10 {
        0 => stream.write_all(b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n").is_ok(),
        _ => answer(stream),
    });
    let record = play(&scenario, server.address, Options::default());
    assert_eq!(record.status, Status::Aborted);
    assert!(record.exit_code() == 99 || !record.validity.is_valid(), "{}", record.exit_code());
    let (due, ok, failed) = counts(&record);
    assert!(due == ok + failed && due < planned(&scenario) / 10, "{due} due");
}
