//! Whole runs against the reference stack.

use std::fs;

use results::{RunRecord, Scope, Status, sample};
use scenarios::plan::Plan;
use scenarios::{Scenario, library};

use crate::support::{Place, errors};

#[test]
fn a_window_of_the_quickstart_runs_as_a_scenario_of_its_own() {
    let place = Place::new();
    // The node dies two seconds after the window's start and stays dead.
    let output = place.run(&["--from", "10s", "--for", "5s", "--rate", "50%"]);
    let run = place.runs().pop().expect("there is a run");
    let record = RunRecord::read(&run).expect("it has a record");
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(record.status, Status::Complete, "{}", errors(&output));
    assert!(summary.contains("during kill host:app[1]") && summary.contains("report.html"), "{summary}");
    assert!(run.join("report.html").exists());

    let text = fs::read_to_string(run.join("scenario.toml")).expect("the scenario is beside the record");
    assert_ne!(text, library::QUICKSTART);
    let scenario = Scenario::parse("derived.toml", text).expect("it is an ordinary scenario");
    assert_eq!(scenario.source.hash, record.scenario.hash);

    let from = scenario.run.warmup;
    let tally = record.tally(Scope::Run, None);
    let planned = Plan::new(&scenario).window(from, scenario.run.total(), 0, 1).count() as u64;
    assert_eq!((tally.due(), tally.ok + tally.failed()), (planned, planned));

    // The dead node is seen dead, and the other one works.
    let up = |instance| {
        let series = record.series("shop", sample::UP).find(|series| series.instance == instance);
        series.and_then(|series| *series.values.last()?)
    };
    assert_eq!((up(0), up(1)), (Some(0.0), Some(1.0)));
    let evidence =
        record.series(sample::GENERATOR, sample::CPU).next().expect("the generator tells of itself");
    assert!(evidence.values.iter().flatten().count() >= 3, "{evidence:?}");

    let code = output.status.code();
    if !record.validity.is_valid() {
        assert_eq!(code, Some(111), "{:?}", record.validity);
    } else {
        assert_eq!(code, Some(i32::from(record.exit_code())), "{summary}");
    }
    place.all_gone();
}

#[test]
fn a_threshold_that_does_not_hold_ends_with_99() {
    let place = Place::new();
    place.shop("2s", "[thresholds]\nresponse_time = [\"p(50)<1us\"]");
    let output = place.run(&["run", "shop.toml", "--no-report", "--threads", "2"]);
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let expected = if record.validity.is_valid() { 99 } else { 111 };
    assert_eq!(output.status.code(), Some(expected), "{}", errors(&output));
    let summary = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(summary.contains("✗ response_time p(50)<1us"), "{summary}");
}
