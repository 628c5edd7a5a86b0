//! Calls under a policy: timeouts, retries, budgets, breakers, hedges, limits on calls at once.
//!
//! The rules themselves stand in `policy`. Here a service keeps an account for each thing that it calls under a policy,
//! makes attempts, and hears what became of them. From the outside in: retries, the breaker, the timeout, the bulkhead,
//! the pool of connections (resilience4j's order); the timeout therefore covers the wait for a connection. What breaker,
//! bulkhead or pool refuse is not retried: the policy has spoken.
//!
//! An attempt is a call of its own, made for the call that is at the guarded step. An attempt that has timed out, or lost
//! against another, is left: its server works to the end and nobody hears the answer, its connection is closed.

use std::collections::{BTreeMap, VecDeque};

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Policy;

use crate::call::{BRANCH, Call, IN_BULKHEAD, IN_POOL, NOBODY, NONE, Phase};
use crate::connect::Target;
use crate::instance::{Answer, Back};
use crate::policy::backoff;
use crate::policy::breaker::Breaker;
use crate::policy::budget::Budget;
use crate::policy::gate::{Gate, Passage};
use crate::program::{Op, Range};
use crate::timeout::TimeoutRing;
use crate::world::{Timer, World};

const PAUSE: Purpose = Purpose::named("sim-retry-pause");

/// A policy and what is called under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) policy: u16,
    pub(crate) called: String,
}

/// What an instance knows of one thing that it calls under a policy.
#[derive(Debug)]
struct Account {
    breaker: Option<Breaker>,
    budget: Option<Budget>,
    bulkhead: Option<Gate>,
    pool: Option<Gate>,
}

impl Account {
    fn new(policy: &Policy) -> Self {
        Self {
            breaker: policy.circuit_breaker.as_ref().map(Breaker::new),
            budget: policy.retries.and_then(|r| r.budget).as_ref().map(Budget::new),
            bulkhead: policy.bulkhead.map(|b| Gate::new(b.calls, b.queue)),
            pool: policy.pool.map(|p| Gate::new(p.connections, p.queue)),
        }
    }
}

/// What became of the calls of an instance under one policy, since it was last asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct GuardCounts {
    /// Attempts after the first.
    pub(crate) retries: u64,
    /// Second attempts beside a slow one.
    pub(crate) hedges: u64,
    /// Attempts that took too long.
    pub(crate) timeouts: u64,
    /// Calls that breaker, bulkhead or pool refused.
    pub(crate) refused: u64,
}

/// All instances' accounts at one site.
#[derive(Debug)]
struct Accounts {
    site: Site,
    policy: Policy,
    timeouts: Option<(TimeoutRing, u32)>,
    hedges: Option<(TimeoutRing, u32)>,
    by_instance: Vec<Option<Box<Account>>>,
}

/// Everything that policies have the world remember.
#[derive(Debug, Default)]
pub(crate) struct Guards {
    sites: Vec<Accounts>,
    /// By instance; empty where there is no policy.
    counts: Vec<GuardCounts>,
    /// The attempts under way, slot and generation, for calls that have more than one.
    hedged: BTreeMap<u32, Vec<(u32, u32)>>,
    /// Attempts that a gate let in, slot and generation.
    let_in: VecDeque<(u32, u32)>,
}

impl Guards {
    /// The number of a site.
    pub(crate) fn site(&mut self, site: Site, policy: &Policy, instances: usize) -> u16 {
        if let Some(known) = self.sites.iter().position(|s| s.site == site) {
            return known as u16;
        }
        let by_instance = std::iter::repeat_with(|| None).take(instances).collect();
        let policy = policy.clone();
        self.counts.resize(instances, GuardCounts::default());
        self.sites.push(Accounts { site, policy, timeouts: None, hedges: None, by_instance });
        self.sites.len() as u16 - 1
    }

    #[inline]
    fn account(&mut self, site: u16, at: u16) -> &mut Account {
        let Accounts { policy, by_instance, .. } = &mut self.sites[usize::from(site)];
        by_instance[usize::from(at)].get_or_insert_with(|| Box::new(Account::new(policy)))
    }

    /// An instance died, and with it all that it remembered.
    pub(crate) fn lose(&mut self, at: u16) {
        for site in &mut self.sites {
            site.by_instance[usize::from(at)] = None;
        }
    }

    /// What became of the calls of an instance since the last time; none where it has no policy.
    pub(crate) fn take_counts(&mut self, at: usize) -> Option<GuardCounts> {
        let used = self.sites.iter().any(|site| site.by_instance[at].is_some());
        let counts = self.counts.get_mut(at).map(std::mem::take)?;
        (used || counts != GuardCounts::default()).then_some(counts)
    }

    /// Whether a gate has let somebody in at this instant.
    #[inline]
    pub(crate) fn lets_in(&self) -> bool {
        !self.let_in.is_empty()
    }

    /// A call is gone.
    #[inline]
    pub(crate) fn forget(&mut self, slot: u32) {
        if !self.hedged.is_empty() {
            self.hedged.remove(&slot);
        }
    }

    #[cfg(test)]
    pub(crate) fn at_rest(&self) -> bool {
        let empty = |gate: &Option<Gate>| gate.as_ref().is_none_or(|g| (g.inside(), g.waiting()) == (0, 0));
        let mut accounts = self.sites.iter().flat_map(|s| s.by_instance.iter().flatten());
        self.hedged.is_empty()
            && self.let_in.is_empty()
            && accounts.all(|a| empty(&a.bulkhead) && empty(&a.pool))
    }
}

impl World {
    /// Makes the rings of timeouts and hedges.
    pub(crate) fn start_guards(&mut self) {
        for site in 0..self.guards.sites.len() {
            let policy = &self.guards.sites[site].policy;
            let (timeout, hedge) = (policy.timeout, policy.hedge);
            let ring = |world: &mut Self, span: u64, timer| (TimeoutRing::new(span), world.add_timer(timer));
            let site_index = site as u32;
            let timeouts = timeout.map(|t| ring(self, t.as_nanos(), Timer::CallTimeout(site_index)));
            let hedges = hedge.map(|h| ring(self, h.after.as_nanos(), Timer::Hedge(site_index)));
            let accounts = &mut self.guards.sites[site];
            (accounts.timeouts, accounts.hedges) = (timeouts, hedges);
        }
    }

    /// A call comes to a guarded step.
    pub(crate) fn guarded(&mut self, slot: u32, site: u16) {
        let call = &mut self.calls[slot];
        (call.attempts, call.stage) = (0, 0);
        let (at, now) = (call.at, self.now);
        if let Some(budget) = &mut self.guards.account(site, at).budget {
            budget.deposit(now);
        }
        self.attempt(slot, false);
    }

    /// What a call's present step guards.
    fn guard(&self, slot: u32) -> (u16, Option<Target>, Range) {
        match self.steps[usize::from(self.calls[slot].step)].op {
            Op::Guarded { site, target, steps } => (site, target, steps),
            op => unreachable!("{op:?} has no policy"),
        }
    }

    /// Makes one attempt, the first, a retry or a hedge.
    pub(crate) fn attempt(&mut self, slot: u32, hedge: bool) {
        let (site, target, steps) = self.guard(slot);
        let now = self.now;
        let at = self.calls[slot].at;
        let account = self.guards.account(site, at);
        let era = match &mut account.breaker {
            Some(breaker) => breaker.admit(now),
            None => Some(0),
        };
        let Some(era) = era else {
            self.guards.counts[usize::from(at)].refused += 1;
            if !hedge {
                self.finish(slot, false);
            }
            return;
        };
        let parent = &mut self.calls[slot];
        parent.phase = Phase::Calling;
        let mut call = Call::new(parent.id, parent.class, slot, now);
        (call.root, call.traffic, call.from) = (parent.root, parent.traffic, at);
        // Each attempt draws anew: the first of a first is the only one that draws what was drawn ahead.
        call.tries = parent.tries.wrapping_mul(61).wrapping_add(u16::from(parent.stage));
        parent.stage = parent.stage.saturating_add(1);
        (call.step, call.end) = steps;
        call.connection = era;
        call.work = u64::MAX;
        call.phase = Phase::Gate;
        match target {
            Some(target) => {
                call.at = self.next_instance(slot, target);
                call.pool = target.pool(at, call.at);
            }
            None => {
                call.at = at;
                call.flags |= BRANCH;
            }
        }
        let Some(child) = self.calls.insert(call) else {
            if !hedge {
                let mut back = Back::new(&call, NONE, Answer::Refused);
                back.pool = NONE;
                self.guard_answered(slot, back);
            }
            return;
        };
        self.follow_child(child, slot);
        let accounts = &mut self.guards.sites[usize::from(site)];
        for (ring, timer) in accounts.timeouts.iter_mut().chain(&mut accounts.hedges) {
            if let Some(due) = ring.start(&self.calls, now, child) {
                self.events.schedule(due, *timer);
            }
        }
        if hedge && let Some(attempts) = self.guards.hedged.get_mut(&slot) {
            attempts.push((child, self.calls[child].generation));
        }
        self.pass(child, site);
    }

    /// Takes an attempt through bulkhead and pool, then on its way.
    fn pass(&mut self, child: u32, site: u16) {
        let call = &self.calls[child];
        let (from, generation) = (call.from, call.generation);
        for flag in [IN_BULKHEAD, IN_POOL] {
            let account = self.guards.account(site, from);
            let gate = if flag == IN_POOL { &mut account.pool } else { &mut account.bulkhead };
            let Some(gate) = gate.as_mut().filter(|_| !self.calls[child].is(flag)) else { continue };
            match gate.enter(child, generation) {
                Passage::Open => self.calls[child].flags |= flag,
                Passage::Waiting => return,
                Passage::Refused => {
                    self.guards.counts[usize::from(from)].refused += 1;
                    return self.answer(child, Answer::Rejected);
                }
            }
        }
        let call = &mut self.calls[child];
        if call.is(BRANCH) {
            self.start_branch(child);
        } else {
            call.phase = Phase::Connecting;
            self.connect(child);
        }
    }

    /// Lets those in that gates have let in at this instant.
    pub(crate) fn let_in(&mut self) -> bool {
        let Some((child, generation)) = self.guards.let_in.pop_front() else { return false };
        let call = &self.calls[child];
        // Where it has ended meanwhile, its place was given on.
        if call.generation == generation && call.phase == Phase::Gate {
            let (site, ..) = self.guard(call.parent);
            self.pass(child, site);
        }
        true
    }

    /// An attempt is over: what it held is free.
    fn leave_gates(&mut self, site: u16, from: u16, flags: u16) {
        let calls = &self.calls;
        let waits = |slot: u32, generation: u32| {
            calls[slot].generation == generation && calls[slot].phase == Phase::Gate
        };
        let account = self.guards.account(site, from);
        let mut next = Vec::new();
        for (gate, flag) in [(&mut account.bulkhead, IN_BULKHEAD), (&mut account.pool, IN_POOL)] {
            if let Some(gate) = gate.as_mut().filter(|_| flags & flag != 0) {
                next.extend(gate.leave(waits).map(|slot| (slot, flag)));
            }
        }
        for (slot, flag) in next {
            self.calls[slot].flags |= flag;
            self.guards.let_in.push_back((slot, self.calls[slot].generation));
        }
    }

    /// An attempt that waits at a gate waits no longer.
    fn quit_gates(&mut self, site: u16, child: u32) {
        let call = &self.calls[child];
        if call.phase == Phase::Gate {
            let account = self.guards.account(site, call.from);
            for gate in [&mut account.bulkhead, &mut account.pool].into_iter().flatten() {
                gate.give_up(child);
            }
        }
    }

    /// An attempt came back to an instance that was stopped, and whose call was answered by another attempt.
    pub(crate) fn answered_late(&mut self, at: u16, back: Back) {
        let step =
            self.steps.get(usize::from(back.step)).filter(|_| back.flags & (IN_BULKHEAD | IN_POOL) != 0);
        if let Some(Op::Guarded { site, .. }) = step.map(|step| step.op) {
            self.leave_gates(site, at, back.flags);
        }
    }

    /// An attempt has come back.
    pub(crate) fn guard_answered(&mut self, slot: u32, back: Back) {
        let (site, ..) = self.guard(slot);
        let (at, now) = (self.calls[slot].at, self.now);
        self.leave_gates(site, at, back.flags);
        let account = self.guards.account(site, at);
        if let Some(breaker) = &mut account.breaker {
            match back.answer {
                Answer::Rejected => breaker.forget(back.connection),
                answer => breaker.note(now, back.connection, answer == Answer::Good),
            }
        }
        if matches!(back.answer, Answer::Good | Answer::Error) {
            let most_idle = self.guards.sites[usize::from(site)].policy.pool.map_or(u32::MAX, |p| p.idle);
            if !self.pools.give_back_up_to(back.pool, most_idle) {
                self.hang_up(back.pool, 1);
            }
        }
        let mut others = false;
        if !self.guards.hedged.is_empty()
            && let Some(attempts) = self.guards.hedged.get_mut(&slot)
        {
            attempts.retain(|&attempt| attempt != (back.child, back.generation));
            others = !attempts.is_empty();
        }
        if back.answer == Answer::Good {
            if others {
                self.leave_attempts(slot, site);
            }
            self.guards.forget(slot);
            return self.step_done(slot);
        }
        if others {
            return;
        }
        self.guards.forget(slot);
        if back.answer == Answer::Rejected || !self.may_retry(slot, site) {
            return self.finish(slot, false);
        }
        self.guards.counts[usize::from(at)].retries += 1;
        let call = &mut self.calls[slot];
        call.attempts += 1;
        let step = self.steps[usize::from(call.step)].draw;
        let number = u64::from(step) << 32 | u64::from(call.tries) << 16 | u64::from(call.attempts);
        let mut stream = Stream::new(self.seed, PAUSE.of(number), call.id.0);
        let retries = self.guards.sites[usize::from(site)].policy.retries;
        let backoff = retries.expect("it may retry").backoff;
        let pause = backoff::pause(&backoff, u32::from(call.attempts), &mut stream);
        self.wait_until(slot, now + pause, Phase::Timed);
    }

    fn may_retry(&mut self, slot: u32, site: u16) -> bool {
        let Some(retries) = self.guards.sites[usize::from(site)].policy.retries else { return false };
        let (call, now) = (&self.calls[slot], self.now);
        let (at, made) = (call.at, u32::from(call.attempts));
        made < retries.times
            && self.guards.account(site, at).budget.as_mut().is_none_or(|budget| budget.withdraw(now))
    }

    /// Leaves the attempts that lost.
    fn leave_attempts(&mut self, slot: u32, site: u16) {
        let at = self.calls[slot].at;
        for (child, generation) in self.guards.hedged.remove(&slot).unwrap_or_default() {
            let call = &mut self.calls[child];
            if call.generation != generation || call.parent != slot {
                // Its answer is parked.
                continue;
            }
            call.parent = NOBODY;
            let (flags, era) = (call.flags, call.connection);
            self.quit_gates(site, child);
            self.leave(child);
            self.leave_gates(site, at, flags);
            if let Some(breaker) = &mut self.guards.account(site, at).breaker {
                breaker.forget(era);
            }
        }
    }

    /// Ends the attempts at a site that have taken too long.
    pub(crate) fn call_timeouts(&mut self, site: u32) {
        loop {
            let Some((ring, timer)) = &mut self.guards.sites[site as usize].timeouts else { return };
            match ring.expired(&self.calls, self.now) {
                Ok(child) => {
                    let call = &mut self.calls[child];
                    let parent = std::mem::replace(&mut call.parent, NOBODY);
                    if parent < NOBODY {
                        let mut back = Back::new(call, child, Answer::TimedOut);
                        back.pool = NONE;
                        self.guards.counts[usize::from(call.from)].timeouts += 1;
                        self.quit_gates(site as u16, child);
                        self.leave(child);
                        self.answered(parent, back);
                        self.drain();
                    }
                }
                Err(again) => {
                    if let Some(at) = again {
                        self.events.schedule(at, *timer);
                    }
                    return;
                }
            }
        }
    }

    /// Makes another attempt beside those at a site that are slow.
    pub(crate) fn hedge_timeouts(&mut self, site: u32) {
        loop {
            let accounts = &mut self.guards.sites[site as usize];
            let most = accounts.policy.hedge.map_or(0, |hedge| hedge.times);
            let Some((ring, timer)) = &mut accounts.hedges else { return };
            match ring.expired(&self.calls, self.now) {
                Ok(child) => {
                    let call = &self.calls[child];
                    let (parent, generation) = (call.parent, call.generation);
                    if parent < NOBODY {
                        self.hedge(parent, (child, generation), site as u16, most);
                        self.drain();
                    }
                }
                Err(again) => {
                    if let Some(at) = again {
                        self.events.schedule(at, *timer);
                    }
                    return;
                }
            }
        }
    }

    fn hedge(&mut self, slot: u32, slow: (u32, u32), site: u16, most: u32) {
        let call = &self.calls[slot];
        let (at, now) = (call.at, self.now);
        let hedges = u32::from(call.stage).saturating_sub(1 + u32::from(call.attempts));
        let goes_on = self.instances[usize::from(at)].stopped == 0 && call.phase == Phase::Calling;
        if hedges >= most || !goes_on {
            return;
        }
        // A hedge is load on top, as a retry is.
        if self.guards.account(site, at).budget.as_mut().is_some_and(|budget| !budget.withdraw(now)) {
            return;
        }
        self.guards.counts[usize::from(at)].hedges += 1;
        self.guards.hedged.entry(slot).or_insert_with(|| vec![slow]);
        self.attempt(slot, true);
    }
}
