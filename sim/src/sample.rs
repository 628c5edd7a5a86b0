//! What components looked like in each interval of the run's frame.

use std::borrow::Cow;

use results::sample::{
    CPU_CREDITS, DISK, DROPPED, GENERATOR, HEDGES, HELD, HITS, IN_SERVICE, INSTANCES, MEMORY_BYTES,
    MEMORY_KILLS, MISSES, NIC_IN, NIC_OUT, QUEUE, REFUSED, REQUESTS, RETRIES, THREADS, TIMEOUTS, UP,
    UTILISATION, WORKERS,
};
use results::{Frame, Law, Sample};

use crate::instance::Kind;
use crate::world::World;

/// Requests under way, by the load generator's name for it, without those that wait for a connection; a mean.
const IN_FLIGHT: &str = "in_flight";

/// Gathers samples at the end of each interval.
#[derive(Debug)]
pub(crate) struct Sampler {
    frame: Frame,
    interval: usize,
    pub(crate) names: Vec<String>,
    /// The names of the traffics.
    pub(crate) traffics: Vec<String>,
    /// What each machine is called, and its number.
    pub(crate) hosts: Vec<(String, u32)>,
    pub(crate) timer: u32,
    pub(crate) samples: Vec<Sample>,
    /// The laws, once the last interval is over.
    pub(crate) laws: Option<Vec<Law>>,
}

impl Sampler {
    pub(crate) fn new(frame: Frame, names: Vec<String>, traffics: Vec<String>) -> Self {
        let (hosts, samples) = (Vec::new(), Vec::new());
        Self { frame, interval: 0, names, traffics, hosts, timer: 0, samples, laws: None }
    }

    /// The end of the present interval; none after the run's end.
    pub(crate) fn next(&self) -> Option<u64> {
        (self.interval < self.frame.intervals()).then(|| self.frame.bounds(self.interval).1.as_nanos())
    }
}

impl World {
    /// Ends the present interval.
    pub(crate) fn sample(&mut self) {
        let from = self.sampler.frame.bounds(self.sampler.interval).0;
        let now = self.now;
        // An interrupted run ends within its last interval.
        let nanos = now - from.as_nanos();
        self.keep_busy_times();
        let usage: Vec<(f64, f64)> = (0..self.instances.len()).map(|at| self.usage(at, nanos)).collect();
        let memories: Vec<Option<(u64, u64)>> =
            (0..self.memories.len()).map(|host| self.memory_sample(host)).collect();
        let Sampler { interval, names, hosts, samples, .. } = &mut self.sampler;
        let mut put = |component: &str, instance: u32, metric: &'static str, value: f64| {
            samples.push(Sample {
                interval: *interval,
                component: component.to_owned(),
                instance,
                metric: Cow::Borrowed(metric),
                value,
            });
        };
        for (place, (instance, usage)) in self.instances.iter_mut().zip(usage).enumerate() {
            let (name, number) = (&names[usize::from(instance.component)], u32::from(instance.number));
            let index = usize::from(instance.index);
            let cores = f64::from(self.cores[usize::from(instance.host)].total);
            let (busy, queue) = (usage.0 / cores, usage.1);
            match instance.kind {
                Kind::Balancer => {
                    let balancer = &mut self.balancers[index];
                    let inside = balancer.in_service.read(now, nanos);
                    // What waits for a server is in service; what is not accepted is not.
                    let outside = balancer.outside.read(now, nanos) + instance.arriving.read(now, nanos);
                    instance.border.observe(inside + outside, now, nanos);
                    put(name, number, IN_SERVICE, inside);
                    put(name, number, QUEUE, balancer.queue.read(now, nanos) + queue);
                    if balancer.request.is_some() {
                        // Of its one thread, however many cores its machine has.
                        put(name, number, UTILISATION, usage.0);
                    }
                }
                Kind::Cdn => {
                    let cdn = &mut self.cdns[index];
                    put(name, number, HITS, std::mem::take(&mut cdn.hits) as f64);
                    put(name, number, MISSES, std::mem::take(&mut cdn.misses) as f64);
                }
                Kind::Cache => {
                    put(name, number, UTILISATION, busy);
                    let mut queue = queue;
                    if let Some(threads) = &mut self.caches[index].threads {
                        queue += threads.queue.read(now, nanos);
                        put(name, number, THREADS, threads.busy.read(now, nanos));
                        put(name, number, DROPPED, std::mem::take(&mut threads.dropped) as f64);
                    }
                    put(name, number, QUEUE, queue);
                    let inside = self.caches[index].inside.read(now, nanos);
                    instance.border.observe(inside + instance.arriving.read(now, nanos), now, nanos);
                    self.caches[index]
                        .contents
                        .sample(now, &mut |metric, value| put(name, number, metric, value));
                }
                Kind::Service => {
                    let service = &mut self.services[index];
                    // A machine that an autoscaler has not ordered is not one that is idle.
                    if !instance.absent || busy > 0.0 {
                        put(name, number, UTILISATION, busy);
                    }
                    let (inside, waiting) =
                        (service.in_service.read(now, nanos), service.queue.read(now, nanos));
                    instance.border.observe(inside + waiting, now, nanos);
                    put(name, number, IN_SERVICE, inside);
                    put(name, number, QUEUE, waiting + queue);
                    if let Some(workers) = &service.managed {
                        put(name, number, WORKERS, f64::from(workers.alive()));
                    }
                    if let Some(holding) = &mut service.holding {
                        put(name, number, HELD, holding.workers.read(now, nanos));
                    }
                    if let Some(counts) = self.guards.take_counts(place) {
                        put(name, number, RETRIES, counts.retries as f64);
                        put(name, number, HEDGES, counts.hedges as f64);
                        put(name, number, TIMEOUTS, counts.timeouts as f64);
                        put(name, number, REFUSED, counts.refused as f64);
                    }
                }
                Kind::Store => {
                    let store = &mut self.stores[index];
                    let (busy, waiting) = (store.busy.read(now, nanos), store.queue.read(now, nanos));
                    let commands = busy - store.pauses.now.read(now, nanos);
                    instance.border.observe(commands + waiting, now, nanos);
                    put(name, number, UTILISATION, busy);
                    put(name, number, QUEUE, waiting);
                    store.sample(&mut |metric, value| put(name, number, metric, value));
                }
                Kind::Job => {
                    put(name, number, UTILISATION, busy);
                    put(name, number, QUEUE, queue);
                }
                Kind::Queue => {
                    self.queues[index]
                        .sample(now, nanos, &mut |metric, value| put(name, number, metric, value));
                }
                Kind::Database => {
                    let database = &mut self.databases[index];
                    put(name, number, UTILISATION, busy);
                    let (inside, waiting) =
                        (database.in_service.read(now, nanos), database.queue.read(now, nanos));
                    instance.border.observe(inside + waiting, now, nanos);
                    put(name, number, IN_SERVICE, inside);
                    put(name, number, QUEUE, waiting + queue);
                    let replicas = self.groups[usize::from(database.group)].replicas.as_mut();
                    let behind = replicas.map(|r| r.state.behind(now, instance.number));
                    database.sample(behind, &mut |metric, value| put(name, number, metric, value));
                }
            }
            // Jobs are asked for by nobody.
            if instance.kind != Kind::Job {
                put(name, number, REQUESTS, instance.border.take_entered() as f64);
            }
            put(name, number, UP, instance.up.read(now, nanos));
        }
        for (interface, (name, number)) in self.network.interfaces.iter_mut().zip(&*hosts) {
            if let Some([sent, received]) = interface.utilisation(nanos) {
                put(name, *number, NIC_OUT, sent);
                put(name, *number, NIC_IN, received);
            }
        }
        let machines = self.cores.iter().zip(&mut self.disks).zip(memories).zip(hosts);
        for (((cores, disk), memory), (name, number)) in machines {
            if let Some((bytes, kills)) = memory {
                put(name, *number, MEMORY_BYTES, bytes as f64);
                put(name, *number, MEMORY_KILLS, kills as f64);
            }
            if let Some(disk) = disk {
                put(name, *number, DISK, disk.utilisation(nanos));
            }
            if let Some(credits) = cores.special.as_ref().and_then(|special| special.pace.credits.as_ref()) {
                put(name, *number, CPU_CREDITS, credits.balance());
            }
        }
        for fleet in &mut self.fleets {
            let first = &self.instances[usize::from(fleet.component_instance())];
            put(&names[usize::from(first.component)], 0, INSTANCES, fleet.present.read(now, nanos));
        }
        let (mut queue, mut busy) = (0.0, 0.0);
        for client in &mut self.clients {
            let (waiting, under_way) = (client.queue.read(now, nanos), client.busy.read(now, nanos));
            let pausing = client.pausing.read(now, nanos);
            client.border.observe(waiting + under_way + pausing, now, nanos);
            queue += waiting;
            busy += under_way;
        }
        put(GENERATOR, 0, QUEUE, queue);
        let mut again = None;
        for retrying in self.clients.iter_mut().filter_map(|client| client.retrying.as_mut()) {
            again = Some(again.unwrap_or(0) + retrying.take_count());
        }
        if let Some(again) = again {
            put(GENERATOR, 0, RETRIES, again as f64);
        }
        put(GENERATOR, 0, IN_FLIGHT, busy);
        self.sampler.interval += 1;
        match self.sampler.next() {
            Some(at) => {
                self.events.schedule(at, self.sampler.timer);
            }
            None => self.sampler.laws = Some(self.laws()),
        }
    }

    /// Ends the last interval where an interrupted run ends, so that the laws can be checked of it too.
    pub(crate) fn sample_rest(&mut self) {
        if self.sampler.laws.is_none() {
            let frame = &self.sampler.frame;
            let begun = frame.bounds(self.sampler.interval.min(frame.intervals() - 1)).0.as_nanos();
            if self.sampler.next().is_some() && self.now > begun {
                self.sample();
            }
            self.sampler.laws = Some(self.laws());
        }
    }
}
