//! A short look at the twin: the fixed costs of the reference's own stack and of real servers are measured on this machine, then two cases
//! of a few seconds are simulated and played. It fails where a prediction is far off in two looks with different seeds and costs measured
//! anew, each on a machine that was not too busy to tell.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use benches::programs::{binaries, run};
use serde_json::Value;

/// A single pair of runs has the noise of one: so many times its target is far off. `report twin` judges with repetitions.
const FAR: f64 = 2.0;
/// What a machine that is much slower than the one of the calibration explains: answers that take so many seconds longer than
/// predicted, and components that are busy for such a share more.
const SLOWER_S: f64 = 5e-3;
const BUSIER: f64 = 0.3;
/// The seeds of the two looks.
const LOOKS: [u64; 2] = [301, 302];

static PLAYING: Mutex<()> = Mutex::new(());

/// An error far beyond its target.
#[derive(Debug)]
struct Far {
    case: String,
    quantity: Value,
    /// In targets, with its sign.
    targets: f64,
}

impl Far {
    /// Whether another is of the same number, in the same direction.
    fn is_like(&self, other: &Self) -> bool {
        let place = |far: &Self| (far.case.clone(), far.quantity.clone(), far.targets > 0.0);
        place(self) == place(other)
    }
}

/// Whether a machine that is slow, though not too busy, would explain what was measured.
fn is_of_a_slow_machine(cell: &Value) -> bool {
    let more = match (cell["measured"].as_f64(), cell["predicted"].as_f64()) {
        (Some(measured), Some(predicted)) => measured - predicted,
        _ => return false,
    };
    let explained = match cell["quantity"]["group"].as_str() {
        Some("p50" | "p99") => SLOWER_S,
        Some("utilisation") => BUSIER,
        _ => return false,
    };
    (0.0..explained).contains(&more)
}

fn text(path: PathBuf) -> String {
    path.to_str().expect("the path is text").to_owned()
}

/// Measures a stack's fixed costs on this machine, which is another one than the committed costs are of; a copy of the file in
/// a directory, beside what it includes. Why that cannot be done here, if so.
fn calibrated([_, loadgen, sim]: &[PathBuf; 3], file: &str, seed: u64, to: &Path) -> Result<PathBuf, String> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/library/twin");
    let overlay = file.replace(".toml", ".calibration.toml");
    for name in [file, &overlay] {
        std::fs::copy(library.join(name), to.join(name)).expect("the library's files can be copied");
    }
    let (copy, costs) = (text(to.join(file)), text(to.join(format!("costs-{seed}"))));
    let (out, seed) = (text(to.join(overlay)), seed.to_string());
    let measure = ["measure", &copy, "--repetitions", "3", "--for", "5s", "--seed", &seed, "--out", &costs];
    let measured = run(loadgen, &[&measure[..], &["--no-report", "--quiet"]].concat());
    let said = String::from_utf8_lossy(&measured.stderr).into_owned();
    match measured.status.code() {
        Some(0) => {}
        Some(111) => return Err(format!("this machine was too busy to measure costs: {said}")),
        code => panic!("loadgen measure ended with {code:?}: {said}"),
    }
    let fitted = run(sim, &["calibrate", &copy, "--from", &costs, "--out", &out, "--quiet"]);
    let said = String::from_utf8_lossy(&fitted.stderr).into_owned();
    match fitted.status.success() {
        true => Ok(copy.into()),
        false if said.contains("the machine was busy") => Err(said),
        false => panic!("sim calibrate: {said}"),
    }
}

/// What a look found to be far off; why there is nothing to judge, if so.
fn look(programs: &[PathBuf; 3], file: &str, seed: u64, directory: &Path) -> Result<Vec<Far>, String> {
    let file = calibrated(programs, file, seed, directory)?;
    let (json, runs) = (text(directory.join(format!("{seed}.json"))), text(directory.join(seed.to_string())));
    let (file, seed) = (text(file), seed.to_string());
    let arguments = ["twin", &file, "--case", "short-steady", "--case", "short-killed", "--repetitions", "1"];
    let more = ["--seed", &seed, "--attempts", "1", "--quiet", "--json", &json, "--out", &runs];
    let done = run(&programs[0], &[&arguments[..], &more[..]].concat());
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    // One pair of runs has no noise, so that no cell can have a verdict.
    assert!(matches!(done.status.code(), Some(0 | 99 | 111)), "report twin: {said}");
    let told = std::fs::read_to_string(&json).expect("the results are written");
    let told: Value = serde_json::from_str(&told).expect("the results are JSON");
    let cases = told["cases"].as_array().expect("there are cases");
    let measured: Vec<&Value> = cases.iter().filter(|case| case["pairs"] == 1).collect();
    let doubts: Vec<String> = cases.iter().map(|case| case["doubts"].to_string()).collect();
    assert!(!doubts.iter().any(|doubt| doubt.contains("loadgen ended")), "a case was refused: {doubts:?}");
    if measured.is_empty() {
        return Err(format!("this machine was too busy: {doubts:?}"));
    }
    let mut far = Vec::new();
    for case in measured {
        for cell in case["cells"].as_array().expect("there are cells") {
            let target = cell["target"].as_f64().expect("a cell has a target");
            // What is infinite in one world alone is as far off as can be.
            let targets = cell["error"].as_f64().map_or(f64::INFINITY, |error| error / target);
            if targets.abs() > FAR && !is_of_a_slow_machine(cell) {
                let case = case["name"].as_str().expect("a case has a name").to_owned();
                far.push(Far { case, quantity: cell["quantity"].clone(), targets });
            }
        }
    }
    Ok(far)
}

/// Looks at a stack until its predictions are near, twice at most; why nothing could be judged, if so.
fn skipped(file: &str) -> Option<String> {
    let Some(programs) = binaries(["report", "loadgen", "sim"]) else {
        return Some("the binaries are not built; cargo test --workspace builds them".to_owned());
    };
    // Two at once would be in each other's way.
    let _one_at_a_time = PLAYING.lock().unwrap_or_else(PoisonError::into_inner);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let [first, again] = LOOKS;
    let suspects = match look(&programs, file, first, directory.path()) {
        Ok(suspects) if suspects.is_empty() => return None,
        Ok(suspects) => suspects,
        Err(why) => return Some(why),
    };
    let mut far = match look(&programs, file, again, directory.path()) {
        Ok(far) => far,
        Err(why) => return Some(format!("{why}, at the second look, after {suspects:#?}")),
    };
    far.retain(|one| suspects.iter().any(|suspect| suspect.is_like(one)));
    assert!(
        far.is_empty(),
        "predictions are beyond {FAR} times their target in two looks: {suspects:#?}, then {far:#?}"
    );
    None
}

/// The first of some programs that is not there, as the reason why a test passes without, unless `REHEARSAL_REQUIRE` names it.
fn missing(programs: &[&str]) -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Distributions keep daemons where not every user looks.
    let places: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/sbin".into()]).collect();
    let is_there = |program: &str| places.iter().any(|place| place.join(program).exists());
    let missing = programs.iter().find(|program| !is_there(program))?;
    let required =
        std::env::var("REHEARSAL_REQUIRE").is_ok_and(|list| list.split(',').any(|r| r == *missing));
    assert!(!required, "{missing} is not there, though REHEARSAL_REQUIRE names it");
    Some(format!("{missing} is not there"))
}

#[test]
fn predictions_of_our_own_stack_are_near_what_is_measured() {
    if let Some(why) = skipped("ours.toml") {
        println!("SKIPPED: {why}");
    }
}

#[test]
fn predictions_of_real_servers_are_near_what_is_measured() {
    let why = missing(&["haproxy", "varnishd", "redis-server", "mariadbd"]).or_else(|| skipped("real.toml"));
    if let Some(why) = why {
        println!("SKIPPED: {why}");
    }
}
