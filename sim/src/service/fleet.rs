//! Instances of a service that come and go as its autoscaler says.
//!
//! An instance that is not there refuses connections and is up for nobody; balancers, caches and services in whose turn it
//! would be pass it over. Of those that are to go, the ones that boot go first, then those that were ready for the
//! shortest time (`ActivePodsWithRanks` in kubernetes' `pkg/controller/controller_utils.go`). One that goes is sent nothing
//! new and ends what it has in hand, at most for `drain` (a pod's `terminationGracePeriodSeconds`); the end of it is
//! noticed within a second, which is how often a kubelet looks. Machines that drain are not started anew meanwhile.

use std::collections::{BTreeSet, VecDeque};

use scenarios::Scenario;
use scenarios::scenario::{ComponentKind, ScaleMetric};

use super::autoscale::Autoscaler;
use crate::call::{CHECK, Phase};
use crate::gauge::Gauge;
use crate::world::{Timer, World};

/// How often one looks whether an instance that drains is idle.
const LOOK_NANOS: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// There is no such process.
    Off,
    /// It was ordered, and starts.
    Booting,
    /// It serves.
    Serving,
    /// It ends what it has.
    Draining,
}

/// One place for an instance.
#[derive(Clone, Debug)]
struct Member {
    state: State,
    /// When it came into that state.
    since: u64,
    /// The instances of all components on its machine, whose work counts as its own.
    neighbours: Vec<u16>,
    /// What it was busy since the last decision and before the gauges were last read; less what it was before that
    /// decision. In nanoseconds of one core, or of one worker.
    busy_before: f64,
}

/// All places of one component, and who decides how many are taken.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    scaler: Autoscaler,
    metric: ScaleMetric,
    target: f64,
    drain: u64,
    base: u16,
    members: Vec<Member>,
    /// Those that boot, and since when, the earliest first.
    booting: VecDeque<(u16, u64)>,
    decided_at: u64,
    decision: u32,
    ready: u32,
    look: u32,
    /// Whether somebody will look at those that drain.
    looking: bool,
    /// Places taken: what is paid for.
    pub(crate) present: Gauge,
}

impl Fleet {
    pub(crate) fn component_instance(&self) -> u16 {
        self.base
    }

    fn in_state(&self, state: State) -> impl Iterator<Item = usize> {
        self.members.iter().enumerate().filter(move |(_, m)| m.state == state).map(|(number, _)| number)
    }

    /// Who is to go next.
    fn least_needed(&self) -> Option<usize> {
        let latest = |state| self.in_state(state).max_by_key(|number| (self.members[*number].since, *number));
        latest(State::Booting).or_else(|| latest(State::Serving))
    }

    #[cfg(test)]
    pub(crate) fn is_off(&self, at: u16) -> bool {
        let number = at.checked_sub(self.base).map(usize::from);
        number
            .and_then(|number| self.members.get(number))
            .is_some_and(|m| matches!(m.state, State::Off | State::Booting))
    }
}

impl World {
    /// Takes the first instances of autoscaled components into service, and starts to look after them.
    pub(crate) fn start_fleets(&mut self, scenario: &Scenario) {
        for id in scenario.component_ids() {
            let ComponentKind::Service(service) = &scenario.component(id).kind else { continue };
            let Some(rules) = &service.autoscale else { continue };
            let own = |instance: &crate::instance::Instance| usize::from(instance.component) == id.index();
            let base = self.instances.iter().position(own).expect("a component has instances") as u16;
            let members = (0..scenario.instances(id) as u16).map(|number| {
                let host = self.instances[usize::from(base + number)].host;
                let all = (0..self.instances.len() as u16)
                    .filter(|at| self.instances[usize::from(*at)].host == host);
                let state = if u32::from(number) < rules.least { State::Serving } else { State::Off };
                Member { state, since: 0, neighbours: all.collect(), busy_before: 0.0 }
            });
            let members: Vec<Member> = members.collect();
            let index = self.fleets.len() as u32;
            let mut present = Gauge::default();
            present.set(0, rules.least);
            let scaler = Autoscaler::new(rules);
            let first = scaler.interval_nanos();
            let fleet = Fleet {
                scaler,
                metric: rules.metric,
                target: rules.target.get(),
                drain: rules.drain.as_nanos(),
                base,
                members,
                booting: VecDeque::new(),
                decided_at: 0,
                decision: self.add_timer(Timer::Scale(index)),
                ready: self.add_timer(Timer::ScaleReady(index)),
                look: self.add_timer(Timer::ScaleDrain(index)),
                looking: false,
                present,
            };
            self.events.schedule(first, fleet.decision);
            let off: Vec<u16> = fleet.in_state(State::Off).map(|number| base + number as u16).collect();
            self.fleets.push(fleet);
            for at in off {
                let instance = &mut self.instances[usize::from(at)];
                (instance.absent, instance.killed) = (true, 1);
                instance.note_up(0);
                self.hold(at, true);
            }
        }
    }

    /// For how long an instance's cores or workers were busy since its gauges were last read, in nanoseconds of one of
    /// them.
    fn busy_nanos(&mut self, fleet: usize, number: usize) -> f64 {
        let now = self.now;
        let Fleet { metric, base, members, .. } = &self.fleets[fleet];
        match metric {
            ScaleMetric::Workers => {
                let index = self.instances[usize::from(*base) + number].index;
                let service = &self.services[usize::from(index)];
                let held = service.holding.as_ref().map_or(0.0, |holding| holding.workers.area_nanos(now));
                service.in_service.area_nanos(now) + held
            }
            _ => {
                let neighbours = members[number].neighbours.clone();
                neighbours.into_iter().map(|at| self.busy_nanos_of(at)).sum()
            }
        }
    }

    /// How many cores an instance has, or how many workers it can have: a process manager may have none ready just now.
    fn capacity(&self, fleet: usize, number: usize) -> f64 {
        let Fleet { metric, base, .. } = &self.fleets[fleet];
        let instance = &self.instances[usize::from(*base) + number];
        f64::from(match metric {
            ScaleMetric::Workers => {
                let service = &self.services[usize::from(instance.index)];
                service.managed.as_ref().map_or(service.workers, |workers| workers.most())
            }
            _ => self.cores[usize::from(instance.host)].total,
        })
    }

    /// The gauges are about to be read, and with it begin anew: keeps what they say.
    pub(crate) fn keep_busy_times(&mut self) {
        for fleet in 0..self.fleets.len() {
            for number in 0..self.fleets[fleet].members.len() {
                let busy = self.busy_nanos(fleet, number);
                self.fleets[fleet].members[number].busy_before += busy;
            }
        }
    }

    /// An interval of an autoscaler is over.
    pub(crate) fn scale(&mut self, index: u32) {
        let (now, fleet) = (self.now, index as usize);
        let since = self.fleets[fleet].decided_at;
        let (mut utilisation, mut serving, mut unknown) = (0.0, 0, 0);
        for number in 0..self.fleets[fleet].members.len() {
            let (busy, capacity) = (self.busy_nanos(fleet, number), self.capacity(fleet, number));
            let dead = self.instances[usize::from(self.fleets[fleet].base) + number].killed > 0;
            let member = &mut self.fleets[fleet].members[number];
            let used = (member.busy_before + busy).max(0.0);
            member.busy_before = -busy;
            match member.state {
                State::Serving if member.since <= since && !dead => {
                    serving += 1;
                    utilisation += used / (capacity * (now - since) as f64);
                }
                // What it would use is not known: it is not there for all of the interval.
                State::Serving | State::Booting => unknown += 1,
                State::Off | State::Draining => {}
            }
        }
        let scaled = &mut self.fleets[fleet];
        let mean = if serving > 0 { utilisation / f64::from(serving) } else { scaled.target };
        let present = serving + unknown;
        let wanted = scaled.scaler.decide(now, serving, unknown, mean);
        scaled.decided_at = now;
        self.events.schedule(now + scaled.scaler.interval_nanos(), scaled.decision);
        for _ in present..wanted {
            let Some(number) = self.fleets[fleet].in_state(State::Off).next() else { break };
            self.order_instance(index, number);
        }
        for _ in wanted..present {
            let Some(number) = self.fleets[fleet].least_needed() else { break };
            self.dismiss_instance(index, number);
        }
    }

    /// A new instance is ordered.
    fn order_instance(&mut self, index: u32, number: usize) {
        let now = self.now;
        let fleet = &mut self.fleets[index as usize];
        (fleet.members[number].state, fleet.members[number].since) = (State::Booting, now);
        fleet.present.up(now);
        fleet.booting.push_back((number as u16, now));
        self.events.schedule(now + fleet.scaler.boot_nanos(), fleet.ready);
    }

    /// The instance that has booted for the longest is ready, unless it was given up meanwhile.
    pub(crate) fn instance_booted(&mut self, index: u32) {
        let now = self.now;
        let fleet = &mut self.fleets[index as usize];
        let Some((number, since)) = fleet.booting.pop_front() else { return };
        let member = &mut fleet.members[usize::from(number)];
        if member.state != State::Booting || member.since != since {
            return;
        }
        (member.state, member.since) = (State::Serving, now);
        let at = fleet.base + number;
        let instance = &mut self.instances[usize::from(at)];
        instance.absent = false;
        instance.killed -= 1;
        self.hold(at, false);
        self.note_life(at);
    }

    /// An instance is needed no more.
    fn dismiss_instance(&mut self, index: u32, number: usize) {
        let now = self.now;
        let fleet = &mut self.fleets[index as usize];
        let at = fleet.base + number as u16;
        let member = &mut fleet.members[number];
        let booting = member.state == State::Booting;
        (member.state, member.since) = (if booting { State::Off } else { State::Draining }, now);
        if booting {
            return fleet.present.down(now);
        }
        if !std::mem::replace(&mut fleet.looking, true) {
            self.events.schedule(now + LOOK_NANOS.min(fleet.drain), fleet.look);
        }
        self.instances[usize::from(at)].absent = true;
        self.hold(at, true);
    }

    /// Ends the instances that have nothing left to do, or have been given all the time that they get.
    pub(crate) fn look_at_draining(&mut self, index: u32) {
        let now = self.now;
        let mut busy = BTreeSet::new();
        for (_, call) in self.calls.iter().filter(|(_, call)| call.parent != CHECK) {
            busy.insert(call.at);
            if matches!(call.phase, Phase::LentWork | Phase::LentDone) {
                busy.insert(call.leaf);
            }
        }
        let fleet = &self.fleets[index as usize];
        let (base, drain) = (fleet.base, fleet.drain);
        let over = |number: &usize| {
            now >= fleet.members[*number].since + drain || !busy.contains(&(base + *number as u16))
        };
        for number in fleet.in_state(State::Draining).filter(over).collect::<Vec<usize>>() {
            let fleet = &mut self.fleets[index as usize];
            (fleet.members[number].state, fleet.members[number].since) = (State::Off, now);
            fleet.present.down(now);
            let at = base + number as u16;
            let instance = &mut self.instances[usize::from(at)];
            instance.machines += 1;
            instance.killed += 1;
            if instance.killed == 1 {
                self.kill(at);
            }
            self.note_death(at);
        }
        let fleet = &mut self.fleets[index as usize];
        let left = fleet.in_state(State::Draining).map(|number| fleet.members[number].since + drain).min();
        fleet.looking = left.is_some();
        if let Some(deadline) = left {
            self.events.schedule(deadline.min(now + LOOK_NANOS), fleet.look);
        }
    }
}
