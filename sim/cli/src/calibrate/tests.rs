//! Planted costs come out again.

use std::collections::BTreeMap;
use std::fs;

use results::provenance::Machine;
use results::{Frame, Outcome, Recorder, RunRecord, Sample, World, sample};
use scenarios::derive::measuring::{Cost, CostKind, Probe};
use scenarios::derive::{self, Measuring};
use scenarios::law::Law;
use scenarios::plan::Plan;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::{Seed, SimTime};
use scenarios::{Scenario, library};

use super::evidence::{Run, Seen, equations};
use super::fit::{Fit, Fitted, fit};
use super::{overlay, run};

const DRAWS: Purpose = Purpose::named("calibrate-tests");
const RUNS: u64 = 5;
const REQUESTS: u64 = 500;
const MICROSECOND: f64 = 1e3;

fn quickstart() -> Scenario {
    Scenario::parse("quickstart.toml", library::QUICKSTART).expect("it is tested")
}

fn measuring(seed: u64) -> Measuring {
    let frame = (SimTime::from_secs(1), SimTime::from_secs(10));
    derive::measuring(&quickstart(), frame, seed).expect("it has a service")
}

/// What each part takes, in nanoseconds.
fn planted() -> BTreeMap<&'static str, Law> {
    BTreeMap::from([
        ("client", Law::Constant(40.0 * MICROSECOND)),
        ("work", Law::Constant(25.0 * MICROSECOND)),
        ("components.shop.latency", Law::Constant(40.0 * MICROSECOND)),
        ("components.balancer.latency", Law::lognormal_from_cv(45.0 * MICROSECOND, 0.8)),
        ("components.balancer.request", Law::Constant(15.0 * MICROSECOND)),
        ("components.objects.latency", Law::Constant(70.0 * MICROSECOND)),
        ("components.objects.command", Law::Constant(12.0 * MICROSECOND)),
        ("components.objects.key", Law::Constant(0.5 * MICROSECOND)),
        ("components.archive.latency", Law::lognormal_from_cv(180.0 * MICROSECOND, 0.5)),
    ])
}

/// A request of a probe on a machine that adds a little to everything, and now and then much.
fn taken(measuring: &Measuring, probe: usize, pace: f64, stream: &mut Stream) -> f64 {
    let laws = planted();
    let probe = &measuring.probes[probe];
    let noise = Law::Uniform { low: -4.0 * MICROSECOND, high: 4.0 * MICROSECOND };
    let mut nanos = probe.known.as_nanos() as f64 + noise.sample(stream);
    for (cost, times) in &probe.terms {
        let law = laws[cost.to_string().as_str()];
        nanos += pace * (0..*times as u32).map(|_| law.sample(stream)).sum::<f64>();
    }
    if stream.unit() < 0.003 { nanos + 4e6 } else { nanos }
}

/// What a run of a stack with the planted costs says.
fn made_up(measuring: &Measuring, experiment: u64, number: u64) -> Run {
    let mut stream = Stream::new(Seed(experiment), DRAWS, number);
    // The machine is a little slower in some runs.
    let pace = 1.0 + 0.02 * (stream.unit() - 0.5);
    let seen = |probe| {
        let mut values: Vec<f64> =
            (0..REQUESTS).map(|_| taken(measuring, probe, pace, &mut stream) / 1e9).collect();
        values.sort_by(f64::total_cmp);
        Seen::of(&values.into_iter().map(|value| (value, 1)).collect::<Vec<_>>())
    };
    let seen: Vec<Seen> = (0..measuring.probes.len()).map(seen).collect();
    // A get and two wider reads in equal numbers.
    let spent = (12.0 + 0.5 * (1.0 + 10.0 + 100.0) / 3.0) * 1e-6 * pace;
    let cpu_s = BTreeMap::from([("objects".to_owned(), spent), ("balancer".to_owned(), 15e-6 * pace)]);
    let overhead_bytes = BTreeMap::from([("objects".to_owned(), 2.5e6)]);
    Run {
        seen,
        cpu_s,
        overhead_bytes,
        seed: number,
        length_s: 20.0,
        machine: Machine::default(),
        busy: Some(0.2),
    }
}

fn fitted(experiment: u64) -> (Measuring, Vec<Run>, Fit) {
    let measuring = measuring(1);
    let runs: Vec<Run> = (0..RUNS).map(|number| made_up(&measuring, experiment, number)).collect();
    let fit = fit(&equations(&measuring.probes, &runs), runs.len());
    (measuring, runs, fit)
}

#[test]
fn planted_costs_lie_in_their_intervals_as_often_as_those_say() {
    let laws = planted();
    let (mut inside, mut all) = (0, 0);
    let mut outside: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    let mut variations: BTreeMap<String, Vec<Option<f64>>> = BTreeMap::new();
    for experiment in 0..24 {
        let (.., fit) = fitted(experiment);
        assert_eq!(fit.costs.len(), laws.len());
        for cost in &fit.costs {
            let name = cost.cost.to_string();
            let planted = laws[name.as_str()].mean() / 1e9;
            all += 1;
            inside += u32::from((cost.mean_s - planted).abs() <= cost.half_width_s);
            let off = (cost.mean_s - planted).abs();
            if off > cost.half_width_s {
                outside.entry(name.clone()).or_default().push((cost.mean_s - planted) / planted);
            }
            assert!(
                off < 0.1 * planted + 2e-6,
                "experiment {experiment}, {name}: {} for {planted}",
                cost.mean_s
            );
            variations.entry(name).or_default().push(cost.variation);
        }
    }
    let share = f64::from(inside) / f64::from(all);
    // Sums of log-normal costs are not quite log-normal, which intervals of a per cent do not know of.
    assert!(share > 0.82, "{share:.3} of the intervals of 95% hold what was planted: {outside:?}");
    for (name, found) in variations {
        let planted = match laws[name.as_str()] {
            Law::Lognormal { sigma, .. } => Some(((sigma * sigma).exp() - 1.0).sqrt()),
            _ => None,
        };
        let laws = found.iter().flatten().count();
        match planted {
            None => assert!(laws * 10 <= found.len(), "{name}: {laws} of {} came out as a law", found.len()),
            Some(planted) => {
                assert_eq!(laws, found.len(), "{name} varies");
                let mean = found.iter().flatten().sum::<f64>() / laws as f64;
                assert!((mean / planted - 1.0).abs() < 0.2, "{name}: {mean} for {planted}");
            }
        }
    }
}

#[test]
fn what_a_shared_machine_does_to_a_fifth_of_all_requests_decides_nothing() {
    let law = Law::lognormal_from_cv(100.0 * MICROSECOND, 0.4);
    let mut stream = Stream::new(Seed(11), DRAWS, 0);
    let mut seen = |disturbed: f64| {
        let mut value = || {
            let late = if stream.unit() < disturbed { 5e6 * stream.unit() } else { 0.0 };
            (50e3 + law.sample(&mut stream) + late) / 1e9
        };
        let mut values: Vec<f64> = (0..20_000).map(|_| value()).collect();
        values.sort_by(f64::total_cmp);
        let all = values.iter().sum::<f64>() / values.len() as f64;
        (Seen::of(&values.into_iter().map(|value| (value, 1)).collect::<Vec<_>>()), all)
    };
    let (calm, disturbed) = (seen(0.0), seen(0.2));
    assert!((calm.0.mean_s / calm.1 - 1.0).abs() < 0.01, "{calm:?}");
    assert!(disturbed.1 / calm.1 > 3.0, "the mean of all is another: {disturbed:?}");
    assert!((disturbed.0.mean_s / calm.0.mean_s - 1.0).abs() < 0.4, "{disturbed:?} beside {calm:?}");
}

#[test]
fn what_nothing_tells_apart_is_halved_and_said_so() {
    let (.., fit) = fitted(99);
    let halves: Vec<String> = fit
        .costs
        .iter()
        .filter(|cost| cost.remarks.iter().any(|remark| remark.starts_with("half of")))
        .map(|cost| cost.cost.to_string())
        .collect();
    assert_eq!(halves, ["client", "components.shop.latency"]);
    let mean =
        |name: &str| fit.costs.iter().find(|c| c.cost.to_string() == name).expect("it is there").mean_s;
    assert!((mean("client") / mean("components.shop.latency") - 1.0).abs() < 1e-3);
}

#[test]
fn processor_time_beside_the_answer_makes_a_command_no_longer_than_its_probes() {
    let measuring = measuring(1);
    let mut runs: Vec<Run> = (0..RUNS).map(|number| made_up(&measuring, 3, number)).collect();
    for run in &mut runs {
        run.cpu_s.insert("objects".to_owned(), 1e-3);
    }
    let fit = fit(&equations(&measuring.probes, &runs), runs.len());
    let cost = |name: &str| fit.costs.iter().find(|c| c.cost.to_string() == name).expect("it is there");
    assert_eq!(cost("components.objects.latency").mean_s, 0.0);
    // All that a command takes by its probes: 70 µs on its way, and 12 µs.
    assert!((cost("components.objects.command").mean_s - 82e-6).abs() < 3e-6, "{:?}", fit.costs);
    assert!((cost("client").mean_s - 40e-6).abs() < 2e-6, "the client's half stays: {:?}", fit.costs);
}

#[test]
fn what_requests_have_no_room_for_is_waking() {
    let text = library::QUICKSTART.replacen(
        "[components.balancer]",
        "[components.front]\nkind = \"http-cache\"\nhost = \"edge\"\nto = \"balancer\"\nmemory = \"64MiB\"\n\n[components.balancer]",
        1,
    );
    let scenario = Scenario::parse("front.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    let frame = (SimTime::from_secs(1), SimTime::from_secs(10));
    let measuring = derive::measuring(&scenario, frame, 1).expect("it has a service");
    // Every cost of a probe is 100 µs, but for the cache's own latency: 100 µs of its processor are in the answer's way.
    let takes = |cost: &Cost| if cost.to_string() == "components.front.latency" { 0.0 } else { 100e-6 };
    let mean = |probe: &Probe| probe.terms.iter().map(|(cost, times)| times * takes(cost)).sum::<f64>();
    let run = |number: u64| {
        let pace = 1.0 + 0.001 * number as f64;
        let seen = |probe: &Probe| Seen {
            requests: REQUESTS,
            mean_s: probe.known.as_secs_f64() + pace * mean(probe),
            variance: 1e-12,
        };
        Run {
            seen: measuring.probes.iter().map(seen).collect(),
            // Half of the requests through the cache are fetched, so that three in two wake it, for 200 µs each.
            cpu_s: BTreeMap::from([("front".to_owned(), pace * (100e-6 + 1.5 * 200e-6))]),
            overhead_bytes: BTreeMap::new(),
            seed: number,
            length_s: 20.0,
            machine: Machine::default(),
            busy: Some(0.2),
        }
    };
    let runs: Vec<Run> = (1..=RUNS).map(run).collect();
    let fit = fit(&equations(&measuring.probes, &runs), runs.len());
    let cost = |name: &str| fit.costs.iter().find(|c| c.cost.to_string() == name).map(|cost| cost.mean_s);
    let request = cost("components.front.request").expect("it is a cost");
    assert!((request / 100e-6 - 1.0).abs() < 0.02, "{request}");
    let wake = cost("components.front.wake").expect("something is left");
    assert!((wake / 200e-6 - 1.0).abs() < 0.02, "{wake}");
    // Where all of it is in the answer's way, nothing is left.
    let mut calm = runs;
    for run in &mut calm {
        run.cpu_s.insert("front".to_owned(), 100e-6);
    }
    let fit = super::fit::fit(&equations(&measuring.probes, &calm), calm.len());
    assert!(!fit.costs.iter().any(|c| c.cost.kind == CostKind::Wake), "{:?}", fit.costs);
}

/// The quickstart with a database of another make, whose reads take 400 µs and whose writes take 1 ms; all other costs are 100 µs.
fn with_database(cpu_s: Option<f64>) -> Fit {
    let mut scenario = quickstart();
    scenario.choose_engines(&[("archive".to_owned(), "mariadb".to_owned())]).expect("it can be one");
    let frame = (SimTime::from_secs(1), SimTime::from_secs(10));
    let measuring = derive::measuring(&scenario, frame, 1).expect("it has a service");
    let takes = |cost: &Cost| match cost.kind {
        CostKind::Read => 400e-6,
        CostKind::Write => 1e-3,
        // Both kinds' own stand for all that a statement takes.
        CostKind::ReadLatency | CostKind::WriteLatency => 0.0,
        _ => 100e-6,
    };
    let mean = |probe: &Probe| probe.terms.iter().map(|(cost, times)| times * takes(cost)).sum::<f64>();
    let is_statement = |probe: &Probe| probe.class.starts_with("read-") || probe.class.starts_with("write-");
    let run = |number: u64| {
        let pace = 1.0 + 0.001 * number as f64;
        let seen = |probe: &Probe| Seen {
            requests: REQUESTS,
            mean_s: probe.known.as_secs_f64() + pace * mean(probe),
            variance: if is_statement(probe) { 5e-8 } else { 1e-8 },
        };
        Run {
            seen: measuring.probes.iter().map(seen).collect(),
            cpu_s: cpu_s.map(|spent| ("archive".to_owned(), pace * spent)).into_iter().collect(),
            overhead_bytes: BTreeMap::new(),
            seed: number,
            length_s: 20.0,
            machine: Machine::default(),
            busy: Some(0.2),
        }
    };
    let runs: Vec<Run> = (1..=RUNS).map(run).collect();
    fit(&equations(&measuring.probes, &runs), runs.len())
}

fn archives(fit: &Fit) -> BTreeMap<&'static str, &Fitted> {
    let is_its = |fitted: &&Fitted| fitted.cost.component.as_deref() == Some("archive");
    fit.costs.iter().filter(is_its).map(|fitted| (fitted.cost.kind.key(), fitted)).collect()
}

fn is_near(found: f64, expected: f64) -> bool {
    (found / expected - 1.0).abs() < 0.02
}

#[test]
fn what_a_statement_waits_for_is_latency_and_what_the_scheduler_says_is_processor_time() {
    // A read and a write in turn: half of 1.4 ms, of which the processors did two fifths.
    let fit = with_database(Some(0.4 * 700e-6));
    let costs = archives(&fit);
    assert_eq!(costs.keys().copied().collect::<Vec<_>>(), ["read", "read_latency", "write", "write_latency"]);
    let planted = [("read", 160.0), ("read_latency", 240.0), ("write", 400.0), ("write_latency", 600.0)];
    for (kind, micros) in planted {
        assert!(is_near(costs[kind].mean_s, micros / 1e6), "{kind}: {:?}", costs[kind]);
    }
    assert_eq!(costs["read"].from, ["read-archive", "processor time of archive"]);
    // What varies is what is waited for: its processor's share of it nobody knows.
    assert_eq!(costs["read"].variation, None);
    assert!(costs["read_latency"].variation.is_some(), "{:?}", costs["read_latency"]);
    assert!(costs["write"].remarks.iter().any(|remark| remark.contains("nothing tells them apart")));
}

#[test]
fn all_of_a_statement_is_processor_time_where_the_process_took_more_or_nobody_knows() {
    let busy = with_database(Some(5e-3));
    let costs = archives(&busy);
    assert!(is_near(costs["read"].mean_s, 400e-6) && is_near(costs["write"].mean_s, 1e-3), "{costs:?}");
    assert_eq!((costs["read_latency"].mean_s, costs["write_latency"].mean_s), (0.0, 0.0));
    let unknown = with_database(None);
    let costs = archives(&unknown);
    assert_eq!(costs.keys().copied().collect::<Vec<_>>(), ["read", "write"]);
    assert!(is_near(costs["read"].mean_s, 400e-6) && is_near(costs["write"].mean_s, 1e-3), "{costs:?}");
}

#[test]
fn the_written_file_is_one_that_the_scenario_includes() {
    let scenario = quickstart();
    let (measuring, runs, fit) = fitted(7);
    let text = overlay::text(&scenario, &runs, &fit);
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("shop.calibration.toml"), &text).expect("it can be written");
    let own = library::QUICKSTART.split("[calibration]").next().expect("there is something before it");
    let load = |more: &str| {
        let path = directory.path().join("shop.toml");
        fs::write(&path, format!("{own}[calibration]\ninclude = \"shop.calibration.toml\"\n{more}"))
            .expect("it can be written");
        Scenario::load(&path).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
    };
    let included = load("");
    let client = included.calibration.client.expect("it was measured").mean().as_secs_f64();
    assert!((client - fit.costs[0].mean_s).abs() < 1e-7, "{client}\n{text}");
    assert_eq!(included.calibration_warning(), None);
    let store = included.components.iter().position(|c| c.name == "objects").expect("it has a store");
    let beside = included.calibration.components[store].memory.map(|bytes| bytes.get());
    assert_eq!(beside, Some(2_500_000), "{text}");
    assert!(!included.source.text.contains("include"), "the text says all by itself");
    assert!(overlay::table(&fit, &measuring, &runs).contains("components.balancer.latency"));
    let over = load("client = \"1ms\"\ncomponents.shop.latency = \"2ms\"\n");
    assert_eq!(over.calibration.client.map(|law| law.mean()), Some(SimTime::from_millis(1)));
    let path = directory.path().join("other.toml");
    let other =
        included.source.text.replacen("kind = \"kv-store\"", "kind = \"kv-store\"\nengine = \"redis\"", 1);
    let other = Scenario::parse(&path, other).expect("it is a scenario");
    let warning = other.calibration_warning().expect("it is another stack");
    assert!(warning.contains("another stack"), "{warning}");
}

/// A record of the measuring scenario with made-up times.
fn record(measuring: &Measuring, world: World, samples: &[Sample]) -> RunRecord {
    let scenario = &measuring.scenario;
    let mut recorder = Recorder::new(&Frame::new(scenario));
    let mut stream = Stream::new(scenario.run.seed, DRAWS, 0);
    for planned in Plan::new(scenario).requests() {
        let name = &scenario.class(planned.class).name;
        let probe = measuring.probes.iter().position(|probe| probe.class == *name).expect("all are probes");
        let took = SimTime::from_nanos(taken(measuring, probe, 1.0, &mut stream) as u64);
        recorder.record(&Outcome {
            class: planned.class,
            due: planned.due,
            sent: Some(planned.due),
            done: planned.due + took,
            lag: SimTime::ZERO,
            result: Ok(()),
        });
    }
    RunRecord::in_memory(scenario, world, &recorder.take(), samples)
}

#[test]
fn records_say_what_was_planted_and_those_that_cannot_are_refused() {
    let scenario = quickstart();
    let runs: Vec<Run> = (1..=4)
        .map(|seed| {
            let measuring = measuring(seed);
            let record = record(&measuring, World::Loadgen, &[]);
            Run::of(&record, &scenario, &measuring).unwrap_or_else(|why| panic!("{why}"))
        })
        .collect();
    let measuring = measuring(1);
    let fit = fit(&equations(&measuring.probes, &runs), runs.len());
    let balancer = fit.costs.iter().find(|c| c.cost.to_string() == "components.balancer.latency");
    let balancer = balancer.expect("it is probed");
    assert!((balancer.mean_s - 60e-6).abs() < 10e-6, "{balancer:?}");
    // Nobody told of processor time, so nothing tells a command from its way.
    let command = fit.costs.iter().find(|c| c.cost.to_string() == "components.objects.command");
    let command = command.expect("it is a cost");
    assert!(command.mean_s < 1e-6 && command.remarks[0].contains("not known"), "{command:?}");

    let refused = |record: &RunRecord, scenario: &Scenario| {
        let run = Run::of(record, scenario, &measuring).and_then(|run| run.on_idle_machine(false));
        run.expect_err("it cannot be used")
    };
    let good = record(&measuring, World::Loadgen, &[]);
    assert!(refused(&good, &scenario).contains("does not say how busy the machine was"));
    assert!(refused(&record(&measuring, World::Sim, &[]), &scenario).contains("simulated"));
    let mut redis = quickstart();
    redis.choose_engines(&[("objects".to_owned(), "redis".to_owned())]).expect("it can be one");
    assert!(refused(&good, &redis).contains("another stack"));
    let busy = |component: &str, metric: &'static str| {
        let interval = |interval| Sample {
            interval,
            component: component.to_owned(),
            instance: 0,
            metric: metric.into(),
            value: 0.9,
        };
        let samples: Vec<Sample> = (0..11).map(interval).collect();
        refused(&record(&measuring, World::Loadgen, &samples), &scenario)
    };
    assert!(busy("shop", sample::UTILISATION).contains("shop was busy 90%"));
    assert!(busy(sample::GENERATOR, sample::MACHINE_BUSY).contains("the machine was busy 90%"));
}

#[test]
fn too_few_runs_are_refused_with_what_to_do() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("shop.toml");
    fs::write(&file, library::QUICKSTART).expect("it can be written");
    let calibrate = super::Calibrate {
        file,
        from: vec![directory.path().to_owned()],
        variant: None,
        engine: Vec::new(),
        out: None,
        allow_busy: false,
        quiet: true,
    };
    let told = format!("{:?}", run(&calibrate).expect_err("there is no run"));
    assert!(told.contains("found 0 runs") && told.contains("loadgen measure"), "{told}");
}
