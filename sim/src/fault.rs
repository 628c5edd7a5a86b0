//! What breaks and what that does to the calls under way.
//!
//! A kill loses everything in the process at once and resets its connections. A stop (`hang`, `unplug`) lets clocks run
//! and work in progress end, but nothing goes on to its next step, is answered or is begun until it is over; unplugged
//! instances answer no SYN either. After an unplugged cable is back, lost segments are taken to arrive at once.

use scenarios::scenario::FaultKind;

use crate::call::{DEAD, Phase};
use crate::instance::{Answer, Flow, Kind};
use crate::world::World;

/// All faults of the run.
#[derive(Clone, Debug, Default)]
pub(crate) struct FaultPlan(pub(crate) Vec<Fault>);

/// What breaks, how, and whether the whole machine does.
#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) instances: Vec<u16>,
    pub(crate) host: bool,
}

impl World {
    pub(crate) fn break_(&mut self, fault: u32) {
        let Fault { kind, instances, host } = self.faults.0[fault as usize].clone();
        for at in instances {
            let instance = &mut self.instances[usize::from(at)];
            match kind {
                FaultKind::Kill => {
                    instance.killed += 1;
                    instance.host_dead += u32::from(host);
                    if instance.killed == 1 {
                        self.kill(at);
                    }
                }
                FaultKind::Serve500 => instance.broken += 1,
                FaultKind::Unplug => {
                    instance.stopped += 1;
                    instance.unplugged += 1;
                }
                _ => instance.stopped += 1,
            }
            self.instances[usize::from(at)].note_up(self.now);
            self.look_after_vip(at);
            // What got ready must not be found half-way by the next kill.
            self.drain();
        }
    }

    pub(crate) fn mend(&mut self, fault: u32) {
        let Fault { kind, instances, host } = self.faults.0[fault as usize].clone();
        for at in instances {
            let instance = &mut self.instances[usize::from(at)];
            match kind {
                FaultKind::Kill => {
                    instance.killed -= 1;
                    instance.host_dead -= u32::from(host);
                }
                FaultKind::Serve500 => instance.broken -= 1,
                _ => {
                    instance.stopped -= 1;
                    instance.unplugged -= u32::from(kind == FaultKind::Unplug);
                    if instance.stopped == 0 {
                        self.resume(at);
                    }
                }
            }
            self.instances[usize::from(at)].note_up(self.now);
            self.look_after_vip(at);
            self.drain();
        }
    }

    /// Lets an instance go on after a stop.
    fn resume(&mut self, at: u16) {
        self.unpark(at);
        match self.instances[usize::from(at)].kind {
            Kind::Balancer => {}
            Kind::Service => while self.grant_worker(at) {},
            Kind::Store => self.start_next_command(at),
            Kind::Database => while self.start_next_statement(at) {},
        }
    }

    /// A process dies: what it has in hand is lost, and whoever waits for it sees the connection break.
    fn kill(&mut self, at: u16) {
        self.lose_connections(at);
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
        let (kind, index) = (instance.kind, instance.index);
        match kind {
            Kind::Balancer => self.balancer_lose(at),
            Kind::Service => {
                self.guards.lose(at);
                self.service_lose(index);
            }
            Kind::Store => self.store_lose(index),
            Kind::Database => self.database_lose(index),
        }
        // What it asked of others, these do to the end, unless they have not heard of it yet.
        for slot in self.calls.slots_where(|c| c.from == at) {
            self.leave(slot);
        }
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
            self.leaf_done(slot, Flow::Failed);
        }
    }
}
