//! The stop that closed-loop tools do not see.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use loadgen::Options;
use results::{RunRecord, Scope, sample};
use rustix::process::Signal;
use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::units::SimTime;

use crate::support::{Protocol, ServerProcess, counts, planned, play_at, scenario, scenario_of, text_of};

/// Whatever answers later than this waited for the stopped server: a busy machine alone makes nobody wait so long.
const WAITED: Duration = Duration::from_millis(50);
/// Where a table of the whole measurement goes: minutes of it, which are no test's. See `benches/stall/run`.
const TABLE: &str = "REHEARSAL_STALL_TABLE";

/// Plays a scenario against a server that stops for a second after some seconds, and says when that was in the run's time.
fn play_with_stop(
    scenario: &Scenario,
    (server, protocol): (&ServerProcess, Protocol),
    after: Duration,
) -> (RunRecord, (f64, f64)) {
    let start: Mutex<Option<Instant>> = Mutex::new(None);
    let stopped = Mutex::new((Instant::now(), Instant::now()));
    let entries = protocol.entries(server.address);
    let record = thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(after);
            let from = Instant::now();
            server.signal(Signal::STOP);
            thread::sleep(Duration::from_secs(1).saturating_sub(from.elapsed()));
            server.signal(Signal::CONT);
            *stopped.lock().expect("no thread panics with the lock") = (from, Instant::now());
        });
        play_at(scenario, &entries, Options::default(), &AtomicBool::new(false), &mut |snapshot| {
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

/// How many requests a first-come-first-served server keeps waiting for longer than `waited`, that takes `service` seconds for
/// each and stops once (Lindley 1952, with a server that is away).
fn fifo(scenario: &Scenario, (from, until): (f64, f64), service: f64, waited: Duration) -> u64 {
    let (mut free, mut count) = (0.0_f64, 0);
    for planned in Plan::new(scenario).requests() {
        let due = planned.due.as_secs_f64();
        let begins = free.max(due);
        let begins = if (from..until).contains(&begins) { until } else { begins };
        let ends = begins + service;
        free = if begins < from && ends > from { ends + (until - from) } else { ends };
        count += u64::from(free - due > waited.as_secs_f64());
    }
    count
}

/// The number of requests that waited longer.
fn waited(record: &RunRecord, limit: Duration) -> u64 {
    record.tally(Scope::Run, None).response.beyond(limit.as_nanos() as u64)
}

/// The number of requests that waited longer: of those due in the seconds of a stop or in the one after it, and of all others, which
/// had nothing to wait for.
fn waited_by_the_stop(record: &RunRecord, limit: Duration, (from, until): (f64, f64)) -> (u64, u64) {
    let interval_of = |second: f64| record.frame.interval_of(SimTime::from_nanos((second * 1e9) as u64));
    let near = interval_of(from)..=interval_of(until + 1.0);
    let (mut of_the_stop, mut of_others) = (0, 0);
    for interval in 0..record.frame.intervals() {
        let count = record.tallies.interval(interval, None).response.beyond(limit.as_nanos() as u64);
        if near.contains(&interval) {
            of_the_stop += count;
        } else {
            of_others += count;
        }
    }
    (of_the_stop, of_others)
}

/// The greatest value of one of the generator's metrics.
fn most(record: &RunRecord, metric: &str) -> f64 {
    let series = record.series(sample::GENERATOR, metric);
    series.flat_map(|series| series.values.iter().flatten()).copied().fold(0.0, f64::max)
}

fn say(line: &str) {
    writeln!(std::io::stdout().lock(), "{line}").expect("the harness takes the output");
}

/// Every executor with a rate, as the lines of a traffic; `rate` requests a second on average, for so many seconds.
fn executors(directory: &Path, rate: u32, seconds: u32, connections: u32) -> Vec<(&'static str, String)> {
    let all = rate * seconds;
    let rows: String = (0..all).map(|n| format!("{:.6},product\n", f64::from(n) / f64::from(rate))).collect();
    std::fs::write(directory.join("recorded.csv"), format!("time_s,class\n{rows}")).expect("it is writable");
    let open = format!("connections = {connections}\ntimeout = \"10s\"\n");
    let mix = "mix = { product = 1 }\n";
    let (low, high) = (rate / 2, rate + rate / 2);
    let stages = format!("stages = [{{ for = \"{seconds}s\", to = \"{high}/s\" }}]");
    [
        ("constant-arrival-rate", format!("rate = \"{rate}/s\"\narrivals = \"poisson\"\n{mix}")),
        ("ramping-arrival-rate", format!("start_rate = \"{low}/s\"\n{stages}\n{mix}")),
        ("curve-arrival-rate", format!("expected = {all}\ncurve = \"flat\"\n{mix}")),
        ("replay", "file = \"recorded.csv\"\n".to_owned()),
    ]
    .map(|(name, own)| (name, format!("executor = \"{name}\"\n{own}{open}")))
    .to_vec()
}

/// A scenario of such a traffic, beside the recorded file.
fn scenario_beside(directory: &Path, seconds: u32, traffic: &str, protocol: Protocol) -> Scenario {
    let curves = format!("[curves.flat]\nperiod = \"{seconds}s\"\nvalues = [1, 1]");
    let http2 = if protocol.name() == "HTTP/2" { "http2 = true\n" } else { "" };
    let text = text_of(seconds, &format!("{traffic}{http2}"), "", &curves);
    Scenario::parse(directory.join("test.toml"), text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A second of silence in twenty at 1,000/s: a request due u seconds before the server's return waits u, so one request in
/// twenty waits uniformly long up to a second, and the 99th percentile is 0.8 s. What a request takes from its sending
/// shows it only for those in flight at the stop.
#[test]
fn stalled_server_raises_due_latency() {
    let scenario = scenario(1_000, 20, "connections = 50\ntimeout = \"10s\"");
    let server = ServerProcess::start(Protocol::Plain);
    let (record, _) = play_with_stop(&scenario, (&server, Protocol::Plain), Duration::from_secs(10));
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

/// Every executor with a rate, and every protocol, against the model of a first-come-first-served server: the same number of
/// requests waited.
#[test]
fn every_open_executor_shows_the_stall_of_a_fifo_server() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let executors = executors(directory.path(), 200, 8, 40);
    let plain = executors.iter().map(|executor| (executor, Protocol::Plain));
    let others = Protocol::ALL[1..].iter().map(|protocol| (&executors[0], *protocol));
    thread::scope(|scope| {
        for ((name, traffic), protocol) in plain.chain(others) {
            let directory = directory.path();
            scope.spawn(move || {
                let name = format!("{name} over {}", protocol.name());
                let scenario = scenario_beside(directory, 8, traffic, protocol);
                let server = ServerProcess::start(protocol);
                let (record, stop) = play_with_stop(&scenario, (&server, protocol), Duration::from_secs(4));
                // None lost, none invented, whatever the machine did.
                assert_eq!(counts(&record), (planned(&scenario), planned(&scenario), 0), "{name}");
                if !record.validity.is_valid() {
                    say(&format!("{name}: SKIPPED, as this run is invalid: {:?}", record.validity.reasons));
                    return;
                }
                let (model, found) = (fifo(&scenario, stop, 0.0, WAITED), waited(&record, WAITED));
                say(&format!("{name}: {found} requests waited, {model} by the model"));
                assert!(model > 150, "{name}: {model} requests were due in the stop");
                if found > model * 110 / 100 + 5 && most(&record, sample::MACHINE_BUSY) > 0.95 {
                    say(&format!("{name}: SKIPPED, as the machine had no time for the server at its return"));
                    return;
                }
                // A machine that is not quiet lets the server return late.
                assert!(
                    found >= model * 98 / 100 && found <= model * 110 / 100 + 5,
                    "{name}: {found}, not {model}"
                );
            });
        }
    });
}

/// How long a server takes for a request, by how many it answers to so many users who wait for nothing.
fn service_seconds(server: &ServerProcess, protocol: Protocol, users: u32) -> f64 {
    let http2 = if protocol.name() == "HTTP/2" { "http2 = true\n" } else { "" };
    let users =
        format!("executor = \"constant-vus\"\nvus = {users}\nthink = \"0s\"\nmix = {{ product = 1 }}\n");
    let scenario = scenario_of(2, &format!("{users}{http2}"), "", "");
    let record = play_at(
        &scenario,
        &protocol.entries(server.address),
        Options::default(),
        &AtomicBool::new(false),
        &mut |_| {},
    );
    2.0 / counts(&record).1.max(1) as f64
}

/// The whole measurement, where it is asked for: 5,000 requests a second for 20 s, with a stop of a second. What the server takes is
/// measured before and after, over as many connections, each with a request at a time as in the run.
#[test]
fn a_stop_of_a_second_in_twenty_is_seen_whole_by_every_executor_over_every_protocol() {
    let Some(path) = std::env::var_os(TABLE) else { return };
    let (limit, connections) = (Duration::from_millis(10), 100);
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let mut table = String::new();
    for protocol in Protocol::ALL {
        let streams = if protocol.name() == "HTTP/2" { "streams = 1\n" } else { "" };
        for (name, traffic) in executors(directory.path(), 5_000, 20, connections) {
            let traffic = format!("{traffic}{streams}");
            let scenario = scenario_beside(directory.path(), 20, &traffic, *protocol);
            let server = ServerProcess::nginx(*protocol, directory.path());
            let before = service_seconds(&server, *protocol, connections);
            let (record, stop) = play_with_stop(&scenario, (&server, *protocol), Duration::from_secs(10));
            let service = (before + service_seconds(&server, *protocol, connections)) / 2.0;
            let p99 = record.tally(Scope::Run, None).response_times().percentile(99.0).unwrap_or(f64::NAN);
            let (due, ok, _) = counts(&record);
            let model = fifo(&scenario, stop, service, limit);
            let (found, others) = waited_by_the_stop(&record, limit, stop);
            let apart = (found as f64 / model as f64 - 1.0) * 100.0;
            writeln!(
                table,
                "| {name} | {} | {:.0} | {found} | {model} | {apart:+.1}% | {others} | {} | {:.1} | {:.2} \
                 | {} |",
                protocol.name(),
                p99 * 1e3,
                planned(&scenario).abs_diff(due) + due.abs_diff(ok),
                service * 1e6,
                most(&record, sample::STEAL),
                record.validity.reasons.join("; "),
            )
            .expect("writing to a string does not fail");
        }
    }
    std::fs::write(path, table).expect("the table can be written");
}

/// The model itself, on a stop that can be counted by hand.
#[test]
fn the_model_of_the_stall_is_right_where_it_can_be_counted() {
    let scenario = scenario(100, 10, "");
    // Evenly spaced by 10 ms: those due up to 50 ms before the end wait longer than that.
    let found = fifo(&scenario, (4.0, 5.0), 0.0, WAITED);
    assert!((94..=96).contains(&found), "{found}");
    // What it takes to serve a hundred at 5 ms each: the backlog is gone after another second, within which the wait falls.
    let found = fifo(&scenario, (4.0, 5.0), 0.005, WAITED);
    assert!((185..=195).contains(&found), "{found}");
}
