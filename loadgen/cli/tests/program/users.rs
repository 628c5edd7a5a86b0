//! Users who wait for answers, against the reference stack; and the search for what it can take.

use std::fs;

use results::{Failure, RunRecord, Scope};

use crate::support::{Place, SHOP, errors};

const OPEN: &str =
    "executor = \"constant-arrival-rate\"\nrate = \"100/s\"\nmix = { product = 1 }\nconnections = 10\n";

/// The small shop with another traffic.
fn shop(place: &Place, traffic: &str) {
    let text = SHOP.replace("DURATION", "3s").replace("FAULTS", "").replace(OPEN, traffic);
    assert!(text.contains(traffic), "the traffic's lines are as they were");
    fs::write(place.directory.path().join("shop.toml"), text).expect("it can be written");
}

#[test]
fn a_closed_loop_runs_against_the_stack() {
    let place = Place::new();
    shop(&place, "executor = \"constant-vus\"\nvus = 4\nthink = \"20ms\"\nmix = { product = 1 }\n");
    let output = place.run(&["run", "shop.toml", "--no-report"]);
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let tally = record.tally(Scope::Run, None);
    // Four users, each at most fifty times a second; the work alone takes a millisecond.
    assert!(tally.failed() == 0 && (200..=600).contains(&tally.ok), "{} good: {}", tally.ok, errors(&output));
}

#[test]
fn sessions_run_against_the_stack() {
    let place = Place::new();
    let session = "session = { requests = 3, think = \"50ms\" }";
    shop(&place, &OPEN.replace("100/s", &format!("30/s\"\n{session}\narrivals = \"uniform")));
    let output = place.run(&["run", "shop.toml", "--no-report"]);
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let tally = record.tally(Scope::Run, None);
    // Thirty sessions a second of three requests, for three seconds.
    assert!(
        tally.failed() == 0 && (250..=275).contains(&tally.due()),
        "{} due: {}",
        tally.due(),
        errors(&output)
    );
}

#[test]
fn sessions_whose_records_go_with_their_store_are_counted_as_lost() {
    let place = Place::new();
    let session = "session = { requests = 3, think = \"400ms\", state = { keyspace = \"visits\" } }";
    shop(&place, &OPEN.replace("100/s", &format!("30/s\"\n{session}\narrivals = \"uniform")));
    let path = place.directory.path().join("shop.toml");
    let text = fs::read_to_string(&path).expect("it was written");
    let visits =
        "[keyspaces.visits]\nin = \"objects\"\nkeys = 1_000_000_000\nttl = \"1h\"\nvalue = \"500B\"\n";
    let flush = "[[faults]]\nat = \"1500ms\"\nflush = \"component:objects\"\n";
    fs::write(&path, format!("{text}\n{visits}{flush}")).expect("it can be written");
    let output = place.run(&["run", "shop.toml", "--no-report"]);
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let tally = record.tally(Scope::Run, None);
    let lost = tally.failures[Failure::LostSession.index()];
    // Thirty sessions a second, each of which lasts for 0.8 s and longer on a busy machine.
    assert!(
        (10..=90).contains(&lost) && tally.ok > lost,
        "{lost} lost, {} good: {}",
        tally.ok,
        errors(&output)
    );
}

#[test]
fn the_capacity_of_the_shop_is_enclosed() {
    let place = Place::new();
    place.shop("2s", "");
    let arguments = [
        "capacity",
        "shop.toml",
        "--slo",
        "response_time p(50)<20ms",
        "--for",
        "1s",
        "--trial-warmup",
        "200ms",
        "--precision",
        "90%",
        "--repeats",
        "1",
    ];
    let output = place.run(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.code() {
        Some(0) => {
            assert!(text.contains("response_time p(50)<20ms holds"), "{text}{}", errors(&output));
            let table = place.runs().iter().find_map(|run| fs::read_to_string(run.join("capacity.csv")).ok());
            assert!(table.expect("there is a table").lines().count() > 2);
        }
        // Where the machine is too busy for the generator, that is said.
        Some(111) => {
            assert!(text.contains("no trial") || text.contains("the search was not finished"), "{text}");
        }
        code => panic!("{code:?}: {text}{}", errors(&output)),
    }
    place.all_gone();
}
