//! From a scenario to a world: instances of every component, programs of every class, timers; and the refusal of what is
//! not implemented here.

use results::{Frame, Recorder};
use scenarios::Scenario;
use scenarios::diagnostic::{Diagnostic, Diagnostics};
use scenarios::law::{DurationLaw, Law};
use scenarios::plan::Draws;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{
    Action, ComponentId, ComponentKind, Eviction, FaultKind, FaultTarget, LoadBalancer, Step, WorkerHolds,
};

use crate::balancer::{Balancer, Server};
use crate::client::{Client, Connections, Entry};
use crate::event::{EventQueue, Token};
use crate::eviction::volatile_lru::VolatileLru;
use crate::fault::{FaultPlan, Process};
use crate::gauge::Gauge;
use crate::health::{Check, Health};
use crate::host::{Cores, Share};
use crate::kv_store::{Contents, EXPIRY_NANOS, Keys, KvStore};
use crate::program::{Miss, Op, Program};
use crate::request::{Fifo, NONE, Requests};
use crate::sample::Sampler;
use crate::service::Service;
use crate::sql_store::SqlStore;
use crate::timeout::TimeoutRing;
use crate::world::{Counts, Delay, Lists, TIMER_BASE, Timer, World};

const CALIBRATION: Purpose = Purpose::named("sim-calibration");
const CHECK_PHASE: Purpose = Purpose::named("sim-check-phase");
const EVICTION: Purpose = Purpose::named("sim-eviction");

/// Where the instances of each component begin in the list of their kind, by component; and of each host.
struct Places {
    components: Vec<u16>,
    hosts: Vec<u16>,
}

impl Places {
    fn new(scenario: &Scenario) -> Self {
        let mut counts = [0_u16; 4];
        let components = scenario.component_ids().map(|id| {
            let kind = match scenario.component(id).kind {
                ComponentKind::LoadBalancer(_) => 0,
                ComponentKind::Service(_) => 1,
                ComponentKind::KvStore(_) => 2,
                _ => 3,
            };
            let base = counts[kind];
            counts[kind] += scenario.instances(id) as u16;
            base
        });
        let components = components.collect();
        let mut next = 0;
        let hosts = scenario.hosts.iter().map(|host| {
            let base = next;
            next += host.count as u16;
            base
        });
        let hosts = hosts.collect();
        Self { components, hosts }
    }

    fn of(&self, component: ComponentId) -> u16 {
        self.components[component.index()]
    }
}

/// The most pairs of a balancer's instance and a server: far below what the event list can name.
const MOST_PAIRS: u64 = 1_000_000;

/// Everything in the scenario that this simulator does not implement.
fn unsupported(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut refuse = |place: &str, hint: &str| problems.push(scenario.unsupported(place, "sim", hint));
    for component in &scenario.components {
        let at = format!("components.{}", component.name);
        match &component.kind {
            ComponentKind::Service(s) if s.worker_holds == WorkerHolds::Connection => {
                refuse(&format!("{at}.worker_holds"), "write worker_holds = \"request\"");
            }
            ComponentKind::LoadBalancer(b)
                if matches!(scenario.component(b.to).kind, ComponentKind::LoadBalancer(_)) =>
            {
                refuse(&format!("{at}.to"), "name a service: the simulator has one balancer in a row");
            }
            _ => {}
        }
    }
    for fault in &scenario.faults {
        let stops = matches!(fault.kind, FaultKind::Hang | FaultKind::Unplug);
        let balances = targets(scenario, &fault.target)
            .any(|(id, _)| matches!(scenario.component(id).kind, ComponentKind::LoadBalancer(_)));
        let at = format!("{}.{}", fault.place, fault.kind.name());
        if stops && balances {
            refuse(&at, "a load balancer can only be killed, or serve 500, in the simulator");
        } else if !matches!(fault.kind, FaultKind::Kill | FaultKind::Serve500) && !stops {
            refuse(&at, "write kill, hang, unplug or serve_500");
        }
    }
    let instances: u64 = scenario.component_ids().map(|id| u64::from(scenario.instances(id))).sum();
    let machines: u64 = scenario.hosts.iter().map(|h| u64::from(h.count)).sum();
    if instances.max(machines) >= u64::from(u16::MAX) {
        refuse("hosts", "the simulator has at most 65,534 machines and as many instances");
    }
    // Each balancer instance keeps connections to, and two timers for, every server.
    let pairs: u64 = scenario
        .component_ids()
        .filter_map(|id| match &scenario.component(id).kind {
            ComponentKind::LoadBalancer(b) => {
                Some(u64::from(scenario.instances(id)) * u64::from(scenario.instances(b.to)))
            }
            _ => None,
        })
        .sum();
    if pairs > MOST_PAIRS {
        refuse(
            "components",
            "the simulator has at most 1,000,000 pairs of a balancer's instance and a server",
        );
    }
    problems
}

/// The component instances that a fault hits.
fn targets(scenario: &Scenario, target: &FaultTarget) -> impl Iterator<Item = (ComponentId, u32)> {
    let target = *target;
    scenario.component_ids().filter_map(move |id| match target {
        FaultTarget::Component(component, i) => (component == id).then_some((id, i)),
        FaultTarget::Host(host, i) => (scenario.component(id).host == host).then_some((id, i)),
    })
}

/// Builds the world as it is before the run's first event.
pub(crate) fn build(scenario: &Scenario) -> Result<World, Diagnostics> {
    let problems = unsupported(scenario);
    if !problems.is_empty() {
        return Err(Diagnostics::new(problems));
    }
    let places = Places::new(scenario);
    let frame = Frame::new(scenario);
    let names = scenario.components.iter().map(|c| c.name.clone()).collect();
    let mut world = World {
        now: 0,
        seed: scenario.run.seed,
        events: EventQueue::new(),
        timers: Vec::new(),
        requests: Requests::new(TIMER_BASE),
        ready: std::collections::VecDeque::new(),
        clients: Vec::new(),
        balancers: Vec::new(),
        checks: Vec::new(),
        services: Vec::new(),
        stores: Vec::new(),
        databases: Vec::new(),
        cores: Vec::new(),
        keys: keys(scenario),
        programs: programs(scenario, &places),
        draws: Draws::new(scenario),
        faults: FaultPlan(faults(scenario, &places)),
        recorder: Recorder::new(&frame),
        sampler: Sampler::new(frame, names),
        in_flight: 0,
        counts: Counts::default(),
        missed: Lists::default(),
        scratch: Vec::new(),
    };
    // Edges of faults come before anything else at their time.
    for (i, fault) in scenario.faults.iter().enumerate() {
        let (start, end) = (world.add_timer(Timer::Break(i as u32)), world.add_timer(Timer::Mend(i as u32)));
        world.events.schedule(fault.from.as_nanos(), start);
        world.events.schedule(fault.until.as_nanos(), end);
    }
    world.sampler.timer = world.add_timer(Timer::Sample);
    if let Some(at) = world.sampler.next() {
        world.events.schedule(at, world.sampler.timer);
    }
    for host in &scenario.hosts {
        for _ in 0..host.count {
            world.cores.push(Cores { total: host.cores, busy: 0, queue: Fifo::new() });
        }
    }
    for id in scenario.component_ids() {
        for instance in 0..scenario.instances(id) {
            add_instance(&mut world, scenario, &places, id, instance);
        }
    }
    let services = world.services.len();
    for service in &mut world.services {
        service.idle = vec![0; services];
    }
    let processes = (0..world.balancers.len() as u16)
        .map(Process::Balancer)
        .chain((0..services as u16).map(Process::Service))
        .chain((0..world.stores.len() as u16).map(Process::Store))
        .chain((0..world.databases.len() as u16).map(Process::Database));
    processes.for_each(|process| world.note_up(process));
    for traffic in &scenario.traffic {
        let count = scenario.instances(traffic.to) as u16;
        let base = places.of(traffic.to);
        let entry = match scenario.component(traffic.to).kind {
            ComponentKind::LoadBalancer(_) => Entry::Balancer { base, count },
            _ => Entry::Service { base, count },
        };
        let timer = world.add_timer(Timer::ClientTimeout(world.clients.len() as u32));
        let latency = delay(&mut world, scenario.calibration.client, u64::from(u16::MAX));
        world.clients.push(Client {
            entry,
            connections: Connections::new(traffic.connections, count),
            latency,
            in_flight: 0,
            max_in_flight: traffic.max_in_flight,
            waiting: Fifo::new(),
            queue: Gauge::default(),
            busy: Gauge::default(),
            timeouts: TimeoutRing::new(traffic.timeout.as_nanos()),
            timer,
        });
    }
    Ok(world)
}

fn keys(scenario: &Scenario) -> Vec<Keys> {
    let keys = |id| Keys { id, keyspace: scenario.keyspace(id).clone() };
    scenario.keyspace_ids().map(keys).collect()
}

fn programs(scenario: &Scenario, places: &Places) -> Vec<Program> {
    let read = |id| match &scenario.component(id).kind {
        ComponentKind::SqlStore(s) => s.read,
        _ => unreachable!("validation lets statements go to SQL stores only"),
    };
    let write = |id| match &scenario.component(id).kind {
        ComponentKind::SqlStore(s) => s.write,
        _ => unreachable!("validation lets statements go to SQL stores only"),
    };
    let store = |keyspace| places.of(scenario.keyspace(keyspace).store);
    let remote =
        |at, law, work| Op::Remote { base: places.of(at), count: scenario.instances(at) as u16, law, work };
    let op = |step: &Step| match (&step.action, step.at) {
        (Action::Work(law), None) => Op::Work(*law),
        (Action::Wait(law), None) => Op::Wait(*law),
        (Action::Work(law), Some(at)) => remote(at, *law, true),
        (Action::Wait(law), Some(at)) => remote(at, *law, false),
        (Action::Get { keyspace, count, on_miss }, _) => Op::Get {
            store: store(*keyspace),
            keyspace: keyspace.index() as u16,
            count: *count,
            miss: on_miss.map(|m| Miss { database: places.of(m.from), law: read(m.from), fill: m.fill }),
        },
        (Action::Set { keyspace, count }, _) => {
            Op::Set { store: store(*keyspace), keyspace: keyspace.index() as u16, count: *count }
        }
        (Action::Select { database, .. }, _) => {
            Op::Sql { database: places.of(*database), law: read(*database) }
        }
        (Action::Update { database, .. }, _) => {
            Op::Sql { database: places.of(*database), law: write(*database) }
        }
        (action, _) => unreachable!("validation knows no {action:?}"),
    };
    scenario.requests.iter().map(|class| Program { ops: class.steps.iter().map(op).collect() }).collect()
}

fn faults(scenario: &Scenario, places: &Places) -> Vec<(FaultKind, Vec<Process>)> {
    let process = |(id, i): (ComponentId, u32)| {
        let index = places.of(id) + i as u16;
        match scenario.component(id).kind {
            ComponentKind::LoadBalancer(_) => Process::Balancer(index),
            ComponentKind::Service(_) => Process::Service(index),
            ComponentKind::KvStore(_) => Process::Store(index),
            _ => Process::Database(index),
        }
    };
    let fault =
        |f: &scenarios::scenario::Fault| (f.kind, targets(scenario, &f.target).map(process).collect());
    scenario.faults.iter().map(fault).collect()
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

fn add_instance(world: &mut World, scenario: &Scenario, places: &Places, id: ComponentId, instance: u32) {
    let component = scenario.component(id);
    let calibration = scenario.calibration.components.get(id.index()).copied().unwrap_or_default();
    let latency = delay(world, calibration.latency, id.index() as u64);
    let host = places.hosts[component.host.index()] + instance as u16;
    let index = id.index() as u16;
    match &component.kind {
        ComponentKind::LoadBalancer(b) => add_balancer(world, scenario, places, (id, instance), b, latency),
        ComponentKind::Service(s) => world.services.push(Service {
            component: index,
            instance,
            host,
            workers: s.workers,
            backlog: s.backlog,
            latency,
            in_service: Gauge::default(),
            waiting: Fifo::new(),
            queue: Gauge::default(),
            share: Share::default(),
            turn: 0,
            idle: Vec::new(),
            killed: 0,
            stopped: 0,
            unplugged: 0,
            broken: 0,
            up: Gauge::default(),
            parked: Vec::new(),
        }),
        ComponentKind::KvStore(s) => {
            let policy = match s.eviction {
                Eviction::VolatileLru => {
                    Some(VolatileLru::new(s.samples, Stream::new(world.seed, EVICTION, u64::from(index))))
                }
                _ => None,
            };
            let mut contents = Contents::new(s.max_memory.map_or(u64::MAX, |b| b.get()), policy);
            let mine = |k: &&Keys| k.keyspace.store == id;
            contents.reserve(world.keys.iter().filter(mine).map(|k| k.keyspace.prefill as usize).sum());
            let (persistent, cached): (Vec<&Keys>, Vec<&Keys>) =
                world.keys.iter().filter(mine).partition(|k| k.keyspace.persistent);
            for keys in persistent.into_iter().chain(cached) {
                contents.prefill(keys, &world.draws);
            }
            // Evictions of the prefill are no part of the run.
            contents.counts = crate::kv_store::KvCounts::default();
            let expires = world.keys.iter().filter(mine).any(|k| k.keyspace.ttl.is_some());
            let expiry_timer = world.add_timer(Timer::Expiry(world.stores.len() as u32));
            if expires {
                world.events.schedule(EXPIRY_NANOS, expiry_timer);
            }
            world.stores.push(KvStore {
                component: index,
                latency,
                command: calibration.command.map_or(0, |t| t.as_nanos()),
                key: calibration.key.map_or(0, |t| t.as_nanos()),
                contents,
                running: false,
                busy: Gauge::default(),
                waiting: Fifo::new(),
                queue: Gauge::default(),
                killed: 0,
                stopped: 0,
                up: Gauge::default(),
                parked: Vec::new(),
                expiry_timer,
            });
        }
        ComponentKind::SqlStore(s) => world.databases.push(SqlStore {
            component: index,
            host,
            connections: s.connections,
            latency,
            in_service: Gauge::default(),
            waiting: Fifo::new(),
            queue: Gauge::default(),
            share: Share::default(),
            killed: 0,
            stopped: 0,
            up: Gauge::default(),
            parked: Vec::new(),
        }),
        kind => unreachable!("validation knows no {}", kind.name()),
    }
}

fn add_balancer(
    world: &mut World,
    scenario: &Scenario,
    places: &Places,
    (id, instance): (ComponentId, u32),
    b: &LoadBalancer,
    latency: Delay,
) {
    let number = world.balancers.len() as u16;
    let base = places.of(b.to);
    let servers = (0..scenario.instances(b.to) as u16)
        .map(|i| Server { service: base + i, health: Health::UP, idle: 0 })
        .collect::<Vec<_>>();
    if let Some(check) = &b.health_check {
        for server in 0..servers.len() as u16 {
            let index = world.checks.len() as u32;
            let (timer, timeout_timer) =
                (world.add_timer(Timer::Check(index)), world.add_timer(Timer::CheckTimeout(index)));
            let interval = check.interval.as_nanos();
            world.checks.push(Check {
                balancer: number,
                server,
                interval,
                timeout: check.timeout.as_nanos(),
                fall: check.fall,
                rise: check.rise,
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
    // A server timeout that starts after the client's and is no shorter never comes first.
    let first_timeout = scenario.traffic.iter().filter(|t| t.to == id).map(|t| t.timeout).max();
    let server_timeout = first_timeout
        .is_some_and(|client| client > b.server_timeout)
        .then(|| TimeoutRing::new(b.server_timeout.as_nanos()));
    let timer = world.add_timer(Timer::ServerTimeout(u32::from(number)));
    world.balancers.push(Balancer {
        component: id.index() as u16,
        instance,
        servers,
        next: 0,
        retries: b.retries,
        redispatch: b.redispatch,
        connect_timeout: b.connect_timeout.as_nanos(),
        latency,
        server_timeout: b.server_timeout.as_nanos(),
        timeouts: server_timeout,
        timer,
        killed: 0,
        broken: 0,
        up: Gauge::default(),
    });
}
