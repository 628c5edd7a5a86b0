//! Runs over clients that are not this crate's.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use loadgen::{Client, Clients, Entries, Error, Job, Options, Request};
use results::{Failure, Provenance, RunRecord};
use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::scenario::TrafficId;

use crate::support::{counts, failures, planned, scenario, scenario_of};

/// What a call does, by the number of calls before.
type Manner = fn(u64) -> Result<(), Failure>;

#[derive(Debug)]
struct Drivers {
    manner: Manner,
    connected: AtomicU64,
    seen: Arc<Mutex<Vec<Request>>>,
}

struct Driver {
    manner: Manner,
    seen: Arc<Mutex<Vec<Request>>>,
}

impl Clients for Drivers {
    fn connect(&self, _: TrafficId) -> Result<Box<dyn Client>, Failure> {
        self.connected.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(Driver { manner: self.manner, seen: Arc::clone(&self.seen) }))
    }
}

impl Client for Driver {
    fn call(&mut self, request: &Request) -> Result<(), Failure> {
        let number = {
            let mut seen = self.seen.lock().expect("no thread panics with the lock");
            seen.push(request.clone());
            seen.len() as u64 - 1
        };
        (self.manner)(number)
    }
}

fn play_over(scenario: &Scenario, manner: Manner) -> (RunRecord, Arc<Drivers>) {
    let drivers = Arc::new(Drivers { manner, connected: AtomicU64::new(0), seen: Arc::default() });
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let job = Job {
        scenario,
        entries: &Entries { by_traffic: vec![Vec::new()], base_path: String::new(), tls: None },
        options: Options::default(),
        directory: directory.path(),
        provenance: Provenance::here("loadgen test"),
        stop: &AtomicBool::new(false),
    };
    let clients = Arc::clone(&drivers) as Arc<dyn Clients>;
    (loadgen::run_over(job, clients, None, &mut |_| {}).unwrap_or_else(|error| panic!("{error}")), drivers)
}

#[test]
fn the_plan_reaches_a_client_of_ones_own() {
    let scenario = scenario(200, 1, "arrivals = \"poisson\"\nconnections = 5");
    let (record, drivers) = play_over(&scenario, |_| Ok(()));
    assert_eq!(counts(&record), (planned(&scenario), planned(&scenario), 0), "{:?}", record.validity);
    let mut seen: Vec<_> = drivers.seen.lock().expect("no thread panics with the lock").clone();
    seen.sort_by_key(|request| request.id);
    let mut plan: Vec<_> = Plan::new(&scenario).requests().map(|planned| planned.id).collect();
    plan.sort_unstable();
    assert!(seen.iter().map(|request| request.id).eq(plan));
    assert!(seen.iter().all(|r| r.path == "/product" && r.class == "product" && r.timeout.as_secs() == 10));
    assert_eq!(drivers.connected.load(Ordering::Relaxed), 5);
}

#[test]
fn failures_of_a_client_are_counted_and_it_is_replaced() {
    let scenario = scenario(100, 1, "connections = 4\ntimeout = \"1s\"");
    let (record, drivers) = play_over(&scenario, |number| match number % 10 {
        3 => Err(Failure::Reset),
        7 => Err(Failure::Status),
        8 if number < 50 => {
            thread::sleep(Duration::from_millis(1_600));
            Ok(())
        }
        _ => Ok(()),
    });
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, ok + failed), (100, 100));
    assert_eq!(failures(&record, Failure::Status), 10);
    assert_eq!(failures(&record, Failure::Reset), 10);
    assert_eq!(failures(&record, Failure::Timeout), 5);
    assert!(drivers.connected.load(Ordering::Relaxed) >= 15);
}

#[test]
fn calls_that_never_return_end_in_no_more_threads_and_an_invalid_run() {
    let scenario = scenario(200, 2, "connections = 4\ntimeout = \"20ms\"");
    let (record, drivers) = play_over(&scenario, |_| {
        loop {
            thread::park();
        }
    });
    let (due, ok, failed) = counts(&record);
    assert_eq!((due, ok, failed), (400, 0, 400));
    // The limit is on those that are there at once: one that was closed before it was called is gone, and counted.
    let connected = drivers.connected.load(Ordering::Relaxed);
    assert!(connected <= 2 * 4 + 64 + 100, "{connected} threads");
    let reasons = &record.validity.reasons;
    assert!(
        reasons.iter().any(|reason| reason.contains("do not return")),
        "{connected} threads; {reasons:?}"
    );
}

#[test]
fn a_client_that_panics_has_lost_its_request_and_no_other() {
    let (record, _) = play_over(&scenario(100, 1, "connections = 4"), |number| match number % 10 {
        3 => panic!("as this test wants it"),
        _ => Ok(()),
    });
    assert_eq!((counts(&record), failures(&record, Failure::Reset)), ((100, 90, 10), 10));
}

#[test]
fn what_clients_see_nothing_of_is_refused_with_its_place() {
    let traffic = "executor = \"constant-arrival-rate\"\nrate = \"10/s\"\nmix = { product = 1 }\n\
        session = { requests = 2, think = \"1s\", cookies = true }";
    let class =
        "headers = { accept = \"*/*\" }\ncheck = { contains = \"x\" }\nextract = { a = { json = \"/a\" } }";
    let problems = loadgen::supports::check_over_clients(&scenario_of(1, traffic, class, ""))
        .expect_err("clients see nothing of these");
    let places: Vec<&str> = problems.iter().map(|problem| problem.where_.as_str()).collect();
    let expected = ["headers", "check", "extract"].map(|key| format!("requests.product.{key}"));
    assert!(expected.iter().all(|place| places.iter().any(|found| found.starts_with(place))), "{places:?}");
    assert!(places.contains(&"traffic.shops.session.cookies") && places.len() == 4, "{places:?}");
}

#[test]
fn a_client_is_told_which_attempt_it_makes() {
    let scenario = scenario(100, 1, "connections = 4\nretries = { times = 2, backoff = \"10ms\" }");
    let (record, drivers) = play_over(&scenario, |number| match number % 10 {
        3 => Err(Failure::Reset),
        7 => Err(Failure::Check),
        _ => Ok(()),
    });
    let (due, ok, failed) = counts(&record);
    let seen = drivers.seen.lock().expect("no thread panics with the lock");
    let again = seen.iter().filter(|request| request.attempt > 0).count() as u64;
    assert_eq!((due, ok + failed, seen.len() as u64), (100, 100, 100 + again));
    // Whatever was reset was called again; who did not pass his check was not.
    let calls = seen.len() as u64;
    let (reset, unchecked) = ((calls + 6) / 10, (calls + 2) / 10);
    assert_eq!(
        (again + failures(&record, Failure::Reset), failures(&record, Failure::Check)),
        (reset, unchecked)
    );
    assert!(again >= 9 && failures(&record, Failure::Reset) <= 1, "{again} again");
}

#[test]
fn closed_loops_go_over_clients_as_well() {
    let traffic =
        "executor = \"per-vu-iterations\"\nvus = 4\niterations = 25\nthink = \"1ms\"\nmix = { product = 1 }";
    let (record, drivers) = play_over(&scenario_of(2, traffic, "", ""), |_| Ok(()));
    assert_eq!(counts(&record), (100, 100, 0), "{:?}", record.validity);
    assert_eq!(drivers.connected.load(Ordering::Relaxed), 4);
}

#[test]
fn clients_that_cannot_connect_are_an_error_before_the_run() {
    #[derive(Debug)]
    struct Nobody;
    impl Clients for Nobody {
        fn connect(&self, _: TrafficId) -> Result<Box<dyn Client>, Failure> {
            Err(Failure::Refused)
        }
    }
    let scenario = scenario(10, 1, "connections = 2");
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let job = Job {
        scenario: &scenario,
        entries: &Entries { by_traffic: vec![Vec::new()], base_path: String::new(), tls: None },
        options: Options::default(),
        directory: directory.path(),
        provenance: Provenance::here("loadgen test"),
        stop: &AtomicBool::new(false),
    };
    let error = loadgen::run_over(job, Arc::new(Nobody), None, &mut |_| {}).expect_err("nobody connects");
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}
