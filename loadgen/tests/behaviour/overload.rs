//! A server too slow for the load makes the run fail, not invalid.

use loadgen::Options;
use results::Failure;

use crate::support::{Server, answer, counts, failures, planned, play, scenario};

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
    // A machine that stood still would be a reason of its own; the slow server is none.
    assert!(
        record.validity.reasons.iter().all(|reason| reason.contains("stood still")),
        "{:?}",
        record.validity
    );
}
