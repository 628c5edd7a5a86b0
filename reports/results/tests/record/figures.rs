//! Figures, verdicts and exit codes.

use results::figure::estimate;
use results::{RunRecord, Scope, Selection};
use results::{record::Status, record::Validity};
use scenarios::threshold::{Aggregate, Metric};

use crate::synthetic::{Play, SHOP, outcomes, record, scenario, started};

fn run(text: &str, play: Play) -> RunRecord {
    record(tempfile::tempdir().expect("a temporary directory can be made").path(), &scenario(text), play)
}

fn p(percent: f64) -> Selection {
    Selection::new(Metric::ResponseTime, Aggregate::Percentile(percent))
}

#[test]
fn percentiles_are_those_of_the_sorted_outcomes() {
    let shop = scenario(SHOP);
    let record = run(SHOP, Play::SIM);
    let mut times: Vec<f64> = outcomes(&shop, Play::SIM)
        .iter()
        .filter(|o| o.due >= shop.run.warmup)
        .map(|o| (o.done - o.due).as_secs_f64())
        .collect();
    times.sort_by(f64::total_cmp);
    for percent in [50.0, 90.0, 99.0, 99.9] {
        let exact = times[(percent / 100.0 * times.len() as f64).ceil() as usize - 1];
        let e = estimate(&record, &p(percent)).expect("there are requests");
        assert!((e.value / exact - 1.0).abs() < 0.002, "p{percent}: {} for {exact}", e.value);
        assert!(e.low <= e.value && e.value <= e.high);
        assert_eq!(e.n, times.len() as u64);
    }
    let (answers, all) = (record.tally(Scope::Run, None).response_times(), times.len() as u64);
    assert_eq!((answers.at_most(0.0), answers.at_most(f64::INFINITY)), (0, all));
    for limit in [times[times.len() / 10], times[times.len() / 2]] {
        let exact = |limit: f64| times.iter().filter(|time| **time <= limit).count() as u64;
        let found = answers.at_most(limit * 1.002);
        assert!((exact(limit)..=exact(limit * 1.004)).contains(&found), "{found} within {limit} s");
    }
    let mean = times.iter().sum::<f64>() / times.len() as f64;
    let average = estimate(&record, &Selection::new(Metric::ResponseTime, Aggregate::Average));
    assert!((average.expect("there are requests").value / mean - 1.0).abs() < 1e-6);
}

#[test]
fn windows_add_up_to_the_run() {
    let record = run(SHOP, Play::SIM);
    let due = |scope| record.tally(scope, None).due();
    assert_eq!(due(Scope::Run), due(Scope::Fault) + due(Scope::NoFault));
    assert_eq!(due(Scope::Run), (1..record.frame.windows.len()).map(|w| due(Scope::Window(w))).sum::<u64>());
    assert_eq!(record.seconds(Scope::Run), 20.0);
    assert_eq!(record.seconds(Scope::Fault), 6.0);
    assert!(due(Scope::Before) > 0 && due(Scope::After) > 0);
    assert_eq!(due(Scope::NoFault), due(Scope::Before) + due(Scope::After));
    assert_eq!(due(Scope::OneFault(Some(0))), due(Scope::Fault));
    assert_eq!((due(Scope::OneFault(Some(1))), due(Scope::OneFault(None))), (0, 0));
    let by_class: u64 = (0..2).map(|c| record.tally(Scope::Run, Some(c)).due()).sum();
    assert_eq!(by_class, due(Scope::Run));
}

#[test]
fn dropped_requests_are_infinitely_late() {
    let record = run(SHOP, Play { dropped: 0.02, ..Play::SIM });
    let during = p(99.9).within(Scope::Fault);
    assert_eq!(estimate(&record, &during).map(|e| e.value), Some(f64::INFINITY));
    assert!(estimate(&record, &p(50.0)).is_some_and(|e| e.value.is_finite()));
    let service = Selection::new(Metric::ServiceTime, Aggregate::Maximum);
    assert!(estimate(&record, &service).is_some_and(|e| e.value.is_finite()), "it was never sent");
}

#[test]
fn each_threshold_has_its_verdict() {
    let record = run(SHOP, Play::SIM);
    let mut verdicts: Vec<_> = record
        .thresholds
        .iter()
        .map(|v| (v.threshold.selector.as_str(), v.passed.expect("every part has requests")))
        .collect();
    verdicts.sort_unstable();
    let expected = [
        ("failed", true),
        ("response_time", true),
        ("response_time{class:order}", false),
        ("response_time{during:fault}", true),
    ];
    assert_eq!(verdicts, expected);
    assert_eq!(record.exit_code(), 99);
    let came_out = record.published[0].judgement.and_then(|judgement| judgement.came_out());
    assert_eq!(came_out, Some(true), "{:?}", record.published);
}

#[test]
fn part_that_the_run_has_not_is_not_judged() {
    let quiet = SHOP.replace("[[faults]]\nat = \"8s\"\nfor = \"6s\"\nkill = \"host:app[1]\"\n", "");
    let record = run(&quiet, Play::SIM);
    let judged = |selector| {
        let verdict = record.thresholds.iter().find(|v| v.threshold.selector == selector);
        verdict.map(|v| v.passed)
    };
    assert_eq!(judged("response_time{during:fault}"), Some(None));
    assert_eq!(judged("response_time"), Some(Some(true)));
}

#[test]
fn interruption_precedes_invalidity_precedes_thresholds() {
    let end = |status, reasons: &[&str]| {
        let directory = tempfile::tempdir().expect("a temporary directory can be made");
        let writer = started(directory.path(), &scenario(SHOP), Play::SIM);
        let reasons = reasons.iter().map(|r| (*r).to_owned()).collect();
        writer.finish(status, Validity { reasons }).expect("written").exit_code()
    };
    assert_eq!(end(Status::Interrupted, &["it lagged"]), 105);
    assert_eq!(end(Status::Complete, &["it lagged"]), 111);
    assert_eq!(end(Status::Complete, &[]), 99);
}

#[test]
fn run_without_requests_has_no_figures_and_fails_its_thresholds() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let writer = results::RunWriter::create(
        directory.path(),
        &scenario(SHOP),
        results::World::Sim,
        crate::synthetic::provenance(),
    );
    let record = writer.and_then(|w| w.finish(Status::Complete, Validity::default())).expect("written");
    assert_eq!(estimate(&record, &p(50.0)), None);
    assert_eq!(estimate(&record, &Selection::new(Metric::Rate, Aggregate::Rate)).map(|e| e.value), Some(0.0));
    assert!(record.thresholds.iter().all(|v| v.passed == Some(false)));
}

#[test]
fn outcomes_that_must_hold_are_judged_and_read_again_from_the_disk() {
    let claims = r#"
[[published]]
what = "it is never busy"
metric = "shop.utilisation{max}"
holds = "<99%"
source = "a page"
[[published]]
what = "most fail while it is dead"
metric = "failed{rate,during:fault}"
holds = ">50%"
assumed = "nobody tries again"
[[published]]
what = "nobody knows"
metric = "shop.sadness{avg}"
holds = ">1"
[[published]]
what = "what was chosen"
metric = "response_time{avg}"
value = "10ms"
tolerance = "50%"
role = "fitted"
[[published]]
what = "machines"
value = "2"
role = "input"
"#;
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    record(directory.path(), &scenario(&format!("{SHOP}{claims}")), Play::SIM);
    let read = RunRecord::read(directory.path()).expect("it was written");
    let told: Vec<_> =
        read.published.iter().map(|r| r.judgement.map(|judgement| judgement.came_out())).collect();
    let expected = [Some(Some(true)), Some(Some(true)), Some(Some(false)), None, Some(None)];
    assert_eq!(told, expected, "{:?}", read.published);
    assert_eq!(read.published[2].published.assumed.as_deref(), Some("nobody tries again"));
    let text = std::fs::read_to_string(directory.path().join("run.json")).expect("it was written");
    assert!(text.contains("\"verdict\": \"DOES NOT HOLD\""), "the outcome stands in the record");
}
