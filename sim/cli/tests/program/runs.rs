//! The `sim` command as a process: exit codes, what it prints, what it leaves.

use std::process::Command;
use std::time::{Duration, Instant};

use results::{RunRecord, Status};

use crate::support::{only_run, page, sim, write};

#[test]
fn a_good_run_prints_its_figures_and_leaves_a_record() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &page("10s", "100/s", "p(99)<1s"));
    let output = sim(directory.path(), &["run", "page.toml"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("✓ response_time p(99)<1s"), "{text}");
    assert!(text.contains("record  runs/"), "{text}");
    let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
    assert_eq!(record.status, Status::Complete);
    assert!(!record.series.is_empty());
}

#[test]
fn a_failed_threshold_exits_99_and_a_bad_file_104() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &page("10s", "100/s", "p(99)<1us"));
    assert_eq!(sim(directory.path(), &["run", "page.toml", "--quiet"]).status.code(), Some(99));
    write(directory.path(), "bad.toml", &page("10", "100/s", "p(99)<1us"));
    let output = sim(directory.path(), &["run", "bad.toml"]);
    assert_eq!(output.status.code(), Some(104));
    assert!(String::from_utf8_lossy(&output.stderr).contains("bad.toml:4:"), "{output:?}");
    let balancer = |name: &str| {
        format!("[components.{name}]\nkind = \"load-balancer\"\nhost = \"app\"\nto = \"shop\"\n[requests")
    };
    let crowd = page("10s", "100/s", "p(99)<1s")
        .replace("cores = 4", "count = 1000")
        .replacen("[requests", &balancer("first"), 1)
        .replacen("[requests", &balancer("second"), 1);
    write(directory.path(), "crowd.toml", &crowd);
    let output = sim(directory.path(), &["run", "crowd.toml"]);
    assert_eq!(output.status.code(), Some(104));
    assert!(String::from_utf8_lossy(&output.stderr).contains("crowd.toml:7:"), "{output:?}");
}

#[test]
fn a_window_outside_the_run_exits_104_and_an_unwritable_record_1() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &page("10s", "100/s", "p(99)<1s"));
    let output = sim(directory.path(), &["run", "page.toml", "--from", "2d"]);
    assert_eq!(output.status.code(), Some(104), "{output:?}");
    write(directory.path(), "file", "in the way of a directory");
    let output = sim(directory.path(), &["run", "page.toml", "--out", "file"]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
}

#[test]
fn equal_runs_have_equal_records_but_for_their_provenance() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &page("10s", "500/s", "p(99)<1s"));
    let record = |out: &str| {
        let output = sim(directory.path(), &["run", "page.toml", "--quiet", "--out", out]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let runs = std::fs::read_dir(directory.path().join(out)).expect("the run made a directory");
        let run = runs.map(|e| e.expect("it can be listed").path()).next().expect("one run");
        let text = std::fs::read_to_string(run.join("run.json")).expect("the record can be read");
        let mut value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
        let provenance = value.as_object_mut().and_then(|o| o.remove("provenance"));
        assert!(provenance.is_some());
        value.to_string()
    };
    assert_eq!(record("first"), record("second"));
}

#[test]
fn a_window_is_a_scenario_of_its_own() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &page("1h", "100/s", "p(99)<1s"));
    let arguments = ["run", "page.toml", "--for", "10s", "--rate", "50%", "--seed", "7", "--json"];
    let output = sim(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let summary: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let due = summary["parts"][0]["due"].as_u64().expect("a count");
    assert!((400..600).contains(&due), "{due} requests in 10 s at 50/s");
    let text =
        std::fs::read_to_string(only_run(directory.path()).join("scenario.toml")).expect("it was kept");
    assert!(text.contains("seed = 7"), "{text}");
}

#[test]
fn an_interrupted_run_leaves_what_it_had() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "long.toml", &page("7d", "2000/s", "p(99)<1s"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_sim"));
    let mut child = command
        .current_dir(directory.path())
        .args(["run", "long.toml", "--quiet"])
        .spawn()
        .expect("the binary under test starts");
    // The record's directory is made after the handlers are set.
    let limit = Instant::now() + Duration::from_secs(60);
    while !directory.path().join("runs").is_dir() {
        assert!(Instant::now() < limit, "no run directory within a minute");
        std::thread::yield_now();
    }
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill is there").success());
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(105));
    let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
    assert_eq!(record.status, Status::Interrupted);
}

#[test]
fn help_and_completions_are_there() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let help = sim(directory.path(), &["run", "--help"]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("Examples:"));
    let completions = sim(directory.path(), &["completions", "bash"]);
    assert_eq!(completions.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&completions.stdout).contains("_sim"));
}
