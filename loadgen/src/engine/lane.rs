//! One engine thread's state: its share of every traffic's connections, queues and limits, and what it counted.
//!
//! A lane knows when things are due, not how to wait: `pacer` calls it on time, and each slot's task
//! (`connection`) calls it when its socket has something.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::task::Waker;

use results::{Failure, Outcome, Recorder};
use scenarios::plan::Planned;
use scenarios::units::SimTime;

use super::ledger::Ledger;
use super::slot::{Exchange, NONE, Phase, Slot};
use crate::clock::{Clock, monotonic_nanos};
use crate::http::Composer;

/// A background attempt to connect is given up after this, so that it does not sleep through a server's return in the
/// kernel's doubling pauses between SYNs. A request's own attempt lasts as long as its timeout.
const OPENING_NANOS: u64 = 4_000_000_000;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// One thread's state.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) clock: Clock,
    pub(super) composer: Composer,
    pub(super) recorder: Recorder,
    pub(super) ledger: Ledger,
    pub(super) traffic: Vec<TrafficLane>,
    pub(super) slots: Vec<Slot>,
    /// What sockets are read into; nothing in it outlives a call.
    pub(super) buffer: Box<[u8]>,
    /// Times at which a slot's pause or attempt ends: (CLOCK_MONOTONIC, slot, generation).
    alarms: BinaryHeap<Reverse<(u64, u32, u32)>>,
    /// What the pacer's timer is armed for, and how to wake it before.
    pub(super) armed_nanos: u64,
    pub(super) pacer: Option<Waker>,
    /// Set with the wake of the pacer, so that it is not lost.
    pub(super) called: bool,
}

/// One thread's share of a traffic.
#[derive(Debug)]
pub(super) struct TrafficLane {
    timeout_nanos: u64,
    max_in_flight: u32,
    /// Requests that hold a slot.
    under_way: u32,
    /// Due requests that found no slot, in order.
    queue: VecDeque<(Planned, u64)>,
    /// Connected and free, the longest free first: so that requests spread over the entry's instances.
    idle: VecDeque<u32>,
    /// Connecting, without a request.
    opening: VecDeque<u32>,
    /// Without a socket.
    closed: VecDeque<u32>,
    /// Requests under way in order of sending, so of their deadlines.
    oldest: u32,
    newest: u32,
}

impl TrafficLane {
    pub(super) fn new(timeout: SimTime, max_in_flight: u32) -> Self {
        Self {
            timeout_nanos: timeout.as_nanos(),
            max_in_flight,
            under_way: 0,
            queue: VecDeque::new(),
            idle: VecDeque::new(),
            opening: VecDeque::new(),
            closed: VecDeque::new(),
            oldest: NONE,
            newest: NONE,
        }
    }
}

impl Lane {
    pub(super) fn new(
        clock: Clock,
        composer: Composer,
        recorder: Recorder,
        ledger: Ledger,
        mut traffic: Vec<TrafficLane>,
        slots: Vec<Slot>,
    ) -> Self {
        for (index, slot) in slots.iter().enumerate() {
            traffic[slot.traffic].closed.push_back(index as u32);
        }
        Self {
            clock,
            composer,
            recorder,
            ledger,
            traffic,
            slots,
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            alarms: BinaryHeap::new(),
            armed_nanos: 0,
            pacer: None,
            called: false,
        }
    }

    /// Takes a request that is due: hands it to a free slot, else to one that must be opened first, else to the queue.
    pub(super) fn dispatch(&mut self, planned: Planned) {
        let now = monotonic_nanos();
        let lag_nanos = now.saturating_sub(self.clock.absolute_nanos(planned.due));
        self.ledger.planned(planned.due, lag_nanos);
        let traffic = &mut self.traffic[planned.traffic.index()];
        if traffic.under_way as usize + traffic.queue.len() >= traffic.max_in_flight as usize {
            self.drop_request(planned, lag_nanos, now);
            return;
        }
        if let Some(slot) = traffic.idle.pop_front() {
            self.assign(slot, planned, lag_nanos, now);
            self.send(slot);
        } else if let Some(slot) = traffic.opening.pop_front() {
            self.assign(slot, planned, lag_nanos, now);
        } else if let Some(slot) = traffic.closed.pop_front() {
            self.assign(slot, planned, lag_nanos, now);
            self.slots[slot as usize].open = true;
            self.slots[slot as usize].wake();
        } else {
            traffic.queue.push_back((planned, lag_nanos));
        }
    }

    fn drop_request(&mut self, planned: Planned, lag_nanos: u64, now: u64) {
        self.ledger.dropped(planned.due);
        self.recorder.record(&Outcome {
            class: planned.class,
            due: planned.due,
            sent: None,
            done: self.clock.point(now),
            lag: SimTime::from_nanos(lag_nanos),
            result: Err(Failure::Dropped),
        });
    }

    /// Gives a request to a slot; the clock of its service time and its timeout starts.
    fn assign(&mut self, index: u32, planned: Planned, lag_nanos: u64, now: u64) {
        let slot = &mut self.slots[index as usize];
        debug_assert!(slot.exchange.is_none(), "a slot carries one request at a time");
        let traffic = &mut self.traffic[slot.traffic];
        let deadline_nanos = now.saturating_add(traffic.timeout_nanos);
        slot.exchange = Some(Exchange { planned, lag_nanos, sent_nanos: now, deadline_nanos });
        (slot.before, slot.after) = (traffic.newest, NONE);
        match traffic.newest {
            NONE => traffic.oldest = index,
            newest => self.slots[newest as usize].after = index,
        }
        traffic.newest = index;
        traffic.under_way += 1;
        self.ledger.sent(planned.due);
        self.call_pacer_before(deadline_nanos);
    }

    /// Writes a slot's request; where the socket does not take all of it, the slot's task writes on.
    fn send(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let exchange = slot.exchange.as_ref().expect("a request was assigned before it is sent");
        self.composer.compose(&exchange.planned, &slot.host, &mut slot.out);
        slot.phase = Phase::Busy;
        let stream = slot.stream.as_ref().expect("only a connected slot sends");
        // An error shows again when the slot's task writes on.
        slot.written = stream.try_write(&slot.out).unwrap_or_default();
        if slot.written < slot.out.len() {
            slot.wake();
        }
    }

    /// A slot's socket is connected.
    pub(super) fn opened(&mut self, index: u32, stream: tokio::net::TcpStream) {
        let slot = &mut self.slots[index as usize];
        slot.stream = Some(stream);
        slot.reader.reset();
        (slot.close, slot.written) = (false, 0);
        slot.out.clear();
        self.ledger.open_connections += 1;
        if slot.exchange.is_some() {
            self.send(index);
        } else {
            remove(&mut self.traffic[slot.traffic].opening, index);
            self.offer(index);
        }
    }

    /// A connected slot is free: it takes the queue's first, or waits for a request.
    pub(super) fn offer(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        let traffic = &mut self.traffic[slot.traffic];
        if let Some((planned, lag_nanos)) = traffic.queue.pop_front() {
            self.assign(index, planned, lag_nanos, monotonic_nanos());
            self.send(index);
        } else {
            slot.phase = Phase::Idle;
            traffic.idle.push_back(index);
        }
    }

    /// A slot's socket is gone, or could not be had. Its request, if it still has one, failed so.
    pub(super) fn closed(&mut self, index: u32, failure: Failure) {
        self.finish(index, Err(failure));
        let slot = &mut self.slots[index as usize];
        let traffic = &mut self.traffic[slot.traffic];
        match slot.phase {
            Phase::Idle => remove(&mut traffic.idle, index),
            Phase::Opening => remove(&mut traffic.opening, index),
            Phase::Closed | Phase::Busy => {}
        }
        self.ledger.open_connections -= u32::from(slot.stream.take().is_some());
        slot.phase = Phase::Closed;
        slot.generation = slot.generation.wrapping_add(1);
        slot.close = false;
        let pause = slot.pause_nanos();
        slot.open = pause == 0;
        slot.fruitless = slot.fruitless.saturating_add(1);
        let now = monotonic_nanos();
        if let Some((planned, lag_nanos)) = traffic.queue.pop_front() {
            slot.open = true;
            self.assign(index, planned, lag_nanos, now);
        } else {
            traffic.closed.push_back(index);
            if pause > 0 {
                self.alarm(now + pause, index);
            }
        }
    }

    /// A closed slot starts to connect.
    pub(super) fn opening(&mut self, index: u32) {
        let slot = &mut self.slots[index as usize];
        (slot.open, slot.close) = (false, false);
        slot.phase = Phase::Opening;
        slot.generation = slot.generation.wrapping_add(1);
        if slot.exchange.is_none() {
            let traffic = &mut self.traffic[slot.traffic];
            let limit = traffic.timeout_nanos.min(OPENING_NANOS);
            remove(&mut traffic.closed, index);
            traffic.opening.push_back(index);
            self.alarm(monotonic_nanos() + limit, index);
        }
    }

    /// A slot's request has its result. Nothing happens where it has none any more (it timed out).
    pub(super) fn finish(&mut self, index: u32, result: Result<(), Failure>) {
        let slot = &mut self.slots[index as usize];
        let Some(exchange) = slot.exchange.take() else { return };
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
        let last = traffic.under_way == 0 && traffic.queue.is_empty();
        self.recorder.record(&Outcome {
            class: exchange.planned.class,
            due: exchange.planned.due,
            sent: Some(self.clock.point(exchange.sent_nanos)),
            done: self.clock.point(monotonic_nanos()),
            lag: SimTime::from_nanos(exchange.lag_nanos),
            result,
        });
        self.ledger.finished(result.is_ok());
        if last {
            self.call_pacer_before(0);
        }
    }

    /// Gives up the requests whose time is over, and ends pauses and attempts that are.
    pub(super) fn expire(&mut self, now: u64) {
        for traffic in 0..self.traffic.len() {
            loop {
                let oldest = self.traffic[traffic].oldest;
                let late = |slot: &Slot| slot.exchange.as_ref().is_some_and(|e| e.deadline_nanos <= now);
                if oldest == NONE || !late(&self.slots[oldest as usize]) {
                    break;
                }
                self.abandon(oldest, Failure::Timeout);
            }
        }
        while let Some(&Reverse((at, index, generation))) = self.alarms.peek() {
            if at > now {
                break;
            }
            self.alarms.pop();
            let slot = &mut self.slots[index as usize];
            if slot.generation == generation && slot.exchange.is_none() {
                match slot.phase {
                    Phase::Closed => slot.open = true,
                    Phase::Opening => slot.close = true,
                    Phase::Idle | Phase::Busy => continue,
                }
                slot.wake();
            }
        }
    }

    /// Fails a slot's request and has its socket replaced.
    fn abandon(&mut self, index: u32, failure: Failure) {
        self.finish(index, Err(failure));
        let slot = &mut self.slots[index as usize];
        slot.close = true;
        slot.wake();
    }

    /// Ends the run: what is under way has timed out, what waits was never sent.
    pub(super) fn give_up(&mut self) {
        let now = monotonic_nanos();
        for traffic in 0..self.traffic.len() {
            while self.traffic[traffic].oldest != NONE {
                self.abandon(self.traffic[traffic].oldest, Failure::Timeout);
            }
            while let Some((planned, lag_nanos)) = self.traffic[traffic].queue.pop_front() {
                self.drop_request(planned, lag_nanos, now);
            }
        }
    }

    fn alarm(&mut self, at: u64, index: u32) {
        self.alarms.push(Reverse((at, index, self.slots[index as usize].generation)));
        self.call_pacer_before(at);
    }

    /// The pacer is to look again by this time.
    fn call_pacer_before(&mut self, at: u64) {
        if at < self.armed_nanos && !self.called {
            self.called = true;
            if let Some(pacer) = &self.pacer {
                pacer.wake_by_ref();
            }
        }
    }

    /// The next time that `expire` has something to do.
    pub(super) fn next_expiry(&self) -> u64 {
        let deadline = |traffic: &TrafficLane| {
            let slot = self.slots.get(traffic.oldest as usize)?;
            slot.exchange.as_ref().map(|exchange| exchange.deadline_nanos)
        };
        let alarm = self.alarms.peek().map(|Reverse((at, ..))| *at);
        self.traffic.iter().filter_map(deadline).chain(alarm).min().unwrap_or(u64::MAX)
    }

    /// Whether nothing is under way or waits.
    pub(super) fn is_drained(&self) -> bool {
        self.traffic.iter().all(|traffic| traffic.under_way == 0 && traffic.queue.is_empty())
    }

    /// Requests under way, and waiting.
    pub(super) fn load(&self) -> (u64, u64) {
        let under_way = self.traffic.iter().map(|traffic| u64::from(traffic.under_way)).sum();
        (under_way, self.traffic.iter().map(|traffic| traffic.queue.len() as u64).sum())
    }

    /// Open connections by traffic.
    pub(super) fn open_by_traffic(&self) -> Vec<u32> {
        let mut open = vec![0; self.traffic.len()];
        for slot in self.slots.iter().filter(|slot| slot.stream.is_some()) {
            open[slot.traffic] += 1;
        }
        open
    }

    /// Whether every slot has tried to connect.
    pub(super) fn all_tried(&self) -> bool {
        self.slots.iter().all(|slot| slot.stream.is_some() || slot.fruitless > 0)
    }
}

/// Takes a slot out of a list; lists are short, and this is rare.
fn remove(list: &mut VecDeque<u32>, index: u32) {
    if let Some(place) = list.iter().position(|slot| *slot == index) {
        list.remove(place);
    }
}
