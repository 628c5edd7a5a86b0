//! Warm-up by MSER-5, and two scenarios with common random numbers.

use results::RunRecord;

use crate::support::{only_run, page, sim, stack, write};

#[test]
fn the_warm_up_of_a_steady_run_is_found_and_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let busy = stack("450/s", "exponential(mean=2ms)").replace("20s", "300s");
    write(directory.path(), "page.toml", &busy);
    let output = sim(directory.path(), &["run", "page.toml", "--warmup", "auto", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
    let note = record.evidence.model.iter().find(|n| n.what == "warm-up").expect("it is told");
    assert!(note.how.contains("MSER-5"), "{note:?}");
    assert!(record.scenario.warmup.as_secs_f64() < 150.0);
    assert_eq!(record.scenario.duration.as_secs_f64(), 300.0);
}

#[test]
fn a_run_that_does_not_settle_or_is_disturbed_has_no_warm_up() {
    let refused = |text: &str| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write(directory.path(), "page.toml", text);
        let output = sim(directory.path(), &["run", "page.toml", "--warmup", "auto"]);
        assert_eq!(output.status.code(), Some(104), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let overload = page("100s", "5000/s", "p(99)<10s").replace("cores = 4", "cores = 1");
    assert!(refused(&overload).contains("does not settle"));
    let fault = "[[faults]]\nat = \"5s\"\nfor = \"1s\"\nkill = \"component:shop[1]\"\n";
    assert!(refused(&(page("100s", "100/s", "p(99)<1s") + fault)).contains("has faults"));
    let breakdowns = "breakdowns = { up = \"exponential(mean=20s)\", down = \"1s\" }";
    for place in ["[hosts.app]", "[components.shop]"] {
        let text = page("100s", "100/s", "p(99)<1s").replace(place, &format!("{place}\n{breakdowns}"));
        assert!(refused(&text).contains("or breakdowns"));
    }
}

#[test]
fn common_random_numbers_make_differences_precise() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "a.toml", &stack("400/s", "exponential(mean=2ms)"));
    write(directory.path(), "b.toml", &stack("400/s", "exponential(mean=1.9ms)"));
    let output = sim(directory.path(), &["compare", "a.toml", "b.toml", "--json", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let figures = found["figures"].as_array().expect("a list");
    let mean = figures.iter().find(|f| f["figure"] == "response_time{avg}").expect("it is told");
    let (paired, unpaired) = (mean["half_width"].as_f64(), mean["unpaired_half_width"].as_f64());
    let (paired, unpaired) = (paired.expect("a number"), unpaired.expect("a number"));
    assert!(paired < unpaired / 1.5, "{paired} against {unpaired}");
    assert_eq!(mean["significant"], true, "{mean}");
    assert!(mean["difference"].as_f64().expect("a number") < 0.0);
}
