//! Windows of scenarios are scenarios.

use std::path::Path;

use scenarios::Scenario;
use scenarios::derive::{self, Derived};
use scenarios::scenario::{ComponentKind, Executor, Sampling};
use scenarios::units::{Ratio, SimTime};

use crate::good::{MINIMAL, parse};

fn quickstart(from: Option<&str>, length: Option<&str>, rate: Option<f64>) -> Derived {
    let time = |t: &str| t.parse::<SimTime>().expect("a duration");
    let whole = parse(scenarios::library::QUICKSTART);
    derive::window(&whole, from.map(time), length.map(time), rate.map(Ratio::new), Some(7))
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_window_keeps_its_place_on_the_timeline() {
    let whole = parse(scenarios::library::QUICKSTART);
    let part = quickstart(Some("10s"), Some("6s"), None).scenario;
    assert_eq!((part.run.from, part.run.duration), (SimTime::from_secs(10), SimTime::from_secs(6)));
    assert_eq!(part.run.warmup, SimTime::from_secs(3));
    assert_eq!(part.run.seed.0, 7);
    // The node still dies at the same moment of the timeline: 2 s into the window.
    assert_eq!(part.faults[0].from, part.run.warmup + SimTime::from_secs(2));
    assert_eq!(part.traffic[0].rate, whole.traffic[0].rate);
    assert!(part.source.text.contains("# counted from 1"), "comments stay");
}

#[test]
fn loads_and_capacities_scale_together() {
    let part = quickstart(None, None, Some(0.5)).scenario;
    assert_eq!(part.traffic[0].rate.at(0.0), 150.0);
    assert_eq!(part.hosts[1].cores, 1, "half of the two cores");
    assert_eq!(part.keyspaces[0].keys, 25_000);
    let ComponentKind::Service(service) = &part.components[1].kind else { panic!("the shop is a service") };
    assert_eq!((service.workers, service.backlog), (16, 64));
    let ComponentKind::KvStore(store) = &part.components[2].kind else {
        panic!("the objects are in a store")
    };
    assert_eq!(store.max_memory.map(|m| m.get()), Some(6 << 20));
}

#[test]
fn what_a_cache_has_at_the_start_scales_with_the_keys() {
    let text = scenarios::library::QUICKSTART.to_owned()
        + r#"
[components.front]
kind = "http-cache"
host = "app"
to = "shop"
memory = "10MiB"
prefill = { about = 1, stock = 500 }
[requests.about]
path = "/about"
cache = { ttl = "1h" }
[requests.stock]
path = "/stock/{products}"
cache = { ttl = "1h" }
"#;
    let whole = parse(&text);
    let part = derive::window(&whole, None, None, Some(Ratio::new(0.1)), None).expect("it scales").scenario;
    let cache = part.components.iter().find_map(|component| match &component.kind {
        ComponentKind::HttpCache(cache) => Some(cache),
        _ => None,
    });
    let prefill = &cache.expect("it has a cache").prefill;
    let counts: Vec<(&str, u64)> =
        prefill.iter().map(|(class, keys)| (part.class(*class).name.as_str(), *keys)).collect();
    assert_eq!(counts, [("about", 1), ("stock", 50)]);
}

#[test]
fn rounding_that_changes_utilisation_is_said() {
    let derived = quickstart(None, None, Some(0.1));
    assert!(
        derived.warnings.iter().any(|w| w.starts_with("hosts.app.cores: 2 × 10%")),
        "{:?}",
        derived.warnings
    );
    assert!(derived.scenario.source.text.contains("# - hosts.app.cores"));
    assert!(quickstart(None, Some("10s"), None).warnings.is_empty());
}

#[test]
fn defaults_scale_as_well_and_every_executor_does() {
    for (executor, at, expected) in [
        (
            "executor = \"ramping-arrival-rate\", start_rate = \"0/s\", stages = [{ for = \"10s\", to = \"100/s\" }]",
            5.0,
            25.0,
        ),
        ("executor = \"curve-arrival-rate\", curve = \"retail-week\", expected = 604_800_000", 0.0, f64::NAN),
    ] {
        let text = MINIMAL.replace("executor = \"constant-arrival-rate\", rate = \"10/s\"", executor);
        let whole = parse(&text);
        let part =
            derive::window(&whole, None, None, Some(Ratio::new(0.5)), None).expect("it scales").scenario;
        let rate = part.traffic[0].rate.at(at);
        let expected = if expected.is_nan() { whole.traffic[0].rate.at(at) / 2.0 } else { expected };
        assert!((rate - expected).abs() < 1e-6 * expected, "{executor}: {rate}, not {expected}");
        let ComponentKind::Service(service) = &part.components[0].kind else { panic!("it is a service") };
        assert_eq!(service.workers, 32);
    }
}

#[test]
fn a_window_outside_the_run_is_refused() {
    let whole = parse(MINIMAL);
    let seconds = |n| Some(SimTime::from_secs(n));
    for (from, length) in
        [(seconds(10), None), (seconds(5), seconds(6)), (None, seconds(0)), (None, seconds(11))]
    {
        let error = derive::window(&whole, from, length, None, None).expect_err("it is outside");
        assert!(error.to_string().contains("does not lie in the run"), "{error}");
    }
    assert!(derive::window(&whole, None, None, Some(Ratio::new(0.0)), None).is_err());
}

#[test]
fn a_derived_scenario_can_be_derived_from() {
    let part = quickstart(Some("5s"), Some("20s"), Some(0.5)).scenario;
    let again = derive::window(&part, Some(SimTime::from_secs(10)), None, Some(Ratio::new(0.5)), None)
        .expect("it derives");
    let again = parse(&again.scenario.source.text);
    assert_eq!(again.run.duration, SimTime::from_secs(15));
    assert_eq!(again.traffic[0].rate.at(0.0), 75.0);
}

#[test]
fn a_byte_order_mark_and_line_breaks_of_another_system_do_no_harm() {
    let text = format!("\u{feff}{}", scenarios::library::QUICKSTART.replace('\n', "\r\n"));
    let whole = parse(&text);
    let part = derive::window(&whole, None, Some(SimTime::from_secs(5)), None, None).expect("it derives");
    assert_eq!(part.scenario.run.duration, SimTime::from_secs(5));
}

#[test]
fn a_scenario_without_its_faults_is_another_one() {
    let whole = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
    assert!(!whole.faults.is_empty());
    let calm = derive::without_faults(&whole).expect("it is a scenario").scenario;
    assert!(calm.faults.is_empty());
    assert_ne!(calm.source.hash, whole.source.hash);
    assert_eq!((calm.run.duration, calm.requests.len()), (whole.run.duration, whole.requests.len()));
}

#[test]
fn machines_scale_in_all_that_they_have_and_so_do_their_jobs() {
    let host = r#"hosts.app = { cores = 8, memory = "8GiB", swap = "2GiB", disk = "ssd", nic = "1Gbit/s" }"#;
    let text = MINIMAL.replace("hosts.app = {}", host).replace(
        "host = \"app\" }",
        "host = \"app\", memory = { base = \"1GiB\", per_worker = \"10MiB\" } }",
    ) + "[jobs.backup]\nhost = \"app\"\nat = \"2s\"\nwork = \"1s\"\ncores = 4\nmemory = \"2GiB\"\n";
    let part = derive::window(&parse(&text), None, None, Some(Ratio::new(0.25)), None).expect("it derives");
    let part = part.scenario;
    let (host, job) = (&part.hosts[0], &part.jobs[0]);
    let gib = |n: f64| (n * f64::from(1 << 30)) as u64;
    assert_eq!((host.cores, host.memory.map(|m| m.get()), host.swap.get()), (2, Some(gib(2.0)), gib(0.5)));
    assert_eq!(host.nic.map(|nic| nic.as_bits_per_second()), Some(250e6));
    assert_eq!((job.cores, job.memory.get(), job.first), (1, gib(0.5), Some(SimTime::from_secs(2))));
    let ComponentKind::Service(service) = &part.components[0].kind else { panic!("it is a service") };
    assert_eq!((service.memory_base.get(), service.memory_per_worker.get()), (gib(0.25), 10 << 20));
}

#[test]
fn whatever_is_derived_finds_a_replayed_file_from_anywhere() {
    let replay = "executor = \"replay\", file = \"traces/minute.csv\"";
    let text =
        MINIMAL.replace("executor = \"constant-arrival-rate\", rate = \"10/s\", mix = { home = 1 }", replay);
    let fault = "[[faults]]\nat = \"1s\"\nfor = \"2s\"\nkill = \"component:shop[1]\"\n";
    // The path in the file is relative to the file, which is not where this test runs.
    let whole = Scenario::parse("tests/replay.toml", text + fault).expect("the scenario is good");
    let half = Some(Ratio::new(0.5));
    for derived in [
        derive::window(&whole, None, None, half, None),
        derive::without_faults(&whole),
        derive::with_warmup(&whole, SimTime::from_secs(1)),
        derive::with_sampling(&whole, Sampling::Exact),
    ] {
        let derived = derived.unwrap_or_else(|error| panic!("{error}")).scenario;
        assert_eq!(derived.source.path, Path::new("replay-derived.toml"), "places refer to another text");
        let elsewhere = Scenario::parse("/elsewhere/replay.toml", derived.source.text.as_str());
        assert_eq!(elsewhere.expect("the file is found").source.hash, derived.source.hash);
    }
}

#[test]
fn a_trial_under_another_load_may_be_shorter_than_what_is_played_and_scored() {
    let parts = "[play]\nfrom = \"2s\"\nfor = \"8s\"\n[score]\nfrom = \"1s\"\nreplications = 2\n";
    let whole = parse(&(MINIMAL.to_owned() + parts));
    let frame = (SimTime::from_secs(1), SimTime::from_secs(3));
    let trial = derive::under_load(&whole, 2.0, frame, ("failed", "rate<1%"));
    let trial = trial.unwrap_or_else(|error| panic!("{error}")).scenario;
    assert_eq!((trial.run.duration, trial.play), (SimTime::from_secs(3), None));
    assert_eq!((trial.traffic[0].rate.at(0.0), trial.thresholds.len()), (20.0, 1));
}

#[test]
fn a_part_at_another_rate_has_no_variants_as_their_values_are_those_of_the_whole() {
    let variants = "[variants.busy]\nwhat = \"more load\"\nset.\"traffic.all.rate\" = \"100/s\"\n\
        [[published]]\nwhat = \"rate\"\nvariant = \"busy\"\nmetric = \"rate{rate}\"\nvalue = \"100/s\"\ntolerance = \"5%\"\n\
        [[published]]\nwhat = \"rate\"\nmetric = \"rate{rate}\"\nvalue = \"10/s\"\ntolerance = \"5%\"\n";
    let whole = parse(&(MINIMAL.to_owned() + variants));
    let half = derive::window(&whole, None, None, Some(Ratio::new(0.5)), None).expect("it derives");
    assert!(half.warnings.iter().any(|note| note.starts_with("variants: left out")), "{:?}", half.warnings);
    assert!(half.scenario.variants.is_empty());
    let stated: Vec<_> = half.scenario.published.iter().map(|p| p.stated.as_str()).collect();
    assert_eq!(stated, ["5/s"], "what is said of the file as it is, scaled");
    let part = derive::window(&whole, None, Some(SimTime::from_secs(5)), None, None).expect("it derives");
    assert_eq!((part.scenario.variants.len(), part.scenario.published.len()), (1, 2));
}

#[test]
fn a_variant_may_replay_another_file_or_none() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    for (file, rows) in [("one.csv", "1,home\n"), ("two.csv", "1,home\n2,home\n")] {
        std::fs::write(folder.path().join(file), format!("time_s,class\n{rows}")).expect("it can be written");
    }
    let replays = "traffic.log = { to = \"shop\", executor = \"replay\", file = \"one.csv\" }\n\
        [variants.other]\nwhat = \"another file\"\nset.\"traffic.log.file\" = \"two.csv\"\n\
        [variants.whole]\nwhat = \"the same\"\n\
        set.\"traffic.log\" = { to = \"shop\", executor = \"replay\", file = \"two.csv\" }\n\
        [variants.none]\nwhat = \"no file\"\nremove = [\"traffic.log\"]\n";
    let whole = Scenario::parse(folder.path().join("replay.toml"), MINIMAL.to_owned() + replays)
        .unwrap_or_else(|problems| panic!("{problems}"));
    // Of a part, which lies elsewhere, the same variants can be made.
    let part = derive::window(&whole, None, Some(SimTime::from_secs(5)), None, None).expect("it derives");
    for of in [&whole, &part.scenario] {
        let rows = |name| {
            let design = derive::variant(of, name).unwrap_or_else(|error| panic!("{name}: {error}")).scenario;
            design.traffic.iter().find_map(|traffic| match &traffic.executor {
                Executor::Replay(replay) => Some(replay.file.ends_with("two.csv")),
                _ => None,
            })
        };
        assert_eq!((rows("other"), rows("whole"), rows("none")), (Some(true), Some(true), None));
    }
}
