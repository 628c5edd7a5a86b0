//! The way to an instance and back: connections as TCP opens them, pools of idle ones, answers.
//!
//! A dead process refuses, an unplugged one or a full backlog is silence, and Linux sends the SYN again. Owns what all
//! callers share; what a caller makes of a failure is its own, what the network makes of a message stands in `way`.

mod way;

use crate::call::{CHECK, CLIENT, CONNECT_ONLY, Call, DEAD, HOLDS_ROW, NOBODY, NONE, Phase, REUSED};
use crate::instance::{Answer, Back, Continuation, Flow, Kind, Parked};
use crate::world::{Delay, World};

/// How long Linux waits for the answer to the first SYN.
const SYN_NANOS: u64 = 1_000_000_000;
/// How often Linux sends a SYN again at that pace, before it doubles the wait each time (`tcp_syn_linear_timeouts`,
/// since Linux 6.5; before, the tries were 1, 3 and 7 s after the first instead of 1, 2, 3, 4, 5 and 7).
const SYN_LINEAR: u8 = 4;
/// How often Linux sends a SYN again before it gives up (`tcp_syn_retries` on top of `tcp_syn_linear_timeouts`).
pub(crate) const SYN_RETRIES: u8 = 10;

/// How long Linux waits after the n-th try, counted from zero.
fn syn_wait(tries: u8) -> u64 {
    SYN_NANOS << tries.saturating_sub(SYN_LINEAR).min(30)
}

/// The instances that a caller can turn to, and where its idle connections to them are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    /// The first instance.
    pub(crate) base: u16,
    /// How many there are.
    pub(crate) count: u16,
    /// The first instance that may be a caller.
    callers: u16,
    /// The pools to this target, by caller and instance.
    pools: u32,
}

impl Target {
    /// The pool of a caller's idle connections to an instance.
    #[inline]
    pub(crate) fn pool(self, caller: u16, instance: u16) -> u32 {
        self.pools
            + u32::from(caller - self.callers) * u32::from(self.count)
            + u32::from(instance - self.base)
    }
}

/// Idle connections by pair of instances that may talk to each other.
#[derive(Debug, Default)]
pub(crate) struct Pools {
    idle: Vec<u32>,
    /// First pool, callers, instances, and the first of each, for every pair of components.
    edges: Vec<Edge>,
}

#[derive(Clone, Copy, Debug)]
struct Edge {
    first: u32,
    callers: (u16, u16),
    instances: (u16, u16),
}

impl Pools {
    /// Makes room for the connections of `callers` (first and count) to the instances of a target.
    pub(crate) fn add(&mut self, callers: (u16, u16), instances: (u16, u16)) -> Target {
        let known = self.edges.iter().find(|e| e.callers == callers && e.instances == instances);
        let first = known.map_or(self.idle.len() as u32, |edge| edge.first);
        if known.is_none() {
            self.edges.push(Edge { first, callers, instances });
            let pairs = usize::from(callers.1) * usize::from(instances.1);
            self.idle.resize(self.idle.len() + pairs, 0);
        }
        Target { base: instances.0, count: instances.1, callers: callers.0, pools: first }
    }

    /// An idle connection, if there is one.
    #[inline]
    pub(crate) fn take(&mut self, pool: u32) -> bool {
        match self.idle.get_mut(pool as usize) {
            Some(idle) if *idle > 0 => {
                *idle -= 1;
                true
            }
            _ => false,
        }
    }

    /// Keeps an answered call's connection, unless so many are idle already; whether it did.
    #[inline]
    pub(crate) fn give_back_up_to(&mut self, pool: u32, most: u32) -> bool {
        let kept = self.idle.get_mut(pool as usize).filter(|idle| **idle < most);
        kept.map(|idle| *idle += 1).is_some()
    }

    #[inline]
    pub(crate) fn give_back(&mut self, pool: u32) {
        if let Some(idle) = self.idle.get_mut(pool as usize) {
            *idle += 1;
        }
    }

    /// How many connections of a pool are idle.
    pub(crate) fn idle(&self, pool: u32) -> u32 {
        self.idle.get(pool as usize).copied().unwrap_or_default()
    }

    /// So many are idle now.
    pub(crate) fn set_idle(&mut self, pool: u32, count: u32) {
        if let Some(idle) = self.idle.get_mut(pool as usize) {
            *idle = count;
        }
    }

    /// Closes the idle connections of a pool.
    pub(crate) fn close(&mut self, pool: u32) {
        if let Some(idle) = self.idle.get_mut(pool as usize) {
            *idle = 0;
        }
    }

    /// An instance died: all connections from it and to it are gone.
    pub(crate) fn lose(&mut self, instance: u16) {
        for edge in &self.edges {
            let (width, first) = (usize::from(edge.instances.1), edge.first as usize);
            if (edge.callers.0..edge.callers.0 + edge.callers.1).contains(&instance) {
                let row = first + usize::from(instance - edge.callers.0) * width;
                self.idle[row..row + width].fill(0);
            }
        }
        self.lose_to(instance);
    }

    /// All connections to an instance are gone.
    pub(crate) fn lose_to(&mut self, instance: u16) {
        for edge in &self.edges {
            let (width, first) = (usize::from(edge.instances.1), edge.first as usize);
            if (edge.instances.0..edge.instances.0 + edge.instances.1).contains(&instance) {
                let column = first + usize::from(instance - edge.instances.0);
                (0..usize::from(edge.callers.1)).for_each(|caller| self.idle[column + caller * width] = 0);
            }
        }
    }

    /// The caller and the instance that a pool's connections join.
    pub(crate) fn ends(&self, pool: u32) -> Option<(u16, u16)> {
        let of = |edge: &&Edge| {
            let pairs = u32::from(edge.callers.1) * u32::from(edge.instances.1);
            (edge.first..edge.first + pairs).contains(&pool)
        };
        let edge = self.edges.iter().find(of)?;
        let place = pool - edge.first;
        let width = u32::from(edge.instances.1);
        Some((edge.callers.0 + (place / width) as u16, edge.instances.0 + (place % width) as u16))
    }
}

impl World {
    /// Whether an instance's kernel completes a new connection: there is room in the backlog, and the cable is in.
    #[inline]
    pub(crate) fn accepts(&self, at: u16) -> bool {
        let instance = &self.instances[usize::from(at)];
        instance.unplugged == 0
            && match instance.kind {
                Kind::Service => self.services[usize::from(instance.index)].has_room(),
                _ => true,
            }
    }

    /// Whose turn it is among the instances of a target, and next: whoever an autoscaler has take nothing new is passed over.
    #[inline]
    pub(crate) fn in_turn(&self, target: Target, turn: u16) -> (u16, u16) {
        let mut number = turn % target.count;
        for _ in 1..target.count {
            if !self.instances[usize::from(target.base + number)].absent {
                break;
            }
            number = (number + 1) % target.count;
        }
        let next = if number + 1 == target.count { 0 } else { number + 1 };
        (target.base + number, next)
    }

    /// Has a call ask an instance of a target for the steps `steps`, over an idle connection or a new one for which it
    /// waits until `deadline`. Nothing happens where there is no room for another call: the caller's request is then as
    /// good as refused.
    #[inline]
    pub(crate) fn call(&mut self, parent: u32, target: Target, at: u16, steps: (u16, u16), deadline: u64) {
        let caller = &self.calls[parent];
        let from = caller.at;
        let mut call = Call::new(caller.id, caller.class, parent, self.now);
        (call.root, call.traffic, call.tries) = (caller.root, caller.traffic, caller.tries);
        call.from = from;
        call.at = at;
        call.pool = target.pool(from, at);
        (call.step, call.end) = steps;
        call.work = deadline;
        call.phase = Phase::Connecting;
        self.calls[parent].phase = Phase::Calling;
        match self.calls.insert(call) {
            Some(slot) => {
                self.follow_child(slot, parent);
                self.get_connection(slot);
            }
            None => {
                let mut back = Back::new(&call, NONE, Answer::Refused);
                back.pool = NONE;
                self.answered(parent, back);
            }
        }
    }

    /// Gets a connection for a call: from the pool, or by a SYN.
    #[inline(never)]
    pub(crate) fn connect(&mut self, slot: u32) {
        self.get_connection(slot);
    }

    /// The same as a part of its caller, where that is on the way of every request.
    #[inline(always)]
    fn get_connection(&mut self, slot: u32) {
        if self.network.active {
            return self.connect_by_way(slot);
        }
        let call = &self.calls[slot];
        let (at, pool) = (call.at, call.pool);
        if self.instances[usize::from(at)].killed > 0 {
            return self.answer(slot, Answer::Refused);
        }
        let was_idle = self.pools.take(pool);
        if was_idle && self.any_holding {
            self.calls[slot].flags |= REUSED;
        }
        if was_idle || self.accepts(at) { self.connected(slot) } else { self.wait_for_syn(slot) }
    }

    /// Sends a SYN that nobody answers.
    pub(crate) fn wait_for_syn(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        call.syns = 1;
        let deadline = call.work;
        self.wait_until(slot, deadline.min(self.now + SYN_NANOS), Phase::Connecting);
    }

    /// The SYN is sent again, or the connection has timed out.
    pub(crate) fn try_syn_again(&mut self, slot: u32) {
        let gets_through = !self.network.active || self.syn_gets_through(slot);
        let call = &mut self.calls[slot];
        if gets_through && self.instances[usize::from(call.at)].killed > 0 {
            return self.answer(slot, Answer::Refused);
        }
        if self.now >= call.work || call.syns > SYN_RETRIES {
            return self.answer(slot, Answer::Unreachable);
        }
        let (deadline, wait) = (call.work, syn_wait(call.syns));
        call.syns += 1;
        let at = call.at;
        if gets_through && self.accepts(at) {
            return self.open(slot);
        }
        self.wait_until(slot, deadline.min(self.now + wait), Phase::Connecting);
    }

    /// The connection stands: the call goes on its way.
    #[inline(always)]
    pub(crate) fn connected(&mut self, slot: u32) {
        let call = &self.calls[slot];
        let (from, at) = (call.from, call.at);
        if call.is(CONNECT_ONLY) {
            return self.answer(slot, Answer::Good);
        }
        if call.parent < NOBODY {
            let caller = &self.instances[usize::from(from)];
            match caller.kind {
                Kind::Balancer => self.start_server_timeout(caller.index, slot),
                Kind::Cache => {
                    let cache = caller.index;
                    self.start_fetch_timeout(cache, slot);
                    let fetch = self.caches[usize::from(cache)].fetch;
                    if !matches!(fetch, Delay::None) {
                        return self.go_for_cache(slot, fetch);
                    }
                }
                _ => {}
            }
        }
        let at = usize::from(at);
        if self.is_at_once(&self.instances[at].latency)
            || !self.delay(slot, self.instances[at].latency, Phase::InTransit)
        {
            self.arrive(slot);
        }
    }

    /// A call is there.
    #[inline]
    pub(crate) fn arrive(&mut self, slot: u32) {
        let at = self.calls[slot].at;
        if self.instances[usize::from(at)].unplugged > 0 && self.is_lost(slot) {
            return;
        }
        let call = &mut self.calls[slot];
        let instance = &mut self.instances[usize::from(at)];
        if instance.killed > 0 {
            return self.answer(slot, Answer::Reset);
        }
        call.cross(instance, self.now);
        if instance.stopped > 0 && instance.kind != Kind::Service {
            instance.arriving.up(self.now);
            return self.park(slot, Continuation::Arrive);
        }
        let kind = instance.kind;
        if instance.error_share > 0.0 && instance.stopped == 0 && self.fails_for_no_reason(slot) {
            return self.answer(slot, Answer::Error);
        }
        match kind {
            Kind::Balancer => self.balancer_arrive(slot),
            Kind::Cache => self.cache_arrive(slot),
            Kind::Service => self.service_arrive(at, slot),
            Kind::Cdn => self.cdn_arrive(slot),
            Kind::Queue => self.queue_arrive(slot),
            Kind::Store | Kind::Database | Kind::Job => {
                unreachable!("stores are sent commands and statements, not calls, and jobs nothing")
            }
        }
    }

    /// A call gets what it waited for at its instance.
    #[inline]
    pub(crate) fn begin(&mut self, slot: u32) {
        match self.instances[usize::from(self.calls[slot].at)].kind {
            Kind::Balancer => self.balancer_ready(slot),
            Kind::Cache => self.cache_ready(slot),
            Kind::Service => self.service_ready(slot),
            Kind::Cdn => unreachable!("nothing waits for room at an edge"),
            Kind::Queue => self.queue_ready(slot),
            Kind::Store | Kind::Database => unreachable!("stores have no calls of their own"),
            Kind::Job => unreachable!("jobs wait for no room"),
        }
    }

    /// Ends a call: whoever waits for it hears the answer.
    #[inline]
    pub(crate) fn answer(&mut self, slot: u32, answer: Answer) {
        self.cross_back(slot, answer == Answer::Good);
        if self.network.active && self.sends_back(slot, answer) {
            return;
        }
        let call = &self.calls[slot];
        match call.parent {
            CLIENT => self.settle(slot, answer.into()),
            CHECK => self.check_answered(slot, answer == Answer::Good),
            NOBODY => {}
            parent => {
                let caller = self.instances.get(usize::from(call.from));
                if caller.is_some_and(|caller| caller.unplugged > 0) && self.is_answer_lost(slot, answer) {
                    return;
                }
                let back = Back::new(&self.calls[slot], slot, answer);
                self.forget(slot);
                return self.answered(parent, back);
            }
        }
        self.forget(slot);
    }

    /// The instance of a call died while a store has its command or statement: its caller sees the connection break, and
    /// the store frees the slot.
    pub(crate) fn die(&mut self, slot: u32) {
        self.cross_back(slot, false);
        self.calls[slot].flags |= DEAD;
        self.break_off(slot);
    }

    /// The connection of a call breaks: its caller sees that, and nobody waits for the answer.
    pub(crate) fn break_off(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        let back = Back::new(call, slot, Answer::Reset);
        match std::mem::replace(&mut call.parent, NOBODY) {
            CLIENT => self.settle(slot, back.answer.into()),
            CHECK => self.check_answered(slot, false),
            NOBODY => {}
            parent => self.answered(parent, back),
        }
    }

    /// A call that a call made has come back.
    #[inline]
    pub(crate) fn answered(&mut self, parent: u32, mut back: Back) {
        let caller = &self.calls[parent];
        let instance = &self.instances[usize::from(caller.at)];
        if instance.stopped > 0 {
            back.step = caller.step;
            return self.park(parent, Continuation::Answered(back));
        }
        match instance.kind {
            Kind::Balancer => self.balancer_answered(parent, back),
            Kind::Cache => self.cache_answered(parent, back),
            Kind::Service => self.service_answered(parent, back),
            Kind::Cdn => self.cdn_answered(parent, back),
            Kind::Queue => self.queue_answered(parent, back),
            Kind::Store | Kind::Database | Kind::Job => unreachable!("stores and jobs make no calls"),
        }
    }

    /// The time, or the processor time, that a call's instance waited for is over.
    #[inline(always)]
    pub(crate) fn wake(&mut self, slot: u32) {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        if instance.stopped > 0 {
            return self.park(slot, Continuation::Wake);
        }
        match instance.kind {
            Kind::Balancer => self.balancer_wake(slot),
            Kind::Cache => self.cache_wake(slot),
            Kind::Service => self.service_wake(slot),
            Kind::Cdn => self.cdn_wake(slot),
            Kind::Job => self.job_wake(slot),
            Kind::Store | Kind::Database => unreachable!("stores have no calls of their own"),
            Kind::Queue => unreachable!("messages wait for no event"),
        }
    }

    /// A command or a statement that a call sent is done.
    #[inline]
    pub(crate) fn leaf_done(&mut self, slot: u32, flow: Flow) {
        if flow == Flow::Suspended {
            return;
        }
        let call = &self.calls[slot];
        if call.is(DEAD) {
            return self.forget(slot);
        }
        if self.network.active && self.leaf_sends_back(slot, flow) {
            return;
        }
        let caller = &self.instances[usize::from(self.calls[slot].at)];
        if caller.stopped > 0 {
            if caller.unplugged > 0 && self.is_result_lost(slot, flow) {
                return;
            }
            return self.park(slot, Continuation::LeafDone(flow));
        }
        self.service_leaf_done(slot, flow);
    }

    /// Keeps for later what happened to a call whose instance is stopped.
    #[cold]
    pub(crate) fn park(&mut self, slot: u32, what: Continuation) {
        let call = &mut self.calls[slot];
        call.phase = Phase::Parked;
        let generation = call.generation;
        self.instances[usize::from(call.at)].parked.push(Parked { slot, generation, what });
    }

    /// A stopped instance goes on, and with it what was parked.
    pub(crate) fn unpark(&mut self, at: u16) {
        for Parked { slot, generation, what } in std::mem::take(&mut self.instances[usize::from(at)].parked) {
            let gone = self.calls[slot].generation != generation;
            if let Continuation::Answered(back) = what
                && (gone || self.calls[slot].step != back.step)
            {
                // Another attempt was answered before this one.
                self.answered_late(at, back);
                continue;
            }
            if gone {
                continue;
            }
            match what {
                Continuation::Arrive => {
                    self.instances[usize::from(at)].arriving.down(self.now);
                    self.arrive(slot);
                }
                Continuation::Wake => self.wake(slot),
                Continuation::Answered(back) => self.answered(slot, back),
                Continuation::LeafDone(flow) => self.leaf_done(slot, flow),
                Continuation::StoreDone => self.command_done(slot),
                Continuation::StatementDone(flow) => self.statement_ends(slot, flow),
                Continuation::LentDone => self.lent_work_done(slot),
            }
            self.drain();
        }
    }

    /// Whoever made a call has left. An instance notices nothing until it answers; what has not got through to it goes no
    /// further.
    pub(crate) fn leave(&mut self, slot: u32) {
        if self.calls[slot].has_arrived() {
            self.calls[slot].parent = NOBODY;
        } else {
            self.forget(slot);
        }
    }

    /// Frees the slot and what hangs on it.
    #[inline(always)]
    pub(crate) fn forget(&mut self, slot: u32) {
        self.guards.forget(slot);
        if self.calls[slot].is(HOLDS_ROW) {
            self.give_row_back(slot);
        }
        let missed = self.calls[slot].missed;
        if missed != NONE {
            self.missed.give_back(missed);
        }
        self.calls.remove(slot);
    }
}
