//! The clients of one traffic: a bounded set of persistent connections, a counted queue before it, timeouts.
//!
//! Open loop: a request comes due whatever became of those before it; `user` has those who wait for answers. Connections are opened before they are needed; one
//! that breaks is opened again as soon as its instance takes it, and is the last to be used until then.

use results::Failure;
use scenarios::plan::RequestId;
use scenarios::scenario::{ClassId, TrafficId};

use crate::call::{CLIENT, Call, Fifo, LOST_SESSION, NONE, Phase, TRACED, UNOPENED};
use crate::companion::Noted;
use crate::conservation::Border;
use crate::front::Due;
use crate::gauge::Gauge;
use crate::instance::Answer;
use crate::timeout::TimeoutRing;
use crate::world::{Delay, World};
use connections::Connections;
use retry::Retrying;

pub(crate) mod connections;
pub(crate) mod retry;

/// What the connections lead to: the first instance, and how many there are to choose from: one, if it is a virtual address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) base: u16,
    pub(crate) count: u16,
}

impl Entry {
    /// The number of the instance that a connection leads to.
    #[inline]
    fn number(self, connection: u32) -> u16 {
        // Mostly there is one, and a division takes time.
        if self.count == 1 { 0 } else { (connection % u32::from(self.count)) as u16 }
    }
}

#[derive(Debug)]
pub(crate) struct Client {
    /// Whether what comes due are sessions.
    pub(crate) sessions: bool,
    pub(crate) entry: Entry,
    pub(crate) connections: Connections,
    pub(crate) latency: Delay,
    /// Under way and waiting.
    pub(crate) in_flight: u32,
    pub(crate) max_in_flight: u32,
    pub(crate) waiting: Fifo,
    pub(crate) queue: Gauge,
    pub(crate) busy: Gauge,
    pub(crate) border: Border,
    pub(crate) timeouts: TimeoutRing,
    pub(crate) timer: u32,
    /// Requests that failed and pause before they are sent again.
    pub(crate) pausing: Gauge,
    /// How what failed is sent again.
    pub(crate) retrying: Option<Box<Retrying>>,
}

impl World {
    /// A request comes due.
    #[inline]
    pub(crate) fn come_due(&mut self, due: &Due) {
        let planned = &due.planned;
        self.now = planned.due.as_nanos();
        if self.clients[planned.traffic.index()].sessions {
            self.begin_session(due);
        } else {
            self.admit(planned.id, planned.class, planned.traffic, Some(due), NONE);
        }
        self.drain();
        if self.tracer.is_some() {
            self.look();
        }
    }

    /// Sends a request that is due now, or has it wait for a connection, or drops it.
    #[inline]
    pub(crate) fn admit(
        &mut self,
        id: RequestId,
        class: ClassId,
        traffic: TrafficId,
        drawn: Option<&Due>,
        user: u32,
    ) {
        self.counts.due += 1;
        let traffic = traffic.index();
        self.reopen_lost(traffic);
        let client = &mut self.clients[traffic];
        let mut call = Call::new(id, class, CLIENT, self.now);
        (call.traffic, call.user) = (traffic as u16, user);
        (call.step, call.end) = self.classes[class.index()];
        let room = client.in_flight < client.max_in_flight;
        // Where there is no slot either, the simulated machines are out of memory.
        let Some(slot) = room.then(|| self.calls.insert(call)).flatten() else {
            self.drop_request(class, self.now);
            if user != NONE {
                self.user_answered(user);
            }
            return;
        };
        match drawn {
            Some(due) => self.calls.keep_drawn(slot, due),
            None => self.calls[slot].root = slot,
        }
        if let Some(tracer) = &mut self.tracer
            && tracer.begin(id, class, self.now)
        {
            self.calls[slot].flags |= TRACED;
            tracer.join(slot, &self.calls[slot], None, self.now);
        }
        client.in_flight += 1;
        client.border.enter(self.now);
        self.in_flight += 1;
        if let Some(retrying) = &mut client.retrying {
            retrying.deposit(self.now);
        }
        self.find_connection(slot);
    }

    /// Sends a request over a free connection, or has it wait for one.
    #[inline(always)]
    fn find_connection(&mut self, slot: u32) {
        let (users, user) = (&self.users, self.calls[slot].user);
        let client = &mut self.clients[usize::from(self.calls[slot].traffic)];
        match client.connections.take(self.now, || users.number(user)) {
            Some((connection, open)) => {
                let call = &mut self.calls[slot];
                call.connection = connection;
                if !open {
                    call.flags |= UNOPENED;
                }
                client.busy.up(self.now);
                self.send(slot);
            }
            None => {
                client.waiting.push(&mut self.calls, slot);
                client.queue.up(self.now);
            }
        }
    }

    /// A request is never sent.
    fn drop_request(&mut self, class: ClassId, due: u64) {
        self.counts.failed += 1;
        let result = Err(Failure::Dropped);
        self.noted.push(Noted { class, due, sent: Noted::NEVER, done: self.now, result });
    }

    #[inline]
    fn reopen_lost(&mut self, traffic: usize) {
        if self.clients[traffic].connections.any_lost() {
            self.reopen_connections(traffic);
        }
    }

    /// Clients try to open what they lost. At a stopped instance each connection takes a place in the backlog for as long
    /// as that lasts, so there it is opened for a request alone.
    #[cold]
    fn reopen_connections(&mut self, traffic: usize) {
        let base = self.clients[traffic].entry.base;
        let mut connections =
            std::mem::replace(&mut self.clients[traffic].connections, Connections::alike(0));
        connections.reopen(|number| {
            let at = self.holder(base + number);
            let instance = &self.instances[usize::from(at)];
            instance.stopped == 0 && instance.killed == 0 && self.accepts(at)
        });
        self.clients[traffic].connections = connections;
    }

    /// A process died: the connections of clients that lead to it broke.
    pub(crate) fn lose_connections(&mut self, at: u16) {
        for client in 0..self.clients.len() {
            let Entry { base, count } = self.clients[client].entry;
            for number in 0..count {
                if self.holder(base + number) == at {
                    self.clients[client].connections.lose(number);
                }
            }
        }
    }

    /// Sends a request over the connection that it holds.
    #[inline]
    pub(crate) fn send(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        call.sent = self.now;
        let traffic = usize::from(call.traffic);
        let client = &mut self.clients[traffic];
        let entrance = client.entry.base + client.entry.number(call.connection);
        if let Some(at) = client.timeouts.start(&self.calls, self.now, slot) {
            self.events.schedule(at, client.timer);
        }
        self.calls[slot].at = self.holder(entrance);
        if self.is_at_once(&self.clients[traffic].latency)
            || !self.delay(slot, self.clients[traffic].latency, Phase::ToEntry)
        {
            self.enter(slot);
        }
    }

    /// The request reaches the instance that its connection leads to.
    #[inline(always)]
    pub(crate) fn enter(&mut self, slot: u32) {
        let call = &mut self.calls[slot];
        call.phase = Phase::Connecting;
        let at = call.at;
        if self.network.active && call.is(UNOPENED) {
            // The client gives up before the kernel does.
            self.calls[slot].work = u64::MAX;
            self.connect(slot);
        } else if self.instances[usize::from(at)].killed > 0 {
            self.answer(slot, Answer::Refused);
        } else if (call.is(UNOPENED) || self.any_holding && self.needs_accepting(slot)) && !self.accepts(at) {
            // The client gives up before the kernel does.
            self.calls[slot].work = u64::MAX;
            self.wait_for_syn(slot);
        } else {
            // Where the connection was opened ahead, the backlog has no say.
            self.connected(slot);
        }
    }

    /// A client learns what became of its request. The call itself may live on; the caller says.
    #[inline(always)]
    pub(crate) fn settle(&mut self, slot: u32, result: Result<(), Failure>) {
        let call = &self.calls[slot];
        let result = if call.is(LOST_SESSION) { result.and(Err(Failure::LostSession)) } else { result };
        let (traffic, connection) = (usize::from(call.traffic), call.connection);
        let again =
            result.is_err() && self.clients[traffic].retrying.is_some() && self.try_again(slot, result);
        if !again {
            self.conclude(slot, result);
        }
        // After these the connection is closed, and another takes its place.
        let lost = matches!(result, Err(Failure::Timeout | Failure::Reset | Failure::Refused));
        self.release_connection(traffic, connection, lost);
    }

    /// A request's last answer is known.
    #[inline(always)]
    fn conclude(&mut self, slot: u32, result: Result<(), Failure>) {
        let call = &self.calls[slot];
        let user = call.user;
        match result {
            Ok(()) => self.counts.ok += 1,
            Err(_) => self.counts.failed += 1,
        }
        let Call { class, due, sent, .. } = *call;
        self.noted.push(Noted { due, sent, done: self.now, class, result });
        if let Some(tracer) = &mut self.tracer {
            tracer.settled(call.id, call.due, self.now, result);
        }
        self.in_flight -= 1;
        let traffic = usize::from(call.traffic);
        if user != NONE {
            self.user_answered(user);
        }
        let client = &mut self.clients[traffic];
        client.in_flight -= 1;
        client.border.leave(self.now, result.is_ok());
    }

    /// A connection is free: for the next request that waits for one, if there is any.
    #[inline(always)]
    fn release_connection(&mut self, traffic: usize, connection: u32, lost: bool) {
        let client = &mut self.clients[traffic];
        if let Some(next) = client.waiting.pop(&self.calls) {
            client.queue.down(self.now);
            let next_call = &mut self.calls[next];
            next_call.connection = connection;
            if lost {
                next_call.flags |= UNOPENED;
            }
            self.ready.push_back(next);
            return;
        }
        client.busy.down(self.now);
        if lost && !self.can_reopen(traffic, connection) {
            self.clients[traffic].connections.set_aside(connection);
        } else {
            self.clients[traffic].connections.give_back(self.now, connection);
        }
    }

    /// Whether the instance that a connection leads to would take a new one in its place.
    fn can_reopen(&self, traffic: usize, connection: u32) -> bool {
        let entry = self.clients[traffic].entry;
        let at = self.holder(entry.base + entry.number(connection));
        self.instances[usize::from(at)].killed == 0 && self.accepts(at)
    }

    /// The client gives up every request whose time is over, and replaces their connections.
    pub(crate) fn client_timeouts(&mut self, traffic: u32) {
        loop {
            let client = &mut self.clients[traffic as usize];
            match client.timeouts.expired(&self.calls, self.now) {
                Ok(slot) => {
                    if self.calls[slot].parent == CLIENT {
                        self.settle(slot, Err(Failure::Timeout));
                        self.leave(slot);
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

    /// Ends the run here: what waits for a connection is never sent, what is under way has timed out.
    pub(crate) fn give_up(&mut self) {
        for traffic in 0..self.clients.len() {
            self.clients[traffic].retrying = None;
            loop {
                let client = &mut self.clients[traffic];
                let Some(slot) = client.waiting.pop(&self.calls) else { break };
                client.queue.down(self.now);
                client.in_flight -= 1;
                client.border.leave(self.now, false);
                self.in_flight -= 1;
                let Call { class, due, user, .. } = self.calls[slot];
                self.calls.remove(slot);
                self.drop_request(class, due);
                if user != NONE {
                    self.user_answered(user);
                }
            }
        }
        for slot in self.calls.slots_where(|c| c.parent == CLIENT && c.phase == Phase::Pause) {
            self.clients[usize::from(self.calls[slot].traffic)].pausing.down(self.now);
            self.conclude(slot, Err(Failure::Timeout));
            self.forget(slot);
        }
        for slot in self.calls.slots_where(|c| c.parent == CLIENT) {
            self.settle(slot, Err(Failure::Timeout));
            self.leave(slot);
        }
    }
}
