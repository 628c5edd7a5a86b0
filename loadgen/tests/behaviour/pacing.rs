//! The plan reaches the server as it is, and every request says which one it is.

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};

use loadgen::Options;
use scenarios::plan::Plan;

use crate::support::{Server, answer, counts, failures, play, read_request, scenario};

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

fn field(request: &str, name: &str) -> String {
    let start = format!("{name}: ");
    let line = request.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {name} in {request}")).to_owned()
}

#[test]
fn a_run_outlives_a_server_that_closes_after_every_answer() {
    let scenario = scenario(200, 1, "connections = 20");
    let server = Server::start(|stream, _| {
        let head = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\nhi";
        std::io::Write::write_all(stream, head).expect("a small answer fits the socket's buffer");
        false
    });
    let record = play(&scenario, server.address, Options::default());
    assert_eq!(counts(&record), (200, 200, 0), "{:?}", record.validity);
    assert_eq!(failures(&record, results::Failure::Reset), 0);
}
