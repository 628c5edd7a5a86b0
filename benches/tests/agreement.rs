//! The two worlds agree: a window of the quickstart, with its node's death, one scenario full of faults, one whose clients send
//! again what failed, and one whose users change their addresses, simulated and played over sockets.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use benches::programs::{binaries, only_run, run};
use serde_json::Value;

/// A busy machine makes what is measured slower, so the best of a few attempts is judged. This forgives chance as well: the
/// limits below are wide against what quiet machines show, and are not a measurement.
const ATTEMPTS: usize = 3;
/// How far the simulated throughput and median may lie from the measured ones where nothing is broken.
const THROUGHPUT: f64 = 0.02;
const MEDIAN: f64 = 0.15;
/// Which difference a machine explains that is slower than the one of the calibration: answers that take so many seconds longer
/// than predicted.
const SLOWER_S: f64 = 3e-3;
/// How far off the simulated share of failed requests may be, as a share of the requests, where some fail: an error rate is drawn
/// anew in each world, and a takeover comes up to an advertisement sooner or later.
const FAILED: f64 = 0.08;

/// The same where what fails is drawn by the plan: some requests at the run's edge may count in one world alone.
const PLANNED_FAILED: f64 = 0.005;
/// How far off pauses of some hundred milliseconds may be, whose lengths are drawn by the plan.
const PAUSES: f64 = 0.05;

/// How far off the share of requests that lose their session may be: which of the addresses lead elsewhere is another hash's word in
/// each world.
const LOST: f64 = 0.02;

static PLAYING: Mutex<()> = Mutex::new(());

/// The binaries that play, simulate and compare.
struct Programs {
    loadgen: PathBuf,
    sim: PathBuf,
    report: PathBuf,
}

/// A figure of a phase: by how much it was predicted wrongly, in its unit and as a share of what was measured.
#[derive(Debug)]
struct Error {
    phase: String,
    figure: String,
    difference: f64,
    relative: f64,
}

fn errors(comparison: &Value) -> Vec<Error> {
    let phases = comparison["phases"].as_array().expect("a comparison has phases");
    let figures = phases.iter().flat_map(|phase| {
        let name = phase["phase"].as_str().expect("a phase has a name");
        phase["figures"].as_array().expect("a phase has figures").iter().map(move |figure| Error {
            phase: name.to_owned(),
            figure: figure["figure"].as_str().expect("a figure has a name").to_owned(),
            // What could not be told is as bad as what is far off.
            difference: figure["difference"].as_f64().unwrap_or(f64::NAN),
            relative: figure["relative"].as_f64().unwrap_or(f64::NAN),
        })
    });
    figures.collect()
}

/// The prediction errors of a scenario played and then simulated; none where this attempt cannot be judged.
fn attempt(programs: &Programs, scenario: &str, part: &[&str]) -> Option<Vec<Error>> {
    let here = tempfile::tempdir().expect("a temporary directory");
    let [measured, simulated] = ["measured", "simulated"].map(|name| here.path().join(name));
    let out = measured.to_str().expect("the path is text");
    let played = [&["run", scenario, "--out", out, "--quiet", "--no-report"], part].concat();
    let played = run(&programs.loadgen, &played);
    match played.status.code() {
        Some(0 | 99) => {}
        Some(111) => return None,
        other => panic!("loadgen ended with {other:?}: {}", String::from_utf8_lossy(&played.stderr)),
    }
    let measured = only_run(&measured);
    let scenario = measured.join("scenario.toml");
    let out = simulated.to_str().expect("the path is text");
    let scenario = scenario.to_str().expect("the path is text");
    let done = run(&programs.sim, &["run", scenario, "--out", out, "--quiet"]);
    assert!(matches!(done.status.code(), Some(0 | 99)), "sim: {}", String::from_utf8_lossy(&done.stderr));
    let runs = [only_run(&simulated), measured].map(|p| p.to_str().expect("the path is text").to_owned());
    let compared = run(&programs.report, &["compare", &runs[0], &runs[1], "--json"]);
    assert!(compared.status.success(), "report: {}", String::from_utf8_lossy(&compared.stderr));
    Some(errors(&serde_json::from_slice(&compared.stdout).expect("the comparison is JSON")))
}

/// Plays and simulates a scenario until its errors hold, a few times at most; why that could not be judged, if so.
fn skipped(scenario: &str, part: &[&str], holds: impl Fn(&Error) -> bool) -> Option<String> {
    let Some([loadgen, sim, report]) = binaries(["loadgen", "sim", "report"]) else {
        return Some("the binaries are not built; cargo test --workspace builds them".to_owned());
    };
    let programs = Programs { loadgen, sim, report };
    // Two at once would be in each other's way.
    let _one_at_a_time = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
    let mut judged = None;
    for _ in 0..ATTEMPTS {
        let Some(mut errors) = attempt(&programs, scenario, part) else { continue };
        errors.retain(|error| !holds(error));
        if errors.is_empty() {
            return None;
        }
        judged = Some(errors);
    }
    match judged {
        Some(far) => panic!("in none of {ATTEMPTS} attempts did the worlds agree; the last: {far:#?}"),
        None => Some(format!("each of {ATTEMPTS} attempts was invalid, for this machine stalled")),
    }
}

#[test]
fn simulated_quickstart_agrees_with_the_measured_one_outside_the_fault() {
    let quickstart = concat!(env!("CARGO_MANIFEST_DIR"), "/../scenarios/library/quickstart.toml");
    let skipped =
        skipped(quickstart, &["--from", "8s", "--for", "17s"], |error| match error.figure.as_str() {
            _ if error.phase != "before" && error.phase != "after" => true,
            "throughput" => error.relative.abs() <= THROUGHPUT,
            "p50" => error.relative.abs() <= MEDIAN || (-SLOWER_S..0.0).contains(&error.difference),
            _ => true,
        });
    if let Some(why) = skipped {
        println!("SKIPPED: {why}");
    }
}

#[test]
fn faults_do_the_same_in_both_worlds() {
    let faults = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/faults.toml");
    let skipped = skipped(faults, &[], |error| match error.figure.as_str() {
        "failed" => error.difference.abs() <= FAILED,
        // Fifty milliseconds, most of them of the way: what this machine adds does not matter.
        "p50" if error.phase.starts_with("during delay") => error.relative.abs() <= MEDIAN,
        _ => true,
    });
    if let Some(why) = skipped {
        println!("SKIPPED: {why}");
    }
}

/// What an attempt draws goes by its number, which the service has to be told: if it drew the same again, six times as many would
/// fail in the end.
#[test]
fn what_failed_is_sent_again_alike_in_both_worlds() {
    let retries = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/retries.toml");
    let skipped = skipped(retries, &[], |error| match error.figure.as_str() {
        "failed" => error.difference.abs() <= PLANNED_FAILED,
        "p50" => error.relative.abs() <= MEDIAN || (-SLOWER_S..0.0).contains(&error.difference),
        // Those who pressed reload once, and twice.
        "p90" | "p99" => error.relative.abs() <= PAUSES,
        _ => true,
    });
    if let Some(why) = skipped {
        println!("SKIPPED: {why}");
    }
}

/// One in ten requests comes from another address than the one before, and most of those meet a server that does not know the
/// session. If all users came from one address, none would.
#[test]
fn sessions_are_lost_alike_where_addresses_change() {
    let addresses = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/addresses.toml");
    let skipped = skipped(addresses, &[], |error| match error.figure.as_str() {
        "failed" => error.difference.abs() <= LOST,
        "p50" => error.relative.abs() <= MEDIAN || (-SLOWER_S..0.0).contains(&error.difference),
        _ => true,
    });
    if let Some(why) = skipped {
        println!("SKIPPED: {why}");
    }
}
