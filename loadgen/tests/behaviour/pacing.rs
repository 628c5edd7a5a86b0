//! The plan reaches the server as it is, and every request says which one it is.

use std::collections::HashSet;
use std::io::Write as _;
use std::net::TcpListener;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use loadgen::Options;
use scenarios::plan::Plan;

use crate::support::{Server, answer, counts, failures, field, play, read_request, scenario};

#[test]
fn the_union_of_the_threads_requests_is_the_plan() {
    for threads in [1, 3] {
        let scenario = scenario(400, 1, "arrivals = \"poisson\"\nconnections = 7");
        let seen = Arc::new(Mutex::new(Vec::new()));
        let server = {
            let seen = Arc::clone(&seen);
            // The harness reads requests itself, so this one reads the next request while it answers the last.
            Server::start(move |stream, _| {
                let mut good = answer(stream);
                while good {
                    let Some(request) = read_request(stream) else { return false };
                    seen.lock().expect("no thread panics with the lock").push(request);
                    good = answer(stream);
                }
                false
            })
        };
        let mut options = Options::default();
        options.threads = NonZeroU32::new(threads).expect("not zero");
        let record = play(&scenario, server.address, options);
        let plan: HashSet<String> =
            Plan::new(&scenario).requests().map(|planned| format!("{:016x}", planned.id.0)).collect();
        assert_eq!(counts(&record), (plan.len() as u64, plan.len() as u64, 0));
        let seen = seen.lock().expect("no thread panics with the lock");
        let ids: HashSet<String> = seen.iter().map(|request| field(request, "x-rehearsal-request")).collect();
        // The first request of each of the seven connections is read by the harness and not noted.
        assert!(ids.is_subset(&plan) && ids.len() == seen.len() && ids.len() + 7 >= plan.len());
        let one = &seen[0];
        assert!(one.starts_with("GET /product HTTP/1.1\r\n"), "{one}");
        assert_eq!(field(one, "x-rehearsal-class"), "product");
        assert_eq!(field(one, "host"), server.address.to_string());
        assert!(field(one, "user-agent").starts_with("rehearsal-loadgen/"), "{one}");
    }
}

#[test]
fn a_run_outlives_a_server_that_closes_after_every_answer() {
    let scenario = scenario(200, 1, "connections = 20");
    let server = Server::start(|stream, _| {
        let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
        stream.write_all(head).expect("a small answer fits the socket's buffer");
        false
    });
    let record = play(&scenario, server.address, Options::default());
    assert_eq!(counts(&record), (200, 200, 0), "{:?}", record.validity);
    assert_eq!(failures(&record, results::Failure::Reset), 0);
}

#[test]
fn a_lost_connection_is_reopened_before_it_is_needed() {
    let scenario = scenario(20, 1, "connections = 2");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port is free");
    let address = listener.local_addr().expect("a bound socket has an address");
    let accepted = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&accepted);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            counter.fetch_add(1, Ordering::Relaxed);
            std::thread::spawn(move || {
                if read_request(&mut stream).is_some() {
                    let last = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
                    stream.write_all(last).expect("a small answer fits the socket's buffer");
                }
            });
        }
    });
    let record = play(&scenario, address, Options::default());
    assert_eq!(counts(&record), (20, 20, 0), "{:?}", record.validity);
    // Opened only when needed, there would be as many connections as requests.
    let accepted = accepted.load(Ordering::Relaxed);
    assert!(accepted > 20, "{accepted} connections");
}
