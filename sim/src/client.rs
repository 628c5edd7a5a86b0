//! The clients of one traffic: a bounded set of persistent connections, a counted queue before it, timeouts.
//!
//! Open loop: a request comes due whatever became of those before it.

use std::collections::VecDeque;

use results::{Failure, Outcome};
use scenarios::plan::Planned;
use scenarios::units::SimTime;

use crate::gauge::Gauge;
use crate::request::{ABANDONED, CHECK, Fifo, Phase, Request};
use crate::timeout::TimeoutRing;
use crate::world::{Delay, World};

/// What the connections lead to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Entry {
    Balancer { base: u16, count: u16 },
    Service { base: u16, count: u16 },
}

/// The free connections. Where all lead to the same instance, which one is taken makes no difference.
#[derive(Debug)]
pub(crate) enum Connections {
    Alike(u32),
    Numbered(VecDeque<u32>),
}

impl Connections {
    pub(crate) fn new(count: u32, instances: u16) -> Self {
        if instances == 1 { Self::Alike(count) } else { Self::Numbered((0..count).collect()) }
    }

    #[inline]
    fn take(&mut self) -> Option<u32> {
        match self {
            Self::Alike(0) => None,
            Self::Alike(free) => {
                *free -= 1;
                Some(0)
            }
            Self::Numbered(free) => free.pop_front(),
        }
    }

    #[inline]
    fn give_back(&mut self, connection: u32) {
        match self {
            Self::Alike(free) => *free += 1,
            Self::Numbered(free) => free.push_back(connection),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) entry: Entry,
    pub(crate) connections: Connections,
    pub(crate) latency: Delay,
    /// Under way and waiting.
    pub(crate) in_flight: u32,
    pub(crate) max_in_flight: u32,
    pub(crate) waiting: Fifo,
    pub(crate) queue: Gauge,
    pub(crate) busy: Gauge,
    pub(crate) timeouts: TimeoutRing,
    pub(crate) timer: u32,
}

impl World {
    /// A request comes due.
    #[inline]
    pub(crate) fn come_due(&mut self, planned: &Planned) {
        self.now = planned.due.as_nanos();
        self.counts.due += 1;
        let client = &mut self.clients[planned.traffic.index()];
        if client.in_flight >= client.max_in_flight {
            self.counts.failed += 1;
            self.recorder.record(&Outcome {
                class: planned.class,
                due: planned.due,
                sent: None,
                done: planned.due,
                lag: SimTime::ZERO,
                result: Err(Failure::Dropped),
            });
            return;
        }
        client.in_flight += 1;
        self.in_flight += 1;
        let request = Request::new(planned.id, planned.class, planned.traffic.index() as u16, self.now);
        let slot = self.requests.insert(request);
        match client.connections.take() {
            Some(connection) => {
                self.requests[slot].connection = connection;
                client.busy.up(self.now);
                self.send(slot);
            }
            None => {
                client.waiting.push(&mut self.requests, slot);
                client.queue.up(self.now);
            }
        }
        self.drain();
    }

    /// Sends a request over the connection that it holds.
    #[inline]
    pub(crate) fn send(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        request.sent = self.now;
        let client = &mut self.clients[request.origin as usize];
        let latency = client.latency;
        if let Some(at) = client.timeouts.start(&self.requests, self.now, slot) {
            self.events.schedule(at, client.timer);
        }
        if !self.delay(slot, latency, Phase::ToEntry) {
            self.enter(slot);
        }
    }

    /// The request reaches the instance that its connection leads to.
    #[inline]
    pub(crate) fn enter(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        match self.clients[request.origin as usize].entry {
            Entry::Balancer { base, count } => {
                let balancer = base + (request.connection % u32::from(count)) as u16;
                request.balancer = balancer;
                if self.balancers[balancer as usize].killed > 0 {
                    self.settle(slot, Err(Failure::Refused));
                    self.requests.remove(slot);
                    return;
                }
                let latency = self.balancers[balancer as usize].latency;
                if !self.delay(slot, latency, Phase::InBalancer) {
                    self.choose_server(slot);
                }
            }
            Entry::Service { base, count } => {
                let service = base + (request.connection % u32::from(count)) as u16;
                request.service = service;
                if self.services[service as usize].killed > 0 {
                    self.settle(slot, Err(Failure::Refused));
                    self.requests.remove(slot);
                    return;
                }
                // The connection was opened ahead, so the backlog has no say.
                let latency = self.services[service as usize].latency;
                if !self.delay(slot, latency, Phase::ToService) {
                    self.arrive_at_service(slot);
                }
            }
        }
    }

    /// The sender learns what became of its request. The request itself may live on, abandoned; the caller says.
    #[inline]
    pub(crate) fn settle(&mut self, slot: u32, result: Result<(), Failure>) {
        let request = &self.requests[slot];
        if request.origin == CHECK {
            self.check_answered(slot, result.is_ok());
            return;
        }
        match result {
            Ok(()) => self.counts.ok += 1,
            Err(_) => self.counts.failed += 1,
        }
        self.recorder.record(&Outcome {
            class: request.class,
            due: SimTime::from_nanos(request.due),
            sent: Some(SimTime::from_nanos(request.sent)),
            done: SimTime::from_nanos(self.now),
            lag: SimTime::ZERO,
            result,
        });
        self.in_flight -= 1;
        let client = &mut self.clients[request.origin as usize];
        client.in_flight -= 1;
        let connection = request.connection;
        if let Some(next) = client.waiting.pop(&self.requests) {
            client.queue.down(self.now);
            self.requests[next].connection = connection;
            self.ready.push_back(next);
        } else {
            client.connections.give_back(connection);
            client.busy.down(self.now);
        }
    }

    /// The client gives up every request whose time is over, and replaces their connections.
    pub(crate) fn client_timeouts(&mut self, traffic: u32) {
        loop {
            let client = &mut self.clients[traffic as usize];
            match client.timeouts.expired(&self.requests, self.now) {
                Ok(slot) => {
                    if !self.requests[slot].is(ABANDONED) {
                        self.settle(slot, Err(Failure::Timeout));
                        self.abandon(slot);
                    }
                }
                Err(again) => {
                    if let Some(at) = again {
                        self.events.schedule(at, client.timer);
                    }
                    return;
                }
            }
        }
    }

    /// Nobody waits for this request's answer any more. What has not reached a service goes no further; a service notices
    /// nothing until it answers.
    pub(crate) fn abandon(&mut self, slot: u32) {
        let request = &mut self.requests[slot];
        match request.phase {
            Phase::ToEntry | Phase::InBalancer | Phase::TurnAround | Phase::Connecting => {
                self.requests.remove(slot);
            }
            _ => request.flags |= ABANDONED,
        }
    }
}
