//! What the plan costs per request, at a constant rate and along a weekly curve, and what seeking to a window costs.

use std::hint::black_box;
use std::path::Path;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use scenarios::Scenario;
use scenarios::plan::{Draws, Plan};
use scenarios::units::SimTime;

fn scenario(traffic: &str) -> Scenario {
    let text = format!(
        r#"
title = "plan bench"
[run]
duration = "7d"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.a]
path = "/a"
[[requests.a.steps]]
work = "exponential(mean=1ms)"
[requests.b]
path = "/b"
[[requests.b.steps]]
work = "exponential(mean=1ms)"
[traffic.users]
to = "shop"
arrivals = "poisson"
mix = {{ a = 3, b = 1 }}
{traffic}
"#
    );
    Scenario::parse(Path::new("plan-bench.toml"), &text).expect("the bench's scenario is right")
}

fn walk(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan");
    const REQUESTS: usize = 1_000_000;
    group.throughput(Throughput::Elements(REQUESTS as u64)).sample_size(10);
    for (name, traffic) in [
        ("constant", "executor = \"constant-arrival-rate\"\nrate = \"2000/s\""),
        ("week", "executor = \"curve-arrival-rate\"\ncurve = \"retail-week\"\nexpected = 1_000_000_000"),
    ] {
        let scenario = scenario(traffic);
        let plan = Plan::new(&scenario);
        group.bench_function(name, |b| {
            b.iter(|| {
                for planned in plan.requests().take(REQUESTS) {
                    black_box(planned);
                }
            });
        });
    }
    group.finish();
}

fn seek(c: &mut Criterion) {
    let scenario =
        scenario("executor = \"curve-arrival-rate\"\ncurve = \"retail-week\"\nexpected = 1_000_000_000");
    let plan = Plan::new(&scenario);
    let from = SimTime::from_secs(5 * 86_400);
    c.bench_function("plan/seek to Saturday", |b| {
        b.iter(|| plan.window(from, from + SimTime::from_secs(60), 0, 1).next());
    });
}

fn draws(c: &mut Criterion) {
    let text = scenario("executor = \"constant-arrival-rate\"\nrate = \"2000/s\"").source.text
        + r#"
[hosts.data]
[components.objects]
kind = "kv-store"
host = "data"
[keyspaces.products]
in = "objects"
keys = 300_000_000
ttl = "1d"
popularity = "zipf(0.9)"
value = "lognormal(median=400B, p99=3kB)"
"#;
    let scenario =
        Scenario::parse(Path::new("plan-bench.toml"), &text).expect("the bench's scenario is right");
    let draws = Draws::new(&scenario);
    let keyspace = scenario.keyspace_ids().next().expect("the scenario has a keyspace");
    let ids: Vec<_> = Plan::new(&scenario).requests().take(10_000).map(|p| p.id).collect();
    let mut group = c.benchmark_group("draws");
    group.throughput(Throughput::Elements(ids.len() as u64));
    group.bench_function("a Zipf key of 300 million", |b| {
        b.iter(|| ids.iter().filter_map(|id| draws.keys(*id, keyspace).next()).fold(0, u64::wrapping_add));
    });
    group.finish();
}

criterion_group!(benches, walk, seek, draws);
criterion_main!(benches);
