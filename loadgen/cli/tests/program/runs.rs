//! Whole runs against the reference stack.

use std::fs;

use results::{RunRecord, Scope, Status, sample};
use scenarios::plan::Plan;
use scenarios::{Scenario, library};

use crate::support::{Place, errors};
use crate::target::Target;

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
fn a_target_can_be_a_socket_in_the_file_system() {
    let place = Place::new();
    place.target("1s", "");
    let target = Target::quick();
    let socket = place.directory.path().join("shop.sock");
    target.through(&socket);
    let url = format!("unix:{}", socket.display());
    let output = place.run(&["run", "target.toml", "--no-report", "--target", &url]);
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let tally = record.tally(Scope::Run, None);
    assert!((90..=110).contains(&tally.due()), "{}: {}", tally.due(), errors(&output));
    assert_eq!(tally.ok, tally.due(), "{:?}: {}", tally.failures, errors(&output));
    // The warm-up's are answered, too.
    assert!(target.answered() > tally.due());
}

/// A hundred requests a second leave their generator asleep for nearly all of the time; one that waited awake would have a whole core.
#[test]
fn a_low_rate_takes_little_of_a_core() {
    let place = Place::new();
    place.target("4s", "");
    let target = Target::quick();
    let output = place.run(&["run", "target.toml", "--no-report", "--target", &target.url()]);
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let series = record.series(sample::GENERATOR, sample::CPU);
    let cores: Vec<f64> = series.flat_map(|series| series.values.iter().copied().flatten()).collect();
    assert!(cores.len() >= 3, "{cores:?}: {}", errors(&output));
    assert!(cores.iter().all(|cores| *cores < 0.3), "{cores:?}");
}

#[test]
fn a_log_is_played_against_a_target_with_its_gaps() {
    let place = Place::new();
    let line = |second: u32, path: &str| {
        format!(
            "10.0.0.1 - - [10/Oct/2000:13:55:{second:02} +0000] \"GET {path} HTTP/1.1\" 200 7 \"-\" \"curl\"\n"
        )
    };
    let log: String =
        (0..120).map(|n| line(10 + n / 10, if n % 10 == 9 { "/logo.png" } else { "/" })).collect();
    fs::write(place.directory.path().join("access.log"), log).expect("it can be written");
    let replay = "executor = \"replay\"\nfile = \"access.log\"\nformat = \"access-log\"\nunmatched = \"skip\"\nspeed = 4";
    place.target_with("2s", replay);
    let target = Target::quick();
    let output = place.run(&["run", "target.toml", "--no-report", "--target", &target.url()]);
    let record = RunRecord::read(place.runs().pop().expect("there is a run")).expect("it has a record");
    let tally = record.tally(Scope::Run, None);
    // Nine of ten lines fit a class; at four times the speed eight of the twelve seconds are played in two.
    assert_eq!((tally.due(), tally.ok), (72, 72), "{:?}: {}", tally.failures, errors(&output));
    assert_eq!(target.answered(), 72);
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

#[test]
fn a_stack_is_measured_by_probes_that_differ_by_one_thing_each() {
    let place = Place::new();
    place.shop("2s", "[[faults]]\nat = \"1s\"\nfor = \"1s\"\nkill = \"host:app[1]\"");
    let output = place.run(&[
        "measure",
        "shop.toml",
        "--repetitions",
        "1",
        "--for",
        "2s",
        "--out",
        "runs",
        "--no-report",
    ]);
    let told = errors(&output);
    // A machine that stalls makes runs invalid; what they are made of stays the same.
    assert!(matches!(output.status.code(), Some(0 | 111)), "{told}");
    assert!(told.contains("sim calibrate shop.toml --from runs"), "{told}");
    let named = String::from_utf8_lossy(&output.stdout).lines().count();
    assert_eq!(named, place.runs().len(), "each run's directory is a line");
    let record = RunRecord::read(&place.runs()[0]).expect("it is an ordinary record");
    assert_eq!(record.status, Status::Complete);
    assert!(record.scenario.faults.is_empty(), "nothing breaks while it is measured");
    let probes =
        ["direct-shop", "work-shop", "through-balancer", "get-objects", "mget10-objects", "mget100-objects"];
    assert_eq!(record.scenario.classes, probes);
    let taken = |name: &str| {
        let class = probes.iter().position(|probe| *probe == name).expect("it is one of them");
        let tally = record.tally(Scope::Run, Some(class));
        assert_eq!(tally.failed(), 0, "{name}");
        tally.service_times().minimum().expect("each class has requests")
    };
    assert!(taken("work-shop") >= 0.002, "two milliseconds of work take at least as long");
    assert!(taken("direct-shop") < taken("work-shop"));
    // Each process says what processor time it took.
    for component in ["balancer", "shop", "objects"] {
        let spent = record.series(component, sample::CPU).flat_map(|series| series.values.iter().flatten());
        assert!(spent.sum::<f64>() > 0.0, "{component}");
    }
    place.all_gone();
}
