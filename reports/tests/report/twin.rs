//! Sessions of a twin, whose two worlds are programs that leave made-up runs behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use results::World;
use scenarios::units::Seed;
use scenarios::{Scenario, derive};
use serde_json::Value;

use crate::synthetic::{self, Play, SHOP};

const TWIN: &str = r#"
[variants.calm]
what = "nothing dies"
remove = ["faults[1]"]
[variants.busy]
what = "half as many again"
set."traffic.shoppers.rate" = "300/s"
[twin]
cases = ["calm", "base"]
repetitions = 3
loads = { calm = "30%" }
"#;

/// A directory with a scenario and two programs that leave prepared runs behind, and write down which.
struct Stage(tempfile::TempDir);

impl Stage {
    fn new() -> Self {
        let stage = Self(tempfile::tempdir().expect("a temporary directory"));
        fs::write(stage.path("shop.toml"), format!("{SHOP}{TWIN}")).expect("it can be written");
        let scenario =
            Scenario::load(&stage.path("shop.toml")).unwrap_or_else(|problems| panic!("{problems}"));
        for case in &scenario.twin.cases {
            for seed in 1..=3 {
                let derived = derive::case(&scenario, case, Seed(seed)).expect("a case").scenario;
                // Both worlds draw the same, and the real one is 3% slower.
                for (world, scale, failing) in [(World::Sim, 1.0, 0.30), (World::Loadgen, 1.03, 0.31)] {
                    let play = Play { world, scale, failing, salt: seed, ..Play::SIM };
                    let name = format!("{}/{}-{seed}", program(world), case.name);
                    let directory = stage.path("prepared").join(name);
                    fs::create_dir_all(&directory).expect("it can be made");
                    synthetic::record(&directory, &derived, play);
                }
            }
        }
        for world in [World::Sim, World::Loadgen] {
            let name = program(world);
            let (prepared, log) = (stage.path("prepared").join(name), stage.path("log"));
            let script = format!(
                "#!/bin/sh\nset -e\nhere=$(dirname \"$2\")\nseed=$(basename \"$here\")\ncase=$(basename \"$(dirname \"$here\")\")\n\
                 echo \"{name} $case $seed\" >> {}\nmkdir -p \"$5\"\ncp -r {}/$case-$seed \"$5/run-$$\"\n",
                log.display(),
                prepared.display()
            );
            // Installed by a process of its own: a file that is open for writing here would be so in whatever another test starts at
            // that moment, and could not be executed.
            let (text, path) = (stage.path("script"), stage.path(name));
            fs::write(&text, script).expect("it can be written");
            let installed = Command::new("install").args(["-m", "755"]).args([&text, &path]).status();
            assert!(installed.is_ok_and(|status| status.success()), "{name} can be installed");
        }
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn report(&self, more: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_report"))
            .current_dir(self.0.path())
            .args(["twin", "shop.toml", "--sim", "./sim", "--loadgen", "./loadgen", "--json", "twin.json"])
            .args(more)
            .output()
            .expect("the binary starts")
    }

    fn results(&self) -> Value {
        let text = fs::read_to_string(self.path("twin.json")).expect("the results are written");
        serde_json::from_str(&text).expect("they are JSON")
    }

    /// How often a program was started.
    fn started(&self, program: &str) -> usize {
        let log = fs::read_to_string(self.path("log")).unwrap_or_default();
        log.lines().filter(|line| line.starts_with(program)).count()
    }
}

fn program(world: World) -> &'static str {
    if world == World::Sim { "sim" } else { "loadgen" }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn cell<'a>(results: &'a Value, case: &str, group: &str, of: &str) -> &'a Value {
    let cases = results["cases"].as_array().expect("cases");
    let case = cases.iter().find(|c| c["name"] == case).expect("the case is there");
    let cells = case["cells"].as_array().expect("cells");
    let found = cells.iter().find(|c| c["quantity"]["group"] == group && c["quantity"]["of"] == of);
    found.unwrap_or_else(|| panic!("{group} {of} is no cell of {case:#}"))
}

#[test]
fn a_session_tells_how_far_two_worlds_are_apart_and_plays_nothing_twice() {
    let stage = Stage::new();
    let done = stage.report(&["--output", "twin.html"]);
    assert!(matches!(done.status.code(), Some(0 | 99)), "{}{}", text(&done.stdout), text(&done.stderr));
    assert_eq!((stage.started("loadgen"), stage.started("sim")), (6, 6));
    let results = stage.results();
    let p50 = cell(&results, "calm", "p50", "");
    let error = p50["error"].as_f64().expect("it is finite");
    // The made-up measurement is 3% slower in all but its short waits.
    assert!((-0.05..-0.01).contains(&error), "{p50:#}");
    assert_eq!(p50["verdict"], "holds", "{p50:#}");
    assert_eq!(cell(&results, "base", "p99", "during")["error_is"], "relative");
    assert!(cell(&results, "base", "dip_depth", "")["predicted"].as_f64() > Some(0.2));
    assert!(cell(&results, "base", "goodput", "after")["error"].as_f64().is_some());
    assert_eq!(cell(&results, "base", "utilisation", "shop")["error_is"], "points");
    let told = text(&done.stdout);
    assert!(told.contains("numbers hold") && told.contains("calm"), "{told}");
    let html = fs::read_to_string(stage.path("twin.html")).expect("the page is written");
    for part in ["Predicted and measured", "p99 during", "A: simulated", "B: measured", "All cases"] {
        assert!(html.contains(part), "{part} is on the page");
    }
    let again = stage.report(&["--quiet"]);
    assert_eq!(again.status.code(), done.status.code());
    assert_eq!((stage.started("loadgen"), stage.started("sim")), (6, 12), "simulations are made anew");
    assert_eq!(stage.results(), results);
    let from = Command::new(env!("CARGO_BIN_EXE_report"))
        .current_dir(stage.0.path())
        .args(["twin", "--from", "twin.json", "--markdown", "--output", "again.html"])
        .output()
        .expect("the binary starts");
    let html = fs::read_to_string(stage.path("again.html")).expect("the page is written");
    assert!(html.contains("p99 during") && !html.contains("A: simulated"), "all but the charts of its runs");
    let told = text(&from.stdout);
    assert!(told.contains("| case | load | machine |") && told.contains("#### base: "), "{told}");
}

#[test]
fn a_run_that_fails_leaves_its_case_unmeasured_and_the_others_as_they_are() {
    let stage = Stage::new();
    fs::remove_dir_all(stage.path("prepared/loadgen/calm-2")).expect("it was there");
    let done = stage.report(&[]);
    let results = stage.results();
    assert_eq!(cell(&results, "calm", "p50", "")["verdict"], "unmeasured");
    let cases = results["cases"].as_array().expect("cases");
    assert!(
        cases[0]["doubts"][0].as_str().expect("a reason").contains("seed 2: loadgen ended"),
        "{results:#}"
    );
    assert_eq!(cell(&results, "base", "p50", "")["verdict"], "holds", "{}", text(&done.stderr));
    assert!(text(&done.stderr).contains("calm, seed 2") && text(&done.stderr).contains("NOT MEASURED"));
}

#[test]
fn what_the_hypervisor_disturbed_is_played_again_and_believed_where_nothing_is_calmer() {
    let stage = Stage::new();
    let scenario = Scenario::load(&stage.path("shop.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    let case = scenario.twin_case("calm").expect("it is a variant");
    let derived = derive::case(&scenario, &case, Seed(2)).expect("a case").scenario;
    let prepared = stage.path("prepared/loadgen/calm-2");
    fs::remove_dir_all(&prepared).expect("it was there");
    fs::create_dir_all(&prepared).expect("it can be made");
    let disturbed = Play { stolen: 0.4, scale: 1.03, failing: 0.31, ..Play::LOADGEN };
    synthetic::record(&prepared, &derived, disturbed);
    let done = stage.report(&[]);
    let told = text(&done.stderr);
    assert!(stage.results()["cases"][0]["stolen_share"].as_f64() > Some(0.0), "it is told");
    assert!(told.contains("1 of 6 runs lost more than 3%"), "{told}");
    assert_eq!(stage.started("loadgen"), 8, "three attempts at one of them: {told}");
    assert_eq!(cell(&stage.results(), "calm", "p50", "")["verdict"], "holds");
    stage.report(&["--quiet"]);
    assert_eq!(stage.started("loadgen"), 8, "there are as many runs as attempts");
}

#[test]
fn a_case_that_is_too_noisy_is_played_with_further_seeds_and_no_more_than_are_allowed() {
    let stage = Stage::new();
    let scenario = Scenario::load(&stage.path("shop.toml")).unwrap_or_else(|problems| panic!("{problems}"));
    let case = scenario.twin_case("calm").expect("it is a variant");
    let derived = derive::case(&scenario, &case, Seed(2)).expect("a case").scenario;
    let prepared = stage.path("prepared/loadgen/calm-2");
    fs::remove_dir_all(&prepared).expect("it was there");
    fs::create_dir_all(&prepared).expect("it can be made");
    // Half as slow again as the other one was: two such runs tell nothing of p50.
    synthetic::record(&prepared, &derived, Play { scale: 1.5, failing: 0.31, salt: 2, ..Play::LOADGEN });
    let few = ["--case", "calm", "--repetitions", "2"];
    stage.report(&few);
    assert_eq!(cell(&stage.results(), "calm", "p50", "")["verdict"], "unmeasured");
    assert_eq!((stage.started("loadgen"), stage.started("sim")), (2, 2), "nobody asked for more");
    let done = stage.report(&[&few[..], &["--at-most", "3"]].concat());
    let told = text(&done.stderr);
    assert!(told.contains("1 of 1 cases are too noisy to tell: another seed for each"), "{told}");
    assert_eq!((stage.started("loadgen"), stage.started("sim")), (3, 5), "the third alone is played: {told}");
    let results = stage.results();
    assert_eq!(results["cases"][0]["pairs"], 3);
    assert_eq!(results["order"].as_array().map(Vec::len), Some(3), "{results:#}");
    assert!(text(&done.stdout).contains("2 to 3 repetitions"), "{}", text(&done.stdout));
}

fn refused(stage: &Stage, arguments: &[&str]) -> String {
    let done = stage.report(arguments);
    assert_eq!(done.status.code(), Some(104), "{}", text(&done.stderr));
    text(&done.stderr)
}

#[test]
fn what_cannot_be_done_is_told_with_its_mend() {
    let stage = Stage::new();
    let told = refused(&stage, &["--case", "clam"]);
    assert!(told.contains("no case \"clam\"") && told.contains("\"base\", \"calm\", \"busy\""), "{told}");
    let absent = Command::new(env!("CARGO_BIN_EXE_report"))
        .current_dir(stage.0.path())
        .args(["twin", "shop.toml", "--sim", "./absent", "--loadgen", "./loadgen"])
        .output()
        .expect("the binary starts");
    let told = text(&absent.stderr);
    assert!(absent.status.code() == Some(104) && told.contains("./absent: cannot be started"), "{told}");
    assert!(
        told.contains("cargo build --release --bin sim") && told.contains("--sim names another"),
        "{told}"
    );
    let told = refused(&stage, &["--engine", "shop=haproxy"]);
    assert!(told.contains("shop") && told.contains("haproxy"), "{told}");
    assert!(!Path::new(&stage.path("twin.json")).exists(), "nothing came of it");
}
