//! The library of scenarios: every file and every variant is good and runs in the simulator, and what a file says is played is
//! taken by the generator and by the stack. Whether outcomes hold is `sim scorecard`'s; that its page and the table of what was
//! played are those of the files is seen by the files' hashes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use scenarios::units::SimTime;
use scenarios::{Scenario, derive};
use sim::Simulation;

/// How long each design runs.
const MOMENT: SimTime = SimTime::from_millis(500);

/// The folders of the five systems.
const SYSTEMS: [&str; 5] = ["octivi", "web-cluster", "m-api", "knife-depot", "growpartner"];

/// How much of a file's hash the pages have.
const HASH_DIGITS: usize = 8;

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

/// Whether a file is of one of the five systems.
fn is_of_a_system(path: &Path) -> bool {
    let folder = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
    folder.is_some_and(|folder| SYSTEMS.contains(&folder))
}

/// The beginnings of the hashes of some files, by their places in the library.
fn hashes(of: impl Fn(&Path, &Scenario) -> bool) -> BTreeMap<String, String> {
    let mut hashes = BTreeMap::new();
    for path in files() {
        let scenario = Scenario::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        if of(&path, &scenario) {
            let place = path.strip_prefix(library()).expect("it was found there").display().to_string();
            hashes.insert(place, scenario.source.hash[..HASH_DIGITS].to_owned());
        }
    }
    hashes
}

/// The same as a page of the library has them: in each line that links to a file, behind the link.
fn hashes_on(page: &str) -> BTreeMap<String, String> {
    let is_hash = |word: &&str| word.len() == HASH_DIGITS && word.bytes().all(|b| b.is_ascii_hexdigit());
    let of_line = |line: &str| {
        let (_, rest) = line.split_once("](")?;
        let (place, rest) = rest.split_once(')')?;
        let hash = rest.split_whitespace().find(is_hash)?;
        Some((place.to_owned(), hash.to_owned()))
    };
    let text = std::fs::read_to_string(library().join(page)).expect("the library has this page");
    text.lines().filter_map(of_line).collect()
}

/// What is in one of them and not the same in the other.
fn differing(files: &BTreeMap<String, String>, page: &BTreeMap<String, String>) -> Vec<String> {
    let all = files.keys().chain(page.keys().filter(|place| !files.contains_key(*place)));
    all.filter(|place| files.get(*place) != page.get(*place)).cloned().collect()
}

#[test]
fn the_scorecard_is_that_of_the_files_as_they_are() {
    let stale = differing(&hashes(|_, file| !file.published.is_empty()), &hashes_on("scorecard.md"));
    let command = "sim scorecard scenarios/library -q --replications 3 --page scenarios/library/scorecard.md";
    assert!(stale.is_empty(), "scorecard.md is not that of {stale:?}: run {command}");
}

#[test]
fn every_file_of_the_five_systems_has_its_answer_in_words() {
    for path in files().iter().filter(|path| is_of_a_system(path)) {
        let file = Scenario::load(path).unwrap_or_else(|problems| panic!("{problems}"));
        assert!(file.answer.is_some_and(|answer| answer.len() > 40), "{}: no answer", path.display());
    }
}

#[test]
fn a_file_that_changed_is_found_on_a_page() {
    let map = |all: &[(&str, &str)]| all.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    let files: BTreeMap<String, String> = map(&[("same", "1"), ("changed", "2"), ("new", "3")]);
    let page: BTreeMap<String, String> = map(&[("same", "1"), ("changed", "1"), ("gone", "4")]);
    assert_eq!(differing(&files, &page), ["changed", "new", "gone"]);
}

#[test]
fn every_file_of_the_five_systems_was_asked_what_is_played_of_it() {
    let (files, rows) = (hashes(|path, _| is_of_a_system(path)), hashes_on("played.md"));
    let missing: Vec<&String> = files.keys().filter(|place| !rows.contains_key(*place)).collect();
    assert!(missing.is_empty(), "played.md has no rows of {missing:?}: run benches/play/run");
    let stale = differing(&files, &rows);
    if !stale.is_empty() {
        // Playing needs a quiet machine for half a minute a file, so an old row is told and no more.
        eprintln!("played.md is not that of {stale:?}: run benches/play/run");
    }
}

#[test]
fn every_file_of_the_five_systems_states_its_question_and_what_must_come_out() {
    for path in files() {
        let scenario = Scenario::load(&path).unwrap_or_else(|problems| panic!("{problems}"));
        if is_of_a_system(&path) {
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
