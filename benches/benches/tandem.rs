//! Two M/M/8 stations in tandem, through the public path and with full recording.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scenarios::Scenario;
use sim::Simulation;

/// About a million requests at 80% load of both stations.
const TANDEM: &str = r#"
title = "Two stations of eight cores"
[run]
duration = "156s"
[hosts.first]
cores = 8
[hosts.second]
cores = 8
[components.a]
kind = "service"
host = "first"
workers = 10000
[components.b]
kind = "service"
host = "second"
workers = 10000
[requests.page]
path = "/"
[[requests.page.steps]]
work = "exponential(mean=1ms)"
[[requests.page.steps]]
at = "b"
work = "exponential(mean=1ms)"
[traffic.users]
to = "a"
executor = "constant-arrival-rate"
rate = "6400/s"
arrivals = "poisson"
mix = { page = 1 }
connections = 10000
max_in_flight = 10000
timeout = "10s"
"#;

fn tandem(c: &mut Criterion) {
    let scenario = Scenario::parse("tandem.toml", TANDEM).expect("the bench's scenario is good");
    let run = || {
        let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
        simulation.run(&mut |_| {}, &AtomicBool::new(false))
    };
    let mut group = c.benchmark_group("tandem");
    group.throughput(Throughput::Elements(run().counts.due));
    group.sample_size(10);
    group.bench_function("two M/M/8 at 80%", |b| b.iter(|| black_box(run())));
    group.finish();
}

criterion_group!(benches, tandem);
criterion_main!(benches);
