//! What components looked like in each interval of the run's frame.

use std::borrow::Cow;

use results::sample::{
    EVICTIONS, EXPIRED, GENERATOR, HITS, IN_SERVICE, KEYS, KEYS_WITH_TTL, MEMORY_BYTES, MISSES, QUEUE, UP,
    UTILISATION,
};
use results::{Frame, Sample};

use crate::world::World;

/// Requests under way, by the load generator's name for it, without those that wait for a connection; a mean.
const IN_FLIGHT: &str = "in_flight";

/// Gathers samples at the end of each interval.
#[derive(Debug)]
pub(crate) struct Sampler {
    frame: Frame,
    interval: usize,
    names: Vec<String>,
    pub(crate) timer: u32,
    pub(crate) samples: Vec<Sample>,
}

impl Sampler {
    pub(crate) fn new(frame: Frame, names: Vec<String>) -> Self {
        Self { frame, interval: 0, names, timer: 0, samples: Vec::new() }
    }

    /// The end of the present interval; none after the run's end.
    pub(crate) fn next(&self) -> Option<u64> {
        (self.interval < self.frame.intervals()).then(|| self.frame.bounds(self.interval).1.as_nanos())
    }
}

impl World {
    /// Ends the present interval.
    pub(crate) fn sample(&mut self) {
        let (from, until) = self.sampler.frame.bounds(self.sampler.interval);
        let nanos = (until - from).as_nanos();
        let now = self.now;
        let Sampler { interval, names, samples, .. } = &mut self.sampler;
        let mut put = |component: &str, instance: u32, metric: &'static str, value: f64| {
            samples.push(Sample {
                interval: *interval,
                component: component.to_owned(),
                instance,
                metric: Cow::Borrowed(metric),
                value,
            });
        };
        for balancer in &mut self.balancers {
            let up = balancer.up.read(now, nanos);
            put(&names[usize::from(balancer.component)], balancer.instance, UP, up);
        }
        for service in &mut self.services {
            let name = &names[usize::from(service.component)];
            let cores = f64::from(self.cores[usize::from(service.host)].total);
            let queue = service.queue.read(now, nanos) + service.share.queue.read(now, nanos);
            let i = service.instance;
            put(name, i, UTILISATION, service.share.busy.read(now, nanos) / cores);
            put(name, i, IN_SERVICE, service.in_service.read(now, nanos));
            put(name, i, QUEUE, queue);
            put(name, i, UP, service.up.read(now, nanos));
        }
        for store in &mut self.stores {
            let name = &names[usize::from(store.component)];
            put(name, 0, UTILISATION, store.busy.read(now, nanos));
            put(name, 0, QUEUE, store.queue.read(now, nanos));
            put(name, 0, UP, store.up.read(now, nanos));
            let contents = &mut store.contents;
            let counts = std::mem::take(&mut contents.counts);
            for (metric, count) in [
                (HITS, counts.hits),
                (MISSES, counts.misses),
                (EVICTIONS, counts.evictions),
                (EXPIRED, counts.expired),
                (KEYS, contents.persistent_keys + (contents.volatile.len() + contents.lasting.len()) as u64),
                (KEYS_WITH_TTL, contents.volatile.len() as u64),
                (MEMORY_BYTES, contents.used_bytes),
            ] {
                put(name, 0, metric, count as f64);
            }
        }
        for database in &mut self.databases {
            let name = &names[usize::from(database.component)];
            let cores = f64::from(self.cores[usize::from(database.host)].total);
            let queue = database.queue.read(now, nanos) + database.share.queue.read(now, nanos);
            put(name, 0, UTILISATION, database.share.busy.read(now, nanos) / cores);
            put(name, 0, IN_SERVICE, database.in_service.read(now, nanos));
            put(name, 0, QUEUE, queue);
            put(name, 0, UP, database.up.read(now, nanos));
        }
        let (mut queue, mut busy) = (0.0, 0.0);
        for client in &mut self.clients {
            queue += client.queue.read(now, nanos);
            busy += client.busy.read(now, nanos);
        }
        put(GENERATOR, 0, QUEUE, queue);
        put(GENERATOR, 0, IN_FLIGHT, busy);
        self.sampler.interval += 1;
        if let Some(at) = self.sampler.next() {
            self.events.schedule(at, self.sampler.timer);
        }
    }
}
