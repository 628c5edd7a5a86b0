//! The stop that closed-loop tools do not see.

use std::io::Write as _;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use loadgen::Options;
use results::{RunRecord, Scope};
use rustix::process::Signal;
use scenarios::Scenario;
use scenarios::plan::Plan;

use crate::support::{ServerProcess, counts, planned, play_until, scenario};

/// Whatever answers later than this waited for the stopped server: a busy machine alone makes nobody wait so long.
const WAITED: Duration = Duration::from_millis(50);

/// Plays a scenario against a server that stops for a second after some seconds, and says when that was in the run's time.
fn play_with_stop(scenario: &Scenario, after: Duration) -> (RunRecord, (f64, f64)) {
    let server = ServerProcess::start();
    let start: Mutex<Option<Instant>> = Mutex::new(None);
    let stopped = Mutex::new((Instant::now(), Instant::now()));
    let record = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(after);
            let from = Instant::now();
            server.signal(Signal::STOP);
            thread::sleep(Duration::from_secs(1).saturating_sub(from.elapsed()));
            server.signal(Signal::CONT);
            *stopped.lock().expect("no thread panics with the lock") = (from, Instant::now());
        });
        play_until(scenario, server.address, Options::default(), &AtomicBool::new(false), &mut |snapshot| {
            if snapshot.at.as_nanos() == 0 {
                return; // The run may not have begun.
            }
            let zero = Instant::now() - snapshot.at.as_duration();
            let mut start = start.lock().expect("no thread panics with the lock");
            // Whoever calls may be late, never early.
            *start = Some(start.map_or(zero, |known| known.min(zero)));
        })
    });
    let start = start.into_inner().expect("no thread panics with the lock").expect("it was called");
    let (from, until) = stopped.into_inner().expect("no thread panics with the lock");
    let second = |at: Instant| at.saturating_duration_since(start).as_secs_f64();
    (record, (second(from), second(until)))
}

/// The requests that a first-come-first-served server which is fast, but for its stop, keeps waiting for longer than
/// [`WAITED`]: those due in the stop, but for its end.
fn fifo(scenario: &Scenario, (from, until): (f64, f64)) -> u64 {
    let last = until - WAITED.as_secs_f64();
    let waits = |due: f64| due >= from && due < last;
    Plan::new(scenario).requests().filter(|planned| waits(planned.due.as_secs_f64())).count() as u64
}

/// The number of requests that waited so long.
fn waited(record: &RunRecord) -> u64 {
    record.tally(Scope::Run, None).response.beyond(WAITED.as_nanos() as u64)
}

fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("the harness takes the output");
}

/// A second of silence in twenty at 1,000/s: a request due u seconds before the server's return waits u, so one request in
/// twenty waits uniformly long up to a second, and the 99th percentile is 0.8 s. What a request takes from its sending
/// shows it only for those in flight at the stop.
#[test]
fn stalled_server_raises_due_latency() {
    let scenario = scenario(1_000, 20, "connections = 50\ntimeout = \"10s\"");
    let (record, _) = play_with_stop(&scenario, Duration::from_secs(10));
    let tally = record.tally(Scope::Run, None);
    let response = tally.response_times().percentile(99.0).expect("there are answers");
    let service = tally.service_times().percentile(99.0).expect("there are answers");
    if !record.validity.is_valid() {
        say(&format!("SKIPPED: this run is invalid, so it proves nothing: {:?}", record.validity.reasons));
        return;
    }
    say(&format!("p99 of response_time {response:.3} s, of service_time {service:.4} s"));
    assert_eq!(counts(&record), (planned(&scenario), planned(&scenario), 0));
    assert!((0.760..=0.900).contains(&response), "p99 of response_time is {response} s");
    assert!(service < 0.2, "p99 of service_time is {service} s");
}

/// Every open executor, against the model of a first-come-first-served server: the same number of requests waited.
#[test]
fn every_open_executor_shows_the_stall_of_a_fifo_server() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let rows: String = (0..1600).map(|n| format!("{},product\n", f64::from(n) * 0.005)).collect();
    std::fs::write(directory.path().join("recorded.csv"), format!("time_s,class\n{rows}"))
        .expect("it is writable");
    let open = "connections = 40\ntimeout = \"10s\"\n";
    let mix = "mix = { product = 1 }\n";
    let executors = [
        format!(
            "executor = \"constant-arrival-rate\"\nrate = \"200/s\"\narrivals = \"poisson\"\n{mix}{open}"
        ),
        format!(
            "executor = \"ramping-arrival-rate\"\nstart_rate = \"100/s\"\nstages = [{{ for = \"8s\", to = \"300/s\" }}]\n{mix}{open}"
        ),
        format!("executor = \"curve-arrival-rate\"\nexpected = 1_600\ncurve = \"flat\"\n{mix}{open}"),
        format!("executor = \"replay\"\nfile = \"recorded.csv\"\n{open}"),
    ];
    thread::scope(|scope| {
        for executor in &executors {
            let file = directory.path().join("test.toml");
            scope.spawn(move || {
                let curves = "[curves.flat]\nperiod = \"8s\"\nvalues = [1, 1]";
                let text = crate::support::text_of(8, executor, "", curves);
                let scenario = Scenario::parse(&file, text).unwrap_or_else(|problems| panic!("{problems}"));
                let (record, stop) = play_with_stop(&scenario, Duration::from_secs(4));
                let name = executor.lines().next().unwrap_or_default();
                if !record.validity.is_valid() {
                    say(&format!("{name}: SKIPPED, as this run is invalid: {:?}", record.validity.reasons));
                    return;
                }
                assert_eq!(counts(&record), (planned(&scenario), planned(&scenario), 0), "{name}");
                let (model, found) = (fifo(&scenario, stop), waited(&record));
                say(&format!("{name}: {found} requests waited, {model} by the model"));
                assert!(model > 150, "{name}: {model} requests were due in the stop");
                // A machine that is not quiet lets the server return late.
                assert!(
                    found >= model * 98 / 100 && found <= model * 110 / 100 + 5,
                    "{name}: {found}, not {model}"
                );
            });
        }
    });
}
