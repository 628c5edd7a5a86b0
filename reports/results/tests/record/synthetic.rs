//! Runs that nobody ran: planned requests with made-up outcomes, for the tests of records and reports.

use std::path::Path;

use results::{Failure, Frame, Outcome, Provenance, Recorder, RunRecord, RunWriter, Sample, World};
use results::{provenance::Machine, record::Status, record::Validity, sample};
use scenarios::Scenario;
use scenarios::plan::Plan;
use scenarios::units::SimTime;

/// A small shop: 20 s after a warm-up of 2 s, and one fault.
pub(crate) const SHOP: &str = r#"
title = "A small shop loses a node"
question = "Does it stay fast?"

[run]
duration = "20s"
warmup = "2s"

[hosts.edge]
cores = 1
[hosts.app]
count = 2
cores = 4

[components.balancer]
kind = "load-balancer"
host = "edge"
to = "shop"

[components.shop]
kind = "service"
host = "app"
workers = 32

[requests.product]
path = "/products"
[[requests.product.steps]]
work = "3ms"

[requests.order]
method = "POST"
path = "/orders"
[[requests.order.steps]]
work = "5ms"

[traffic.shoppers]
to = "balancer"
executor = "constant-arrival-rate"
rate = "200/s"
mix = { product = 3, order = 1 }

[[faults]]
at = "8s"
for = "6s"
kill = "host:app[1]"

[thresholds]
response_time = ["p(99)<250ms"]
"response_time{class:order}" = ["p(50)<1ms"]
"response_time{during:fault}" = ["p(99)<500ms"]
failed = ["rate<5%"]

[[published]]
what = "mean response time"
metric = "response_time{avg}"
value = "10ms"
tolerance = "50%"
"#;

/// How a made-up run turns out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Play {
    pub(crate) world: World,
    /// All times are multiplied by this.
    pub(crate) scale: f64,
    /// The share of requests that fail while a fault lasts.
    pub(crate) failing: f64,
    /// The share of requests that are dropped while a fault lasts.
    pub(crate) dropped: f64,
    /// Cores that the hypervisor takes.
    pub(crate) stolen: f64,
    /// Changes the draws.
    pub(crate) salt: u64,
}

impl Play {
    pub(crate) const SIM: Self =
        Self { world: World::Sim, scale: 1.0, failing: 0.02, dropped: 0.0, stolen: 0.0, salt: 1 };
    pub(crate) const LOADGEN: Self =
        Self { world: World::Loadgen, scale: 1.07, failing: 0.025, salt: 2, ..Self::SIM };
}

pub(crate) fn scenario(text: &str) -> Scenario {
    Scenario::parse("shop.toml", text).unwrap_or_else(|e| panic!("the scenario is right: {e}"))
}

/// A number in [0, 1) that follows from its arguments alone (SplitMix64).
fn unit(a: u64, b: u64) -> f64 {
    let mut z = a.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(b.wrapping_mul(0xBF58_476D_1CE4_E5B9));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
}

pub(crate) fn outcomes(scenario: &Scenario, play: Play) -> Vec<Outcome> {
    let plan = Plan::new(scenario);
    let outcome = |planned: scenarios::plan::Planned| {
        let id = planned.id.0;
        let draw = |purpose| unit(id ^ (play.salt << 56), purpose);
        let broken = scenario.faults.iter().any(|f| f.from <= planned.due && planned.due < f.until);
        let normal = (-2.0 * draw(1).max(1e-12).ln()).sqrt() * (std::f64::consts::TAU * draw(2)).cos();
        let service = 5e-3 * play.scale * (0.6 * normal).exp() * if broken { 1.6 } else { 1.0 };
        let waited = 2e-3 * -draw(3).max(1e-12).ln() * if broken { 3.0 } else { 0.2 };
        let lag = if play.world == World::Loadgen {
            SimTime::from_nanos((draw(4) * 8e4) as u64)
        } else {
            SimTime::ZERO
        };
        let sent = planned.due + lag + SimTime::from_secs_f64(waited);
        let fate = if broken { draw(5) } else { 1.0 };
        let dropped = fate < play.dropped;
        let failed = fate < play.dropped + play.failing;
        let kinds = [Failure::Refused, Failure::Status, Failure::Timeout];
        let done = sent + SimTime::from_secs_f64(service);
        Outcome {
            class: planned.class,
            due: planned.due,
            sent: (!dropped).then_some(sent),
            done: if dropped { planned.due } else { done },
            lag,
            result: match (dropped, failed) {
                (true, _) => Err(Failure::Dropped),
                (_, true) => Err(kinds[(draw(6) * 3.0) as usize]),
                _ => Ok(()),
            },
        }
    };
    plan.requests().map(outcome).collect()
}

pub(crate) fn samples(scenario: &Scenario, play: Play, frame: &Frame) -> Vec<Sample> {
    let mut samples = Vec::new();
    for interval in 0..frame.intervals() {
        let (from, _) = frame.bounds(interval);
        let broken = scenario.faults.iter().any(|f| f.from <= from && from < f.until);
        let mut add = |component: &str, instance, metric: &'static str, value: f64| {
            let value = value * (0.95 + 0.1 * unit(interval as u64 ^ play.salt, instance as u64 + 7));
            let component = component.to_owned();
            samples.push(Sample { interval, component, instance, metric: metric.into(), value });
        };
        for id in scenario.component_ids() {
            let name = &scenario.component(id).name;
            for instance in 0..scenario.instances(id) {
                let dead = broken && instance == 0 && scenario.instances(id) > 1;
                let load = if dead {
                    0.0
                } else if broken {
                    0.55
                } else {
                    0.3
                };
                add(name, instance, sample::UTILISATION, load);
                add(name, instance, sample::QUEUE, load * 2.0);
            }
            match scenario.component(id).kind.name() {
                "kv-store" => {
                    add(name, 0, sample::HITS, if broken { 120.0 } else { 170.0 });
                    add(name, 0, sample::MISSES, 30.0);
                    add(name, 0, sample::EVICTIONS, 12.0);
                    add(name, 0, sample::KEYS_WITH_TTL, 15_000.0);
                    add(name, 0, sample::MEMORY_BYTES, 1.2e7);
                    add(name, 0, sample::CONNECTIONS, 64.0);
                    add(name, 0, sample::REPLICATION_LAG_BYTES, 4e4);
                }
                "sql-store" => {
                    add(name, 0, sample::IN_SERVICE, if broken { 14.5 } else { 9.0 });
                    add(name, 0, sample::REPLICATION_QUEUE, 3.0);
                }
                _ => {}
            }
        }
        if play.world == World::Loadgen {
            add(sample::GENERATOR, 0, sample::CPU, 0.12);
            add(sample::GENERATOR, 0, sample::MACHINE_BUSY, 0.31);
            add(sample::GENERATOR, 0, sample::STEAL, play.stolen);
        }
    }
    samples
}

pub(crate) fn provenance() -> Provenance {
    Provenance {
        part: None,
        segments: Vec::new(),
        agents: Vec::new(),
        tool: "rehearsal 0.1.0".to_owned(),
        command: ["sim", "run", "shop.toml"].map(str::to_owned).to_vec(),
        started: "2026-01-02T03:04:05Z".parse().expect("a timestamp"),
        took: std::time::Duration::from_millis(1_500),
        machine: Machine {
            processor: "A Processor".to_owned(),
            cores: 2,
            memory_bytes: 8 << 30,
            system: "Debian".to_owned(),
            kernel: "6.1".to_owned(),
        },
    }
}

/// The record of a made-up run, through the journal and the writer, in steps of a tenth of the run.
pub(crate) fn record(directory: &Path, scenario: &Scenario, play: Play) -> RunRecord {
    let writer = started(directory, scenario, play);
    writer.finish(Status::Complete, Validity::default()).expect("the record can be written")
}

/// A run that was recorded and not ended.
pub(crate) fn started(directory: &Path, scenario: &Scenario, play: Play) -> RunWriter {
    let mut writer =
        RunWriter::create(directory, scenario, play.world, provenance()).expect("a journal can be made");
    let mut recorder = Recorder::new(writer.frame());
    let samples = samples(scenario, play, writer.frame());
    let outcomes = outcomes(scenario, play);
    for part in outcomes.chunks(outcomes.len() / 10 + 1) {
        part.iter().for_each(|o| recorder.record(o));
        writer.append(&recorder.take(), &[]).expect("the journal can be written");
    }
    writer.append(&recorder.take(), &samples).expect("the journal can be written");
    writer
}
