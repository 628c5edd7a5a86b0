//! Closed loops on goose, beside ours.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use loadgen::Options;
use results::{Failure, RunRecord, Scope};
use scenarios::Scenario;

use crate::support::{Server, answer, counts, failures, play, scenario_of};

fn closed(executor: &str, engine: &str, seconds: u32, lines: &str) -> Scenario {
    let traffic =
        format!("executor = \"{executor}\"\nengine = \"{engine}\"\nmix = {{ product = 1 }}\n{lines}");
    scenario_of(seconds, &traffic, "", "")
}

fn failed(record: &RunRecord) -> [u64; 11] {
    record.tally(Scope::Run, None).failures
}

/// Two generators that know nothing of each other, before the same server: N users who think for Z and wait for R make
/// N / (Z + R) requests a second (Denning and Buzen 1978), whichever of the two they are.
#[test]
fn goose_and_our_closed_loop_measure_the_same() {
    let server = Server::start(|stream, _| {
        std::thread::sleep(Duration::from_millis(20));
        answer(stream)
    });
    let mut found = Vec::new();
    for engine in ["rehearsal", "goose"] {
        let scenario = closed("constant-vus", engine, 4, "vus = 20\nthink = \"60ms\"");
        let record = play(&scenario, server.address, Options::default());
        if !record.validity.is_valid() {
            let mut out = std::io::stdout().lock();
            writeln!(out, "SKIPPED: {engine}: {:?}", record.validity.reasons).expect("output");
            continue;
        }
        let (due, ok, _) = counts(&record);
        assert_eq!(due, ok, "{engine}: {:?}", failed(&record));
        let times = record.tally(Scope::Run, None).response_times();
        let (mean, p50) = (times.mean().expect("answers"), times.percentile(50.0).expect("answers"));
        let law = 20.0 * 4.0 / (0.060 + mean);
        found.push((engine, due as f64, law, p50));
    }
    let mut out = std::io::stdout().lock();
    for (engine, due, law, p50) in &found {
        writeln!(out, "{engine}: {due} requests, by the law {law:.0}; p50 {:.1} ms", p50 * 1e3)
            .expect("output");
    }
    // Goose waits in whole milliseconds.
    for (engine, due, law, p50) in found {
        assert!((0.85..=1.06).contains(&(due / law)), "{engine}: {due} requests, by the law {law:.0}");
        assert!(p50 >= 0.019, "{engine}: nobody is answered before {p50} s");
    }
}

#[test]
fn iterations_are_made_once_on_goose_too() {
    let server = Server::start(|stream, _| answer(stream));
    let each = closed("per-vu-iterations", "goose", 3, "vus = 4\niterations = 20\nthink = \"2ms\"");
    let record = play(&each, server.address, Options::default());
    assert_eq!(counts(&record), (80, 80, 0), "{:?}", failed(&record));
    let shared = closed("shared-iterations", "goose", 3, "vus = 4\niterations = 50\nthink = \"1ms\"");
    let record = play(&shared, server.address, Options::default());
    assert_eq!(counts(&record), (50, 50, 0), "{:?}", failed(&record));
    assert!(
        !record.validity.reasons.iter().any(|reason| reason.contains("goose counted")),
        "{:?}",
        record.validity
    );
}

/// All requests of a short run fail in this way.
fn all_fail(
    kind: Failure,
    timeout: &str,
    manner: impl Fn(&mut TcpStream, u64) -> bool + Send + Sync + 'static,
) {
    let server = Server::start(manner);
    let lines = format!("vus = 3\niterations = 2\nthink = \"1ms\"\ntimeout = \"{timeout}\"");
    let record = play(&closed("per-vu-iterations", "goose", 2, &lines), server.address, Options::default());
    let all = counts(&record).0;
    assert!(all > 0 && failures(&record, kind) == all, "{kind:?} of {all}: {:?}", failed(&record));
}

#[test]
fn what_breaks_an_answer_has_our_names_on_goose_too() {
    all_fail(Failure::Status, "20s", |stream, _| {
        stream.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").is_ok()
    });
    all_fail(Failure::Reset, "20s", |_, _| false);
    all_fail(Failure::Malformed, "20s", |stream, _| {
        stream.write_all(&[0, 159, 146, 150, 13, 10, 13, 10]).is_ok()
    });
    all_fail(Failure::Truncated, "20s", |stream, _| {
        let begun = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this");
        begun.and_then(|()| stream.shutdown(Shutdown::Both)).is_err()
    });
    all_fail(Failure::Timeout, "1s", |_, _| {
        crate::support::silence();
        false
    });
}
