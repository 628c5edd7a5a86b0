//! Whatever a server does, it is counted for what it is, and the run ends.

use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::AtomicBool;

use loadgen::{Error, Job, Options};
use results::{Failure, Provenance};
use scenarios::Scenario;

use crate::support::{Server, counts, entries, failures, play, scenario, silence};

/// All requests of a short run against this manner fail in this way. Each has a connection of its own and more time than a
/// busy machine takes to answer.
fn all_fail(kind: Failure, manner: impl Fn(&mut TcpStream, u64) -> bool + Send + Sync + 'static) {
    // Where time is no matter, a slow machine has enough of it; where it is, all requests wait at once.
    let (rate, timeout) = match kind {
        Failure::Timeout | Failure::Stalled => (16, "2s"),
        _ => (60, "30s"),
    };
    let scenario = scenario(rate, 1, &format!("connections = {rate}\ntimeout = \"{timeout}\""));
    let server = Server::start(manner);
    let record = play(&scenario, server.address, Options::default());
    let all = counts(&record).0;
    assert_eq!(
        (all, failures(&record, kind)),
        (u64::from(rate), u64::from(rate)),
        "{:?}",
        record.tally(results::Scope::Run, None).failures
    );
}

#[test]
fn a_closed_connection_is_a_reset() {
    all_fail(Failure::Reset, |_, _| false);
}

#[test]
fn a_connection_that_is_reset_is_a_reset() {
    all_fail(Failure::Reset, |stream, _| {
        // Closed without waiting for what is unsent: the kernel sends RST instead of FIN.
        rustix::net::sockopt::set_socket_linger(&*stream, Some(std::time::Duration::ZERO))
            .expect("it is a socket");
        false
    });
}

#[test]
fn a_connection_closed_in_mid_answer_is_truncated() {
    all_fail(Failure::Truncated, |stream, _| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nonly this")
            .expect("it fits the buffer");
        // The client may be gone.
        let _ = stream.shutdown(Shutdown::Both);
        false
    });
}

#[test]
fn garbage_is_malformed() {
    all_fail(Failure::Malformed, |stream, _| {
        stream.write_all(&[0, 159, 146, 150, 13, 10, 13, 10]).expect("it fits the buffer");
        true
    });
}

#[test]
fn endless_fields_are_too_large() {
    all_fail(Failure::TooLarge, |stream, _| {
        let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\nendless: ");
        // The client closes the connection at its limit, so this loop ends with an error.
        while written.is_ok() {
            written = stream.write_all(&[b'x'; 4096]);
        }
        false
    });
}

#[test]
fn a_body_announced_beyond_the_limit_is_too_large() {
    all_fail(Failure::TooLarge, |stream, _| {
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n")
            .expect("it fits the buffer");
        true
    });
}

/// Ten gigabytes without an announced length: the client counts them and keeps none.
#[test]
fn an_endless_body_is_too_large() {
    let scenario = scenario(6, 1, "connections = 2\ntimeout = \"9s\"");
    let server = Server::start(|stream, _| {
        let mut written = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
        let chunk = vec![b'x'; 256 << 10];
        while written.is_ok() {
            written = stream.write_all(&chunk);
        }
        false
    });
    let record = play(&scenario, server.address, Options::default());
    assert_eq!((counts(&record).0, failures(&record, Failure::TooLarge)), (6, 6));
}

#[test]
fn an_answer_that_is_not_what_was_asked_for_fails_its_check() {
    let traffic = "executor = \"constant-arrival-rate\"\nrate = \"50/s\"\narrivals = \"uniform\"\nmix = { product = 1 }";
    let scenario = crate::support::scenario_of(1, traffic, "check = { contains = \"hello 2\" }", "");
    let server = Server::start(|stream, number| {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\nhello {}", number % 5);
        stream.write_all(answer.as_bytes()).is_ok()
    });
    let record = play(&scenario, server.address, Options::default());
    assert_eq!((counts(&record).1, failures(&record, Failure::Check)), (10, 40));
}

/// What is compressed is checked as what it was, and a compression that is none fails the check.
#[test]
fn a_compressed_answer_is_checked_as_what_it_was() {
    let traffic = "executor = \"constant-arrival-rate\"\nrate = \"50/s\"\narrivals = \"uniform\"\nmix = { product = 1 }";
    let class = "headers = { accept-encoding = \"gzip\" }\ncheck = { contains = \"hello\" }";
    let scenario = crate::support::scenario_of(1, traffic, class, "");
    let server = Server::start(|stream, number| {
        let text = if number % 5 == 1 { "what else" } else { "hello hello hello" };
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(text.as_bytes()).expect("memory takes it");
        let mut body = encoder.finish().expect("memory takes it");
        if number % 5 == 2 {
            body.truncate(body.len() / 2);
        }
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {length}\r\n\r\n");
        stream.write_all(&[head.as_bytes(), &body].concat()).is_ok()
    });
    let record = play(&scenario, server.address, Options::default());
    assert_eq!((counts(&record).1, failures(&record, Failure::Check)), (30, 20));
}

/// A server that refuses a long request before it has read it, and closes: what it said counts, though the rest cannot be sent.
#[test]
fn an_answer_that_comes_before_the_request_was_sent_counts() {
    let traffic = "executor = \"constant-arrival-rate\"\nrate = \"20/s\"\narrivals = \"uniform\"\nmix = { product = 1 }";
    let class = "method = \"POST\"\nbody = '{long.text}'\ncheck = { status = [413] }";
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let text = format!("text\n{}\n", "x".repeat(8 << 20));
    std::fs::write(directory.path().join("long.csv"), text).expect("it is writable");
    let text = crate::support::text_of(1, traffic, class, "[feeds.long]\nfile = \"long.csv\"");
    let scenario = Scenario::parse(directory.path().join("test.toml"), text);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems}"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let begun = std::io::Read::read(&mut stream, &mut [0; 1000]).is_ok_and(|read| read > 0);
                // What is closed with bytes unread is reset.
                begun.then(|| {
                    stream
                        .write_all(b"HTTP/1.1 413 Too Long\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                })
            });
        }
    });
    let record = play(&scenario, address, Options::default());
    assert_eq!(counts(&record), (20, 20, 0), "{:?}", record.tally(results::Scope::Run, None).failures);
}

#[test]
fn silence_is_a_timeout() {
    all_fail(Failure::Timeout, |_, _| {
        silence();
        false
    });
}

#[test]
fn a_dribble_stalls() {
    all_fail(Failure::Stalled, |stream, _| {
        let mut bytes =
            b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n".iter().chain(std::iter::repeat(&b'.'));
        while bytes.next().is_some_and(|byte| stream.write_all(&[*byte]).is_ok()) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        false
    });
}

#[test]
fn a_server_that_goes_away_refuses() {
    let scenario = scenario(100, 2, "connections = 4\ntimeout = \"1s\"");
    // It serves what was accepted at first, and accepts nothing later.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    std::thread::spawn(move || {
        let streams: Vec<TcpStream> = listener.incoming().take(4).flatten().collect();
        drop(listener);
        for mut stream in streams {
            crate::support::read_request(&mut stream);
        }
    });
    let record = play(&scenario, address, Options::default());
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, ok, failed), (200, 0, 200));
    assert!(failures(&record, Failure::Refused) >= 150, "{}", failures(&record, Failure::Refused));
}

#[test]
fn a_target_that_is_not_there_is_an_error_before_the_run() {
    let scenario = scenario(10, 1, "connections = 2");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let free = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = free.local_addr().expect("a bound socket has an address");
    drop(free);
    let job = Job {
        scenario: &scenario,
        entries: &entries(address),
        options: Options::default(),
        directory: directory.path(),
        provenance: Provenance::here("loadgen test"),
        stop: &AtomicBool::new(false),
    };
    let error = loadgen::run(job, None, &mut |_| {}).expect_err("nothing listens there");
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
