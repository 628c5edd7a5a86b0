//! Runs over HTTP/2.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use loadgen::{Entries, Error, Options};
use results::{Failure, RunRecord, Scope, sample};
use scenarios::Scenario;

use crate::http2_server::{Act, Http2Server, saying};
use crate::support::{
    counts, entries, failures, listening_for_one, planned, play, play_at_path, scenario, scenario_of, try_at,
};

/// So many connections with so many streams.
fn lines(connections: u32, streams: u32) -> String {
    format!("http2 = true\nconnections = {connections}\nstreams = {streams}")
}

fn failed(record: &RunRecord) -> [u64; 11] {
    record.tally(Scope::Run, None).failures
}

/// Ten times as many requests are under way as there are connections, and none waits for another.
#[test]
fn many_requests_share_a_connection() {
    let server = Http2Server::start(|_, _| Act::after(Duration::from_millis(200)));
    let scenario = scenario(100, 2, &lines(2, 50));
    let record = play(&scenario, server.address, Options::default());
    assert_eq!(counts(&record), (200, 200, 0), "{:?}", failed(&record));
    assert_eq!(server.connections.load(Ordering::Relaxed), 2);
    let told: Vec<f64> = record
        .series(sample::GENERATOR, sample::CONNECTIONS)
        .flat_map(|series| series.values.iter().copied().flatten())
        .collect();
    assert!(!told.is_empty() && told.iter().all(|open| *open == 2.0), "connections, not streams: {told:?}");
    // One after another over two connections they would take 20 seconds.
    let times = record.tally(Scope::Run, None).service_times();
    assert!(times.minimum().is_some_and(|least| least >= 0.19), "{times:?}");
}

#[test]
fn what_exceeds_the_streams_waits_for_one() {
    let server = Http2Server::start(|_, _| Act::after(Duration::from_millis(100)));
    let record = play(&scenario(50, 1, &lines(1, 2)), server.address, Options::default());
    assert_eq!(counts(&record), (50, 50, 0), "{:?}", failed(&record));
    let tally = record.tally(Scope::Run, None);
    // Twenty a second: the last waits for a second and a half, and its own time knows nothing of that.
    let (response, service) =
        (tally.response_times().percentile(90.0), tally.service_times().percentile(50.0));
    assert!(
        response.is_some_and(|p90| p90 > 0.9) && service.is_some_and(|p50| p50 < 0.5),
        "{response:?} {service:?}"
    );
}

/// All requests of a short run end in this way.
fn all_fail(kind: Failure, act: Act) {
    let server = Http2Server::start(move |_, _| act.clone());
    // Where time is no matter, a slow machine has enough of it; where it is, all requests wait at once.
    let timeout = if matches!(kind, Failure::Timeout | Failure::Stalled) { "2s" } else { "30s" };
    let lines = format!("{}\ntimeout = \"{timeout}\"", lines(2, 20));
    let record = play(&scenario(40, 1, &lines), server.address, Options::default());
    assert_eq!((counts(&record).0, failures(&record, kind)), (40, 40), "{:?}", failed(&record));
}

#[test]
fn every_manner_of_breaking_an_answer_is_counted_for_what_it_is() {
    all_fail(Failure::Reset, Act::Reset);
    all_fail(Failure::Truncated, Act::CutShort);
    all_fail(Failure::Timeout, Act::Silence);
    all_fail(Failure::Stalled, Act::Dribble);
    all_fail(Failure::Status, Act::Answer(503, Vec::new(), Vec::new(), Duration::ZERO));
}

#[test]
fn an_endless_body_is_too_large() {
    let server = Http2Server::start(|_, _| Act::Endless);
    let lines = format!("{}\ntimeout = \"20s\"", lines(2, 3));
    let mut options = Options::default();
    options.limits.body_bytes = 1 << 20;
    let record = play(&scenario(6, 1, &lines), server.address, options);
    assert_eq!((counts(&record).0, failures(&record, Failure::TooLarge)), (6, 6), "{:?}", failed(&record));
}

/// Whether that is found out before the run or within it is a matter of who is faster.
#[test]
fn a_server_that_speaks_something_else_is_named_or_sends_malformed_answers() {
    for bytes in
        [&b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n"[..], b"\0\0\x04\x08\0\0\0\0\0\0\0\0\0"]
    {
        let server = saying(bytes);
        match run(&scenario(20, 1, &lines(1, 5)), &entries(server.address)) {
            Err(error) => assert!(matches!(error, Error::Handshake { .. }), "{error}"),
            Ok(record) => {
                let (due, ok, all) = counts(&record);
                let lost = [Failure::Malformed, Failure::Reset, Failure::Refused];
                let broken: u64 = lost.iter().map(|kind| failures(&record, *kind)).sum();
                assert_eq!((due, ok, all, broken), (20, 0, 20, 20), "{:?}", failed(&record));
            }
        }
    }
}

/// Servers say farewell after so many requests (nginx's `keepalive_requests`): what is under way is answered, and the rest goes
/// over another connection.
#[test]
fn a_farewell_is_followed_by_another_connection() {
    let server = Http2Server::start(|_, number| if number % 10 == 9 { Act::Farewell } else { Act::good() });
    let record = play(&scenario(100, 2, &lines(2, 10)), server.address, Options::default());
    let (due, ok, _) = counts(&record);
    // What this server has not read when it closes is lost with the connection where it comes to that before its farewell is read.
    assert!(
        due == 200 && ok >= 150 && ok + failures(&record, Failure::Reset) == 200,
        "{:?}",
        failed(&record)
    );
    let connections = server.connections.load(Ordering::Relaxed);
    assert!(connections >= 10, "{connections} connections");
}

#[test]
fn connections_that_break_are_opened_again() {
    let server = Http2Server::start(|_, _| Act::good());
    let breaking = Arc::new(AtomicU64::new(0));
    let address = breaking_after(server.address, 5, Arc::clone(&breaking));
    let record = play(&scenario(100, 1, &lines(2, 10)), address, Options::default());
    let (due, ok, _) = counts(&record);
    let lost = failures(&record, Failure::Reset)
        + failures(&record, Failure::Truncated)
        + failures(&record, Failure::Refused);
    assert_eq!((due, ok + lost), (100, 100), "{:?}", failed(&record));
    assert!(ok > 20 && breaking.load(Ordering::Relaxed) > 5, "{ok} good, {lost} lost");
}

/// Stands before a server and breaks a connection after it has passed so many pieces of its answers on.
fn breaking_after(
    server: std::net::SocketAddr,
    pieces: u32,
    connections: Arc<AtomicU64>,
) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            connections.fetch_add(1, Ordering::Relaxed);
            let behind = std::net::TcpStream::connect(server).expect("the server listens");
            let (mut asked, mut ask) =
                (client.try_clone().expect("a copy"), behind.try_clone().expect("a copy"));
            std::thread::spawn(move || _ = std::io::copy(&mut asked, &mut ask));
            std::thread::spawn(move || {
                let (mut client, mut behind) = (client, behind);
                let mut buffer = [0; 4096];
                for _ in 0..pieces {
                    match behind.read(&mut buffer) {
                        Ok(read) if read > 0 && client.write_all(&buffer[..read]).is_ok() => {}
                        _ => break,
                    }
                }
                let _ =
                    (client.shutdown(std::net::Shutdown::Both), behind.shutdown(std::net::Shutdown::Both));
            });
        }
    });
    address
}

/// Cookies, extraction, checks and bodies are those of HTTP/1.1.
#[test]
fn users_keep_what_answers_told_them() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let server = Http2Server::start(move |fields, _| {
        let text = |name: &str| {
            fields.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
        };
        let id = u64::from_str_radix(&text("x-rehearsal-request"), 16).expect("a number");
        noted.lock().expect("no thread panics with the lock").push((id, text("cookie"), text("x-token")));
        let set = |cookie: String| ("set-cookie", cookie);
        let near = set(format!("session={}; Path=/", id >> 10));
        let far = ["far=1; Path=/else", "else=1; Domain=else.test"].map(|cookie| set(cookie.to_owned()));
        let set = [near].into_iter().chain(far).collect();
        Act::Answer(200, set, format!("{{\"token\": \"t{id:x}\"}}").into_bytes(), Duration::ZERO)
    });
    let walk = "executor = \"constant-arrival-rate\"\nrate = \"30/s\"\narrivals = \"uniform\"\nmix = { product = 1 }\n\
        session = { requests = 4, think = \"15ms\" }\nhttp2 = true\nconnections = 2";
    let class = "method = \"POST\"\nbody = \"hello\"\nheaders = { x-token = \"{token}\" }\n\
        extract = { token = { json = \"/token\" } }\ncheck = { contains = \"token\" }";
    let record = play(&scenario_of(1, walk, class, ""), server.address, Options::default());
    let (due, ok, _) = counts(&record);
    assert!(due == ok && due > 80, "{due} due, {ok} good: {:?}", failed(&record));
    for (id, cookie, token) in seen.lock().expect("no thread panics with the lock").iter() {
        let first = id & 1023 == 0;
        let expected = if first { String::new() } else { format!("session={}", id >> 10) };
        assert_eq!(*cookie, expected, "request {id:x}");
        assert_eq!(*token, if first { String::new() } else { format!("t{:x}", id - 1) });
    }
}

#[test]
fn users_of_closed_loops_have_a_connection_each() {
    let server = Http2Server::start(|_, _| Act::good());
    let users = "executor = \"per-vu-iterations\"\nvus = 4\niterations = 25\nthink = \"1ms\"\nmix = { product = 1 }\nhttp2 = true";
    let record = play(&scenario_of(5, users, "", ""), server.address, Options::default());
    assert_eq!(
        (counts(&record), server.connections.load(Ordering::Relaxed)),
        ((100, 100, 0), 4),
        "{:?}",
        failed(&record)
    );
}

#[test]
fn a_full_backlog_in_the_file_system_is_waited_for_over_http_2_too() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let path = directory.path().join("shop.sock");
    // Slower than connections are asked for.
    crate::http2_server::at(listening_for_one(&path), Duration::from_millis(30));
    let users = "executor = \"per-vu-iterations\"\nvus = 20\niterations = 3\nthink = \"1ms\"\nmix = { product = 1 }\nhttp2 = true";
    let record = play_at_path(&scenario_of(5, users, "", ""), &path);
    assert_eq!(counts(&record), (60, 60, 0), "{:?}", failed(&record));
}

#[test]
fn what_failed_is_sent_again_over_http_2_as_well() {
    let server = Http2Server::start(|fields, number| match (fields.get("x-rehearsal-attempt"), number % 2) {
        (Some(_), _) => Act::good(),
        (None, 0) => Act::Reset,
        (None, _) => Act::Answer(503, Vec::new(), Vec::new(), Duration::ZERO),
    });
    let retries = "retries = { times = 1, backoff = \"20ms\", jitter = \"none\" }";
    let record =
        play(&scenario(100, 1, &format!("{}\n{retries}", lines(2, 20))), server.address, Options::default());
    assert_eq!(counts(&record), (100, 100, 0), "{:?}", failed(&record));
    let least = record.tally(Scope::Run, None).response_times().minimum();
    assert!(least.is_some_and(|least| least > 0.019), "{least:?}");
}

#[test]
fn requests_over_http_2_are_those_of_the_plan() {
    let scenario = scenario(300, 1, &format!("arrivals = \"poisson\"\n{}", lines(3, 20)));
    let mut options = Options::default();
    options.threads = std::num::NonZeroU32::new(2).expect("not zero");
    let server = Http2Server::start(|_, _| Act::good());
    let record = play(&scenario, server.address, options);
    assert_eq!(counts(&record), (planned(&scenario), planned(&scenario), 0), "{:?}", record.validity);
    assert_eq!(server.connections.load(Ordering::Relaxed), 3);
}

#[test]
fn what_http_2_is_not_spoken_with_is_refused_with_its_place() {
    let text = crate::support::text_of(
        1,
        "executor = \"constant-arrival-rate\"\nrate = \"1/s\"\nmix = { product = 1 }\nhttp2 = true\nreuse = \"never\"\n\
         max_connection_age = \"1s\"\nsession = { requests = 2, think = \"1s\", address_change = \"5%\" }",
        "",
        "[traffic.others]\nto = \"shop\"\nexecutor = \"constant-vus\"\nvus = 1\nthink = \"1s\"\nmix = { product = 1 }",
    );
    let scenario = Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let problems = loadgen::supports::check(&scenario).expect_err("these are refused");
    let places: Vec<&str> = problems.iter().map(|problem| problem.where_.as_str()).collect();
    for key in ["shops.reuse", "shops.max_connection_age", "shops.session.address_change", "others.http2"] {
        assert!(places.contains(&format!("traffic.{key}").as_str()), "{places:?}");
    }
}

fn run(scenario: &Scenario, entries: &Entries) -> Result<RunRecord, Error> {
    try_at(scenario, entries, Options::default(), &AtomicBool::new(false), &mut |_| {})
}

#[cfg(feature = "tls")]
fn over_tls(server: &Http2Server, scenario: &Scenario) -> Result<RunRecord, Error> {
    use loadgen::trust::{Trust, tls};
    let trust = Trust::File(crate::http2_server::certificate("authority.pem"));
    let mut entries = entries(server.address);
    entries.tls = Some(tls("localhost", &trust).expect("it is an authority"));
    run(scenario, &entries)
}

#[cfg(feature = "tls")]
#[test]
fn http_2_is_agreed_upon_over_tls() {
    let server = crate::http2_server::over_tls(&["http/1.1", "h2"], |_, number| {
        Act::Answer(200, Vec::new(), vec![b'x'; if number % 10 == 0 { 300_000 } else { 10 }], Duration::ZERO)
    });
    let scenario = scenario(100, 1, &lines(2, 20));
    let record = over_tls(&server, &scenario).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(
        (counts(&record), server.connections.load(Ordering::Relaxed)),
        ((100, 100, 0), 2),
        "{:?}",
        failed(&record)
    );
}

#[cfg(feature = "tls")]
#[test]
fn a_server_that_does_not_agree_to_http_2_is_an_error_before_the_run() {
    let server = crate::http2_server::over_tls(&["http/1.1"], |_, _| Act::good());
    let error = over_tls(&server, &scenario(10, 1, &lines(1, 2))).expect_err("it speaks HTTP/1.1 only");
    assert!(matches!(error, Error::Handshake { .. }), "{error}");
}
