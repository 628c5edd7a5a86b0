//! The library of scenarios: every file and every variant is good and runs in the simulator, and what a file says is played is
//! taken by the generator and by the stack. Whether outcomes hold is `sim scorecard`'s.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use scenarios::units::SimTime;
use scenarios::{Scenario, derive};
use sim::Simulation;

/// How long each design runs.
const MOMENT: SimTime = SimTime::from_millis(500);

fn library() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios/library")
}

fn files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut places = vec![library()];
    while let Some(place) = places.pop() {
        for entry in std::fs::read_dir(&place).expect("the library can be read") {
            let path = entry.expect("its entries can be read").path();
            if path.is_dir() {
                places.push(path);
            } else if scenarios::library::is_scenario(&path) {
                files.push(path);
            }
        }
    }
    files.sort();
    assert!(files.len() > 50, "only {} files", files.len());
    files
}

/// Every file as it is and in its variants, by name.
fn designs() -> Vec<(String, Scenario)> {
    let mut designs = Vec::new();
    for path in files() {
        let scenario = Scenario::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        for variant in &scenario.variants {
            let name = format!("{}, {}", path.display(), variant.name);
            let design = derive::variant(&scenario, &variant.name).unwrap_or_else(|e| panic!("{name}: {e}"));
            designs.push((name, design.scenario));
        }
        designs.push((path.display().to_string(), scenario));
    }
    designs
}

#[test]
fn every_file_of_the_five_systems_states_its_question_and_what_must_come_out() {
    for path in files() {
        let scenario = Scenario::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let systems = ["octivi", "web-cluster", "m-api", "knife-depot", "growpartner"];
        if folder.is_some_and(|folder| systems.contains(&folder)) {
            assert!(scenario.question.is_some(), "{}: no question", path.display());
            let told = "neither a part that is played nor why there is none";
            assert!(scenario.play.is_some(), "{}: {told}", path.display());
            let held = scenario.published.iter().any(|p| p.claim.is_some());
            assert!(held, "{}: nothing is held against a run", path.display());
            for variant in &scenario.variants {
                let told = scenario.published.iter().any(|p| p.variant.as_ref() == Some(&variant.name));
                assert!(told, "{}: nothing is said of variant {}", path.display(), variant.name);
            }
        }
    }
}

#[test]
fn every_file_and_every_variant_runs_in_the_simulator() {
    for (name, design) in designs() {
        let from = design.score.0.from;
        let part = derive::window(&design, from, Some(MOMENT.min(design.run.duration)), None, None);
        let part = part.unwrap_or_else(|error| panic!("{name}: {error}")).scenario;
        let mut simulation = Simulation::new(&part).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
        assert!(outcome.complete, "{name}");
        let broken: Vec<_> = outcome.evidence.laws.iter().filter(|law| !law.holds()).collect();
        assert!(broken.is_empty(), "{name}: {broken:?}");
    }
}

#[test]
fn what_is_to_be_played_is_taken_by_the_generator_and_by_the_stack() {
    let mut played = 0;
    for path in files() {
        let whole = Scenario::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        if whole.play.as_ref().is_none_or(|play| play.impossible.is_some()) {
            continue;
        }
        let part = derive::played(&whole, None, None);
        let part = part.unwrap_or_else(|error| panic!("{}: {error}", path.display())).scenario;
        loadgen::supports::check(&part).unwrap_or_else(|problems| panic!("{problems}"));
        loadgen::limits::check(&part).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        reference::support::check(&part).unwrap_or_else(|problems| panic!("{problems}"));
        played += 1;
    }
    assert!(played >= 45, "only {played} files have a part that is played");
}
