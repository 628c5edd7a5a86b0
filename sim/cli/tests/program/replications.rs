//! Several seeds in one record: intervals, precision, and no trace of the number of threads.

use std::path::Path;

use results::figure::{Noise, estimate};
use results::{RunRecord, Selection};
use scenarios::threshold::{Aggregate, Metric};

use crate::support::{only_run, page, sim, write};

const MEAN: Selection = Selection {
    metric: Metric::ResponseTime,
    class: None,
    scope: results::Scope::Run,
    aggregate: Aggregate::Average,
};

fn record(directory: &Path, arguments: &[&str]) -> RunRecord {
    write(directory, "page.toml", &page("5s", "400/s", "p(99)<1s"));
    let output = sim(directory, &[&["run", "page.toml", "--quiet"], arguments].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    RunRecord::read(only_run(directory)).expect("the record can be read")
}

#[test]
fn replications_give_every_figure_its_interval() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let record = record(directory.path(), &["--replications", "8"]);
    let replications = record.replications.as_ref().expect("there were some");
    assert_eq!((replications.count, replications.scale), (8, 1.0));
    let due = record.tally(results::Scope::Run, None).due();
    assert!((8 * 1_800..8 * 2_200).contains(&due), "{due} requests of 8 runs");
    for selection in results::replications::figures() {
        let found = estimate(&record, &selection).expect("there are requests");
        assert!(
            matches!(found.noise, Noise::Replications(8)) || found.value == 0.0,
            "{selection}: {found:?}"
        );
        assert!(found.low <= found.value && found.value <= found.high, "{selection}: {found:?}");
    }
    // A rate is that of one run.
    let rate = estimate(&record, &Selection::new(Metric::Rate, Aggregate::Rate)).expect("there is time");
    assert!((rate.value - 400.0).abs() < 20.0, "{rate:?}");
}

#[test]
fn the_number_of_threads_leaves_no_trace_in_the_record() {
    let text = |threads: &str| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        record(directory.path(), &["--replications", "5", "--threads", threads]);
        let text = std::fs::read_to_string(only_run(directory.path()).join("run.json")).expect("it is there");
        let mut value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        assert!(value.as_object_mut().and_then(|o| o.remove("provenance")).is_some());
        value.to_string()
    };
    assert_eq!(text("1"), text("2"));
}

#[test]
fn precision_stops_when_it_is_reached_and_says_when_it_is_not() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let reached = record(directory.path(), &["--precision", "3%", "--of", "response_time{avg}"]);
    let replications = reached.replications.as_ref().expect("there were some");
    assert!((10..100).contains(&replications.count), "{}", replications.count);
    assert!(
        replications.stopped.as_ref().is_some_and(|s| s.contains("reached")),
        "{:?}",
        replications.stopped
    );
    let width = replications.relative_half_width(&MEAN).expect("it is followed");
    assert!(width <= 0.03, "{width}");

    let directory = tempfile::tempdir().expect("a temporary directory");
    let asked = ["--precision", "0.001%", "--max-replications", "11"];
    let missed = record(directory.path(), &asked).replications.expect("there were some");
    assert_eq!(missed.count, 11);
    assert!(missed.stopped.as_ref().is_some_and(|s| s.contains("was not reached")), "{:?}", missed.stopped);
}

#[test]
fn scaled_replications_stand_beside_a_whole_run() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let record = record(directory.path(), &["--replications", "10", "--replication-scale", "50%"]);
    assert!(record.replications.is_none());
    let beside = record.scaled_replications.as_ref().expect("they were asked for");
    assert_eq!((beside.count, beside.scale), (10, 0.5));
    let rate = beside.values(&Selection::new(Metric::Rate, Aggregate::Rate)).expect("it is followed");
    assert!(rate.iter().all(|r| (r - 200.0).abs() < 40.0), "{rate:?}");
    // The run itself has what it has without them.
    assert!(estimate(&record, &MEAN).is_some_and(|e| !matches!(e.noise, Noise::Replications(_))));
}

#[test]
fn a_long_terminating_run_says_that_no_others_stand_beside_it() {
    let note = |text: &str, arguments: &[&str]| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write(directory.path(), "page.toml", text);
        let output = sim(directory.path(), &[&["run", "page.toml", "--quiet"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
        record.evidence.model.into_iter().find(|note| note.what == "replications")
    };
    let steady = page("1d", "1/s", "p(99)<10s");
    let day = steady.clone() + "[[faults]]\nat = \"5h\"\nfor = \"1m\"\nkill = \"component:shop[1]\"\n";
    let told = note(&day, &[]).expect("one run is all that there is");
    assert!(told.how.starts_with("0 beside") && told.error.contains("--replications 10"), "{told:?}");
    let few = note(&day, &["--replications", "2", "--replication-scale", "50%"]);
    assert!(few.is_some_and(|told| told.how.starts_with("2 beside")));
    let enough = note(&day, &["--replications", "10", "--replication-scale", "50%"]);
    assert_eq!((enough, note(&steady, &[])), (None, None), "and a steady run has batches enough");
    assert_eq!(note(&day.replace("1d", "6h"), &[]), None, "nor is a short one worth the words");
}

#[test]
fn a_figure_without_an_aggregate_is_refused_with_a_hint() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let asked = ["run", "x.toml", "--precision", "5%", "--of", "response_time"];
    let output = sim(directory.path(), &asked);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("response_time{avg}"), "{output:?}");
}

#[test]
#[cfg(not(feature = "nats"))]
fn a_program_without_workers_says_how_to_come_by_them() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &page("5s", "400/s", "p(99)<1s"));
    let asked = ["run", "page.toml", "--replications", "2", "--nats", "nats://127.0.0.1:4222"];
    let output = sim(directory.path(), &asked);
    assert_eq!(output.status.code(), Some(104), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("--features nats"), "{output:?}");
    assert!(!directory.path().join("runs").exists(), "nothing is left on the disk");
}
