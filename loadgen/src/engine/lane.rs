//! One engine thread's state: its share of every traffic's connections, queues and limits, and what it counted.
//!
//! A lane knows when things are due, not how to wait: `pacer` calls it on time, and with whatever happened to its
//! connections.

mod again;
mod expiry;
mod kept;
mod origin;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::Ipv4Addr;

use results::{Failure, Outcome, Recorder};
use scenarios::plan::Planned;
use scenarios::scenario::Reuse;
use scenarios::units::SimTime;

use self::again::Pauses;
use super::ledger::Ledger;
use super::slot::{Exchange, NONE, Phase, Slot};
use super::traffic::{Due, TrafficLane};
use super::transport::{Happening, Transport};
use super::users::Users;
use crate::clock::{Clock, monotonic_nanos};

/// Requests handed over in a row before sockets are looked at again: what a lane that fell behind may do at once.
pub(super) const BURST: u32 = 32;

/// A background attempt to connect is given up after this, so that it does not sleep through a server's return in the
/// kernel's doubling pauses between SYNs. A request's own attempt lasts as long as its timeout.
const OPENING_NANOS: u64 = 4_000_000_000;

/// A request that came to an end over its slot.
#[derive(Clone, Copy, Debug)]
struct Finished {
    /// Who made it, or [`NONE`].
    user: u32,
    /// Whether it is not sent again.
    is_over: bool,
}

/// One thread's state.
#[derive(Debug)]
pub(super) struct Lane<'a, T> {
    pub(super) clock: Clock,
    pub(super) transport: T,
    pub(super) recorder: Recorder,
    pub(super) ledger: Ledger,
    pub(super) users: Users<'a>,
    traffic: Vec<TrafficLane>,
    slots: Vec<Slot>,
    /// By user: the slot that is kept for the session, or [`NONE`].
    held: Vec<u32>,
    /// Slots that have been free, by where their connections come from.
    origins: HashMap<Ipv4Addr, u32>,
    pauses: Pauses,
    /// Times at which a slot's pause or attempt ends: (CLOCK_MONOTONIC, slot, generation).
    alarms: BinaryHeap<Reverse<(u64, u32, u32)>>,
}

impl<'a, T: Transport> Lane<'a, T> {
    pub(super) fn new(
        (clock, transport): (Clock, T),
        recorder: Recorder,
        ledger: Ledger,
        users: Users<'a>,
        mut traffic: Vec<TrafficLane>,
        slots: Vec<Slot>,
    ) -> Self {
        for (index, slot) in slots.iter().enumerate() {
            traffic[slot.traffic].closed.push_back(index as u32);
        }
        Self {
            clock,
            transport,
            recorder,
            ledger,
            users,
            traffic,
            slots,
            held: Vec::new(),
            origins: HashMap::new(),
            pauses: Pauses::default(),
            alarms: BinaryHeap::new(),
        }
    }

    /// Starts to open every slot.
    pub(super) fn open_all(&mut self) {
        (0..self.slots.len() as u32).for_each(|slot| self.opening(slot));
    }

    /// The run begins at the zero of this clock.
    pub(super) fn begin(&mut self, clock: Clock) {
        self.clock = clock;
        // Connections that are not kept were opened to see that there is somebody.
        for slot in 0..self.slots.len() as u32 {
            let Slot { traffic, phase, .. } = self.slots[slot as usize];
            if self.traffic[traffic].reuse != Reuse::Always && phase != Phase::Closed {
                self.transport.close(slot);
                self.closed(slot, monotonic_nanos());
            }
        }
    }

    /// When the next user comes due, in nanoseconds of CLOCK_MONOTONIC.
    #[inline]
    pub(super) fn next_user_nanos(&self) -> Option<u64> {
        self.users.next_due().map(|due| self.clock.absolute_nanos(due))
    }

    /// Takes requests of users who are due by now, but not so many that sockets wait for long: those left are due still.
    #[inline]
    pub(super) fn dispatch_users(&mut self, mut now: u64) {
        // Time stands still before the run begins, and nobody is due.
        if now < self.clock.absolute_nanos(SimTime::ZERO) {
            return;
        }
        for _ in 0..BURST {
            let Some(due) = self.users.pop_due(self.clock.point(now)) else { return };
            let lag_nanos = now.saturating_sub(self.clock.absolute_nanos(due.planned.due));
            self.ledger.planned(due.planned.due, lag_nanos, true);
            let request = Due { planned: due.planned, lag_nanos, user: due.user, attempt: 0 };
            let traffic = &self.traffic[due.planned.traffic.index()];
            match due.number.zip(traffic.own) {
                Some((number, (first, apart))) => {
                    self.deposit(due.planned.traffic.index(), now);
                    self.hand_over(first + number / apart, request, now);
                }
                None => self.dispatch_due(request, now),
            }
            // Each is as late as it is, not as the first one was.
            now = monotonic_nanos();
        }
    }

    /// Takes a request of the plan that is due.
    #[inline]
    pub(super) fn dispatch(&mut self, planned: Planned) {
        let now = monotonic_nanos();
        let lag_nanos = now.saturating_sub(self.clock.absolute_nanos(planned.due));
        self.ledger.planned(planned.due, lag_nanos, false);
        let sessions = self.traffic[planned.traffic.index()].sessions;
        let user = if sessions { self.users.begin_session(&planned) } else { None };
        self.dispatch_due(Due { planned, lag_nanos, user: user.unwrap_or(NONE), attempt: 0 }, now);
    }

    /// A request more is taken up: the budget of those that are sent again grows.
    #[inline]
    fn deposit(&self, traffic: usize, now: u64) {
        if let Some(retrying) = &self.traffic[traffic].retrying {
            retrying.deposit(self.clock.point(now).as_nanos());
        }
    }

    /// Hands a request to a free slot, else to one that must be opened first, else to the queue.
    fn dispatch_due(&mut self, due: Due, now: u64) {
        let number = due.planned.traffic.index();
        // What is sent again has had its place all along.
        if due.attempt == 0 {
            if self.traffic[number].is_full() {
                return self.drop_request(due, now);
            }
            self.deposit(number, now);
        }
        if let Some(source) = self.source_of(&due) {
            return self.dispatch_from(source, due, now);
        }
        let held = self.held_for(due.user);
        let traffic = &mut self.traffic[number];
        if let Some(slot) = held {
            self.dispatch_over(slot, due, now);
        } else if let Some(slot) = traffic.idle.pop_front() {
            self.assign(slot, due, now);
            self.send(slot);
        } else if let Some(slot) = traffic.opening.pop_front() {
            self.assign(slot, due, now);
        } else if let Some(slot) = traffic.closed.pop_front() {
            self.assign(slot, due, now);
            self.opening(slot);
        } else {
            traffic.queue.push_back(due);
        }
    }

    /// Hands a request to a slot, from wherever it has to come.
    #[inline]
    fn hand_over(&mut self, slot: u32, due: Due, now: u64) {
        match self.source_of(&due) {
            Some(source) => self.send_from(slot, source, due, now),
            None => self.dispatch_over(slot, due, now),
        }
    }

    /// Hands a request to a slot that has none, whatever that is at.
    fn dispatch_over(&mut self, slot: u32, due: Due, now: u64) {
        let phase = self.slots[slot as usize].phase;
        self.assign(slot, due, now);
        match phase {
            Phase::Idle => self.send(slot),
            Phase::Opening => {}
            Phase::Closed => self.opening(slot),
            Phase::Busy => unreachable!("a user makes one request at a time"),
        }
    }

    /// Gives a request to a slot; the clock of its service time and its timeout starts. Where connections are sessions' own, the slot
    /// is from now on the user's.
    fn assign(&mut self, index: u32, due: Due, now: u64) {
        let Due { planned, lag_nanos, user, attempt } = due;
        if user != NONE && self.traffic[planned.traffic.index()].reuse == Reuse::Session {
            self.hold(index, user);
        }
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.exchange.is_none(), "a slot carries one request at a time");
        let traffic = &mut self.traffic[slot.traffic];
        let deadline_nanos = now.saturating_add(traffic.timeout_nanos);
        slot.exchange = Some(Exchange { planned, user, attempt, lag_nanos, sent_nanos: now, deadline_nanos });
        (slot.before, slot.after) = (traffic.newest, NONE);
        match traffic.newest {
            NONE => traffic.oldest = index,
            newest => self.slots[newest as usize].after = index,
        }
        traffic.newest = index;
        traffic.under_way += 1;
        if attempt == 0 {
            self.ledger.sent(planned.due);
        }
    }

    /// Sends the request of a connected slot.
    #[inline]
    fn send(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let exchange = slot.exchange.as_ref().expect("a request was assigned before it is sent");
        slot.phase = Phase::Busy;
        let jar = self.users.jar(exchange.user);
        self.transport.send(index, (&exchange.planned, exchange.attempt), jar.as_deref());
    }

    /// Something happened to a slot.
    #[inline]
    pub(super) fn happened(&mut self, happening: Happening) {
        let now = monotonic_nanos();
        match happening {
            Happening::Opened(slot) => self.opened(slot, now),
            Happening::Answered { slot, result, arrived_nanos, open } => {
                let done = arrived_nanos.map_or(now, |arrived| arrived.min(now));
                let finished = self.finish(slot, result, done);
                if let Some(jar) = finished.and_then(|finished| self.users.jar(finished.user)) {
                    self.transport.remember(slot, jar);
                }
                let place = &mut self.slots[slot as usize];
                place.fruitless = 0;
                let traffic = &self.traffic[place.traffic];
                let kept = traffic.reuse != Reuse::Never && now - place.opened_nanos < traffic.age_nanos;
                if open && !kept {
                    self.transport.close(slot);
                }
                if open && kept {
                    self.offer(slot, now);
                } else {
                    self.closed(slot, now);
                }
                self.go_on_after(finished, done);
            }
            Happening::Closed(slot, failure) => {
                let finished = self.finish(slot, Err(failure), now);
                self.closed(slot, now);
                self.go_on_after(finished, now);
            }
        }
        self.dispatch_again(now);
        self.dispatch_users(now);
    }

    /// A request came to an end over its slot: its user goes on, unless it is sent again.
    #[inline]
    fn go_on_after(&mut self, finished: Option<Finished>, now: u64) {
        if let Some(Finished { user, is_over: true }) = finished {
            self.go_on(user, now);
        }
    }

    /// A user's request has come to its end.
    #[inline]
    fn go_on(&mut self, user: u32, now: u64) {
        if user != NONE && self.users.answered(user, self.clock.point(now)) {
            self.release(user, now);
        }
    }

    /// A slot's socket is connected.
    fn opened(&mut self, index: u32, now: u64) {
        let slot = &mut self.slots[index as usize];
        slot.opened_nanos = now;
        self.traffic[slot.traffic].connecting -= 1;
        self.ledger.open_slots += 1;
        if slot.exchange.is_some() {
            self.send(index);
        } else {
            let traffic = &mut self.traffic[slot.traffic];
            if traffic.own.is_none() {
                remove(&mut traffic.opening, index);
            }
            self.offer(index, now);
        }
    }

    /// A connected slot is free: it takes the queue's first, or waits for a request.
    #[inline]
    fn offer(&mut self, index: u32, now: u64) {
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Idle;
        if slot.holder != NONE {
            // It waits for its session's next request alone.
            return;
        }
        let traffic = &mut self.traffic[slot.traffic];
        if let Some(due) = traffic.queue.pop_front() {
            self.hand_over(index, due, now);
        } else if traffic.own.is_none() {
            traffic.idle.push_back(index);
            self.note_origin(index);
        }
    }

    /// A slot's socket is gone, or could not be had, and its request, if it had one, has its result.
    fn closed(&mut self, index: u32, now: u64) {
        self.without_socket(index);
        let slot = &mut self.slots[index as usize];
        let traffic = &mut self.traffic[slot.traffic];
        let pooled = traffic.own.is_none();
        let pause = slot.pause_nanos();
        slot.fruitless = slot.fruitless.saturating_add(1);
        if slot.holder != NONE {
            // The session's next request opens it again.
            return;
        }
        if let Some(due) = traffic.queue.pop_front() {
            return self.hand_over(index, due, now);
        }
        if pooled {
            traffic.closed.push_back(index);
        }
        if self.traffic[self.slots[index as usize].traffic].reuse != Reuse::Always {
            // It is opened when it is needed.
            return;
        }
        if pause > 0 {
            self.alarm(now + pause, index);
        } else {
            self.opening(index);
        }
    }

    /// A slot has no socket any more, and is in no list.
    fn without_socket(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let traffic = &mut self.traffic[slot.traffic];
        let pooled = traffic.own.is_none();
        match slot.phase {
            Phase::Idle if pooled => remove(&mut traffic.idle, index),
            Phase::Opening if pooled => remove(&mut traffic.opening, index),
            _ => {}
        }
        traffic.connecting -= u32::from(slot.phase == Phase::Opening);
        self.ledger.open_slots -= u32::from(matches!(slot.phase, Phase::Idle | Phase::Busy));
        slot.phase = Phase::Closed;
        slot.generation = slot.generation.wrapping_add(1);
    }

    /// A closed slot starts to connect.
    fn opening(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        slot.phase = Phase::Opening;
        slot.generation = slot.generation.wrapping_add(1);
        let traffic = &mut self.traffic[slot.traffic];
        traffic.connecting += 1;
        if slot.exchange.is_some() {
            if let Some(limit) = traffic.connect_nanos {
                self.alarm(monotonic_nanos() + limit, index);
            }
        } else {
            let limit = traffic.connect_nanos.unwrap_or(traffic.timeout_nanos.min(OPENING_NANOS));
            if traffic.own.is_none() {
                remove(&mut traffic.closed, index);
                traffic.opening.push_back(index);
            }
            self.alarm(monotonic_nanos() + limit, index);
        }
        self.transport.open(index);
    }

    /// A slot's request had its result at a time, but not before it was sent. Nothing happens where the slot has none (it timed out).
    fn finish(&mut self, index: u32, result: Result<(), Failure>, now: u64) -> Option<Finished> {
        let slot = &mut self.slots[index as usize];
        let exchange = slot.exchange.take()?;
        let traffic = &mut self.traffic[slot.traffic];
        let (before, after) = (slot.before, slot.after);
        match before {
            NONE => traffic.oldest = after,
            before => self.slots[before as usize].after = after,
        }
        match after {
            NONE => traffic.newest = before,
            after => self.slots[after as usize].before = before,
        }
        traffic.under_way -= 1;
        let (user, done) = (exchange.user, now.max(exchange.sent_nanos));
        if result.is_err_and(|failure| self.repeats(index, &exchange, failure, done)) {
            return Some(Finished { user, is_over: false });
        }
        self.recorder.record(&Outcome {
            class: exchange.planned.class,
            due: exchange.planned.due,
            sent: Some(self.clock.point(exchange.sent_nanos)),
            done: self.clock.point(done),
            lag: SimTime::from_nanos(exchange.lag_nanos),
            result,
        });
        self.ledger.finished(result.is_ok());
        Some(Finished { user, is_over: true })
    }

    /// Ends the run: what is under way has timed out, what waits was never sent.
    pub(super) fn give_up(&mut self) {
        let now = monotonic_nanos();
        for traffic in 0..self.traffic.len() {
            // What waits goes first, or the slots that become free would take it.
            while let Some(due) = self.traffic[traffic].queue.pop_front() {
                self.drop_request(due, now);
            }
            self.traffic[traffic].retrying = None;
            while self.traffic[traffic].oldest != NONE {
                let oldest = self.traffic[traffic].oldest;
                self.finish(oldest, Err(Failure::Timeout), now);
                self.transport.close(oldest);
            }
        }
        self.give_up_pausing(now);
    }

    /// Whether nothing depends on when an answer is taken: nobody waits for one before the next request, none is needed to
    /// free a connection, no connection is being made, and all tell when they came.
    #[inline]
    pub(super) fn is_patient(&self) -> bool {
        self.transport.is_patient() && self.traffic.iter().all(TrafficLane::is_patient)
    }

    /// Whether there is room for more however many answers wait to be taken.
    #[inline]
    pub(super) fn is_roomy(&self) -> bool {
        self.traffic.iter().all(TrafficLane::is_roomy)
    }

    /// Whether nothing is under way, waits or pauses.
    pub(super) fn is_drained(&self) -> bool {
        self.traffic.iter().all(TrafficLane::is_drained)
    }

    /// Requests under way, and waiting.
    pub(super) fn load(&self) -> (u64, u64) {
        let under_way = self.traffic.iter().map(|traffic| u64::from(traffic.under_way)).sum();
        (under_way, self.traffic.iter().map(|traffic| traffic.queue.len() as u64).sum())
    }

    /// Open connections by traffic.
    pub(super) fn open_by_traffic(&self) -> Vec<u32> {
        let mut open = vec![0; self.traffic.len()];
        for slot in self.slots.iter().filter(|slot| slot.phase == Phase::Idle) {
            open[slot.traffic] += 1;
        }
        open
    }

    /// Whether every slot has tried to connect.
    pub(super) fn all_tried(&self) -> bool {
        self.slots.iter().all(|slot| slot.phase == Phase::Idle || slot.fruitless > 0)
    }
}

/// Takes a slot out of a list; lists are short, and this is rare.
fn remove(list: &mut VecDeque<u32>, index: u32) {
    if let Some(place) = list.iter().position(|slot| *slot == index) {
        list.remove(place);
    }
}
