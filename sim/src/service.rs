//! A service instance: workers, the queue before them, and the walk through a class's steps.

use std::collections::VecDeque;

use scenarios::law::DurationLaw;
use scenarios::scenario::{WhenFull, WorkerHolds};

use crate::call::{BRANCH, Fifo, Phase, SHARD};
use crate::connect::Target;
use crate::gauge::Gauge;
use crate::instance::{Answer, Back, Flow};
use crate::program::{Op, Step};
use crate::world::World;
use holding::Holding;
use workers::Workers;

mod autoscale;
mod branch;
pub(crate) mod fleet;
pub(crate) mod holding;
mod lend;
mod manage;
#[cfg(test)]
mod tests;
pub(crate) mod workers;

#[derive(Debug)]
pub(crate) struct Service {
    /// Workers that can work now.
    pub(crate) workers: u32,
    /// Who starts and ends them, if they are not always the same.
    pub(crate) managed: Option<Box<Workers>>,
    /// The timer of their manager.
    pub(crate) manager: u32,
    /// How many workers boot, and in which life of the instance, those first that are ready first.
    pub(crate) booting: VecDeque<(u32, u32)>,
    /// The timer of those.
    pub(crate) booted: u32,
    pub(crate) backlog: u32,
    /// Whether what finds workers and backlog full is answered 503, else its SYN is not answered.
    pub(crate) rejects: bool,
    /// What its processes hold: always, and for each worker.
    memory: (u64, u64),
    pub(crate) in_service: Gauge,
    /// Workers that wait on idle connections, and which; where workers hold connections.
    pub(crate) held: u32,
    pub(crate) holding: Option<Box<Holding>>,
    pub(crate) waiting: Fifo,
    pub(crate) queue: Gauge,
    /// Whose turn it is at each target that this one calls, by the target's first instance.
    turns: Vec<(u16, u16)>,
}

impl Service {
    /// As it is before the first request.
    pub(crate) fn new(rules: &scenarios::scenario::Service) -> Self {
        let managed = rules.pool.as_ref().map(|pool| Box::new(Workers::new(pool)));
        Self {
            workers: managed.as_ref().map_or(rules.workers, |workers| workers.ready()),
            managed,
            manager: 0,
            booting: VecDeque::new(),
            booted: 0,
            backlog: rules.backlog,
            rejects: rules.when_full == WhenFull::Reject,
            memory: (rules.memory_base.get(), rules.memory_per_worker.get()),
            in_service: Gauge::default(),
            held: 0,
            holding: (rules.worker_holds == WorkerHolds::Connection)
                .then(|| Box::new(Holding::new(rules.keep_alive.as_nanos()))),
            waiting: Fifo::new(),
            queue: Gauge::default(),
            turns: Vec::new(),
        }
    }

    /// Whether a new connection finds a worker or a place in the backlog.
    #[inline]
    pub(crate) fn has_room(&self) -> bool {
        self.rejects || !self.is_full()
    }

    /// Workers that can take nothing up.
    #[inline]
    pub(crate) fn occupied(&self) -> u32 {
        self.in_service.level() + self.held
    }

    fn is_full(&self) -> bool {
        // Linux lets one connection more wait than `listen` was told (`sk_acceptq_is_full`, include/net/sock.h).
        let places = u64::from(self.backlog) + u64::from(!self.rejects);
        u64::from(self.occupied()) + u64::from(self.waiting.len()) >= u64::from(self.workers) + places
    }

    /// What its processes hold now, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        let workers = self.managed.as_ref().map_or(self.workers, |workers| workers.alive());
        self.memory.0.saturating_add(self.memory.1.saturating_mul(u64::from(workers)))
    }

    /// What the largest of its processes holds, and whether that is a worker: with a manager each is a process, else all are
    /// one.
    pub(crate) fn largest_process(&self) -> (u64, bool) {
        match &self.managed {
            Some(workers) if workers.alive() > 0 && self.memory.1 > self.memory.0 => (self.memory.1, true),
            Some(_) => (self.memory.0, false),
            None => (self.memory_bytes(), false),
        }
    }

    /// The kernel kills one of its workers.
    pub(crate) fn kill_worker(&mut self) {
        // Those that wait on connections have something to lose as well, so idle ones go before them.
        let occupied = self.occupied();
        if let Some(workers) = &mut self.managed {
            workers.kill_newest(occupied);
            self.workers = workers.ready();
        }
    }

    /// What they hold when there are as many workers as there can be.
    pub(crate) fn most_memory_bytes(&self) -> u64 {
        let workers = self.managed.as_ref().map_or(self.workers, |workers| workers.most());
        self.memory.0.saturating_add(self.memory.1.saturating_mul(u64::from(workers)))
    }

    /// A worker takes something up.
    #[inline]
    pub(crate) fn occupy(&mut self, now: u64) {
        self.in_service.up(now);
        if let Some(workers) = &mut self.managed {
            workers.busy();
        }
    }

    /// A worker's idle connection is closed.
    fn release_held(&mut self, now: u64) {
        self.held -= 1;
        self.release(now);
    }

    /// A worker is done with what it had in hand. False where it was killed before that.
    #[inline]
    pub(crate) fn vacate(&mut self, now: u64) -> bool {
        self.in_service.down(now);
        self.release(now)
    }

    /// A worker has nothing to do any more. False where it was killed before that, so that there is none.
    #[inline]
    fn release(&mut self, now: u64) -> bool {
        let lives = !self.was_worker_killed();
        if let Some(workers) = self.managed.as_mut().filter(|_| lives) {
            workers.idle(now);
        }
        lives
    }

    /// Whether the worker that is done, or whose connection is closed, was killed before that. Each kill is told once:
    /// whoever asks drops the worker.
    #[inline]
    fn was_worker_killed(&mut self) -> bool {
        self.managed.as_mut().is_some_and(|workers| workers.was_killed())
    }
}

impl World {
    #[inline]
    fn service(&mut self, slot: u32) -> &mut Service {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        &mut self.services[usize::from(instance.index)]
    }

    /// A request, a step for another service, or a health check is there.
    #[inline]
    pub(crate) fn service_arrive(&mut self, at: u16, slot: u32) {
        let instance = &self.instances[usize::from(at)];
        if instance.broken > 0 && instance.stopped == 0 {
            // That takes no worker.
            return self.answer(slot, Answer::Error);
        }
        if self.any_holding && self.find_held_worker(slot) {
            return self.continue_on_connection(slot);
        }
        let instance = &self.instances[usize::from(at)];
        let service = &mut self.services[usize::from(instance.index)];
        if instance.stopped == 0 && service.occupied() < service.workers {
            service.occupy(self.now);
            self.proceed(slot);
        } else if service.rejects && service.is_full() && instance.stopped == 0 {
            self.answer(slot, Answer::Error);
        } else {
            self.calls[slot].phase = Phase::Queued;
            service.waiting.push(&mut self.calls, slot);
            service.queue.up(self.now);
            if service.managed.is_some() {
                self.start_on_demand(slot);
            }
        }
    }

    /// The worker that waited on a request's connection takes it up, or will once its instance goes on.
    fn continue_on_connection(&mut self, slot: u32) {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        let service = &mut self.services[usize::from(instance.index)];
        if instance.stopped == 0 {
            service.in_service.up(self.now);
            return self.proceed(slot);
        }
        service.release(self.now);
        self.calls[slot].phase = Phase::Queued;
        service.waiting.push(&mut self.calls, slot);
        service.queue.up(self.now);
    }

    /// A request that waited has its worker. Where the service began to serve 500 meanwhile, there is nothing to do for it.
    #[inline]
    pub(crate) fn service_ready(&mut self, slot: u32) {
        if self.instances[usize::from(self.calls[slot].at)].broken > 0 {
            self.finish(slot, false);
        } else {
            self.proceed(slot);
        }
    }

    /// Takes steps until one takes time.
    pub(crate) fn proceed(&mut self, slot: u32) {
        loop {
            let call = &self.calls[slot];
            if call.step == call.end {
                // Whoever serves 500 does so after a request's steps if these had begun before.
                let good = self.instances[usize::from(call.at)].broken == 0;
                return self.finish(slot, good);
            }
            let at = call.at;
            let Step { op, draw } = &self.steps[usize::from(call.step)];
            let draw = *draw;
            let flow = match *op {
                Op::Work(ref law) => {
                    let work = self.step_nanos(slot, draw, law);
                    return self.take_core(at, slot, work, Phase::Work);
                }
                Op::Wait(ref law) => {
                    let wait = self.step_nanos(slot, draw, law);
                    return self.wait_until(slot, self.now + wait, Phase::Timed);
                }
                Op::Call { target, steps } => {
                    let at = self.next_instance(slot, target);
                    if steps.1 - steps.0 == 1 && self.borrow_worker(slot, target, at, steps.0) {
                        return;
                    }
                    // A service waits for a connection as long as the kernel tries.
                    return self.call(slot, target, at, steps, u64::MAX);
                }
                Op::Get { store, keyspace, .. } | Op::Set { store, keyspace, .. } => {
                    let call = &mut self.calls[slot];
                    (call.leaf, call.stage) = (store, 0);
                    match self.send_command(slot, keyspace) {
                        Flow::Done => self.go_on_with_misses(slot),
                        flow => flow,
                    }
                }
                Op::Sql { database, .. } => self.call_database(slot, database),
                _ => match self.take_rare_step(slot) {
                    Some(flow) => flow,
                    None => return,
                },
            };
            match flow {
                Flow::Done => self.calls[slot].step += 1,
                Flow::Suspended => return,
                Flow::Failed => return self.finish(slot, false),
            }
        }
    }

    /// Takes a step of a kind that most requests have none of; none where it takes time, or another function goes on. Apart
    /// from the others, for it would keep registers from them.
    #[inline(never)]
    fn take_rare_step(&mut self, slot: u32) -> Option<Flow> {
        let call = &self.calls[slot];
        let (at, id) = (call.at, call.id);
        let Step { op, draw } = self.steps[usize::from(call.step)];
        match op {
            Op::Serialize { per_kb, response } => {
                let bytes = self.draws.response_size(id, &response);
                let work = (per_kb as f64 * bytes as f64 / 1000.0) as u64;
                self.take_core(at, slot, work, Phase::Work);
                None
            }
            Op::Session { record, writes } => Some(match self.session_step(slot, record, writes) {
                Flow::Done => self.go_on_with_misses(slot),
                flow => flow,
            }),
            Op::Purge(rule) => {
                self.start_purge(slot, rule, draw);
                Some(Flow::Done)
            }
            Op::Guarded { site, .. } => {
                self.guarded(slot, site);
                None
            }
            Op::ThirdParty { latency, timeout, .. } => {
                let number = call.draw(draw);
                let wait = self.draws.step(id, number, &latency).as_nanos().min(timeout);
                self.wait_until(slot, self.now + wait, Phase::Timed);
                None
            }
            Op::Parallel { first, count } => {
                self.fork(slot, first, count);
                None
            }
            Op::Perhaps { share, skip } => {
                if !self.draws.takes(id, call.draw(draw), share) {
                    self.calls[slot].step += skip;
                }
                Some(Flow::Done)
            }
            Op::Work(_)
            | Op::Wait(_)
            | Op::Call { .. }
            | Op::Get { .. }
            | Op::Set { .. }
            | Op::Sql { .. } => unreachable!("the caller takes these steps"),
        }
    }

    /// The duration of a call's step, in nanoseconds: drawn ahead, or now.
    #[inline(always)]
    pub(crate) fn step_nanos(&self, slot: u32, step: u16, law: &DurationLaw) -> u64 {
        self.calls.drawn(slot, step).unwrap_or_else(|| {
            let call = &self.calls[slot];
            self.draws.step(call.id, call.draw(step), law).as_nanos()
        })
    }

    /// Whose turn it is among the instances of a target.
    #[inline(always)]
    pub(crate) fn next_instance(&mut self, slot: u32, target: Target) -> u16 {
        if target.count == 1 { self.holder(target.base) } else { self.next_in_turn(slot, target) }
    }

    fn next_in_turn(&mut self, slot: u32, target: Target) -> u16 {
        let turns = &mut self.service(slot).turns;
        let place = turns.iter().position(|&(base, _)| base == target.base).unwrap_or_else(|| {
            turns.push((target.base, 0));
            turns.len() - 1
        });
        let turn = turns[place].1;
        let (at, next) = self.in_turn(target, turn);
        self.service(slot).turns[place].1 = next;
        self.holder(at)
    }

    /// Time, or processor time, is over.
    #[inline(always)]
    pub(crate) fn service_wake(&mut self, slot: u32) {
        match self.steps[usize::from(self.calls[slot].step)].op {
            Op::Guarded { .. } => self.attempt(slot, false),
            Op::ThirdParty { .. } => self.third_party_answered(slot),
            _ => self.step_done(slot),
        }
    }

    /// The present step is done.
    #[inline(always)]
    pub(crate) fn step_done(&mut self, slot: u32) {
        self.calls[slot].step += 1;
        self.proceed(slot);
    }

    /// Another service, or a branch, has answered.
    #[inline]
    pub(crate) fn service_answered(&mut self, slot: u32, back: Back) {
        match self.steps[usize::from(self.calls[slot].step)].op {
            Op::Call { .. } => {}
            Op::Parallel { .. } => return self.branch_answered(slot, back),
            Op::Get { .. } | Op::Set { .. } => return self.shard_answered(slot, back),
            _ => return self.guard_answered(slot, back),
        }
        match back.answer {
            Answer::Good => {
                self.pools.give_back(back.pool);
                self.step_done(slot);
            }
            Answer::Error => {
                self.pools.give_back(back.pool);
                self.finish(slot, false);
            }
            _ => self.finish(slot, false),
        }
    }

    /// A command or a statement is done.
    pub(crate) fn service_leaf_done(&mut self, slot: u32, flow: Flow) {
        if self.calls[slot].is(SHARD) {
            return self.part_done(slot, flow);
        }
        let flow = if flow == Flow::Done { self.go_on_with_misses(slot) } else { flow };
        match flow {
            Flow::Done => self.step_done(slot),
            Flow::Suspended => {}
            Flow::Failed => self.finish(slot, false),
        }
    }

    /// The worker has the answer: takes the next request, and sends it.
    #[inline]
    pub(crate) fn finish(&mut self, slot: u32, good: bool) {
        let call = &self.calls[slot];
        let at = call.at;
        if call.is(BRANCH) {
            return self.answer(slot, if good { Answer::Good } else { Answer::Error });
        }
        let index = self.instances[usize::from(at)].index;
        let service = &mut self.services[usize::from(index)];
        let lives = match service.holding {
            None => service.vacate(self.now),
            Some(_) => self.leave_or_stay(slot),
        };
        self.grant_worker(at);
        if !lives {
            return self.answer(slot, Answer::Reset);
        }
        if good {
            self.note_session(slot);
        }
        self.answer(slot, if good { Answer::Good } else { Answer::Error });
    }

    /// Gives a free worker, if there is one, to the first in the queue.
    #[inline(always)]
    pub(crate) fn grant_worker(&mut self, at: u16) -> bool {
        let index = self.instances[usize::from(at)].index;
        self.services[usize::from(index)].waiting.len() > 0 && self.grant_worker_to_first(at)
    }

    fn grant_worker_to_first(&mut self, at: u16) -> bool {
        let instance = &self.instances[usize::from(at)];
        let service = &mut self.services[usize::from(instance.index)];
        if instance.stopped > 0 || service.occupied() >= service.workers {
            return false;
        }
        if let Some(next) = service.waiting.pop(&self.calls) {
            service.queue.down(self.now);
            service.occupy(self.now);
            self.ready.push_back(next);
        }
        true
    }

    /// The process died: who waited waits no more.
    pub(crate) fn service_lose(&mut self, index: u16) {
        let service = &mut self.services[usize::from(index)];
        service.waiting = Fifo::new();
        service.queue.set(self.now, 0);
        service.in_service.set(self.now, 0);
        service.held = 0;
        if let Some(holding) = &mut service.holding {
            holding.lose(self.now);
        }
        if let Some(workers) = &mut service.managed {
            workers.restart();
            service.workers = workers.ready();
        }
    }
}
