//! Clients that send again what failed.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::net::TcpStream;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use loadgen::Options;
use results::sample::{GENERATOR, RETRIES};
use results::{Failure, RunRecord, Scope};
use scenarios::plan::{RequestId, reload};

use crate::support::{
    Server, answer, counts, failures, field, planned, play, scenario, scenario_of, silence,
};

/// A request as the server sees it: its number, which attempt it is, and when it came.
type Seen = Arc<Mutex<Vec<(u64, u64, Instant)>>>;

/// A server that answers by a request's number and attempt, and what it was asked.
fn noting(manner: impl Fn(&mut TcpStream, u64, u64) -> bool + Send + Sync + 'static) -> (Server, Seen) {
    let seen = Seen::default();
    let noted = Arc::clone(&seen);
    let server = Server::noting(move |stream, request| {
        let id = u64::from_str_radix(&field(request, "x-rehearsal-request"), 16).expect("a number");
        let again = request.contains("x-rehearsal-attempt");
        let attempt =
            if again { field(request, "x-rehearsal-attempt").parse().expect("a number") } else { 0 };
        noted.lock().expect("no thread panics with the lock").push((id, attempt, Instant::now()));
        manner(stream, id, attempt)
    });
    (server, seen)
}

fn unavailable(stream: &mut TcpStream) -> bool {
    stream.write_all(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n").is_ok()
}

/// The attempts of each request, in the order in which they came.
fn attempts(seen: &Seen) -> BTreeMap<u64, Vec<(u64, Instant)>> {
    let mut of: BTreeMap<u64, Vec<(u64, Instant)>> = BTreeMap::new();
    for (id, attempt, at) in seen.lock().expect("no thread panics with the lock").iter() {
        of.entry(*id).or_default().push((*attempt, *at));
    }
    of
}

fn numbers(attempts: &[(u64, Instant)]) -> Vec<u64> {
    attempts.iter().map(|(attempt, _)| *attempt).collect()
}

/// How often requests were sent again, by the record.
fn retries(record: &RunRecord) -> f64 {
    let series = record.series(GENERATOR, RETRIES).next().expect("a traffic with retries has them counted");
    series.values.iter().flatten().sum()
}

fn threads(number: u32) -> Options {
    let mut options = Options::default();
    options.threads = NonZeroU32::new(number).expect("not zero");
    options
}

/// A generator that counted attempts as requests would have sent three times what was planned, and the run would be invalid.
#[test]
fn a_request_that_failed_is_sent_again_and_is_still_one() {
    let lines = "retries = { times = 2, backoff = \"40ms\", jitter = \"none\" }";
    let scenario = scenario(100, 2, lines);
    let (server, seen) =
        noting(|stream, _, attempt| if attempt < 2 { unavailable(stream) } else { answer(stream) });
    let record = play(&scenario, server.address, threads(2));
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, failed), (ok, 0), "{:?}", record.tally(Scope::Run, None).failures);
    assert_eq!(due, planned(&scenario));
    let of = attempts(&seen);
    assert_eq!(of.len() as u64, due);
    assert!(of.values().all(|made| numbers(made) == [0, 1, 2]), "{of:?}");
    assert_eq!(retries(&record), 2.0 * due as f64);
    // From the first due time, with both pauses; the last attempt alone took no time.
    let tally = record.tally(Scope::Run, None);
    let (least, service) = (tally.response_times().minimum(), tally.service_times().percentile(50.0));
    assert!(least.is_some_and(|least| (0.119..0.25).contains(&least)), "{least:?}");
    assert!(service.is_some_and(|median| median < 0.04), "{service:?}");
    let is_delivered = |reason: &String| !reason.contains("were planned and");
    assert!(record.validity.reasons.iter().all(is_delivered), "{:?}", record.validity);
}

#[test]
fn whoever_is_out_of_attempts_has_failed_by_the_last() {
    let scenario = scenario(50, 2, "retries = { times = 1, backoff = \"10ms\", jitter = \"none\" }");
    let (server, seen) = noting(|stream, _, attempt| if attempt == 0 { unavailable(stream) } else { false });
    let record = play(&scenario, server.address, Options::default());
    let (due, _, failed) = counts(&record);
    assert_eq!((failed, failures(&record, Failure::Reset)), (due, due));
    assert!(attempts(&seen).values().all(|made| numbers(made) == [0, 1]));
}

/// Every failure that a browser shows an error page for, and none that it shows an answer for.
#[test]
fn what_nobody_answered_is_sent_again_and_what_was_answered_is_not() {
    let scenario =
        scenario(100, 2, "timeout = \"300ms\"\nretries = { times = 3, backoff = \"5ms\" }\nconnections = 40");
    let kinds: Arc<Mutex<BTreeMap<u64, usize>>> = Arc::default();
    let told = Arc::clone(&kinds);
    let kind_of = move |id| {
        let mut kinds = told.lock().expect("no thread panics with the lock");
        let next = kinds.len() % 6;
        *kinds.entry(id).or_insert(next)
    };
    let (server, seen) = noting(move |stream, id, attempt| match (attempt, kind_of(id)) {
        (0, 0) => unavailable(stream),
        (0, 1) => false,
        (0, 2) => {
            silence();
            false
        }
        (0, 3) => stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").is_err(),
        (0, 4) => {
            let begun = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel");
            begun.expect("the client waits");
            silence();
            false
        }
        (_, 5) => stream.write_all(b"nonsense\r\n\r\n").is_ok(),
        _ => answer(stream),
    });
    let record = play(&scenario, server.address, Options::default());
    let (due, ok, failed) = counts(&record);
    let kinds = kinds.lock().expect("no thread panics with the lock");
    let nonsense = kinds.values().filter(|kind| **kind == 5).count() as u64;
    assert_eq!((failed, failures(&record, Failure::Malformed)), (nonsense, nonsense));
    assert!(nonsense > 0 && ok + nonsense == due, "{due} due, {ok} good, {nonsense} nonsense");
    for (id, made) in attempts(&seen) {
        let expected: &[u64] = if kinds[&id] == 5 { &[0] } else { &[0, 1] };
        assert_eq!(numbers(&made), expected, "a request of kind {}", kinds[&id]);
    }
}

/// The pauses are those that the simulator draws: from the seed, the request's number and that of the attempt.
#[test]
fn pauses_are_drawn_by_the_plan() {
    let scenario = scenario(60, 2, "retries = { times = 1, backoff = \"400ms\" }\nconnections = 60");
    let (server, seen) =
        noting(|stream, _, attempt| if attempt == 0 { unavailable(stream) } else { answer(stream) });
    let record = play(&scenario, server.address, Options::default());
    assert_eq!(counts(&record).2, 0);
    let late = attempts(&seen).into_iter().map(|(id, made)| {
        let pause = 0.4 * reload(scenario.run.seed, RequestId(id), 1).unit();
        (made[1].1 - made[0].1).as_secs_f64() - pause
    });
    let mut late: Vec<f64> = late.collect();
    late.sort_by(f64::total_cmp);
    // The server's own clock is read a moment after a request came.
    assert!(late[late.len() / 20] > -5e-3 && late[late.len() / 2] < 20e-3, "{late:?}");
}

#[test]
fn a_budget_keeps_what_is_sent_again_to_a_share_of_the_requests() {
    let budget = "budget = { share = \"20%\", min_rate = \"0/s\", window = \"10s\" }";
    let scenario =
        scenario(200, 3, &format!("retries = {{ times = 5, backoff = \"5ms\", cap = \"20ms\", {budget} }}"));
    let (server, seen) = noting(|stream, _, _| unavailable(stream));
    let record = play(&scenario, server.address, threads(2));
    let (due, ok, failed) = counts(&record);
    assert_eq!((ok, failed), (0, due));
    let again = seen.lock().expect("no thread panics with the lock").len() as u64 - due;
    assert!(again.abs_diff(due / 5) <= 2 && retries(&record) == again as f64, "{again} of {due}");
}

/// Each user waits for the end of its request, pauses included, before it thinks again.
#[test]
fn a_user_of_a_closed_loop_goes_on_after_the_last_attempt() {
    let lines = "executor = \"per-vu-iterations\"\nmix = { product = 1 }\nvus = 7\niterations = 6\nthink = \"1ms\"\n\
        retries = { times = 2, backoff = \"20ms\", jitter = \"none\" }";
    let scenario = scenario_of(5, lines, "", "");
    let (server, seen) =
        noting(|stream, id, attempt| if attempt <= id % 2 { unavailable(stream) } else { answer(stream) });
    let record = play(&scenario, server.address, threads(2));
    assert_eq!(counts(&record), (42, 42, 0), "{:?}", record.validity);
    let mut users: BTreeMap<u64, Vec<(u64, u64)>> = BTreeMap::new();
    for (id, attempt, _) in seen.lock().expect("no thread panics with the lock").iter() {
        users.entry(id >> 38).or_default().push((id & ((1 << 38) - 1), *attempt));
    }
    let expected: Vec<(u64, u64)> =
        (0..6).flat_map(|turn| (0..=1 + turn % 2).map(move |attempt| (turn, attempt))).collect();
    assert_eq!(users.len(), 7);
    assert!(users.values().all(|made| *made == expected), "{users:?}");
}

#[test]
fn a_session_presses_reload_over_its_own_connection() {
    let lines = "executor = \"constant-arrival-rate\"\nrate = \"40/s\"\narrivals = \"uniform\"\nconnections = 40\n\
        mix = { product = 1 }\nsession = { requests = 3, think = \"10ms\" }\nreuse = \"session\"\n\
        retries = { times = 1, backoff = \"10ms\", jitter = \"none\" }";
    let scenario = scenario_of(1, lines, "", "");
    let pairs: Arc<Mutex<HashSet<(String, u64)>>> = Arc::default();
    let noted = Arc::clone(&pairs);
    let (server, seen) = noting(move |stream, id, attempt| {
        let peer = stream.peer_addr().expect("it is connected").to_string();
        noted.lock().expect("no thread panics with the lock").insert((peer, id >> 10));
        if attempt == 0 { unavailable(stream) } else { answer(stream) }
    });
    let record = play(&scenario, server.address, threads(2));
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, failed), (ok, 0), "{:?}", record.tally(Scope::Run, None).failures);
    assert!(attempts(&seen).values().all(|made| numbers(made) == [0, 1]));
    let pairs = pairs.lock().expect("no thread panics with the lock");
    let sessions: HashSet<u64> = pairs.iter().map(|pair| pair.1).collect();
    assert_eq!((sessions.len() as u64, pairs.len()), (planned(&scenario), sessions.len()), "one to one");
}

/// A request that pauses is under way: else a storm of reloads would have no limit.
#[test]
fn what_pauses_keeps_its_place_under_the_limit() {
    let lines = "max_in_flight = 10\nretries = { times = 1, backoff = \"700ms\", jitter = \"none\" }";
    let scenario = scenario(50, 3, lines);
    let (server, seen) = noting(|stream, _, _| unavailable(stream));
    let record = play(&scenario, server.address, threads(1));
    let (due, _, failed) = counts(&record);
    let (sent, dropped) = (attempts(&seen).len() as u64, failures(&record, Failure::Dropped));
    assert_eq!((failed, sent + dropped), (due, due));
    // Ten in each of the four or five times that 700 ms fit into 3 s.
    assert!((40..=50).contains(&sent), "{sent} of {due} sent");
}

#[test]
fn a_stopped_run_gives_up_what_pauses() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let scenario =
        scenario(100, 60, "retries = { times = 3, backoff = \"60s\", cap = \"60s\", jitter = \"none\" }");
    let (server, seen) = noting(|stream, _, _| unavailable(stream));
    let (stop, begun) = (AtomicBool::new(false), Instant::now());
    let record =
        crate::support::play_until(&scenario, server.address, Options::default(), &stop, &mut |_| {
            if begun.elapsed() > Duration::from_millis(800) {
                stop.store(true, Ordering::Relaxed);
            }
        });
    let (due, ok, failed) = counts(&record);
    assert!(due > 0 && (ok, failed) == (0, due), "{due} due, {ok} good, {failed} failed");
    assert_eq!(failures(&record, Failure::Timeout), due);
    assert!((attempts(&seen).len() as u64).abs_diff(due) <= 2, "none was sent again");
}
