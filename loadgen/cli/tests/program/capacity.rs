//! The search for the greatest rate, against servers whose limits are known.

use std::fs;
use std::process::Output;
use std::time::Duration;

use crate::support::{Place, errors};
use crate::target::Target;

/// A search with short trials, under such limits of the surroundings.
fn search(place: &Place, target: &Target, limits: &[(&str, &str)]) -> Output {
    let url = target.url();
    let arguments = ["capacity", "target.toml", "--slo", "response_time p(50)<50ms", "--target", &url];
    let trials = ["--for", "1s", "--trial-warmup", "200ms", "--precision", "20%", "--repeats", "1"];
    let mut command = place.command(&[&arguments[..], &trials[..]].concat());
    command.envs(limits.iter().copied()).output().expect("the program can be started")
}

/// Rates and verdicts of all trials, by the table that is left.
fn trials(place: &Place) -> Vec<(f64, String)> {
    let table = place.runs().iter().find_map(|run| fs::read_to_string(run.join("capacity.csv")).ok());
    let table = table.expect("there is a table");
    let row = |line: &str| {
        let (rate, rest) = line.split_once(',').expect("it has columns");
        let verdict = rest.rsplit(',').next().expect("it has a last one");
        (rate.parse().expect("a rate"), verdict.to_owned())
    };
    table.lines().skip(1).map(row).collect()
}

#[test]
fn what_a_server_can_take_is_enclosed_and_drawn() {
    let place = Place::new();
    place.target("5s", "");
    // It can do two hundred a second, and not one more.
    let target = Target::taking(Duration::from_millis(5));
    let output = search(&place, &target, &[]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let trials = trials(&place);
    let of = |wanted: &'static str| {
        trials.iter().filter(move |(_, verdict)| verdict == wanted).map(|(rate, _)| *rate)
    };
    let (held, failed) = (of("holds").fold(0.0, f64::max), of("fails").fold(f64::INFINITY, f64::min));
    assert!(held < 260.0, "{held}/s: {said}");
    match output.status.code() {
        Some(0) => {
            assert!(held > 0.0 && held < failed && failed < 1.3 * held, "{held} and {failed}: {said}");
            let answer = said.lines().find(|line| line.starts_with("response_time p(50)<50ms holds up to"));
            assert!(answer.is_some_and(|line| line.contains("of 1 trials")), "{said}");
            let page = said.lines().find_map(|line| line.strip_prefix("report ")).expect("there is a page");
            let page = fs::read_to_string(place.directory.path().join(page)).expect("it is there");
            assert!(page.contains("Latency against load") && page.contains("p(50)&#60;50ms"), "{said}");
        }
        // Where the machine is too busy for the generator, that is said.
        Some(111) => assert!(said.contains("no trial") || said.contains("not finished"), "{said}"),
        code => panic!("{code:?}: {said}{}", errors(&output)),
    }
    assert!(target.answered() > 0);
}

#[test]
fn a_limit_of_the_surroundings_bounds_the_search_and_is_told() {
    let place = Place::new();
    place.target("5s", "");
    let target = Target::quick();
    let output = search(&place, &target, &[("REHEARSAL_MAX_RATE", "150")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let trials = trials(&place);
    // A trial has no more requests than that, and half a request more by rounding.
    assert!(trials.iter().all(|(rate, _)| *rate < 152.0), "{trials:?}");
    if trials.iter().any(|(_, verdict)| verdict != "holds") {
        // A machine that stood still is another matter.
        assert!([Some(0), Some(111)].contains(&output.status.code()), "{said}{}", errors(&output));
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{said}{}", errors(&output));
    assert!(said.contains("holds at every rate tried, up to"), "{said}");
    assert!(said.contains("REHEARSAL_MAX_RATE allows no more than 150/s here"), "{said}");
    let highest = trials.iter().map(|(rate, _)| *rate).fold(0.0, f64::max);
    assert!(highest > 120.0, "it goes as near to the limit as it is asked to: {trials:?}");
    // Half of what the file asks for is allowed.
    let place = Place::new();
    place.target("5s", "");
    let output = search(&place, &target, &[("REHEARSAL_MAX_RATE", "60")]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!([Some(0), Some(111)].contains(&output.status.code()), "{said}{}", errors(&output));
    assert!(said.contains("allows no more than 60/s here") || output.status.code() == Some(111), "{said}");
}

#[test]
fn a_search_that_may_not_begin_is_refused() {
    let place = Place::new();
    let target = Target::quick();
    // Users who do not think have no greatest rate.
    let users = "executor = \"constant-vus\"\nvus = 4\nthink = \"0s\"\nmix = { page = 1 }";
    place.target_with("5s", users);
    let output = search(&place, &target, &[("REHEARSAL_MAX_RATE", "1000")]);
    let told = errors(&output);
    assert_eq!(output.status.code(), Some(104), "{told}");
    assert!(told.contains("the limit REHEARSAL_MAX_RATE is 1000/s"), "{told}");
    place.target("5s", "");
    let output = search(&place, &target, &[("REHEARSAL_MAX_DURATION", "1")]);
    let told = errors(&output);
    assert_eq!(output.status.code(), Some(104), "{told}");
    assert!(told.contains("takes 1.2 s, the limit REHEARSAL_MAX_DURATION is 1 s"), "{told}");
    assert!(place.runs().is_empty() && target.answered() == 0);
}
