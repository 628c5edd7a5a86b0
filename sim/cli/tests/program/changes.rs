//! What the command line changes of a scenario: sampling, faults, the warm-up of the file.

use results::RunRecord;

use crate::support::{only_run, page, sim, stack, write};

/// A page that reads from a cache, in so many lines more.
fn cached(rest: &str) -> String {
    let store = "[hosts.data]\n[components.objects]\nkind = \"kv-store\"\nhost = \"data\"\n\
                 [keyspaces.items]\nin = \"objects\"\nkeys = 10_000\nvalue = \"100B\"\n[requests.page]";
    let page = page("5s", "100/s", "p(99)<10s").replace("[requests.page]", store);
    page.replace("work = ", "get = { keyspace = \"items\" }\n[[requests.page.steps]]\nwork = ") + rest
}

#[test]
fn sampling_is_chosen_for_a_run_and_told() {
    let how = |arguments: &[&str]| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        write(directory.path(), "page.toml", &cached(""));
        let output = sim(directory.path(), &[&["run", "page.toml"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
        let note =
            record.evidence.model.iter().find(|n| n.what == "contents of objects[1]").expect("it is told");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(&note.how) && text.contains(&note.error), "{text}");
        (note.how.clone(), record.scenario.hash)
    };
    let (auto, exact, sampled) = (how(&[]), how(&["--exact"]), how(&["--sample", "1/8"]));
    assert!(auto.0.contains("every key") && exact.0.contains("every key"), "{auto:?} {exact:?}");
    assert!(sampled.0.contains("one in 8"), "{sampled:?}");
    assert!(auto.1 != exact.1 && exact.1 != sampled.1, "each is a scenario of its own");
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &cached(""));
    for wrong in [&["--sample", "64"][..], &["--exact", "--sample", "1/64"]] {
        let output = sim(directory.path(), &[&["run", "page.toml"], wrong].concat());
        assert_ne!(output.status.code(), Some(0), "{wrong:?}");
    }
}

#[test]
fn faults_are_left_out_on_demand() {
    let fault = "[[faults]]\nat = \"1s\"\nfor = \"2s\"\nkill = \"component:shop[1]\"\n";
    let failed = |arguments: &[&str]| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let text =
            page("5s", "100/s", "p(99)<10s") + "\"response_time{during:fault}\" = [\"p(99)<1s\"]\n" + fault;
        write(directory.path(), "page.toml", &text);
        let output = sim(directory.path(), &[&["run", "page.toml", "--quiet"], arguments].concat());
        assert!(matches!(output.status.code(), Some(0 | 99)), "{output:?}");
        let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
        record.tally(results::Scope::Run, None).failed()
    };
    assert!(failed(&[]) > 100);
    assert_eq!(failed(&["--skip-faults"]), 0);
}

#[test]
fn the_files_own_warm_up_may_be_found_out() {
    let busy = stack("450/s", "exponential(mean=2ms)").replace("20s\"", "200s\"\nwarmup = \"auto\"");
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &busy);
    let output = sim(directory.path(), &["run", "page.toml", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record = RunRecord::read(only_run(directory.path())).expect("the record can be read");
    assert!(record.evidence.model.iter().any(|n| n.what == "warm-up" && n.how.contains("MSER-5")));
    assert!(sim(directory.path(), &["run", "page.toml", "--quiet", "--warmup", "1s"]).status.success());
    // Whoever does not find it out refuses it.
    let scenario = scenarios::Scenario::parse("page.toml", busy).expect("the scenario is good");
    let problems = ::sim::Simulation::new(&scenario).expect_err("nobody has found it out").to_string();
    assert!(problems.contains("page.toml:5:10: run.warmup: found \"auto\""), "{problems}");
}

#[test]
fn what_makes_two_scenarios_differ_beside_themselves_is_told() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let fault = "[[faults]]\nat = \"1s\"\nfor = \"2s\"\nhang = \"component:shop[1]\"\n";
    let text = page("5s", "100/s", "p(99)<10s");
    write(directory.path(), "a.toml", &text);
    write(directory.path(), "b.toml", &(text.replace("[run]", "[run]\nseed = 5") + fault));
    let told = |arguments: &[&str]| {
        let output = sim(
            directory.path(),
            &[&["compare", "a.toml", "b.toml", "--replications", "2"], arguments].concat(),
        );
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let notes = told(&[]);
    assert!(notes.contains("note: B has the seed 5; both are run with A's, which is 1"), "{notes}");
    assert!(notes.contains("(A: none; B: hang component:shop[1] at 1s for 2s)"), "{notes}");
    assert!(!told(&["--skip-faults"]).contains("faults differ"));
    let by_chance = |law: &str| {
        let laws = format!("breakdowns = {{ up = \"{law}\", down = \"1s\" }}\n");
        text.replace("[hosts.app]\n", &format!("[hosts.app]\n{laws}"))
    };
    write(directory.path(), "b.toml", &by_chance("exponential(mean=20s)"));
    let notes = told(&[]);
    assert!(notes.contains("(A: none; B: host:app dies after 20s and for 1s on average)"), "{notes}");
    assert!(!told(&["--skip-faults"]).contains("faults differ"));
    write(directory.path(), "a.toml", &by_chance("20s"));
    assert!(told(&[]).contains("faults differ"), "the means are the same, the laws are not");
}

#[test]
fn single_requests_are_not_followed_through_replications() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &page("5s", "100/s", "p(99)<10s"));
    for more in [&["--trace", "1"], &["--slowest", "1"]] {
        let output =
            sim(directory.path(), &[&["run", "page.toml", "--replications", "2"], &more[..]].concat());
        assert_eq!(output.status.code(), Some(104), "{output:?}");
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(message.contains("leave --replications and --precision out"), "{message}");
        assert!(!directory.path().join("runs").exists(), "nothing is left on the disk");
    }
}
