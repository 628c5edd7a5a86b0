//! A service instance: workers, the queue before them, and the walk through a class's steps.

use results::Failure;

use crate::balancer::syn_wait;
use crate::gauge::Gauge;
use crate::host::Share;
use crate::program::Op;
use crate::request::{ABANDONED, CHECK, FAILED, Fifo, NONE, NOWHERE, ORPHAN, Phase};
use crate::world::{Delay, Flow, World};

/// How often Linux sends a SYN again before it gives up (`tcp_syn_retries` on top of `tcp_syn_linear_timeouts`).
const SYN_RETRIES: u8 = 10;

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) component: u16,
    pub(crate) instance: u32,
    pub(crate) host: u16,
    pub(crate) workers: u32,
    pub(crate) backlog: u32,
    pub(crate) latency: Delay,
    pub(crate) in_service: Gauge,
    pub(crate) waiting: Fifo,
    pub(crate) queue: Gauge,
    pub(crate) share: Share,
    /// Whose turn it is at the services that this one calls.
    pub(crate) turn: u32,
    /// Idle connections to each service instance that this one has called.
    pub(crate) idle: Vec<u32>,
    /// How many faults keep it dead.
    pub(crate) killed: u32,
    /// How many faults keep it from going on.
    pub(crate) stopped: u32,
    /// How many of those cut its network too.
    pub(crate) unplugged: u32,
    /// How many faults make it answer 500.
    pub(crate) broken: u32,
    /// Whether it answers.
    pub(crate) up: Gauge,
    /// Requests that would go on if it were not stopped.
    pub(crate) parked: Vec<u32>,
}

impl Service {
    /// Whether the kernel completes a new connection: there is room in the backlog, and the cable is in.
    pub(crate) fn accepts(&self) -> bool {
        self.unplugged == 0
            && u64::from(self.in_service.level()) + u64::from(self.waiting.len())
                < u64::from(self.workers) + u64::from(self.backlog)
    }

    #[inline]
    fn has_free_worker(&self) -> bool {
        self.stopped == 0 && self.in_service.level() < self.workers
    }

    /// Whether it answers 500 to whatever comes.
    #[inline]
    fn answers_500(&self) -> bool {
        self.broken > 0 && self.stopped == 0
    }
}

impl World {
    /// A request, or a health check, is there.
    #[inline]
    pub(crate) fn arrive_at_service(&mut self, slot: u32) {
        let index = self.requests[slot].service;
        let service = &mut self.services[usize::from(index)];
        if service.answers_500() {
            // That takes no worker.
            self.answer(slot, false);
        } else if service.has_free_worker() {
            service.in_service.up(self.now);
            self.proceed(slot);
        } else {
            self.requests[slot].phase = Phase::Worker;
            service.waiting.push(&mut self.requests, slot);
            service.queue.up(self.now);
        }
    }

    /// A request that waited has its worker. Where the service began to serve 500 meanwhile, there is nothing to do for it.
    #[inline]
    pub(crate) fn begin(&mut self, slot: u32) {
        if self.services[usize::from(self.requests[slot].service)].answers_500() {
            self.finish(slot, false);
        } else {
            self.proceed(slot);
        }
    }

    /// Takes steps until one takes time.
    pub(crate) fn proceed(&mut self, slot: u32) {
        loop {
            let request = &mut self.requests[slot];
            let service = &mut self.services[usize::from(request.service)];
            if service.stopped > 0 {
                return self.park(slot);
            }
            if request.is(FAILED) {
                return self.finish(slot, false);
            }
            if request.missed != NONE {
                match self.go_on_with_misses(slot) {
                    Flow::Done => self.requests[slot].step += 1,
                    Flow::Suspended => return,
                    Flow::Failed => return self.finish(slot, false),
                }
                continue;
            }
            let step = usize::from(request.step);
            let Some(op) = self.programs[request.class.index()].ops.get(step) else {
                // Whoever serves 500 does so after a request's steps if these had begun before.
                let good = service.broken == 0;
                return self.finish(slot, good);
            };
            let flow = match *op {
                Op::Work(law) => {
                    let (host, work) = (service.host, self.draws.step(request.id, step, &law));
                    return self.take_core(host, slot, work.as_nanos(), Phase::Work);
                }
                Op::Wait(law) => {
                    let wait = self.draws.step(request.id, step, &law);
                    return self.wait_until(slot, self.now + wait.as_nanos(), Phase::Wait);
                }
                Op::Remote { base, count, .. } => self.call_remote(slot, base, count),
                Op::Get { store, .. } | Op::Set { store, .. } => {
                    request.store = store;
                    request.stage = 0;
                    self.call_store(slot)
                }
                Op::Sql { database, .. } => self.call_database(slot, database),
            };
            match flow {
                Flow::Done => self.requests[slot].step += 1,
                Flow::Suspended => return,
                Flow::Failed => return self.finish(slot, false),
            }
        }
    }

    #[inline]
    pub(crate) fn work_done(&mut self, slot: u32) {
        let host = self.services[usize::from(self.requests[slot].service)].host;
        self.release_core(host, slot);
        self.step_done(slot);
    }

    #[inline]
    pub(crate) fn step_done(&mut self, slot: u32) {
        self.requests[slot].step += 1;
        self.proceed(slot);
    }

    /// Goes on after a call that took time.
    pub(crate) fn go_on(&mut self, slot: u32, flow: Flow) {
        if self.requests[slot].is(ORPHAN) {
            if flow != Flow::Suspended {
                self.forget(slot);
            }
            return;
        }
        match flow {
            Flow::Done => self.step_done(slot),
            Flow::Suspended => {}
            Flow::Failed => {
                self.requests[slot].flags |= FAILED;
                self.proceed(slot);
            }
        }
    }

    /// Its service is stopped: it goes on when that does.
    pub(crate) fn park(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        request.phase = Phase::Parked;
        self.services[usize::from(request.service)].parked.push(slot);
    }

    /// The worker has the answer: sends it and takes the next request.
    #[inline]
    pub(crate) fn finish(&mut self, slot: u32, good: bool) {
        self.release_worker(self.requests[slot].service);
        self.answer(slot, good);
    }

    /// The service's answer goes out.
    #[inline]
    fn answer(&mut self, slot: u32, good: bool) {
        let request = &self.requests[slot];
        let awaited = !request.is(ABANDONED);
        if request.balancer != NOWHERE && request.origin != CHECK {
            self.keep_connection(slot);
        }
        if awaited {
            self.settle(slot, if good { Ok(()) } else { Err(Failure::Status) });
        }
        self.forget(slot);
    }

    #[inline]
    pub(crate) fn release_worker(&mut self, index: u16) {
        let service = &mut self.services[usize::from(index)];
        service.in_service.down(self.now);
        self.grant_worker(index);
    }

    /// Gives a free worker, if there is one, to the first in the queue.
    #[inline]
    pub(crate) fn grant_worker(&mut self, index: u16) -> bool {
        let service = &mut self.services[usize::from(index)];
        if service.waiting.len() == 0 || !service.has_free_worker() {
            return false;
        }
        if let Some(next) = service.waiting.pop(&self.requests) {
            service.queue.down(self.now);
            service.in_service.up(self.now);
            self.ready.push_back(next);
        }
        true
    }

    /// Frees the slot and what hangs on it.
    #[inline]
    pub(crate) fn forget(&mut self, slot: u32) {
        let missed = self.requests[slot].missed;
        if missed != NONE {
            self.missed.give_back(missed);
        }
        self.requests.remove(slot);
    }

    /// Calls another service for the present step, over an idle connection or a new one.
    fn call_remote(&mut self, slot: u32, base: u16, count: u16) -> Flow {
        let request = &mut self.requests[slot];
        let caller = &mut self.services[usize::from(request.service)];
        let remote = base + (caller.turn % u32::from(count)) as u16;
        caller.turn = caller.turn.wrapping_add(1);
        request.remote = remote;
        request.syns = 0;
        let idle = &mut caller.idle[usize::from(remote)];
        if *idle > 0 {
            *idle -= 1;
            return self.reach_remote(slot);
        }
        self.connect_to_remote(slot)
    }

    /// Sends a SYN, for the first time or again. A service waits for a connection as long as the kernel tries.
    pub(crate) fn connect_to_remote(&mut self, slot: u32) -> Flow {
        let request = &mut self.requests[slot];
        let remote = &self.services[usize::from(request.remote)];
        if remote.killed > 0 || request.syns > SYN_RETRIES {
            return Flow::Failed;
        }
        if remote.accepts() {
            return self.reach_remote(slot);
        }
        let wait = syn_wait(request.syns);
        request.syns += 1;
        self.wait_until(slot, self.now + wait, Phase::ConnectingRemote);
        Flow::Suspended
    }

    fn reach_remote(&mut self, slot: u32) -> Flow {
        let latency = self.services[usize::from(self.requests[slot].remote)].latency;
        if self.delay(slot, latency, Phase::ToRemote) { Flow::Suspended } else { self.arrive_at_remote(slot) }
    }

    pub(crate) fn arrive_at_remote(&mut self, slot: u32) -> Flow {
        let request = &mut self.requests[slot];
        let service = &mut self.services[usize::from(request.remote)];
        if service.killed > 0 {
            return Flow::Failed;
        }
        if service.answers_500() {
            self.hang_up_remote(slot);
            return Flow::Failed;
        }
        if service.has_free_worker() {
            service.in_service.up(self.now);
            self.start_remote(slot);
        } else {
            request.phase = Phase::RemoteWorker;
            service.waiting.push(&mut self.requests, slot);
            service.queue.up(self.now);
        }
        Flow::Suspended
    }

    /// A worker of the other service does the step.
    pub(crate) fn start_remote(&mut self, slot: u32) {
        let request = &self.requests[slot];
        let step = usize::from(request.step);
        let service = &self.services[usize::from(request.remote)];
        let Op::Remote { law, work, .. } = self.programs[request.class.index()].ops[step] else {
            unreachable!("only a remote step calls another service");
        };
        if service.answers_500() {
            return self.leave_remote(slot, Flow::Failed);
        }
        let (host, time) = (service.host, self.draws.step(request.id, step, &law).as_nanos());
        if work {
            self.take_core(host, slot, time, Phase::RemoteWork);
        } else {
            self.wait_until(slot, self.now + time, Phase::RemoteWait);
        }
    }

    #[inline]
    pub(crate) fn remote_work_done(&mut self, slot: u32) {
        let host = self.services[usize::from(self.requests[slot].remote)].host;
        self.release_core(host, slot);
        self.remote_done(slot);
    }

    #[inline]
    pub(crate) fn remote_done(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        let remote = request.remote;
        let service = &mut self.services[usize::from(remote)];
        if service.stopped > 0 {
            request.phase = Phase::RemoteWait;
            service.parked.push(slot);
            return;
        }
        let flow = if service.broken > 0 { Flow::Failed } else { Flow::Done };
        self.leave_remote(slot, flow);
    }

    /// The call is answered: frees the worker there and goes on.
    #[inline]
    fn leave_remote(&mut self, slot: u32, flow: Flow) {
        let remote = self.hang_up_remote(slot);
        self.release_worker(remote);
        self.go_on(slot, flow);
    }

    /// Keeps the connection of an answered call; returns where it leads.
    #[inline]
    fn hang_up_remote(&mut self, slot: u32) -> u16 {
        let request = &mut self.requests[slot];
        let remote = std::mem::replace(&mut request.remote, NOWHERE);
        if !request.is(ORPHAN) {
            self.services[usize::from(request.service)].idle[usize::from(remote)] += 1;
        }
        remote
    }
}
