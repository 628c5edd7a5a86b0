//! The two worlds agree: a window of the quickstart, with its node's death, simulated and played over sockets.

use std::path::Path;

use benches::programs::{binaries, only_run, run};
use serde_json::Value;

/// A busy machine makes what is measured slower, so the best of a few attempts is judged. This forgives chance as well: the
/// limits below are wide against what quiet machines show, and are not a measurement.
const ATTEMPTS: usize = 3;
/// How far the simulated throughput and median may lie from the measured ones where nothing is broken.
const THROUGHPUT: f64 = 0.02;
const MEDIAN: f64 = 0.15;

/// (phase, figure, relative prediction error)
fn errors(comparison: &Value) -> Vec<(String, String, f64)> {
    let phases = comparison["phases"].as_array().expect("a comparison has phases");
    let figures = phases.iter().flat_map(|phase| {
        let name = phase["phase"].as_str().expect("a phase has a name");
        phase["figures"].as_array().expect("a phase has figures").iter().map(move |figure| {
            let told = figure["figure"].as_str().expect("a figure has a name");
            (name.to_owned(), told.to_owned(), figure["relative"].as_f64().unwrap_or(f64::NAN))
        })
    });
    figures.collect()
}

/// What lies too far off where nothing is broken; none where this attempt cannot be judged.
fn attempt(loadgen: &Path, sim: &Path, report: &Path) -> Option<Vec<String>> {
    let here = tempfile::tempdir().expect("a temporary directory");
    let [measured, simulated] = ["measured", "simulated"].map(|name| here.path().join(name));
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/library/quickstart.toml");
    let out = measured.to_str().expect("the path is text");
    let window = ["run", quickstart, "--from", "8s", "--for", "17s", "--out", out, "--quiet", "--no-report"];
    let played = run(loadgen, &window);
    match played.status.code() {
        Some(0 | 99) => {}
        Some(111) => return None,
        other => panic!("loadgen ended with {other:?}: {}", String::from_utf8_lossy(&played.stderr)),
    }
    let measured = only_run(&measured);
    let scenario = measured.join("scenario.toml");
    let out = simulated.to_str().expect("the path is text");
    let done = run(sim, &["run", scenario.to_str().expect("the path is text"), "--out", out, "--quiet"]);
    assert!(matches!(done.status.code(), Some(0 | 99)), "sim: {}", String::from_utf8_lossy(&done.stderr));
    let runs = [only_run(&simulated), measured].map(|p| p.to_str().expect("the path is text").to_owned());
    let compared = run(report, &["compare", &runs[0], &runs[1], "--json"]);
    assert!(compared.status.success(), "report: {}", String::from_utf8_lossy(&compared.stderr));
    let comparison = serde_json::from_slice(&compared.stdout).expect("the comparison is JSON");
    let errors = errors(&comparison);
    let quiet: Vec<_> = errors.iter().filter(|(phase, ..)| phase == "before" || phase == "after").collect();
    assert_eq!(quiet.len(), 10, "five figures before the fault and five after it");
    let limit = |figure: &str| match figure {
        "throughput" => Some(THROUGHPUT),
        "p50" => Some(MEDIAN),
        _ => None,
    };
    // An error that could not be told (NaN) is as bad as a large one.
    let holds = |figure: &str, error: f64| limit(figure).is_none_or(|limit| error.abs() <= limit);
    let far = quiet.iter().filter(|(_, figure, error)| !holds(figure, *error));
    Some(far.map(|(phase, figure, error)| format!("{phase}: {figure} {:+.1}%", error * 100.0)).collect())
}

#[test]
fn simulated_quickstart_agrees_with_the_measured_one_outside_the_fault() {
    let Some([loadgen, sim, report]) = binaries(["loadgen", "sim", "report"]) else {
        return println!("SKIPPED: the binaries are not built; cargo test --workspace builds them");
    };
    let mut judged = None;
    for _ in 0..ATTEMPTS {
        match attempt(&loadgen, &sim, &report) {
            Some(far) if far.is_empty() => return,
            Some(far) => judged = Some(far),
            None => println!("an attempt was invalid: this machine stalled"),
        }
    }
    match judged {
        Some(far) => panic!("in none of {ATTEMPTS} attempts did the worlds agree; the last: {far:?}"),
        None => println!("SKIPPED: each of {ATTEMPTS} attempts was invalid, for this machine stalled"),
    }
}
