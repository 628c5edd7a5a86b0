//! Single requests, followed through the stack.

use results::RunRecord;
use scenarios::units::SimTime;

use crate::support::{only_run, sim, stack, write};

#[test]
fn followed_requests_are_printed_and_kept() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &stack("300/s", "exponential(mean=2ms)"));
    let output = sim(directory.path(), &["run", "page.toml", "--trace", "3", "--trace-at", "5s"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("shop[1]: works"), "{text}");
    let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
    let traces = &record.evidence.traces;
    assert_eq!(traces.len(), 3);
    for trace in traces {
        assert!(trace.due >= SimTime::from_secs(5) && trace.outcome == "ok", "{trace:?}");
        // Nothing of its life is missing, since nothing of this stack takes time beside the service.
        let inside: SimTime = trace.spans.iter().fold(SimTime::ZERO, |sum, s| sum + (s.until - s.from));
        assert_eq!(inside, trace.done - trace.due, "{trace:?}");
        assert!(trace.spans.iter().all(|s| s.component == "shop" && s.depth == 1), "{trace:?}");
    }
}

#[test]
fn the_slowest_requests_are_those_of_the_record() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &stack("300/s", "exponential(mean=2ms)"));
    let output = sim(directory.path(), &["run", "page.toml", "--quiet", "--slowest", "4"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
    let times: Vec<f64> = record.evidence.traces.iter().map(|t| (t.done - t.due).as_secs_f64()).collect();
    assert_eq!(times.len(), 4);
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let due = record.tally(results::Scope::Run, None).due();
    let greatest = record.tally(results::Scope::Run, None).response_times().at_rank(due);
    assert!((times[0] / greatest - 1.0).abs() < 0.002, "{} {greatest}", times[0]);
}

#[test]
fn following_changes_nothing() {
    let counts = |arguments: &[&str]| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write(directory.path(), "page.toml", &stack("300/s", "exponential(mean=2ms)"));
        sim(directory.path(), &[&["run", "page.toml", "--quiet"], arguments].concat());
        RunRecord::read(only_run(directory.path())).expect("the record can be read").tallies
    };
    assert_eq!(counts(&[]), counts(&["--trace", "50"]));
}

#[test]
fn an_unknown_class_is_refused_with_those_that_there_are() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &stack("300/s", "1ms"));
    let output = sim(directory.path(), &["run", "page.toml", "--trace", "1", "--trace-class", "pag"]);
    assert_eq!(output.status.code(), Some(104), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected one of page"), "{output:?}");
}
