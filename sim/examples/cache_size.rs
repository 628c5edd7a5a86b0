//! What does more memory for the cache buy? Hit ratio and response time over its size, with Redis's own eviction.
#![allow(clippy::print_stdout)]

use std::sync::atomic::AtomicBool;

use results::Frame;
use results::sample::{HITS, MISSES};
use scenarios::Scenario;
use sim::Simulation;

fn scenario(megabytes: u32) -> String {
    format!(
        r#"
title = "A cache before a database"
[run]
duration = "5m"
warmup = "5m"
[hosts.app]
cores = 8
[hosts.redis]
[hosts.mysql]
cores = 8
[components.shop]
kind = "service"
host = "app"
[components.cache]
kind = "kv-store"
host = "redis"
max_memory = "{megabytes}MB"
eviction = "volatile-lru"
[components.archive]
kind = "sql-store"
host = "mysql"
read = "exponential(mean=10ms)"
[keyspaces.listings]
in = "cache"
keys = 200_000
ttl = "1d"
popularity = "zipf(0.9)"
value = "lognormal(median=400B, p99=3kB)"
[requests.page]
path = "/{{listings}}"
[[requests.page.steps]]
work = "1ms"
[[requests.page.steps]]
get = {{ keyspace = "listings", on_miss = {{ from = "archive" }} }}
[traffic.users]
to = "shop"
executor = "constant-arrival-rate"
rate = "1000/s"
mix = {{ page = 1 }}
"#
    )
}

fn main() {
    for megabytes in [8, 16, 32, 64, 128] {
        let scenario = Scenario::parse("cache.toml", scenario(megabytes)).expect("the scenario is good");
        let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
        let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
        let frame = Frame::new(&scenario);
        let warm = frame.interval_of(scenario.run.warmup);
        let count = |metric| {
            let samples = outcome.samples.iter().filter(|s| s.interval >= warm && s.metric == metric);
            samples.map(|s| s.value).sum::<f64>()
        };
        let (hits, misses) = (count(HITS), count(MISSES));
        let times =
            outcome.delta.tallies().window(frame.window_of(scenario.run.warmup), None).response_times();
        let mean = times.mean().expect("requests came due") * 1e3;
        println!(
            "{megabytes:>4} MB: {:.1}% hits, mean response {mean:.2} ms",
            100.0 * hits / (hits + misses)
        );
    }
}
