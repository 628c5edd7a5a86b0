//! The load balancer: a choice among the servers that are up, connections pooled and retried, a queue before servers that are
//! full, HAProxy's answers when there is none. It is one thread, which matters where its requests take processor time.
//!
//! `servers` chooses (`weighted` where they are not alike), `health` finds out who is up, `vip` holds the address of a pair. Rules and their sources: the page
//! on load balancers in the crate's documents.

pub(crate) mod health;
mod least;
pub(crate) mod servers;
#[cfg(test)]
mod tests;
pub(crate) mod vip;
mod weighted;

use scenarios::law::DurationLaw;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{Balance, KeyspaceId};

use crate::call::{Fifo, NOBODY, Phase};
use crate::connect::Target;
use crate::gauge::Gauge;
use crate::instance::{Answer, Back};
use crate::timeout::TimeoutRing;
use crate::world::World;
use health::{Passive, Seen};
use servers::Servers;

/// The longest pause before a server that refused, and has to be asked again, is.
const TURN_AROUND_NANOS: u64 = 1_000_000_000;
/// What a drawn choice is made by.
const CHOICE: Purpose = Purpose::named("sim-balance");
/// What the processor time of a request is drawn by.
const REQUEST: Purpose = Purpose::named("sim-balancer-request");

/// Where a request stands in its balancer.
const UNACCEPTED: u8 = 0;
const IN_QUEUE: u8 = 1;
const SENT: u8 = 2;
/// It waits for the balancer's thread, or the thread works on it.
const BEFORE_THREAD: u8 = 3;
const AT_WORK: u8 = 4;

#[derive(Debug)]
pub(crate) struct Balancer {
    /// The instances that are its servers.
    pub(crate) target: Target,
    pub(crate) servers: Servers,
    pub(crate) balance: Balance,
    pub(crate) retries: u32,
    pub(crate) redispatch: bool,
    pub(crate) connect_timeout: u64,
    pub(crate) timeouts: TimeoutRing,
    pub(crate) timer: u32,
    /// Requests forwarded or in the queue, and the most there may be.
    pub(crate) in_service: Gauge,
    pub(crate) limit: u32,
    /// In the kernel's backlog, for there are too many.
    pub(crate) unaccepted: Fifo,
    pub(crate) outside: Gauge,
    /// In the queue: of a particular server, or of all.
    pub(crate) queues: Vec<Fifo>,
    pub(crate) common: Fifo,
    /// All that wait.
    pub(crate) queue: Gauge,
    pub(crate) queue_timeouts: TimeoutRing,
    pub(crate) queue_timer: u32,
    /// Looks at servers whose limit grows; whether it is set.
    pub(crate) warm_up_timer: u32,
    pub(crate) warms_up: bool,
    /// Whether a cookie binds users to servers.
    pub(crate) sticky: bool,
    /// What is concluded from how real requests fare.
    pub(crate) passive: Option<Passive>,
    /// Processor time of a request, on the one thread.
    pub(crate) request: Option<DurationLaw>,
    /// Whether the thread has a request, and who waits for it.
    pub(crate) works: bool,
    pub(crate) before_thread: Fifo,
}

impl Balancer {
    /// Whether a request goes to its server at once, by nothing but the servers' turns or loads: the common case, in which
    /// everything is looked up once.
    #[inline]
    fn is_plain(&self) -> bool {
        let by_servers = matches!(self.balance, Balance::RoundRobin | Balance::LeastConnections);
        by_servers && !self.sticky && self.request.is_none()
    }
}

impl World {
    fn balancer(&mut self, slot: u32) -> &mut Balancer {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        &mut self.balancers[usize::from(instance.index)]
    }

    /// A request is there.
    #[inline]
    pub(crate) fn balancer_arrive(&mut self, slot: u32) {
        let now = self.now;
        let call = &mut self.calls[slot];
        let instance = &self.instances[usize::from(call.at)];
        let balancer = &mut self.balancers[usize::from(instance.index)];
        if balancer.in_service.level() >= balancer.limit {
            (call.phase, call.stage) = (Phase::Queued, UNACCEPTED);
            balancer.unaccepted.push(&mut self.calls, slot);
            balancer.outside.up(now);
            balancer.queue.up(now);
            return;
        }
        balancer.in_service.up(now);
        if !balancer.is_plain() || instance.broken > 0 {
            return self.balancer_accept(slot);
        }
        match balancer.servers.choose(now, None, 0) {
            Some(server) if balancer.servers.has_room(server, now) => {
                balancer.servers.begin(server);
                let (target, deadline) = (balancer.target, now.saturating_add(balancer.connect_timeout));
                (call.leaf, call.stage) = (server, SENT);
                let steps = (call.step, call.end);
                self.call(slot, target, target.base + server, steps, deadline);
            }
            Some(server) => self.wait_for_server(slot, Some(server)),
            None if balancer.servers.any_up() => self.wait_for_server(slot, None),
            None => self.finish_forwarding(slot, Answer::Error),
        }
    }

    /// A request was accepted: it takes its processor time first, where it is said to take any.
    #[inline]
    fn balancer_accept(&mut self, slot: u32) {
        if self.balancer(slot).request.is_some() { self.take_turn(slot) } else { self.balancer_begin(slot) }
    }

    /// Has a request take its turn at the balancer's thread.
    #[inline(never)]
    fn take_turn(&mut self, slot: u32) {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        let balancer = &mut self.balancers[usize::from(instance.index)];
        if std::mem::replace(&mut balancer.works, true) {
            let call = &mut self.calls[slot];
            (call.phase, call.stage) = (Phase::Queued, BEFORE_THREAD);
            balancer.before_thread.push(&mut self.calls, slot);
            balancer.queue.up(self.now);
            return;
        }
        self.work_on(slot);
    }

    /// The thread takes a request: it needs a core.
    fn work_on(&mut self, slot: u32) {
        let Some(law) = self.balancer(slot).request else { return self.balancer_begin(slot) };
        let call = &mut self.calls[slot];
        call.stage = AT_WORK;
        let (at, id) = (call.at, call.id);
        let passage = u64::from(call.tries) << 16 | u64::from(at);
        let work = law.sample(&mut Stream::new(self.seed, REQUEST.of(passage), id.0)).as_nanos();
        self.take_core(at, slot, work, Phase::Work);
    }

    /// The thread is done with a request, and takes the next.
    fn worked(&mut self, slot: u32) {
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        let balancer = &mut self.balancers[usize::from(instance.index)];
        match balancer.before_thread.pop(&self.calls) {
            Some(next) => {
                balancer.queue.down(self.now);
                self.ready.push_back(next);
            }
            None => balancer.works = false,
        }
        self.balancer_begin(slot);
    }

    /// A request that was accepted, or whose turn it is, gets its server.
    #[inline]
    pub(crate) fn balancer_begin(&mut self, slot: u32) {
        let call = &self.calls[slot];
        if self.instances[usize::from(call.at)].broken > 0 {
            return self.finish_forwarding(slot, Answer::Error);
        }
        let bound = if self.balancer(slot).sticky { self.cookie(slot) } else { None };
        if let Some(server) = bound
            && self.balancer(slot).servers.is_up(server)
        {
            return self.forward(slot, server);
        }
        self.choose_server(slot, None);
    }

    /// Picks a server, other than the one to avoid unless there is no other.
    #[inline]
    fn choose_server(&mut self, slot: u32, avoid: Option<u16>) {
        let now = self.now;
        let key = self.choice_key(slot);
        let balancer = self.balancer(slot);
        match balancer.servers.choose(now, avoid, key) {
            Some(server) => {
                if balancer.sticky {
                    self.set_cookie(slot, server);
                }
                self.forward(slot, server);
            }
            None if balancer.servers.any_up() => self.wait_for_server(slot, None),
            None => self.finish_forwarding(slot, Answer::Error),
        }
    }

    /// What the choice of a server goes by.
    #[inline]
    fn choice_key(&mut self, slot: u32) -> u64 {
        match self.balancer(slot).balance {
            Balance::Source => self.address(slot),
            Balance::Uri => self.path_key(slot),
            Balance::Random => {
                let call = &self.calls[slot];
                Stream::new(self.seed, CHOICE.of(u64::from(call.attempts)), call.id.0).next_bits()
            }
            _ => 0,
        }
    }

    /// The same for every request of the same path.
    pub(crate) fn path_key(&self, slot: u32) -> u64 {
        let (call, path) = (&self.calls[slot], self.calls.path(slot));
        let part = |key: u64, keyspace: &KeyspaceId| {
            let number = path.first(&self.draws, call.id, *keyspace);
            key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number
        };
        self.paths[call.class.index()].iter().fold(call.class.index() as u64 + 1, part)
    }

    /// Connects to a server and sends it the request, or has it wait for its turn there.
    #[inline]
    fn forward(&mut self, slot: u32, server: u16) {
        let now = self.now;
        let balancer = self.balancer(slot);
        if !balancer.servers.has_room(server, now) {
            return self.wait_for_server(slot, Some(server));
        }
        balancer.servers.begin(server);
        let (target, deadline) = (balancer.target, now.saturating_add(balancer.connect_timeout));
        let call = &mut self.calls[slot];
        call.leaf = server;
        call.stage = SENT;
        let steps = (call.step, call.end);
        self.call(slot, target, target.base + server, steps, deadline);
    }

    /// Has a request wait in the queue: of one server, or of all.
    fn wait_for_server(&mut self, slot: u32, server: Option<u16>) {
        let now = self.now;
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        let balancer = &mut self.balancers[usize::from(instance.index)];
        let call = &mut self.calls[slot];
        (call.phase, call.stage) = (Phase::Queued, IN_QUEUE);
        call.work = now;
        let queue = match server {
            Some(server) => &mut balancer.queues[usize::from(server)],
            None => &mut balancer.common,
        };
        queue.push(&mut self.calls, slot);
        balancer.queue.up(now);
        if let Some(at) = balancer.queue_timeouts.start(&self.calls, now, slot) {
            self.events.schedule(at, balancer.queue_timer);
        }
    }

    /// A server has room for one more: whoever has waited the longest, for it or for any.
    pub(crate) fn next_in_queue(&mut self, at: u16, server: u16) {
        let now = self.now;
        let balancer = &mut self.balancers[usize::from(self.instances[usize::from(at)].index)];
        if !balancer.servers.limited() {
            return;
        }
        while balancer.servers.is_up(server) && balancer.servers.has_room(server, now) {
            let since = |queue: &Fifo| queue.first().map(|slot| self.calls[slot].work);
            let own = since(&balancer.queues[usize::from(server)]);
            // One of no weight has room for those that are bound to it alone.
            let common = if balancer.servers.is_usable(server) { since(&balancer.common) } else { None };
            let queue = match (own, common) {
                (None, None) => return,
                (Some(own), Some(common)) if common < own => &mut balancer.common,
                (Some(_), _) => &mut balancer.queues[usize::from(server)],
                (None, Some(_)) => &mut balancer.common,
            };
            let Some(slot) = queue.pop(&self.calls) else { return };
            balancer.queue.down(now);
            // The place is taken at once; the request goes when the present event is over.
            balancer.servers.begin(server);
            let call = &mut self.calls[slot];
            (call.leaf, call.stage) = (server, SENT);
            self.ready.push_back(slot);
        }
    }

    /// A request that waited goes on.
    pub(crate) fn balancer_ready(&mut self, slot: u32) {
        let call = &self.calls[slot];
        match call.stage {
            UNACCEPTED => return self.balancer_accept(slot),
            BEFORE_THREAD => return self.work_on(slot),
            _ => {}
        }
        // Its place at the server is taken already.
        let server = call.leaf;
        self.balancer(slot).servers.end(server);
        self.forward(slot, server);
    }

    /// A server went down: who waited for it may go to any.
    pub(crate) fn leave_server_queue(&mut self, at: u16, server: u16) {
        let balancer = &mut self.balancers[usize::from(self.instances[usize::from(at)].index)];
        let Some(queue) = balancer.queues.get_mut(usize::from(server)) else { return };
        let mut waiting = Vec::new();
        while let Some(slot) = queue.pop(&self.calls) {
            balancer.queue.down(self.now);
            waiting.push(slot);
        }
        for slot in waiting {
            self.choose_server(slot, None);
        }
    }

    /// A server may just have come back: while its limit grows, it is looked at now and then.
    pub(crate) fn watch_warm_up(&mut self, at: u16) {
        let balancer = &mut self.balancers[usize::from(self.instances[usize::from(at)].index)];
        if let Some(step) = balancer.servers.warm_up_step(self.now)
            && !std::mem::replace(&mut balancer.warms_up, true)
        {
            self.events.schedule(self.now + step, balancer.warm_up_timer);
        }
    }

    /// Servers whose limit grows may have room for some who wait.
    pub(crate) fn warm_up(&mut self, at: u16) {
        let instance = &self.instances[usize::from(at)];
        let goes_on = instance.killed == 0 && instance.stopped == 0;
        let balancer = &mut self.balancers[usize::from(instance.index)];
        balancer.warms_up = false;
        let servers = if goes_on { balancer.target.count } else { 0 };
        for server in 0..servers {
            self.next_in_queue(at, server);
        }
        self.watch_warm_up(at);
    }

    /// A server has answered, or could not be asked.
    #[inline]
    pub(crate) fn balancer_answered(&mut self, slot: u32, back: Back) {
        let at = self.calls[slot].at;
        let balancer = self.balancer(slot);
        let server = back.at - balancer.target.base;
        balancer.servers.end(server);
        let (mut up, limited) = (balancer.servers.is_up(server), balancer.servers.limited());
        if balancer.passive.is_some() {
            let seen = match back.answer {
                Answer::Good => Seen::Answer,
                Answer::Refused | Answer::Unreachable => Seen::NoConnection,
                Answer::Error | Answer::Reset | Answer::TimedOut | Answer::Rejected => Seen::NoAnswer,
            };
            self.observe(at, server, seen);
            up = self.balancer(slot).servers.is_up(server);
        }
        match back.answer {
            Answer::Good | Answer::Error => {
                // A connection to a server that is down is closed.
                if up {
                    self.pools.give_back(back.pool);
                } else {
                    self.hang_up(back.pool, 1);
                }
                self.finish_forwarding(slot, back.answer);
            }
            Answer::Reset | Answer::TimedOut | Answer::Rejected => {
                self.finish_forwarding(slot, Answer::Error)
            }
            Answer::Refused | Answer::Unreachable => self.retry(slot, server, back.answer),
        }
        if limited {
            self.next_in_queue(at, server);
        }
    }

    /// Answers a request, and accepts the next.
    #[inline]
    fn finish_forwarding(&mut self, slot: u32, answer: Answer) {
        let now = self.now;
        let instance = &self.instances[usize::from(self.calls[slot].at)];
        let balancer = &mut self.balancers[usize::from(instance.index)];
        balancer.in_service.down(now);
        if balancer.in_service.level() < balancer.limit
            && let Some(next) = balancer.unaccepted.pop(&self.calls)
        {
            balancer.queue.down(now);
            balancer.outside.down(now);
            balancer.in_service.up(now);
            self.ready.push_back(next);
        }
        self.answer(slot, answer);
    }

    /// A connection failed: tries another; a request of which something was sent never comes here. HAProxy waits before that
    /// where the server refused and the next try goes to the same one, or no more than one is in use, but not after a timeout,
    /// which was a wait (`back_handle_st_cer` in its `backend.c`; `retries` in its manual).
    fn retry(&mut self, slot: u32, failed: u16, answer: Answer) {
        let call = &mut self.calls[slot];
        call.attempts += 1;
        let attempts = u32::from(call.attempts);
        let balancer = self.balancer(slot);
        if attempts > balancer.retries {
            return self.finish_forwarding(slot, Answer::Error);
        }
        let meets_it_again = !balancer.redispatch || balancer.servers.count_up() <= 1;
        if meets_it_again && answer == Answer::Refused {
            let pause = balancer.connect_timeout.min(TURN_AROUND_NANOS);
            return self.wait_until(slot, self.now + pause, Phase::Timed);
        }
        self.ask_again(slot, failed);
    }

    /// Asks another server than the one that failed, if there is another, or that one where requests stay with theirs.
    fn ask_again(&mut self, slot: u32, failed: u16) {
        if self.balancer(slot).redispatch {
            self.choose_server(slot, Some(failed));
        } else {
            self.forward(slot, failed);
        }
    }

    /// The pause before a server is tried again is over, or the processor time that a request takes.
    pub(crate) fn balancer_wake(&mut self, slot: u32) {
        if self.calls[slot].stage == AT_WORK {
            return self.worked(slot);
        }
        let failed = self.calls[slot].leaf;
        self.ask_again(slot, failed);
    }

    /// A request was sent to a server: its time begins.
    #[inline]
    pub(crate) fn start_server_timeout(&mut self, balancer: u16, child: u32) {
        let balancer = &mut self.balancers[usize::from(balancer)];
        if let Some(at) = balancer.timeouts.start(&self.calls, self.now, child) {
            self.events.schedule(at, balancer.timer);
        }
    }

    /// Answers 504 for every request whose server has been silent for too long, and closes its connection.
    pub(crate) fn server_timeouts(&mut self, index: u32) {
        loop {
            let balancer = &mut self.balancers[index as usize];
            match balancer.timeouts.expired(&self.calls, self.now) {
                Ok(child) => {
                    let call = &mut self.calls[child];
                    let (from, server) = (call.from, call.at - balancer.target.base);
                    let parent = std::mem::replace(&mut call.parent, NOBODY);
                    if parent < NOBODY {
                        balancer.servers.end(server);
                        self.observe(from, server, Seen::NoAnswer);
                        self.finish_forwarding(parent, Answer::Error);
                        self.next_in_queue(from, server);
                    }
                }
                Err(again) => {
                    if let Some(at) = again {
                        self.events.schedule(at, balancer.timer);
                    }
                    return;
                }
            }
        }
    }

    /// Answers 503 for every request that has been in the queue for too long.
    pub(crate) fn queue_timeouts(&mut self, index: u32) {
        loop {
            let balancer = &mut self.balancers[index as usize];
            match balancer.queue_timeouts.expired(&self.calls, self.now) {
                Ok(slot) => {
                    let call = &self.calls[slot];
                    let late = call.work + balancer.queue_timeouts.span() <= self.now;
                    if call.phase != Phase::Queued || call.stage != IN_QUEUE || !late {
                        continue;
                    }
                    let queues = std::iter::once(&mut balancer.common).chain(&mut balancer.queues);
                    // It stands first in its queue, but for one whose server went down.
                    for queue in queues {
                        if queue.first() == Some(slot) {
                            queue.pop(&self.calls);
                            break;
                        }
                        if queue.take_out(&mut self.calls, |s| s == slot) > 0 {
                            break;
                        }
                    }
                    balancer.queue.down(self.now);
                    self.finish_forwarding(slot, Answer::Error);
                }
                Err(again) => {
                    if let Some(at) = again {
                        self.events.schedule(at, balancer.queue_timer);
                    }
                    return;
                }
            }
        }
    }

    /// The process died: who waited waits no more, and what it knew is forgotten.
    pub(crate) fn balancer_lose(&mut self, at: u16) {
        self.forget_checks(at);
        let balancer = &mut self.balancers[usize::from(self.instances[usize::from(at)].index)];
        balancer.servers.forget();
        balancer.in_service.set(self.now, 0);
        balancer.queue.set(self.now, 0);
        balancer.unaccepted = Fifo::new();
        balancer.outside.set(self.now, 0);
        balancer.common = Fifo::new();
        balancer.queues.fill(Fifo::new());
        balancer.works = false;
        balancer.before_thread = Fifo::new();
    }
}
