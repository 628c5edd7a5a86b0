//! What good scenarios mean: defaults, time axes, names.

use scenarios::Scenario;
use scenarios::scenario::{Action, Claim, ComponentKind, FaultKind, FaultTarget, Observed, WorkerHolds};
use scenarios::threshold::{Aggregate, During};
use scenarios::units::SimTime;

/// The least that a scenario needs.
pub(crate) const MINIMAL: &str = r#"
title = "One service"
run = { duration = "10s" }
hosts.app = {}
components.shop = { kind = "service", host = "app" }
requests.home = { path = "/" }
traffic.all = { to = "shop", executor = "constant-arrival-rate", rate = "10/s", mix = { home = 1 } }
"#;

pub(crate) fn parse(text: &str) -> Scenario {
    Scenario::parse("test.toml", text).unwrap_or_else(|problems| panic!("{problems}"))
}

#[test]
fn the_least_scenario_gets_its_defaults() {
    let scenario = parse(MINIMAL);
    let host = &scenario.hosts[0];
    assert_eq!((host.count, host.cores), (1, 1));
    let ComponentKind::Service(service) = &scenario.components[0].kind else { panic!("it is a service") };
    assert_eq!((service.workers, service.backlog, service.worker_holds), (64, 511, WorkerHolds::Request));
    let traffic = &scenario.traffic[0];
    assert_eq!((traffic.connections, traffic.max_in_flight), (100, 10_000));
    assert_eq!(traffic.timeout, SimTime::from_secs(10));
    assert_eq!(scenario.run.seed.0, 1);
    assert!(scenario.faults.is_empty() && scenario.thresholds.is_empty());
    assert_eq!(scenario.source.hash.len(), 64);
}

#[test]
fn faults_move_to_the_runs_own_time() {
    let faults = r#"
faults = [
  { at = "12s", for = "2s", kill = "host:app" },
  { at = "1s", for = "2s", hang = "component:shop[1]" },
  { at = "5s", for = "6s", unplug = "host:app[1]" },
  { at = "40s", for = "6s", serve_500 = "component:shop" },
]
"#;
    let text = MINIMAL.replace("duration = \"10s\"", "duration = \"10s\", warmup = \"3s\", from = \"10s\"");
    let scenario = parse(&(text + faults));
    let faults: Vec<_> =
        scenario.faults.iter().map(|f| (f.name.as_str(), f.place.as_str(), f.from, f.until)).collect();
    // The run reaches from 7 s to 20 s of the timeline: one fault is over by then, one has not begun.
    assert_eq!(
        faults,
        [
            ("unplug host:app[1]", "faults[3]", SimTime::ZERO, SimTime::from_secs(4)),
            ("kill host:app[1]", "faults[1]", SimTime::from_secs(5), SimTime::from_secs(7)),
        ]
    );
    assert_eq!(scenario.faults[1].kind, FaultKind::Kill);
    assert!(matches!(scenario.faults[1].targets[..], [FaultTarget::Host(_, 0)]));
}

#[test]
fn the_quickstart_means_what_it_says() {
    let scenario = parse(scenarios::library::QUICKSTART);
    let product = &scenario.requests[0];
    assert_eq!(product.name, "product");
    assert!(
        matches!(product.steps[0].action, Action::Get { count: 1, on_miss: Some(miss), .. } if miss.fill)
    );
    let shares: Vec<f64> = scenario.traffic[0].mix.iter().map(|(_, share)| share.get()).collect();
    assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-12);
    assert_eq!(scenario.instances(scenario.traffic[0].to), 1);
    assert!(scenario.faults.len() == 1 && scenario.thresholds.len() >= 3);
}

#[test]
fn thresholds_and_published_figures_name_what_they_judge() {
    let text = MINIMAL.to_owned()
        + r#"
thresholds."response_time{class:home,during:no_fault}" = ["p(99.9)<=250ms", "med<1s"]
thresholds.failed = ["rate<0.1%", "count<5"]
published = [{ what = "mean", metric = "response_time{avg}", value = "30ms", tolerance = "10%" }]
"#;
    let scenario = parse(&text);
    let first = &scenario.thresholds[0];
    assert_eq!((first.figure.during, first.figure.aggregate), (During::NoFault, Aggregate::Percentile(99.9)));
    assert!(first.figure.class.is_some() && first.limit == 0.25);
    assert_eq!(scenario.thresholds[2].limit, 0.001);
    let Some((_, Claim::Near { value, .. })) = scenario.published[0].claim else {
        panic!("it has a value: {:?}", scenario.published[0])
    };
    assert_eq!(value, 0.03);
}

#[test]
fn thresholds_may_be_of_what_is_before_after_and_during_one_fault() {
    let faults = r#"
faults = [
  { at = "8s", for = "1s", kill = "host:app" },
  { at = "2s", for = "1s", hang = "component:shop" },
  { at = "50s", for = "1s", hang = "component:shop" },
]
thresholds."failed{during:before}" = ["rate<1%"]
thresholds."failed{class:home,during:faults[1]}" = ["rate<5%"]
thresholds."failed{during:faults[3]}" = ["rate<5%"]
published = [{ what = "after", metric = "failed{rate,during:after}", holds = "<1%" }]
"#;
    let scenario = parse(&(MINIMAL.to_owned() + faults));
    let parts: Vec<_> = scenario.thresholds.iter().map(|t| t.figure.during).collect();
    // The file's first fault is the run's second; its third begins when the run is over.
    assert_eq!(parts, [During::Before, During::OneFault(Some(1)), During::OneFault(None)]);
    let Some((Observed::Requests(figure), _)) = &scenario.published[0].claim else {
        panic!("it has a figure")
    };
    assert_eq!(figure.during, During::After);
    let wrong = MINIMAL.to_owned() + &faults.replace("faults[3]}", "faults[4]}");
    let told = Scenario::parse("test.toml", wrong).expect_err("there are three").to_string();
    assert!(told.contains("expected a fault of the file: faults[1] to faults[3]"), "{told}");
}

#[test]
fn all_ways_to_write_tables_are_equal() {
    let spread = r#"
title = "One service"
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.home]
path = "/"
[traffic.all]
to = "shop"
executor = "constant-arrival-rate"
rate = "600/min"
mix.home = 3
"#;
    let (a, b) = (parse(MINIMAL), parse(spread));
    assert_eq!(
        format!("{:?}{:?}{:?}", a.hosts, a.components, a.traffic),
        format!("{:?}{:?}{:?}", b.hosts, b.components, b.traffic)
    );
}

#[test]
fn a_job_starts_on_the_runs_own_time_at_its_first_turn_in_it() {
    let first = |keys: &str, run: &str| {
        let text = MINIMAL.replace("duration = \"10s\"", run);
        let job = format!("[jobs.backup]\nhost = \"app\"\nwork = \"1s\"\n{keys}\n");
        parse(&(text + &job)).jobs[0].first
    };
    let run = "duration = \"10s\", warmup = \"3s\", from = \"10s\"";
    assert_eq!(first("at = \"12s\"", run), Some(SimTime::from_secs(5)));
    assert_eq!(first("at = \"1s\"", run), None, "it is over");
    // 1, 5, 9 s of the timeline, which begins at 7.
    assert_eq!(first("at = \"1s\"\nevery = \"4s\"", run), Some(SimTime::from_secs(2)));
    assert_eq!(first("at = \"21s\"\nevery = \"4s\"", run), None, "it is yet to come");
}

#[test]
fn a_machine_whose_processes_do_not_fit_is_warned_of() {
    let warnings = |memory: &str| {
        let host = format!("hosts.app = {{ memory = \"{memory}\" }}");
        let text = MINIMAL.replace("hosts.app = {}", &host).replace(
            "host = \"app\" }",
            "host = \"app\", workers = { manager = \"dynamic\", max = 50, start = 5, min_spare = 3, max_spare = 8 }, memory = { base = \"50MB\", per_worker = \"10MB\" } }",
        );
        scenarios::explain::warnings(&parse(&text))
    };
    assert_eq!(warnings("600MB"), [""; 0]);
    let can = "host app: its processes can come to hold 550 MB of 500 MB: the largest will be killed";
    assert_eq!(warnings("500MB"), [can]);
    assert_eq!(
        warnings("80MB"),
        ["host app: its processes hold 100 MB of 80.0 MB: the largest will be killed"]
    );
}
