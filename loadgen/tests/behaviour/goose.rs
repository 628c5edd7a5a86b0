//! Closed loops on goose, beside ours.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadgen::named::Named;
use loadgen::{Address, Error, Options};
use results::{Failure, RunRecord, Scope, Status};
use rustix::process::{Pid, Signal, kill_process};
use scenarios::Scenario;

use crate::support::{
    Server, answer, counting, counts, entries, entries_at, failures, field, play, play_at, play_until,
    scenario_of, try_at,
};

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

/// Load that followed a redirect would leave the target that it may be sent to.
#[test]
fn a_redirect_leads_goose_nowhere() {
    let (elsewhere, reached) = counting();
    let server = Server::start(move |stream, _| {
        let head =
            format!("HTTP/1.1 302 Found\r\nlocation: http://{elsewhere}/\r\ncontent-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).is_ok()
    });
    let scenario = closed("per-vu-iterations", "goose", 3, "vus = 3\niterations = 5\nthink = \"1ms\"");
    let record = play(&scenario, server.address, Options::default());
    assert_eq!((counts(&record), reached.load(Ordering::Relaxed)), ((15, 15, 0), 0), "{:?}", failed(&record));
}

#[test]
fn users_spread_over_all_instances_and_name_them_as_they_are_called() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let servers = [0, 1].map(|server| {
        let seen = Arc::clone(&seen);
        Server::noting(move |stream, request| {
            seen.lock().expect("no thread panics with the lock").push((server, field(request, "host")));
            answer(stream)
        })
    });
    let names = ["shop.test", "other.test:81"];
    let entries = entries_at(&[0, 1].map(|server| (servers[server].address.into(), names[server])));
    let scenario = closed("per-vu-iterations", "goose", 3, "vus = 4\niterations = 5\nthink = \"1ms\"");
    let stop = AtomicBool::new(false);
    let record = play_at(&scenario, &entries, Options::default(), &stop, &mut |_| {});
    assert_eq!(counts(&record), (20, 20, 0), "{:?}", failed(&record));
    let seen = seen.lock().expect("no thread panics with the lock");
    for server in [0, 1] {
        let hosts: Vec<&str> = seen.iter().filter(|(at, _)| *at == server).map(|(_, host)| &**host).collect();
        assert_eq!(hosts, [names[server]; 10]);
    }
}

#[test]
fn what_goose_is_no_match_for_is_refused_and_never_ignored() {
    let named = Named::new("shop.test", 80, false, SocketAddr::from(([127, 0, 0, 1], 9)));
    let scenario = closed("constant-vus", "goose", 1, "vus = 1\nthink = \"1ms\"");
    for address in [Address::Named(Arc::new(named)), Address::Unix("/nowhere".into())] {
        let (entries, stop) = (entries_at(&[(address, "shop.test")]), AtomicBool::new(false));
        let error = try_at(&scenario, &entries, Options::default(), &stop, &mut |_| {});
        assert!(matches!(error, Err(Error::Unfit { .. })), "{error:?}");
    }
}

#[test]
fn goose_sends_nothing_again_and_is_not_asked_to() {
    let lines = "executor = \"constant-vus\"\nengine = \"goose\"\nmix = { product = 1 }\nvus = 1\nthink = \"1ms\"\nretries = 2";
    let text = crate::support::text_of(1, lines, "", "");
    let scenario = Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let problems = loadgen::supports::check(&scenario).expect_err("these are refused");
    let places: Vec<&str> = problems.iter().map(|problem| problem.where_.as_str()).collect();
    assert_eq!(places, ["traffic.shops.retries"]);
}

#[test]
fn a_run_on_goose_that_is_stopped_is_told_from_a_whole_one() {
    let server = Server::start(|stream, _| answer(stream));
    let scenario = closed("constant-vus", "goose", 600, "vus = 2\nthink = \"5ms\"");
    let before = AtomicBool::new(true);
    let record = play_until(&scenario, server.address, Options::default(), &before, &mut |_| {});
    assert_eq!((record.status, record.exit_code(), counts(&record).0), (Status::Interrupted, 105, 0));
    let within = AtomicBool::new(false);
    let record = play_until(&scenario, server.address, Options::default(), &within, &mut |snapshot| {
        if snapshot.pulse.ok > 0 {
            within.store(true, Ordering::Relaxed);
        }
    });
    assert_eq!((record.status, record.exit_code()), (Status::Interrupted, 105));
    assert!(counts(&record).1 > 0);
}

#[test]
fn a_loop_on_goose_whose_generator_is_the_bottleneck_is_invalid() {
    let record = crate::overload::overwhelmed("goose");
    let reasons = &record.validity.reasons;
    let due = counts(&record).0;
    assert!(reasons.iter().any(|reason| reason.contains("no time to spare")), "{due} requests; {reasons:?}");
}

const TARGET: &str = "REHEARSAL_TEST_GOOSE";

/// Goose's own handler would end the run, or with a second signal the process with a code of its own. Whoever listens for SIGTERM is
/// to hear of SIGINT, and nobody listens in this helper process, which SIGTERM so ends.
#[test]
fn an_interruption_reaches_whoever_listens_for_terminations() {
    let ((target, asked), (proxy, passed)) = (counting(), counting());
    let program = std::env::current_exe().expect("this program has a path");
    let mut child = Command::new(program)
        .args(["--exact", "goose::plays_on_goose_when_it_is_the_helper_process", "--nocapture"])
        .envs([(TARGET, target.to_string()), ("http_proxy", format!("http://{proxy}"))])
        .env_remove("no_proxy")
        .env_remove("NO_PROXY")
        .stdout(Stdio::piped())
        .spawn()
        .expect("this program can be started again");
    let output = child.stdout.take().expect("the output is piped");
    let plays = BufReader::new(output).lines().map_while(Result::ok).any(|line| line.ends_with("it plays"));
    if plays {
        kill_process(Pid::from_child(&child), Signal::INT).expect("it plays for a minute");
    }
    let status = child.wait().expect("it was started here");
    assert!(plays && status.signal() == Some(Signal::TERM.as_raw()), "{status}");
    let connections = [asked, passed].map(|counter: Arc<AtomicU64>| counter.load(Ordering::Relaxed));
    assert!(connections[0] > 0 && connections[1] == 0, "target and proxy: {connections:?}");
}

#[test]
fn plays_on_goose_when_it_is_the_helper_process() {
    let Ok(target) = std::env::var(TARGET) else { return };
    let target: SocketAddr = target.parse().expect("the parent says where");
    let scenario = closed("constant-vus", "goose", 60, "vus = 2\nthink = \"5ms\"");
    let (mut told, stop) = (false, AtomicBool::new(false));
    play_at(&scenario, &entries(target), Options::default(), &stop, &mut |snapshot| {
        if snapshot.pulse.ok > 0 && !std::mem::replace(&mut told, true) {
            let mut out = std::io::stdout().lock();
            writeln!(out, "it plays").and_then(|()| out.flush()).expect("the parent reads this");
        }
    });
}
