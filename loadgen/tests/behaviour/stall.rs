//! The stop that closed-loop tools do not see.

use std::io::Write as _;
use std::thread;
use std::time::Duration;

use loadgen::Options;
use results::Scope;
use rustix::process::Signal;

use crate::support::{ServerProcess, counts, planned, play, scenario};

/// A second of silence in twenty at 1,000/s: a request due u seconds before the server's return waits u, so one request in
/// twenty waits uniformly long up to a second, and the 99th percentile is 0.8 s. What a request takes from its sending
/// shows it only for those in flight at the stop.
#[test]
fn stalled_server_raises_due_latency() {
    let scenario = scenario(1_000, 20, "connections = 50\ntimeout = \"10s\"");
    let server = ServerProcess::start();
    let record = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_secs(10));
            server.signal(Signal::STOP);
            thread::sleep(Duration::from_secs(1));
            server.signal(Signal::CONT);
        });
        play(&scenario, server.address, Options::default())
    });
    let tally = record.tally(Scope::Run, None);
    let response = tally.response_times().percentile(99.0).expect("there are answers");
    let service = tally.service_times().percentile(99.0).expect("there are answers");
    let mut out = std::io::stdout().lock();
    if !record.validity.is_valid() {
        writeln!(out, "SKIPPED: this run is invalid, so it proves nothing: {:?}", record.validity.reasons)
            .expect("the harness takes the output");
        return;
    }
    writeln!(out, "p99 of response_time {response:.3} s, of service_time {service:.4} s").expect("the same");
    assert_eq!(counts(&record), (planned(&scenario), planned(&scenario), 0));
    assert!((0.760..=0.900).contains(&response), "p99 of response_time is {response} s");
    assert!(service < 0.2, "p99 of service_time is {service} s");
}
