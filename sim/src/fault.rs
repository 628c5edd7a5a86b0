//! What breaks and what that does to the calls under way.
//!
//! A kill loses everything in the process at once and resets its connections. A stop (`hang`, `unplug`) lets clocks run
//! and work in progress end, but nothing goes on to its next step, is answered or is begun until it is over; unplugged
//! instances answer no SYN either, and what is sent to them over standing connections is lost until TCP's next repetition after the
//! cable is back, as during a partition.

mod plan;

use crate::call::{DEAD, NONE, Phase};
use crate::host::pace::Slowness;
use crate::instance::{Answer, Flow, Kind};
use crate::network::Trouble;
use crate::world::{Timer, World};

pub(crate) use plan::{Effect, FaultPlan};

impl World {
    pub(crate) fn break_(&mut self, index: u32) {
        let fault = &mut self.faults.0[index as usize];
        fault.on = true;
        let fault = fault.clone();
        self.trouble_ways(&fault.ways);
        if matches!(fault.effect, Effect::Steal(_)) {
            self.steal_from(&fault.machines);
        }
        for at in fault.instances {
            let instance = &mut self.instances[usize::from(at)];
            match fault.effect {
                Effect::Kill => {
                    instance.killed += 1;
                    instance.host_dead += u32::from(fault.host);
                    if instance.killed == 1 {
                        self.kill(at);
                    }
                }
                Effect::Hang => instance.stopped += 1,
                Effect::Unplug => {
                    let before = if instance.unplugged > 0 { instance.cable_back } else { 0 };
                    instance.cable_back = fault.until.max(before);
                    instance.stopped += 1;
                    instance.unplugged += 1;
                }
                Effect::Serve500 => instance.broken += 1,
                Effect::DiskFull => instance.disk_full += 1,
                Effect::Slow(_) | Effect::ErrorRate(_) => self.take_stock(at),
                Effect::Flush => self.flush(at),
                Effect::Drain => self.hold(at, true),
                Effect::Way(_) | Effect::Steal(_) => {}
            }
            self.note_death(at);
        }
    }

    pub(crate) fn mend(&mut self, index: u32) {
        let fault = &mut self.faults.0[index as usize];
        fault.on = false;
        let fault = fault.clone();
        self.trouble_ways(&fault.ways);
        if matches!(fault.effect, Effect::Steal(_)) {
            self.steal_from(&fault.machines);
        }
        for at in fault.instances {
            if self.mends_old_store(at, index) {
                continue;
            }
            self.revive(at);
            let instance = &mut self.instances[usize::from(at)];
            match fault.effect {
                Effect::Kill => {
                    instance.host_dead -= u32::from(fault.host);
                    self.restart_store(at);
                    self.start_process(at, 0);
                }
                Effect::Hang | Effect::Unplug => {
                    instance.stopped -= 1;
                    instance.unplugged -= u32::from(fault.effect == Effect::Unplug);
                    if instance.stopped == 0 {
                        self.resume(at);
                    }
                }
                Effect::Serve500 => instance.broken -= 1,
                Effect::DiskFull => {
                    instance.disk_full -= 1;
                    if instance.disk_full == 0 && instance.stopped == 0 {
                        self.unpark(at);
                    }
                }
                Effect::Slow(_) | Effect::ErrorRate(_) => self.take_stock(at),
                Effect::Drain => self.hold(at, false),
                Effect::Flush | Effect::Way(_) | Effect::Steal(_) => {}
            }
            self.note_life(at);
            self.drain();
        }
    }

    /// How slow an instance is and how often it fails, by the faults that last and its machine's swapping: so that nothing is left over of those that
    /// are mended.
    pub(crate) fn take_stock(&mut self, at: u16) {
        let (mut slow, mut good) = (self.swapping(at), 1.0);
        for fault in self.faults.0.iter().filter(|f| f.on && f.instances.contains(&at)) {
            match fault.effect {
                Effect::Slow(times) => slow *= times,
                Effect::ErrorRate(share) => good *= 1.0 - share,
                _ => {}
            }
        }
        let instance = &mut self.instances[usize::from(at)];
        (instance.slow, instance.error_share) = (slow, 1.0 - good);
    }

    /// Takes of machines' time what the faults that last demand.
    fn steal_from(&mut self, machines: &[u16]) {
        for &machine in machines {
            let lasting = self.faults.0.iter().filter(|f| f.on && f.machines.contains(&machine));
            let left = lasting.map(|f| if let Effect::Steal(share) = f.effect { 1.0 - share } else { 1.0 });
            let left = left.product();
            self.slow_host(machine, Slowness::Fault, left);
        }
    }

    /// Brings the network's ways into the state that the faults which last demand.
    fn trouble_ways(&mut self, ways: &[(usize, usize)]) {
        let faults = &self.faults.0;
        self.network.trouble(ways, |way| {
            let lasting = faults.iter().filter(|f| f.on && f.ways.contains(&way));
            let trouble = |effect| match effect {
                Effect::Way(trouble) => Some(trouble),
                _ => None,
            };
            lasting.filter_map(|f| trouble(f.effect)).collect::<Vec<Trouble>>()
        });
        if !ways.is_empty() {
            self.listen_to_consumers();
        }
    }

    /// What a cache holds is gone.
    fn flush(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        match instance.kind {
            Kind::Store => self.stores[usize::from(instance.index)].contents.lose_all(),
            Kind::Cdn => self.cdns[usize::from(instance.index)].flush(),
            Kind::Balancer | Kind::Service | Kind::Database | Kind::Queue | Kind::Job => {}
            Kind::Cache => self.caches[usize::from(instance.index)].contents.flush(),
        }
    }

    /// Balancers send an instance nothing new from now on, or again.
    pub(crate) fn hold(&mut self, at: u16, held: bool) {
        for from in 0..self.instances.len() as u16 {
            let instance = &self.instances[usize::from(from)];
            if instance.kind != Kind::Balancer {
                continue;
            }
            let balancer = &mut self.balancers[usize::from(instance.index)];
            let target = balancer.target;
            if !(target.base..target.base + target.count).contains(&at) {
                continue;
            }
            let server = at - target.base;
            balancer.servers.hold(server, held);
            if held {
                self.leave_server_queue(from, server);
            } else {
                self.next_in_queue(from, server);
            }
        }
    }

    /// A process that died is started again after a pause, which takes a while.
    pub(crate) fn start_process(&mut self, at: u16, pause: u64) {
        match self.restart_nanos(at).saturating_add(pause) {
            0 => self.instances[usize::from(at)].killed -= 1,
            nanos => {
                if self.instances[usize::from(at)].started == NONE {
                    self.instances[usize::from(at)].started = self.add_timer(Timer::Started(at));
                }
                self.events.schedule(self.now + nanos, self.instances[usize::from(at)].started);
            }
        }
    }

    /// Starts a process that died by itself and was left dead: the end of any fault of it does.
    fn revive(&mut self, at: u16) {
        let restarting = self.instances[usize::from(at)].restarting.as_mut();
        let was_left_dead = restarting.is_some_and(|restarting| std::mem::take(&mut restarting.left_dead));
        if !was_left_dead {
            return;
        }
        if self.instances[usize::from(at)].killed == 0 {
            // A copy has taken its place, and what starts is a copy of that.
            self.starts_old_store(at);
        } else {
            self.restart_store(at);
            self.start_process(at, 0);
        }
    }

    /// A process that was started answers from now on.
    pub(crate) fn process_started(&mut self, at: u16) {
        if self.starts_old_store(at) {
            return;
        }
        self.instances[usize::from(at)].killed -= 1;
        self.note_life(at);
    }

    /// An instance does not answer any more: whoever watches it takes notice.
    pub(crate) fn note_death(&mut self, at: u16) {
        self.instances[usize::from(at)].note_up(self.now);
        self.look_after_vip(at);
        self.look_after_store(at);
        self.look_after_replicas(at);
        self.listen_to_consumers();
        // What got ready must not be found half-way by the next kill.
        self.drain();
    }

    /// An instance answers again.
    pub(crate) fn note_life(&mut self, at: u16) {
        self.instances[usize::from(at)].note_up(self.now);
        self.look_after_vip(at);
        self.look_after_queues(at);
        self.look_after_store(at);
        self.look_after_replicas(at);
        self.listen_to_consumers();
    }

    /// Lets an instance go on after a stop.
    fn resume(&mut self, at: u16) {
        self.unpark(at);
        match self.instances[usize::from(at)].kind {
            Kind::Balancer | Kind::Cdn | Kind::Cache | Kind::Job => {}
            Kind::Service => {
                self.close_idle(at);
                while self.grant_worker(at) {}
            }
            Kind::Store => self.start_next_command(at),
            Kind::Database => while self.start_next_statement(at) {},
            Kind::Queue => self.hand_out(at),
        }
    }

    /// A process dies: what it has in hand is lost, and whoever waits for it sees the connection break.
    pub(crate) fn kill(&mut self, at: u16) {
        self.lose_connections(at);
        self.hang_up_all(at);
        self.pools.lose(at);
        let has_it = |c: &crate::call::Call| c.at == at && c.has_arrived() && !c.is(DEAD);
        let inside = self.calls.slots_where(has_it);
        let leaves = self.calls.slots_where(|c| c.leaf == at && c.phase.is_leaf());
        let inside: Vec<(u32, u32)> = inside.into_iter().map(|s| (s, self.calls[s].generation)).collect();
        let mut on_cores: Vec<u32> =
            inside.iter().map(|(s, _)| *s).filter(|&s| self.calls[s].phase == Phase::Work).collect();
        let on_core = |s: &u32| matches!(self.calls[*s].phase, Phase::Statement | Phase::LentWork);
        on_cores.extend(leaves.iter().copied().filter(on_core));
        self.leave_cores(&on_cores);
        let instance = &mut self.instances[usize::from(at)];
        instance.parked.clear();
        instance.arriving.set(self.now, 0);
        // What it did for others in their own slots is lost with it.
        for slot in &leaves {
            if matches!(self.calls[*slot].phase, Phase::LentWork | Phase::LentDone) {
                instance.border.leave(self.now, false);
            }
        }
        instance.lives += 1;
        let (kind, index) = (instance.kind, instance.index);
        match kind {
            Kind::Balancer => self.balancer_lose(at),
            // What is kept at the edges outlives a process.
            Kind::Cdn => {}
            Kind::Cache => {
                self.forget_checks(at);
                self.cache_lose(index);
            }
            Kind::Service => {
                self.guards.lose(at);
                self.service_lose(index);
            }
            Kind::Store => {
                self.instances[usize::from(at)].border.lose(self.now);
                self.store_lose(index);
            }
            Kind::Database => {
                self.instances[usize::from(at)].border.lose(self.now);
                self.database_lose(index);
            }
            Kind::Queue => self.queue_lose(index),
            Kind::Job => self.job_lose(index),
        }
        // What it asked of others, these do to the end, unless they have not heard of it yet.
        for slot in self.calls.slots_where(|c| c.from == at) {
            self.leave(slot);
        }
        self.forget_lost_messages();
        for (slot, generation) in inside {
            if self.calls[slot].generation != generation {
                // The answer to another one of them ended it.
            } else if self.calls[slot].phase.is_leaf() {
                self.die(slot);
            } else {
                self.answer(slot, Answer::Reset);
            }
        }
        for slot in leaves {
            self.calls[slot].awaits = crate::event::Token::NONE;
            self.leaf_done(slot, Flow::Failed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use crate::Simulation;
    use crate::world::Timer;

    #[test]
    fn a_process_has_one_timer_however_often_it_starts() {
        let text = r#"
title = "A store that dies often"
[run]
duration = "20s"
[hosts.app]
breakdowns = { up = "2s", down = "1s" }
[hosts.data]
[components.shop]
kind = "service"
host = "app"
workers = 4
[components.objects]
kind = "kv-store"
host = "data"
restart = "200ms"
breakdowns = { up = "500ms", down = "500ms" }
[keyspaces.items]
in = "objects"
keys = 10
value = "1kB"
[requests.page]
path = "/"
[[requests.page.steps]]
get = { keyspace = "items" }
[traffic.users]
to = "shop"
mix = { page = 1 }
executor = "constant-arrival-rate"
rate = "10/s"
"#;
        let scenario = scenarios::Scenario::parse("page.toml", text).expect("the scenario is good");
        let mut simulation = Simulation::new(&scenario).expect("the simulator takes it");
        simulation.run(&mut |_| {}, &AtomicBool::new(false));
        let started = simulation.world.timers.iter().filter(|timer| matches!(timer, Timer::Started(_)));
        assert_eq!(started.count(), 1);
        let store = simulation.world.instances.iter().find(|instance| instance.restart > 0);
        assert!(store.is_some_and(|store| store.lives > 5), "{store:?}");
    }
}
