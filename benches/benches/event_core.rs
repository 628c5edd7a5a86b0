//! The event list under the hold model: take the next event, schedule another at a random distance.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;
use sim::event::EventQueue;

const EVENTS: u64 = 100_000;

fn hold(c: &mut Criterion) {
    let mut group = c.benchmark_group("hold");
    group.throughput(Throughput::Elements(EVENTS));
    for pending in [16_u32, 1_000, 65_000] {
        let mut stream = Stream::new(Seed(1), Purpose::named("bench"), 0);
        let mut queue = EventQueue::new();
        for slot in 0..pending {
            queue.schedule(stream.below(1_000_000), slot);
        }
        group.bench_function(BenchmarkId::from_parameter(pending), |b| {
            b.iter(|| {
                for _ in 0..EVENTS {
                    let (at, token) = queue.pop().expect("as many are scheduled as are taken");
                    queue.schedule(at + stream.below(2_000_000), black_box(token.slot()));
                }
            });
        });
    }
    group.finish();
}

fn lane(c: &mut Criterion) {
    let mut group = c.benchmark_group("constant delay");
    group.throughput(Throughput::Elements(EVENTS));
    let mut queue = EventQueue::new();
    let lane = queue.add_lane().expect("the first lane fits");
    for slot in 0..1_000 {
        queue.schedule_in(lane, u64::from(slot), slot);
    }
    group.bench_function("1000 pending", |b| {
        b.iter(|| {
            for _ in 0..EVENTS {
                let (at, token) = queue.pop().expect("as many are scheduled as are taken");
                queue.schedule_in(lane, at + 1_000, black_box(token.slot()));
            }
        });
    });
    group.finish();
}

criterion_group!(benches, hold, lane);
criterion_main!(benches);
