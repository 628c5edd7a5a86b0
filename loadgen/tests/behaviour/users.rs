//! Users who wait for answers: closed loops and sessions.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadgen::Options;
use scenarios::Scenario;

use crate::support::{Server, answer, counts, field, play, scenario_of};

/// A server that takes its time, and what it was asked.
fn noting(delay: Duration) -> (Server, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = Server::noting(move |stream, request| {
        noted.lock().expect("no thread panics with the lock").push(request.to_owned());
        std::thread::sleep(delay);
        answer(stream)
    });
    (server, seen)
}

fn threads(number: u32) -> Options {
    let mut options = Options::default();
    options.threads = NonZeroU32::new(number).expect("not zero");
    options
}

/// The users' numbers and their iterations, of requests of the first traffic.
fn iterations(seen: &[String]) -> BTreeMap<u64, Vec<u64>> {
    let mut users: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for request in seen {
        let id = u64::from_str_radix(&field(request, "x-rehearsal-request"), 16).expect("a number");
        users.entry(id >> 38).or_default().push(id & ((1 << 38) - 1));
    }
    users
}

fn closed(executor: &str, seconds: u32, lines: &str) -> Scenario {
    scenario_of(seconds, &format!("executor = \"{executor}\"\nmix = {{ product = 1 }}\n{lines}"), "", "")
}

#[cfg(not(feature = "goose"))]
#[test]
fn a_build_without_goose_says_what_it_takes() {
    let users =
        "executor = \"constant-vus\"\nengine = \"goose\"\nvus = 1\nthink = \"1s\"\nmix = { product = 1 }";
    let text = crate::support::text_of(1, users, "", "");
    let scenario = Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let refused = loadgen::supports::check(&scenario).expect_err("goose is not in it").to_string();
    let told = refused.contains("traffic.shops.engine") && refused.contains("--features goose");
    assert!(told && refused.contains("test.toml:"), "{refused}");
}

#[test]
fn each_user_makes_its_iterations_one_after_another() {
    let scenario = closed("per-vu-iterations", 5, "vus = 7\niterations = 9\nthink = \"1ms\"");
    let (server, seen) = noting(Duration::from_millis(2));
    let record = play(&scenario, server.address, threads(2));
    assert_eq!(counts(&record), (63, 63, 0), "{:?}", record.validity);
    let users = iterations(&seen.lock().expect("no thread panics with the lock"));
    assert_eq!(users.len(), 7);
    assert!(users.values().all(|made| *made == (0..9).collect::<Vec<_>>()), "{users:?}");
}

#[test]
fn shared_iterations_are_made_once_over_all_threads() {
    let scenario = closed("shared-iterations", 5, "vus = 6\niterations = 100\nthink = \"0s\"");
    let (server, seen) = noting(Duration::from_millis(1));
    let record = play(&scenario, server.address, threads(3));
    assert_eq!(counts(&record), (100, 100, 0), "{:?}", record.validity);
    // Nobody begins before the run does, where time stands still.
    let times = record.tally(results::Scope::Run, None).response_times();
    assert!(times.minimum().is_some_and(|least| least >= 0.001), "{times:?}");
    let seen = seen.lock().expect("no thread panics with the lock");
    let ids: HashSet<String> = seen.iter().map(|request| field(request, "x-rehearsal-request")).collect();
    assert_eq!(ids.len(), 100);
}

/// The interactive response-time law: N users who think for Z and wait for R make N / (Z + R) requests a second
/// (Denning and Buzen 1978). R is measured, so that a slow machine does not matter.
#[test]
fn a_closed_loop_obeys_the_response_time_law() {
    let scenario = closed("constant-vus", 3, "vus = 20\nthink = \"40ms\"");
    let (server, _) = noting(Duration::from_millis(10));
    let record = play(&scenario, server.address, Options::default());
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, failed), (ok, 0), "{:?}", record.validity);
    let answers = record.tally(results::Scope::Run, None).response_times();
    let mean = answers.mean().expect("there are answers");
    let expected = 20.0 * 3.0 / (0.040 + mean);
    assert!((due as f64 / expected - 1.0).abs() < 0.06, "{due} requests, expected {expected}");
}

#[test]
fn the_number_of_users_follows_the_stages() {
    let lines = "start_vus = 0\nstages = [{ for = \"2s\", to = 20 }]\nthink = \"20ms\"";
    let scenario = closed("ramping-vus", 2, lines);
    let (server, seen) = noting(Duration::ZERO);
    let record = play(&scenario, server.address, Options::default());
    assert_eq!(counts(&record).2, 0);
    let users = iterations(&seen.lock().expect("no thread panics with the lock"));
    assert_eq!(users.len(), 20);
    let made: Vec<usize> = users.values().map(Vec::len).collect();
    // The first is there almost from the start, the last for the last fortieth.
    assert!(made[0] > 3 * made[19] && made[19] <= 5, "{made:?}");
}

#[test]
fn a_slow_server_slows_a_closed_loop_and_makes_no_run_invalid() {
    let scenario = closed("constant-vus", 1, "vus = 3\nthink = \"0s\"\ntimeout = \"150ms\"");
    let server = Server::start(|_, _| {
        crate::support::silence();
        false
    });
    let record = play(&scenario, server.address, Options::default());
    let (due, ok, failed) = counts(&record);
    // Each user gives up every 150 ms.
    assert!((3 * 6..=3 * 8).contains(&due) && ok == 0 && failed == due, "{due} due");
    assert!(record.validity.reasons.iter().all(|r| r.contains("stood still")), "{:?}", record.validity);
}

const WALK: &str = "executor = \"constant-arrival-rate\"\nrate = \"50/s\"\narrivals = \"uniform\"\nconnections = 40\n\
    mix = { product = 1 }\nsession = { requests = 4, think = \"15ms\" }";

#[test]
fn a_session_walks_its_steps_after_the_answers() {
    let scenario = scenario_of(2, WALK, "", "");
    let (server, seen) = noting(Duration::from_millis(5));
    let record = play(&scenario, server.address, threads(2));
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, failed), (ok, 0), "{:?}", record.validity);
    let mut sessions: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for request in seen.lock().expect("no thread panics with the lock").iter() {
        let id = u64::from_str_radix(&field(request, "x-rehearsal-request"), 16).expect("a number");
        sessions.entry(id >> 10).or_default().push(id & 1023);
    }
    // A session that begins in the last tenth of a second may not come to its end.
    let whole = sessions.values().filter(|steps| **steps == [0, 1, 2, 3]).count();
    assert!(sessions.len() == 100 && whole >= 90, "{} sessions, {whole} whole", sessions.len());
    assert!(sessions.values().all(|steps| steps.iter().copied().eq(0..steps.len() as u64)), "{sessions:?}");
}

#[test]
fn users_send_back_the_cookies_of_their_session_and_no_others() {
    let scenario = scenario_of(1, WALK, "", "");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = Server::noting(move |stream, request| {
        let id = u64::from_str_radix(&field(request, "x-rehearsal-request"), 16).expect("a number");
        let cookie = request.lines().find_map(|line| line.strip_prefix("cookie: ")).map(str::to_owned);
        noted.lock().expect("no thread panics with the lock").push((id, cookie));
        // What is for other paths and other domains is not sent here; a connection's end takes no cookie away.
        let others =
            "set-cookie: near=1\r\nset-cookie: far=1; Path=/else\r\nset-cookie: else=1; Domain=else.test\r\n";
        let (is_last, close) =
            if id.is_multiple_of(3) { (true, "connection: close\r\n") } else { (false, "") };
        let session = format!("set-cookie: session={}; Path=/\r\n", id >> 10);
        let head = format!("HTTP/1.1 200 OK\r\n{session}{others}{close}content-length: 0\r\n\r\n");
        stream.write_all(head.as_bytes()).is_ok() && !is_last
    });
    let record = play(&scenario, server.address, Options::default());
    assert_eq!(counts(&record).2, 0);
    let seen = seen.lock().expect("no thread panics with the lock");
    assert!(seen.len() > 150, "{}", seen.len());
    for (id, cookie) in seen.iter() {
        let expected = (id & 1023 > 0).then(|| format!("session={}; near=1", id >> 10));
        assert_eq!(*cookie, expected, "request {id:x}");
    }
}

#[test]
fn a_session_has_a_connection_of_its_own_where_the_scenario_says_so() {
    let scenario = scenario_of(1, &format!("{WALK}\nreuse = \"session\""), "method = \"POST\"", "");
    loadgen::supports::check(&scenario).unwrap_or_else(|problems| panic!("{problems}"));
    let seen: Arc<Mutex<Vec<(usize, u64)>>> = Arc::default();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for (connection, mut stream) in listener.incoming().flatten().enumerate() {
            let noted = Arc::clone(&noted);
            std::thread::spawn(move || {
                while let Some((head, _)) = crate::support::read_with_body(&mut stream) {
                    let id = u64::from_str_radix(&field(&head, "x-rehearsal-request"), 16).expect("a number");
                    noted.lock().expect("no thread panics with the lock").push((connection, id >> 10));
                    if !answer(&mut stream) {
                        return;
                    }
                }
            });
        }
    });
    let record = play(&scenario, address, threads(2));
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, failed), (ok, 0), "{:?}", record.tally(results::Scope::Run, None).failures);
    let seen = seen.lock().expect("no thread panics with the lock");
    let pairs: HashSet<(usize, u64)> = seen.iter().copied().collect();
    let connections: HashSet<usize> = pairs.iter().map(|pair| pair.0).collect();
    let sessions: HashSet<u64> = pairs.iter().map(|pair| pair.1).collect();
    assert!(sessions.len() > 40, "{} sessions", sessions.len());
    assert_eq!((pairs.len(), connections.len()), (sessions.len(), sessions.len()), "one to one");
}

/// A session that has its connection keeps to the limit like any other request.
#[test]
fn sessions_with_connections_of_their_own_keep_to_the_limit() {
    let lines = format!("{WALK}\nreuse = \"session\"\nmax_in_flight = 3");
    let scenario = scenario_of(1, &lines, "", "");
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, peak) = (Arc::clone(&now), Arc::clone(&most));
    let server = Server::start(move |stream, _| {
        peak.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(50));
        inside.fetch_sub(1, Ordering::SeqCst);
        answer(stream)
    });
    let record = play(&scenario, server.address, threads(1));
    let (_, ok, failed) = counts(&record);
    assert!(ok > 20 && failed > 0, "{ok} answered, {failed} failed");
    assert!(most.load(Ordering::SeqCst) <= 3, "{most:?} at once");
}

/// What a request extracts, the user's next one says; what is fed stays the same for a user.
#[test]
fn what_a_user_keeps_and_is_fed_goes_into_the_next_request() {
    let requests = r#"
method = "POST"
body = '{"who": "{people.name}", "last": "{token}", "list": [{1}]}'
headers = { authorization = "Bearer {token}" }
extract = { token = { json = "/token" } }
check = { status = [200], contains = "token" }
"#;
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let rows: String = (0..50).map(|n| format!("{n},person-{n}\n")).collect();
    std::fs::write(directory.path().join("people.csv"), format!("id,name\n{rows}")).expect("it is writable");
    let file = directory.path().join("test.toml");
    let feeds = "[feeds.people]\nfile = \"people.csv\"";
    let text = crate::support::text_of(1, WALK, requests, feeds);
    let text = text.replace("path = \"/product\"", "path = \"/product/{token}\"");
    let scenario = Scenario::parse(&file, text).unwrap_or_else(|problems| panic!("{problems}"));
    loadgen::supports::check(&scenario).unwrap_or_else(|problems| panic!("{problems}"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let noted = Arc::clone(&seen);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let noted = Arc::clone(&noted);
            std::thread::spawn(move || {
                while let Some((head, body)) = crate::support::read_with_body(&mut stream) {
                    let id = u64::from_str_radix(&field(&head, "x-rehearsal-request"), 16).expect("a number");
                    let token = format!("{{\"token\": \"t{:x}\"}}", id);
                    noted.lock().expect("no thread panics with the lock").push((id, head, body));
                    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{token}", token.len());
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    let record = play(&scenario, address, Options::default());
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, failed), (ok, 0), "{:?}", record.tally(results::Scope::Run, None).failures);
    let seen = seen.lock().expect("no thread panics with the lock");
    let mut people: BTreeMap<u64, String> = BTreeMap::new();
    for (id, head, body) in seen.iter() {
        let last = if id & 1023 == 0 { String::new() } else { format!("t{:x}", id - 1) };
        assert_eq!(field(head, "authorization").trim_end(), format!("Bearer {last}").trim_end());
        assert!(head.starts_with(&format!("POST /product/{last} ")), "{head}");
        let who = body.split('"').nth(3).expect("a name").to_owned();
        assert_eq!(*body, format!("{{\"who\": \"{who}\", \"last\": \"{last}\", \"list\": [{{1}}]}}"));
        assert!(who.starts_with("person-"), "{body}");
        assert_eq!(*people.entry(id >> 10).or_insert_with(|| who.clone()), who);
    }
    let different: HashSet<&String> = people.values().collect();
    assert!(people.len() > 40 && different.len() > 20, "{} users, {} people", people.len(), different.len());
}
