//! From a scenario to a world: instances of every component, programs of every class, timers.

use std::sync::Arc;

use results::Frame;
use scenarios::Scenario;
use scenarios::diagnostic::Diagnostics;
use scenarios::law::{DurationLaw, Law};
use scenarios::plan::Draws;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{
    ComponentId, ComponentKind, Executor, FaultTarget, KeyspaceId, LoadBalancer, PathPart, Probe,
};

use crate::balancer::Balancer;
use crate::balancer::health::{Check, Passive, Rule};
use crate::balancer::servers::Servers;
use crate::balancer::vip::Vip;
use crate::call::{Calls, Fifo, NONE};
use crate::cdn::Cdn;
use crate::client::connections::Connections;
use crate::client::retry::Retrying;
use crate::client::{Client, Entry};
use crate::connect::Pools;
use crate::conservation::Border;
use crate::event::{EventQueue, Token};
use crate::fault::FaultPlan;
use crate::gauge::Gauge;
use crate::guard::Guards;
use crate::http_cache::instance::Cache;
use crate::http_cache::rules::ClassRule;
use crate::instance::{Instance, Kind};
use crate::job::Job;
use crate::kv_store::{Keys, KvStore, Lists, Ring};
use crate::network::Network;
use crate::program;
use crate::restarting::Restarting;
use crate::sample::Sampler;
use crate::service::Service;
use crate::session::Records;
use crate::supports;
use crate::timeout::TimeoutRing;
use crate::user::Users;
use crate::world::{Counts, Delay, TIMER_BASE, Timer, World};

const CALIBRATION: Purpose = Purpose::named("sim-calibration");
const CHECK_PHASE: Purpose = Purpose::named("sim-check-phase");

/// Where the instances of each component, and the machines of each host, begin in the lists of all.
struct Places {
    components: Vec<u16>,
    hosts: Vec<u16>,
}

impl Places {
    fn new(scenario: &Scenario) -> Self {
        let running = |counts: Vec<u32>| {
            let mut next = 0;
            let place = |count| {
                next += count as u16;
                next - count as u16
            };
            counts.into_iter().map(place).collect()
        };
        Self {
            components: running(scenario.component_ids().map(|id| scenario.instances(id)).collect()),
            hosts: running(scenario.hosts.iter().map(|host| host.count).collect()),
        }
    }

    /// The component's first instance.
    fn of(&self, component: ComponentId) -> u16 {
        self.components[component.index()]
    }

    /// The component's first instance, and how many there are.
    fn all(&self, scenario: &Scenario, component: ComponentId) -> (u16, u16) {
        (self.of(component), scenario.instances(component) as u16)
    }
}

/// The component instances that a fault hits.
fn targets(scenario: &Scenario, target: &FaultTarget) -> impl Iterator<Item = (ComponentId, u32)> {
    let target = *target;
    scenario.component_ids().filter_map(move |id| match target {
        FaultTarget::Component(component, i) => (component == id).then_some((id, i)),
        FaultTarget::Host(host, i) => (scenario.component(id).host == host).then_some((id, i)),
        FaultTarget::Way(..) => None,
    })
}

/// The jobs that a fault hits: those on a machine that breaks. They come after all components' instances.
fn jobs_on(scenario: &Scenario, target: &FaultTarget) -> impl Iterator<Item = u16> {
    let target = *target;
    let mut next: u32 = scenario.component_ids().map(|id| scenario.instances(id)).sum();
    scenario.jobs.iter().filter_map(move |job| {
        let first = next;
        next += scenario.host(job.host).count;
        match target {
            FaultTarget::Host(host, number) => (job.host == host).then_some((first + number) as u16),
            _ => None,
        }
    })
}

/// An instance of each job on each machine of its host.
fn add_jobs(world: &mut World, scenario: &Scenario, hosts: &[u16]) {
    for (number, job) in scenario.jobs.iter().enumerate() {
        let name = scenario.components.len() + number;
        world.sampler.names.push(format!("job:{}", job.name));
        for machine in 0..scenario.host(job.host).count as u16 {
            let at = world.instances.len() as u16;
            let host = hosts[job.host.index()] + machine;
            let made = Job::new(world, scenario, (number, job), (machine, at));
            world.jobs.push(made);
            let index = world.jobs.len() as u16 - 1;
            world.instances.push(Instance::new(Kind::Job, index, (name as u16, machine), host));
            world.instances[usize::from(at)].note_up(0);
        }
    }
}

/// Builds the world as it is before the run's first event.
pub(crate) fn build(scenario: &Scenario) -> Result<World, Diagnostics> {
    let problems = supports::check(scenario);
    if !problems.is_empty() {
        return Err(Diagnostics::new(problems));
    }
    let places = Places::new(scenario);
    let frame = Frame::new(scenario);
    let names = scenario.components.iter().map(|c| c.name.clone()).collect();
    let instance = |(id, i): (ComponentId, u32)| places.of(id) + i as u16;
    let hit = |target: &FaultTarget| {
        let components = targets(scenario, target).map(instance);
        components.chain(jobs_on(scenario, target)).collect()
    };
    let plan = FaultPlan::new(scenario, hit, &places.hosts);
    let traffics = scenario.traffic.iter().map(|t| t.name.clone()).collect();
    let mut world = World {
        now: 0,
        seed: scenario.run.seed,
        events: EventQueue::new(),
        timers: Vec::new(),
        calls: Calls::new(TIMER_BASE),
        ready: std::collections::VecDeque::new(),
        clients: Vec::new(),
        instances: Vec::new(),
        pools: Pools::default(),
        balancers: Vec::new(),
        checks: Vec::new(),
        vips: Vec::new(),
        cdns: Vec::new(),
        caches: Vec::new(),
        cache_rules: scenario.requests.iter().map(ClassRule::new).collect(),
        page_makers: Vec::new(),
        purge_rules: Vec::new(),
        purging: Vec::new(),
        services: Vec::new(),
        any_holding: false,
        fleets: Vec::new(),
        stores: Vec::new(),
        databases: Vec::new(),
        groups: Vec::new(),
        queues: Vec::new(),
        jobs: Vec::new(),
        lost_messages: Vec::new(),
        cores: Vec::new(),
        disks: Vec::new(),
        memories: Vec::new(),
        ranks: Vec::new(),
        keys: keys(scenario),
        steps: Vec::new(),
        classes: Vec::new(),
        paths: scenario.requests.iter().map(keys_in_path).collect(),
        branches: Vec::new(),
        guards: Guards::default(),
        draws: Draws::new(scenario),
        sampling: scenario.run.sampling,
        network: Network::new(scenario, plan.troubles_ways()),
        faults: plan,
        response_sizes: scenario.requests.iter().map(|class| class.response).collect(),
        noted: Vec::new(),
        sampler: Sampler::new(frame, names, traffics),
        tracer: None,
        in_flight: 0,
        users: Users::default(),
        records: Records::default(),
        counts: Counts::default(),
        missed: Lists::default(),
        scratch: Vec::new(),
    };
    // Edges of faults come before anything else at their time.
    for fault in 0..world.faults.0.len() {
        let (from, until) = (world.faults.0[fault].from, world.faults.0[fault].until);
        let start = world.add_timer(Timer::Break(fault as u32));
        world.events.schedule(from, start);
        // A flush happens and is over.
        if until > from {
            let end = world.add_timer(Timer::Mend(fault as u32));
            world.events.schedule(until, end);
        }
    }
    world.sampler.timer = world.add_timer(Timer::Sample);
    if let Some(at) = world.sampler.next() {
        world.events.schedule(at, world.sampler.timer);
    }
    crate::host::build::add_hosts(&mut world, scenario);
    for id in scenario.component_ids() {
        for number in 0..scenario.instances(id) as u16 {
            add_instance(&mut world, scenario, &places, id, number);
        }
    }
    world.page_makers =
        scenario.component_ids().map(|id| page_maker(&world, scenario, &places, id)).collect();
    add_jobs(&mut world, scenario, &places.hosts);
    crate::host::build::add_memory(&mut world, scenario);
    // Checks need to know the servers' instances.
    for id in scenario.component_ids() {
        add_checks(&mut world, scenario, &places, id);
    }
    world.records = Records::new(scenario, &|id| places.all(scenario, id));
    program::compile(&mut world, scenario, &|id| places.all(scenario, id))?;
    if world.purge_rules.is_empty() {
        world.cache_rules.iter_mut().for_each(ClassRule::forget_tags);
    }
    world.start_guards();
    world.start_managers();
    world.start_fleets(scenario);
    world.start_holding();
    for traffic in &scenario.traffic {
        let (base, count) = places.all(scenario, traffic.to);
        let count = if world.instances[usize::from(base)].vip.is_some() { 1 } else { count };
        let holds = (base..base + count).any(|at| world.holds_connections(at));
        let idle_limit = match &scenario.component(traffic.to).kind {
            ComponentKind::LoadBalancer(balancer) => balancer.client_timeout,
            ComponentKind::Service(service) if holds => Some(service.keep_alive),
            _ => None,
        };
        let connections = match &traffic.executor {
            Executor::Users(_) if count > 1 || idle_limit.is_some() => {
                let idle_limit = idle_limit.map_or(u64::MAX, |limit| limit.as_nanos());
                Connections::own(traffic.connections, count, idle_limit)
            }
            _ if count == 1 && !holds => Connections::alike(traffic.connections),
            _ => Connections::numbered(traffic.connections, count),
        };
        let timer = world.add_timer(Timer::ClientTimeout(world.clients.len() as u32));
        let latency = delay(&mut world, scenario.calibration.client, u64::from(u16::MAX));
        world.clients.push(Client {
            sessions: matches!(traffic.executor, Executor::Sessions(_)),
            entry: Entry { base, count },
            connections,
            latency,
            in_flight: 0,
            max_in_flight: traffic.max_in_flight,
            waiting: Fifo::new(),
            queue: Gauge::default(),
            busy: Gauge::default(),
            border: Border::default(),
            timeouts: TimeoutRing::new(traffic.timeout.as_nanos()),
            timer,
            pausing: Gauge::default(),
            retrying: traffic.retries.as_ref().map(|retries| Box::new(Retrying::new(retries))),
        });
    }
    Ok(world)
}

fn keys_in_path(class: &scenarios::scenario::RequestClass) -> Vec<KeyspaceId> {
    let key = |part: &PathPart| match part {
        PathPart::Key(keyspace) => Some(*keyspace),
        PathPart::Text(_) | PathPart::Kept(_) => None,
    };
    class.path.parts.iter().filter_map(key).collect()
}

fn keys(scenario: &Scenario) -> Vec<Keys> {
    let keys = |id| {
        let keyspace = scenario.keyspace(id).clone();
        let ring = match &scenario.component(keyspace.store).kind {
            ComponentKind::KvStore(store) => store.shards.map(|by| {
                let shards = scenario.instances(keyspace.store) as u16;
                Arc::new(Ring::new(by, shards, &keyspace.name))
            }),
            _ => None,
        };
        Keys { id, keyspace, ring }
    };
    scenario.keyspace_ids().map(keys).collect()
}

/// A calibrated delay: a constant one gets a ring of its own, where there is still one to be had.
fn delay(world: &mut World, law: Option<DurationLaw>, place: u64) -> Delay {
    match law {
        None => Delay::None,
        Some(law) => match *law.law() {
            Law::Constant(nanos) if nanos < 0.5 => Delay::None,
            Law::Constant(nanos) => match world.events.add_lane() {
                Some(lane) => Delay::Constant((nanos + 0.5) as u64, lane),
                None => Delay::Drawn(law, CALIBRATION.of(place)),
            },
            _ => Delay::Drawn(law, CALIBRATION.of(place)),
        },
    }
}

fn add_instance(world: &mut World, scenario: &Scenario, places: &Places, id: ComponentId, number: u16) {
    let component = scenario.component(id);
    let calibration = scenario.calibration.components.get(id.index()).copied().unwrap_or_default();
    // Shards are asked for the same request at once, and each way takes a time of its own.
    let place = id.index() as u64 | u64::from(number) << 32;
    let shard = matches!(component.kind, ComponentKind::KvStore(_));
    let latency = delay(world, calibration.latency, if shard { place } else { id.index() as u64 });
    let at = world.instances.len() as u16;
    let (kind, index) = match &component.kind {
        ComponentKind::LoadBalancer(b) => {
            let (own, servers) = (places.all(scenario, id), places.all(scenario, b.to));
            let balancer = balancer(world, own, servers, b, calibration.request);
            world.balancers.push(balancer);
            (Kind::Balancer, world.balancers.len())
        }
        ComponentKind::Cdn(c) => {
            let target = world.pools.add(places.all(scenario, id), places.all(scenario, c.to));
            world.cdns.push(Cdn::new(scenario, c, target));
            (Kind::Cdn, world.cdns.len())
        }
        ComponentKind::HttpCache(c) => {
            let (own, back_end) = (places.all(scenario, id), places.all(scenario, c.to));
            let way = CALIBRATION.of(id.index() as u64 | 1 << 48);
            let fetch = calibration.fetch.map_or(Delay::None, |law| Delay::Drawn(law, way));
            let wake = calibration.wake.map_or(0, |time| time.as_nanos());
            let costs = (calibration.request, wake, fetch);
            let cache = Cache::new(world, scenario, c, costs, own, back_end, number);
            world.caches.push(cache);
            (Kind::Cache, world.caches.len())
        }
        ComponentKind::Service(s) => {
            world.services.push(Service::new(s));
            (Kind::Service, world.services.len())
        }
        ComponentKind::KvStore(s) => {
            let store = KvStore::new(world, scenario, id, number, s, &calibration);
            world.stores.push(store);
            (Kind::Store, world.stores.len())
        }
        ComponentKind::SqlStore(s) => {
            let place = id.index() as u64;
            let ways = [(calibration.read_latency, 1_u64 << 49), (calibration.write_latency, 1_u64 << 50)];
            let latencies = ways.map(|(law, way)| law.map(|law| delay(world, Some(law), place | way)));
            crate::sql_store::build::add(world, scenario, id, s, latencies);
            (Kind::Database, world.databases.len())
        }
        ComponentKind::Queue(q) => {
            crate::queue::build::add(world, &|id| places.all(scenario, id), q);
            (Kind::Queue, world.queues.len())
        }
        kind => unreachable!("validation knows no {}", kind.name()),
    };
    let vip = vip_of(world, scenario, places, id);
    let host = places.hosts[component.host.index()] + number;
    world.instances.push(Instance {
        latency,
        vip,
        restart: component.restart.as_nanos(),
        restarting: component.restarts.map(|rules| Box::new(Restarting::new(rules))),
        ..Instance::new(kind, index as u16 - 1, (id.index() as u16, number), host)
    });
    world.instances[usize::from(at)].note_up(0);
}

/// A cache that all good answers of a component come out of, where they do.
fn page_maker(world: &World, scenario: &Scenario, places: &Places, id: ComponentId) -> Option<u16> {
    match &scenario.component(id).kind {
        ComponentKind::HttpCache(_) => Some(world.instances[usize::from(places.of(id))].index),
        ComponentKind::LoadBalancer(balancer) => page_maker(world, scenario, places, balancer.to),
        ComponentKind::Cdn(cdn) => page_maker(world, scenario, places, cdn.to),
        _ => None,
    }
}

/// The virtual address of a component, made when its first instance asks.
fn vip_of(world: &mut World, scenario: &Scenario, places: &Places, id: ComponentId) -> Option<u16> {
    let vip = match &scenario.component(id).kind {
        ComponentKind::LoadBalancer(balancer) => balancer.vip?,
        ComponentKind::SqlStore(database) => database.vip?,
        _ => return None,
    };
    let (base, count) = places.all(scenario, id);
    if let Some(known) = world.vips.iter().position(|v| v.base == base) {
        return Some(known as u16);
    }
    let index = world.vips.len();
    let timer = world.add_timer(Timer::Takeover(index as u32));
    world.vips.push(Vip {
        base,
        count,
        holder: base,
        advertise: vip.advertise.as_nanos(),
        check: vip.check.as_nanos(),
        preempt: vip.preempt,
        timer,
        coming: None,
        changes: 0,
    });
    Some(index as u16)
}

fn balancer(
    world: &mut World,
    own: (u16, u16),
    servers: (u16, u16),
    b: &LoadBalancer,
    request: Option<DurationLaw>,
) -> Balancer {
    let target = world.pools.add(own, servers);
    let index = world.balancers.len() as u32;
    let (timer, queue_timer) =
        (world.add_timer(Timer::ServerTimeout(index)), world.add_timer(Timer::QueueTimeout(index)));
    let warm_up_timer = world.add_timer(Timer::WarmUp(world.instances.len() as u16));
    let limit = b.server_max_connections.unwrap_or(u32::MAX);
    let slow_start = b.slow_start.map_or(0, |t| t.as_nanos());
    Balancer {
        target,
        servers: Servers::new(target.count, b.balance, b.consistent, limit, slow_start)
            .with_weights(&b.weights),
        balance: b.balance,
        retries: b.retries,
        redispatch: b.redispatch,
        connect_timeout: b.connect_timeout.as_nanos(),
        timeouts: TimeoutRing::new(b.server_timeout.as_nanos()),
        timer,
        in_service: Gauge::default(),
        limit: b.max_connections.unwrap_or(u32::MAX),
        unaccepted: Fifo::new(),
        outside: Gauge::default(),
        queues: if limit < u32::MAX { vec![Fifo::new(); usize::from(target.count)] } else { Vec::new() },
        common: Fifo::new(),
        queue: Gauge::default(),
        queue_timeouts: TimeoutRing::new(b.queue_timeout.as_nanos()),
        queue_timer,
        warm_up_timer,
        warms_up: false,
        sticky: b.cookie.is_some(),
        passive: Passive::new(b.health_check.as_ref()),
        request,
        works: false,
        before_thread: Fifo::new(),
    }
}

/// The checks of every server by every instance of a balancer or a cache.
fn add_checks(world: &mut World, scenario: &Scenario, places: &Places, id: ComponentId) {
    let (to, same_host, interval, timeout, tcp, rule) = match &scenario.component(id).kind {
        ComponentKind::LoadBalancer(b) => {
            let Some(check) = &b.health_check else { return };
            let rule = Rule::Streak { fall: check.fall, rise: check.rise };
            (b.to, false, check.interval, check.timeout, check.probe == Probe::Tcp, rule)
        }
        ComponentKind::HttpCache(cache) => {
            let Some(probe) = &cache.probe else { return };
            (cache.to, cache.same_host, probe.interval, probe.timeout, false, Rule::Window)
        }
        _ => return,
    };
    let ((base, count), (first, servers)) = (places.all(scenario, id), places.all(scenario, to));
    for from in base..base + count {
        for server in (0..servers).filter(|server| !same_host || *server == from - base) {
            let index = world.checks.len() as u32;
            let (timer, timeout_timer) =
                (world.add_timer(Timer::Check(index)), world.add_timer(Timer::CheckTimeout(index)));
            let interval = interval.as_nanos();
            world.checks.push(Check {
                from,
                at: first + server,
                server,
                tcp,
                interval,
                timeout: timeout.as_nanos(),
                rule,
                timer,
                timeout_timer,
                pending: NONE,
                times_out: Token::NONE,
                class: scenario.traffic[0].mix[0].0,
            });
            let phase = Stream::new(world.seed, CHECK_PHASE, u64::from(index)).below(interval);
            world.events.schedule(phase, timer);
        }
    }
}
