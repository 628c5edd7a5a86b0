//! The load balancer: round robin over the servers that are up, connections pooled and retried, HAProxy's answers when
//! there is none. Whether a server is up is `health`'s to find out.

use results::Failure;

use crate::gauge::Gauge;
use crate::health::Health;
use crate::request::{ABANDONED, CHECK, CUT, NOWHERE, Phase};
use crate::timeout::TimeoutRing;
use crate::world::{Delay, World};

/// How long Linux waits for the answer to the first SYN.
const SYN_NANOS: u64 = 1_000_000_000;
/// How often Linux sends a SYN again at that pace, before it doubles the wait each time (`tcp_syn_linear_timeouts`,
/// since Linux 6.5; before, the tries were 1, 3 and 7 s after the first instead of 1, 2, 3, 4, 5 and 7).
const SYN_LINEAR: u8 = 4;

/// How long Linux waits after the n-th try, counted from zero.
pub(crate) fn syn_wait(tries: u8) -> u64 {
    SYN_NANOS << tries.saturating_sub(SYN_LINEAR).min(30)
}

/// One server as one balancer instance sees it.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) service: u16,
    pub(crate) health: Health,
    /// Idle connections in the pool.
    pub(crate) idle: u32,
}

#[derive(Debug)]
pub(crate) struct Balancer {
    pub(crate) component: u16,
    pub(crate) instance: u32,
    pub(crate) servers: Vec<Server>,
    pub(crate) next: usize,
    pub(crate) retries: u32,
    pub(crate) redispatch: bool,
    pub(crate) connect_timeout: u64,
    pub(crate) latency: Delay,
    pub(crate) server_timeout: u64,
    /// None where every client gives up before.
    pub(crate) timeouts: Option<TimeoutRing>,
    pub(crate) timer: u32,
    /// How many faults keep it dead.
    pub(crate) killed: u32,
    /// How many faults make it answer 500.
    pub(crate) broken: u32,
    /// Whether it answers.
    pub(crate) up: Gauge,
}

impl Balancer {
    /// The next server that is up, other than the one to avoid unless there is no other.
    fn next_up(&mut self, avoid: Option<u16>) -> Option<u16> {
        let count = self.servers.len();
        let turn = |i| (self.next + i) % count;
        let good = |i: &usize| self.servers[*i].health.up;
        let other = (0..count).map(turn).find(|i| good(i) && Some(self.servers[*i].service) != avoid);
        let chosen = other.or_else(|| (0..count).map(turn).find(good))?;
        self.next = (chosen + 1) % count;
        Some(self.servers[chosen].service)
    }

    fn server(&mut self, service: u16) -> &mut Server {
        let first = self.servers[0].service;
        &mut self.servers[usize::from(service - first)]
    }
}

impl World {
    /// Picks a server for a request that has none yet.
    #[inline]
    pub(crate) fn choose_server(&mut self, slot: u32) {
        let balancer = &mut self.balancers[usize::from(self.requests[slot].balancer)];
        if balancer.broken > 0 {
            return self.give_answer(slot, Err(Failure::Status));
        }
        match balancer.next_up(None) {
            Some(service) => {
                self.requests[slot].service = service;
                self.connect(slot);
            }
            None => self.give_answer(slot, Err(Failure::Status)),
        }
    }

    /// Gets a connection to the chosen server, from the pool or new.
    pub(crate) fn connect(&mut self, slot: u32) {
        loop {
            let request = &mut self.requests[slot];
            let service = &self.services[usize::from(request.service)];
            let balancer = &mut self.balancers[usize::from(request.balancer)];
            if service.killed > 0 {
                if self.retry(slot) {
                    continue;
                }
                return;
            }
            let server = balancer.server(request.service);
            if server.idle > 0 {
                server.idle -= 1;
                return self.forward(slot);
            }
            if service.accepts() {
                return self.forward(slot);
            }
            let deadline = self.now.saturating_add(balancer.connect_timeout);
            return self.wait_for_syn(slot, deadline);
        }
    }

    /// Sends a SYN that nobody answers.
    pub(crate) fn wait_for_syn(&mut self, slot: u32, deadline: u64) {
        let request = &mut self.requests[slot];
        request.work = deadline;
        request.syns = 1;
        self.wait_until(slot, deadline.min(self.now + SYN_NANOS), Phase::Connecting);
    }

    /// The SYN is sent again, or the connection has timed out.
    pub(crate) fn try_syn_again(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        let service = &self.services[usize::from(request.service)];
        let (refused, late) = (service.killed > 0, self.now >= request.work);
        if !refused && !late {
            if service.accepts() {
                return self.forward(slot);
            }
            let (deadline, wait) = (request.work, syn_wait(request.syns));
            request.syns += 1;
            return self.wait_until(slot, deadline.min(self.now + wait), Phase::Connecting);
        }
        if self.retry(slot) {
            self.connect(slot);
        }
    }

    /// A connection failed. Whether to try another at once; else it is being waited, or the client has its 503. Clients and
    /// checks that connect by themselves do not try again.
    fn retry(&mut self, slot: u32) -> bool {
        let request = &mut self.requests[slot];
        if request.origin == CHECK || request.balancer == NOWHERE {
            self.give_answer(slot, Err(Failure::Refused));
            return false;
        }
        let balancer = &mut self.balancers[usize::from(request.balancer)];
        request.attempts += 1;
        if request.attempts > balancer.retries {
            self.give_answer(slot, Err(Failure::Status));
            return false;
        }
        if !balancer.redispatch {
            let turn_around = balancer.connect_timeout.min(SYN_NANOS);
            self.wait_until(slot, self.now + turn_around, Phase::TurnAround);
            return false;
        }
        match balancer.next_up(Some(request.service)) {
            Some(service) => {
                request.service = service;
                true
            }
            None => {
                self.give_answer(slot, Err(Failure::Status));
                false
            }
        }
    }

    /// Sends the request to the server that it is connected to.
    #[inline]
    fn forward(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        let service = request.service;
        if request.is(ABANDONED) {
            // Its client has its result already; the server's time begins.
            request.sent = self.now;
        }
        if request.origin != CHECK && request.balancer != NOWHERE {
            let balancer = &mut self.balancers[usize::from(request.balancer)];
            if let Some(timeouts) = &mut balancer.timeouts
                && let Some(at) = timeouts.start(&self.requests, self.now, slot)
            {
                self.events.schedule(at, balancer.timer);
            }
        }
        let latency = self.services[usize::from(service)].latency;
        if !self.delay(slot, latency, Phase::ToService) {
            self.arrive_at_service(slot);
        }
    }

    /// A server has answered: the connection is free for the next request, unless the balancer closed it meanwhile. One to
    /// a server that is down is closed now.
    #[inline]
    pub(crate) fn keep_connection(&mut self, slot: u32) {
        let request = &self.requests[slot];
        let balancer = &mut self.balancers[usize::from(request.balancer)];
        if request.is(ABANDONED) {
            // Once the client has left, nothing else watches over the server's timeout.
            let late = self.now - request.sent >= balancer.server_timeout;
            if late || request.is(CUT) {
                return;
            }
        }
        let server = balancer.server(request.service);
        server.idle += u32::from(server.health.up);
    }

    /// Answers from where no service is involved, if anybody still waits for it, and forgets the request.
    pub(crate) fn give_answer(&mut self, slot: u32, result: Result<(), Failure>) {
        if !self.requests[slot].is(ABANDONED) {
            self.settle(slot, result);
        }
        self.requests.remove(slot);
    }

    /// Answers 504 for every request whose server has been silent for too long.
    pub(crate) fn server_timeouts(&mut self, index: u32) {
        loop {
            let balancer = &mut self.balancers[index as usize];
            let Some(timeouts) = &mut balancer.timeouts else { return };
            match timeouts.expired(&self.requests, self.now) {
                Ok(slot) => {
                    if !self.requests[slot].is(ABANDONED) {
                        self.settle(slot, Err(Failure::Status));
                    }
                    self.requests[slot].flags |= ABANDONED | CUT;
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
}
