//! From the scenario's faults to what happens when, instance by instance: a deployment becomes a drain, a kill and a cold
//! while of each instance in turn.

use scenarios::Scenario;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{Breakdowns, Deploy, FaultKind, FaultTarget, Place};

use crate::network::Trouble;

const OF_HOSTS: Purpose = Purpose::named("breakdowns-of-hosts");
const OF_COMPONENTS: Purpose = Purpose::named("breakdowns-of-components");

/// All faults of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan(pub(crate) Vec<Fault>);

/// One thing that breaks for a while.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) effect: Effect,
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) instances: Vec<u16>,
    /// The machines, where these are what is hit.
    pub(crate) machines: Vec<u16>,
    /// Whether the whole machine breaks.
    pub(crate) host: bool,
    /// The ways of the network, by the numbers of their places.
    pub(crate) ways: Vec<(usize, usize)>,
    /// Whether it lasts at present.
    pub(crate) on: bool,
}

/// What a fault does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Effect {
    Kill,
    Hang,
    Unplug,
    Serve500,
    /// Work takes so many times as long.
    Slow(f64),
    /// A share of the machines' time is taken.
    Steal(f64),
    /// A share of the answers is a 500.
    ErrorRate(f64),
    /// Messages have trouble on their way.
    Way(Trouble),
    /// What a cache holds is gone.
    Flush,
    /// Writes fail.
    DiskFull,
    /// Balancers send it nothing new.
    Drain,
}

impl FaultPlan {
    /// `instances` are those that a target means, `machines` the number of the first machine of each host.
    pub(crate) fn new(
        scenario: &Scenario,
        instances: impl Fn(&FaultTarget) -> Vec<u16>,
        machines: &[u16],
    ) -> Self {
        let mut plan = Vec::new();
        for fault in &scenario.faults {
            let hit: Vec<u16> = fault.targets.iter().flat_map(&instances).collect();
            let (from, until) = (fault.from.as_nanos(), fault.until.as_nanos());
            let host = matches!(fault.targets[..], [FaultTarget::Host(..), ..]);
            let effect = match fault.kind {
                FaultKind::Kill => Effect::Kill,
                FaultKind::Hang => Effect::Hang,
                FaultKind::Unplug => Effect::Unplug,
                FaultKind::Serve500 => Effect::Serve500,
                FaultKind::Slow { times } => Effect::Slow(times),
                FaultKind::ErrorRate { share } => Effect::ErrorRate(share.get()),
                FaultKind::CpuSteal { share } => Effect::Steal(share.get()),
                FaultKind::Partition => Effect::Way(Trouble::Cut(until)),
                FaultKind::PacketDelay { added } => Effect::Way(Trouble::Delay(added)),
                FaultKind::PacketLoss { share } => Effect::Way(Trouble::Loss(share.get())),
                FaultKind::Flush => Effect::Flush,
                FaultKind::DiskFull => Effect::DiskFull,
                FaultKind::Deploy(deploy) => {
                    deployment(&mut plan, fault.started_nanos, &deploy, &hit);
                    continue;
                }
                kind => unreachable!("validation knows no {}", kind.name()),
            };
            let ways = ways(scenario, &fault.targets);
            let machine = |target: &FaultTarget| match *target {
                FaultTarget::Host(host, number) => Some(machines[host.index()] + number as u16),
                _ => None,
            };
            let machines = fault.targets.iter().filter_map(machine).collect();
            plan.push(Fault { effect, from, until, instances: hit, machines, host, ways, on: false });
        }
        breakdowns(&mut plan, scenario, instances);
        Self(plan)
    }

    /// Whether any way of the network will ever have trouble.
    pub(crate) fn troubles_ways(&self) -> bool {
        self.0.iter().any(|f| matches!(f.effect, Effect::Way(_)))
    }
}

/// What dies by chance: each machine and each instance by draws of its own.
fn breakdowns(plan: &mut Vec<Fault>, scenario: &Scenario, instances: impl Fn(&FaultTarget) -> Vec<u16>) {
    let end = scenario.run.total().as_nanos();
    let mut add = |laws: &Breakdowns, mut stream: Stream, target: FaultTarget| {
        let mut at = 0_u64;
        loop {
            let from = at.saturating_add(laws.up.sample(&mut stream).as_nanos());
            if from >= end {
                return;
            }
            // Whatever is dead is so for a moment.
            let until = from.saturating_add(laws.down.sample(&mut stream).as_nanos().max(1));
            plan.push(Fault {
                effect: Effect::Kill,
                from,
                until,
                instances: instances(&target),
                machines: Vec::new(),
                host: matches!(target, FaultTarget::Host(..)),
                ways: Vec::new(),
                on: false,
            });
            at = until;
        }
    };
    for (id, host) in scenario.host_ids().zip(&scenario.hosts) {
        let Some(laws) = &host.breakdowns else { continue };
        for number in 0..host.count {
            let stream = Stream::new(scenario.run.seed, OF_HOSTS.of(id.index() as u64), u64::from(number));
            add(laws, stream, FaultTarget::Host(id, number));
        }
    }
    for id in scenario.component_ids() {
        let Some(laws) = &scenario.component(id).breakdowns else { continue };
        for number in 0..scenario.instances(id) {
            let stream =
                Stream::new(scenario.run.seed, OF_COMPONENTS.of(id.index() as u64), u64::from(number));
            add(laws, stream, FaultTarget::Component(id, number));
        }
    }
}

/// Each instance's turn. What lies before the run is left out.
fn deployment(plan: &mut Vec<Fault>, started: i64, deploy: &Deploy, instances: &[u16]) {
    let mut add = |effect, from: i64, length: scenarios::units::SimTime, at: u16| {
        let until = from.saturating_add(length.as_nanos() as i64);
        if until > 0 && until > from {
            let (from, until) = (from.max(0) as u64, until as u64);
            let (instances, machines, ways) = (vec![at], Vec::new(), Vec::new());
            plan.push(Fault { effect, from, until, instances, machines, host: false, ways, on: false });
        }
    };
    let nanos = |time: scenarios::units::SimTime| time.as_nanos() as i64;
    for (turn, &at) in (0..).zip(instances) {
        let drain = started.saturating_add(turn * nanos(deploy.turn()));
        let down = drain.saturating_add(nanos(deploy.drain));
        if nanos(deploy.drain) > 0 {
            add(Effect::Drain, drain, deploy.drain + deploy.down, at);
        }
        add(Effect::Kill, down, deploy.down, at);
        let slow = Effect::Slow(deploy.slower);
        add(slow, down.saturating_add(nanos(deploy.down)), deploy.warm_up, at);
    }
}

/// Both directions of every way that a fault hits.
fn ways(scenario: &Scenario, targets: &[FaultTarget]) -> Vec<(usize, usize)> {
    let number = |place| match place {
        Place::Host(host) => scenarios::scenario::HostId::index(host),
        Place::Clients => scenario.hosts.len(),
    };
    let mut ways = Vec::new();
    for target in targets {
        if let FaultTarget::Way(a, b) = *target {
            let (a, b) = (number(a), number(b));
            ways.extend([(a, b), (b, a)]);
        }
    }
    ways.sort_unstable();
    ways.dedup();
    ways
}
