//! The gate from outside: its verdicts, exit codes and files. What a machine would measure is made up, so that each session comes out
//! the same: a canary that cannot be disturbed.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use results::record::{Status, Validity};
use serde_json::json;
use tempfile::TempDir;

use crate::synthetic::{Play, SHOP, record, scenario, started};

/// Ten seconds of one load, without faults.
const BLOCK: &str = r#"title = "A block"
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.page]
path = "/"
[[requests.page.steps]]
work = "3ms"
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
rate = "400/s"
mix = { page = 1 }
"#;

/// In the load generator's place: hands out the records of the side that it is told to load, in turn.
const LOADGEN: &str = r#"#!/bin/sh
# run FILE --target URL --skip-faults --no-report --quiet --out RUNS
here=$(dirname "$0")
case "$4" in *:1) side=base ;; *) side=candidate ;; esac
turn=$(cat "$here/turn" 2>/dev/null || echo 0)
echo $((turn + 1)) >"$here/turn"
mkdir -p "$9/$turn"
cp "$here/$side-$((turn % 7))/run.json" "$9/$turn/run.json"
echo "$9/$turn"
exit "$(cat "$here/code" 2>/dev/null || echo 0)"
"#;

/// A directory with a load generator that makes things up.
struct Place(TempDir);

impl Place {
    /// The sides' blocks take so many times as long as usual.
    fn new(base: [f64; 7], candidate: [f64; 7]) -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary directory can be made"));
        let block = scenario(BLOCK);
        for (side, scales, salt) in [("base", base, 1), ("candidate", candidate, 101)] {
            for (number, scale) in scales.into_iter().enumerate() {
                let play = Play { scale, salt: salt + number as u64, ..Play::LOADGEN };
                record(&place.at(&format!("{side}-{number}")), &block, play);
            }
        }
        place.ready()
    }

    /// Every block is invalid.
    fn disturbed() -> Self {
        let place = Self(tempfile::tempdir().expect("a temporary directory can be made"));
        let block = scenario(BLOCK);
        for name in (0..7).flat_map(|number| ["base", "candidate"].map(|side| format!("{side}-{number}"))) {
            let writer = started(&place.at(&name), &block, Play::LOADGEN);
            let reasons = vec!["the machine stood still for 700 ms".to_owned()];
            writer.finish(Status::Complete, Validity { reasons }).expect("it can be written");
        }
        fs::write(place.at("code"), "111").expect("it can be written");
        place.ready()
    }

    fn ready(self) -> Self {
        fs::write(self.at("steady.toml"), BLOCK).expect("it can be written");
        let loadgen = self.at("loadgen");
        fs::write(&loadgen, LOADGEN).expect("it can be written");
        fs::set_permissions(&loadgen, fs::Permissions::from_mode(0o755)).expect("it is ours");
        self
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn report(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(env!("CARGO_BIN_EXE_report"))
            .args(arguments)
            .current_dir(self.0.path())
            .output()
            .expect("the binary starts");
        told(&output)
    }

    /// A session with further arguments: its exit code, and what it said.
    fn gate(&self, more: &[&str]) -> (Option<i32>, String) {
        self.gate_with("http://127.0.0.1:2", more)
    }

    /// The same with another candidate.
    fn gate_with(&self, candidate: &str, more: &[&str]) -> (Option<i32>, String) {
        // Nobody is asked at this address.
        let sides = ["--base", "http://127.0.0.1:1", "--candidate", candidate];
        self.report(&[&["gate", "steady.toml", "--loadgen", "./loadgen"][..], &sides, more].concat())
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }
}

fn told(output: &Output) -> (Option<i32>, String) {
    let text = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    (output.status.code(), text.concat())
}

const SAME: [f64; 7] = [1.0; 7];
const SLOWER: [f64; 7] = [1.07; 7];

#[test]
fn a_slower_candidate_does_not_pass_and_everybody_is_told() {
    let place = Place::new(SAME, SLOWER);
    let files = ["--junit", "gate.xml", "--markdown", "summary.md", "--annotations"];
    let (code, said) = place.gate(&files);
    assert_eq!(code, Some(112), "{said}");
    assert!(said.contains("regressed: p50 of steady is worse: +"), "{said}");
    assert!(said.contains("more to confirm what they suspected"), "a second look: {said}");
    let annotations: Vec<&str> = said.lines().filter(|line| line.starts_with("::")).collect();
    assert!((1..=3).contains(&annotations.len()), "{annotations:?}");
    assert!(
        annotations[0].starts_with("::error title=performance gate::p50 of steady is worse: +"),
        "{said}"
    );
    assert!(annotations[0].contains("%25"), "per cent signs are escaped: {said}");
    let junit = place.text("gate.xml");
    assert!(
        junit.contains("<testsuite name=\"performance gate\" tests=\"4\" failures=\"1\" errors=\"0\""),
        "{junit}"
    );
    assert!(
        junit.contains("<testcase classname=\"gate.steady\" name=\"p50\"><failure message=\""),
        "{junit}"
    );
    let summary = place.text("summary.md");
    assert!(summary.starts_with("**regressed: p50 of steady is worse"), "{summary}");
    assert!(summary.contains("regressed |"), "{summary}");
    // A job's summary has what others wrote, too.
    place.gate(&files);
    assert!(place.text("summary.md").matches("**regressed: ").count() == 2);
}

#[test]
fn the_base_itself_passes_and_can_be_tested_upon_what_was_saved() {
    let place = Place::new(SAME, SAME);
    let named = ["--history", "history.jsonl", "--base-name", "v1", "--candidate-name", "v2"];
    let (code, said) = place.gate(&[&named[..], &["--save", "rounds.json", "--annotations"]].concat());
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("pass: the candidate is not slower than the base"), "{said}");
    assert!(!said.contains("\n::error"), "{said}");
    let history = place.text("history.jsonl");
    assert!(
        history.lines().count() == 1 && history.contains("\"base\":\"v1\",\"candidate\":\"v2\""),
        "{history}"
    );
    assert_eq!(place.report(&["drift", "history.jsonl"]).0, Some(0));
    let test = ["gate", "--self-test", "--from", "rounds.json", "--sessions", "60"];
    let (code, said) = place.report(&test);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("60 sessions each") && said.contains("is the base (false alarms)"), "{said}");
    assert!(said.contains("is worse in p50 by +5.0%"), "{said}");
}

#[test]
fn what_is_accepted_passes_as_far_and_as_long_as_it_is() {
    let (slower, same) = (Place::new(SAME, SLOWER), Place::new(SAME, SAME));
    let held = |place: &Place, metric: &str, up_to: &str, expires: &str| {
        let reason = "reason = \"answers are signed now\"";
        let rest = format!("up_to = \"{up_to}\"\nexpires = \"{expires}\"\n{reason}\n");
        fs::write(place.at("accepted.toml"), format!("[[accepted]]\nmetric = \"{metric}\"\n{rest}"))
            .expect("it can be written");
        place.gate(&["--accepted", "accepted.toml", "--junit", "gate.xml"])
    };
    let accepted = |metric: &str, up_to: &str, expires: &str| held(&slower, metric, up_to, expires);
    let (code, said) = accepted("p50", "20%", "2999-12-31");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("pass: p50 of steady is worse, as accepted: +"), "{said}");
    assert!(said.contains("accepted until 2999-12-31: answers are signed now"), "{said}");
    assert!(slower.text("gate.xml").contains("failures=\"0\""));
    let (code, said) = held(&same, "p50", "20%", "2020-12-31");
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("p50 was accepted until 2020-12-31, which is past: take that out"), "{said}");
    for (metric, up_to, expires) in
        [("p50", "20%", "2020-12-31"), ("p50", "3%", "2999-12-31"), ("throughput", "20%", "2999-12-31")]
    {
        let (code, said) = accepted(metric, up_to, expires);
        assert_eq!(code, Some(112), "{metric} up to {up_to} until {expires}: {said}");
        assert_eq!(said.contains("which does not cover this"), metric == "p50", "{said}");
    }
    for (metric, up_to, expires, wrong) in [
        ("p50", "much", "2999-12-31", "accepted[1].up_to: found \"much\""),
        ("p50", "8%", "soon", "accepted[1].expires: found \"soon\""),
        ("p51", "8%", "2999-12-31", "p51"),
    ] {
        let (code, said) = accepted(metric, up_to, expires);
        assert_eq!(code, Some(104), "{said}");
        assert!(said.contains("accepted.toml") && said.contains(wrong), "{said}");
    }
}

#[test]
fn noise_leaves_it_open_and_says_what_would_have_been_seen() {
    let wild = [0.2, 1.0, 3.5, 0.4, 2.2, 0.3, 2.9];
    let place = Place::new(wild, wild);
    for (more, expected) in [(&["--junit", "gate.xml"], 113), (&["--inconclusive", "pass"], 0)] {
        let (code, said) = place.gate(&[&["--budget", "4s"][..], more].concat());
        // A machine that takes half a second for a round of copies has no time for ten of them.
        if code == Some(111) && said.contains("too short") {
            return;
        }
        assert_eq!(code, Some(expected), "{said}");
        assert!(said.contains("inconclusive: ") && said.contains("would be noticed"), "{said}");
        assert!(place.text("gate.xml").contains("<skipped message=\""));
    }
}

#[test]
fn a_disturbed_machine_makes_the_session_invalid() {
    let place = Place::disturbed();
    let named = ["--history", "history.jsonl", "--base-name", "v1", "--candidate-name", "v2"];
    let more = ["--budget", "3s", "--annotations", "--junit", "gate.xml"];
    let (code, said) = place.gate(&[&more[..], &named].concat());
    assert_eq!(code, Some(111), "{said}");
    assert!(said.contains("invalid: more than half of the latest rounds were disturbed"), "{said}");
    let annotations: Vec<&str> = said.lines().filter(|line| line.starts_with("::")).collect();
    assert!(annotations.len() == 1 && annotations[0].starts_with("::warning"), "{annotations:?}");
    assert!(!place.at("history.jsonl").exists(), "nothing was found");
    // Though no quantity was judged, there is something to see.
    let junit = place.text("gate.xml");
    assert!(junit.contains("tests=\"1\" failures=\"0\" errors=\"1\""), "{junit}");
    assert!(
        junit.contains("<error message=\"more than half of the latest rounds were disturbed\">"),
        "{junit}"
    );
}

#[test]
fn a_session_without_a_verdict_is_an_error_that_a_code_host_shows() {
    let place = Place::new(SAME, SAME);
    let files = ["--junit", "gate.xml", "--markdown", "summary.md", "--annotations"];
    let (code, said) = place.gate_with("echo 'no <flag> & {port}'; exit 3", &files);
    assert_eq!(code, Some(104), "{said}");
    assert!(said.contains("error: echo 'no <flag> & ") && said.contains("ended (exit status: 3)"), "{said}");
    let annotations: Vec<&str> = said.lines().filter(|line| line.starts_with("::")).collect();
    assert_eq!(annotations.len(), 1, "{said}");
    assert!(annotations[0].starts_with("::error title=performance gate::echo 'no <flag> & "), "{said}");
    assert!(annotations[0].contains("it said:%0Ano <flag> & "), "what the server said, too: {said}");
    let junit = place.text("gate.xml");
    assert!(junit.contains("tests=\"1\" failures=\"0\" errors=\"1\""), "{junit}");
    assert!(junit.contains("<error message=\"echo 'no &lt;flag&gt; &amp; "), "{junit}");
    let summary = place.text("summary.md");
    assert!(summary.starts_with("**error: the gate came to no verdict**\n"), "{summary}");
    assert!(summary.contains("\n    no <flag> & "), "{summary}");
    // So is what is wrong before anything is played.
    fs::write(place.at("steady.toml"), "title = 4\n").expect("it can be written");
    let (code, said) = place.gate(&files);
    assert_eq!(code, Some(104), "{said}");
    let junit = place.text("gate.xml");
    assert!(junit.contains("<error message=\"steady.toml:"), "{junit}");
}

#[test]
fn a_self_test_plays_the_base_against_itself() {
    let arguments =
        ["gate", "steady.toml", "--loadgen", "./loadgen", "--base", "http://127.0.0.1:1", "--self-test"];
    let more = ["--rounds", "12", "--sessions", "20", "--save", "rounds.json"];
    let place = Place::new(SAME, SAME);
    let (code, said) = place.report(&[&arguments[..], &more].concat());
    assert_eq!(code, Some(0), "{said}");
    for told in
        ["0 rounds were disturbed", "20 sessions each, drawn from 12 rounds", "is the base (false alarms)"]
    {
        assert!(said.contains(told), "{told}: {said}");
    }
    // What it played can be drawn from again, and comes out the same.
    let (code, again) = place.report(&["gate", "--self-test", "--from", "rounds.json", "--sessions", "20"]);
    assert_eq!(code, Some(0), "{again}");
    assert!(said.contains(&again), "{said}\n{again}");
    let (code, said) = Place::disturbed().report(&[&arguments[..], &more].concat());
    assert_eq!(code, Some(104), "{said}");
    assert!(said.contains("more than half of the rounds were disturbed"), "{said}");
}

/// A line of a history.
fn line(base: &str, candidate: &str, estimate: f64) -> String {
    let quantity = json!({"scenario": "steady", "metric": "p50"});
    let found = json!({
        "quantity": quantity, "estimate": estimate, "low": estimate - 0.008, "high": estimate + 0.008
    });
    let entry = json!({
        "time": "2026-01-01T00:00:00Z", "base": base, "candidate": candidate, "quantities": [found]
    });
    format!("{entry}\n")
}

#[test]
fn drift_is_told_from_many_sessions_that_passed() {
    let place = Place(tempfile::tempdir().expect("a temporary directory can be made"));
    let wobble = |i: u32| 0.002 * (f64::from(i * 7 % 5) - 2.0);
    let drift = |lines: &dyn Fn(u32) -> String| {
        fs::write(place.at("history.jsonl"), (0..24).map(lines).collect::<String>()).expect("written");
        place.report(&["drift", "history.jsonl"])
    };
    // Each base is the candidate before: losses of 0.6% add up.
    let chain = |loss: f64| move |i: u32| line(&format!("c{i}"), &format!("c{}", i + 1), loss + wobble(i));
    let (code, said) = drift(&chain(0.006));
    assert_eq!(code, Some(112), "{said}");
    assert!(said.contains("p50 of steady: regressed in 24 sessions") && said.contains("since c"), "{said}");
    // So much of it may be worth its price.
    for (up_to, expected) in [("20%", 0), ("3%", 112)] {
        let rest =
            format!("up_to = \"{up_to}\"\nexpires = \"2999-12-31\"\nreason = \"answers are signed now\"\n");
        fs::write(place.at("accepted.toml"), format!("[[accepted]]\nmetric = \"p50\"\n{rest}"))
            .expect("written");
        let (code, said) = place.report(&["drift", "history.jsonl", "--accepted", "accepted.toml"]);
        assert_eq!(code, Some(expected), "{said}");
        assert_eq!(said.contains("as accepted (answers are signed now)"), expected == 0, "{said}");
    }
    let (code, said) = drift(&chain(0.0));
    assert!(code == Some(0) && said.contains("no drift beyond the margin"), "{said}");
    // All against one release: the level changes.
    let step = |i: u32| line("v1", &format!("c{i}"), wobble(i) + if i < 14 { 0.0 } else { 0.03 });
    let (code, said) = drift(&step);
    assert!(code == Some(112) && said.contains("from c14 on +"), "{said}");
    let (code, said) = drift(&|i| if i == 3 { "{}\n".to_owned() } else { line("v1", "c", 0.0) });
    assert!(code == Some(104) && said.contains("history.jsonl:4: found"), "{said}");
}

#[test]
fn what_must_not_change_at_all_is_held_exactly_and_counts_to_a_hundredth() {
    let place = Place(tempfile::tempdir().expect("a temporary directory can be made"));
    let simulated =
        |name: &str, salt: u64| record(&place.at(name), &scenario(SHOP), Play { salt, ..Play::SIM });
    simulated("base", 1);
    simulated("same", 1);
    simulated("other", 2);
    record(&place.at("measured"), &scenario(SHOP), Play::LOADGEN);
    let (code, said) = place.report(&["exact", "base", "same"]);
    assert!(code == Some(0) && said == "the same\n", "{code:?}: {said}");
    let (code, said) = place.report(&["exact", "base", "other"]);
    assert!(code == Some(112) && said.starts_with("differs\n"), "{code:?}: {said}");
    let (code, said) = place.report(&["exact", "base", "measured"]);
    assert!(code == Some(104) && said.contains("never comes out the same twice"), "{code:?}: {said}");
    let counts = |name: &str, parse: u64| {
        fs::write(place.at(name), json!({"parse": parse, "plan": 5_000}).to_string()).expect("written");
    };
    counts("base.json", 100_000);
    for (parse, expected) in [(100_990, 0), (101_100, 112), (90_000, 0)] {
        counts("candidate.json", parse);
        let (code, said) = place.report(&["exact", "base.json", "candidate.json"]);
        assert_eq!(code, Some(expected), "{parse}: {said}");
    }
}

#[test]
fn blocks_leave_nothing_where_the_gate_was_called() {
    let place = Place::new(SAME, SAME);
    let before = names(place.0.path());
    let (code, said) = place.gate(&[]);
    assert_eq!(code, Some(0), "{said}");
    let mut after = names(place.0.path());
    // That is the made-up load generator's own.
    after.retain(|name| name != "turn");
    assert_eq!(after, before);
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("it is there").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
