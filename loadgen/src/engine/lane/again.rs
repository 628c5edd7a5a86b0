//! Requests that failed and are sent again after a pause, while the rules of their traffic allow it.
//!
//! To its user each is one request: it is recorded once, with its first due time, the time when it was sent last, and its last
//! answer. It counts as under way while it pauses. To whoever answers, every attempt is a request of its own.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use results::{Failure, Outcome};
use scenarios::units::SimTime;

use super::{BURST, Lane};
use crate::clock::monotonic_nanos;
use crate::engine::retry::is_repeated;
use crate::engine::slot::Exchange;
use crate::engine::traffic::Due;
use crate::engine::transport::Transport;

/// A request in its pause.
#[derive(Clone, Copy, Debug)]
struct Pausing {
    due: Due,
    /// The slot of its own user, where users have their own.
    own: Option<u32>,
    /// When it was sent last, on CLOCK_MONOTONIC.
    sent_nanos: u64,
}

/// Requests in their pauses, by when these end.
#[derive(Debug, Default)]
pub(super) struct Pauses {
    /// (CLOCK_MONOTONIC, place).
    ends: BinaryHeap<Reverse<(u64, u32)>>,
    places: Vec<Option<Pausing>>,
    free: Vec<u32>,
}

impl Pauses {
    fn push(&mut self, end_nanos: u64, pausing: Pausing) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.places.push(None);
            self.places.len() as u32 - 1
        });
        self.places[place as usize] = Some(pausing);
        self.ends.push(Reverse((end_nanos, place)));
    }

    /// The first whose pause is over by now, and when it was.
    fn pop(&mut self, now: u64) -> Option<(u64, Pausing)> {
        let &Reverse((end_nanos, place)) = self.ends.peek().filter(|Reverse((end, _))| *end <= now)?;
        self.ends.pop();
        self.free.push(place);
        let pausing = self.places[place as usize].take();
        Some((end_nanos, pausing.expect("a place is free only after its pause")))
    }
}

impl<T: Transport> Lane<'_, T> {
    /// A request is never sent, or not again.
    pub(super) fn drop_request(&mut self, due: Due, now: u64) {
        let Due { planned, lag_nanos, user, attempt } = due;
        match attempt {
            0 => self.ledger.dropped(planned.due),
            // Of the plan it was sent once.
            _ => self.ledger.finished(false),
        }
        self.recorder.record(&Outcome {
            class: planned.class,
            due: planned.due,
            sent: None,
            done: self.clock.point(now),
            lag: SimTime::from_nanos(lag_nanos),
            result: Err(Failure::Dropped),
        });
        self.go_on(user, now);
    }

    /// Has a request that failed over a slot sent again after a pause, if it may be; whether it will.
    pub(super) fn repeats(&mut self, index: u32, exchange: &Exchange, failure: Failure, now: u64) -> bool {
        let traffic = &mut self.traffic[self.slots[index as usize].traffic];
        let Some(retrying) = &traffic.retrying else { return false };
        let at = self.clock.point(now).as_nanos();
        if !is_repeated(failure) || !retrying.withdraw(exchange.attempt, at) {
            return false;
        }
        let Exchange { planned, user, attempt, lag_nanos, sent_nanos, .. } = *exchange;
        let attempt = attempt + 1;
        let end_nanos = now.saturating_add(retrying.pause_nanos(planned.id, attempt));
        traffic.pausing += 1;
        self.ledger.repeated();
        let own = traffic.own.map(|_| index);
        let due = Due { planned, lag_nanos, user, attempt };
        self.pauses.push(end_nanos, Pausing { due, own, sent_nanos });
        true
    }

    /// When the next pause ends, in nanoseconds of CLOCK_MONOTONIC.
    #[inline]
    pub(in crate::engine) fn next_again_nanos(&self) -> Option<u64> {
        self.pauses.ends.peek().map(|Reverse((end, _))| *end)
    }

    /// Takes up again what has paused, but not so many that sockets wait for long: those left are due still.
    #[inline]
    pub(in crate::engine) fn dispatch_again(&mut self, mut now: u64) {
        for _ in 0..BURST {
            let Some((end_nanos, Pausing { mut due, own, .. })) = self.pauses.pop(now) else { return };
            let lag_nanos = now - end_nanos;
            self.ledger.taken_up_again(due.planned.due, lag_nanos);
            due.lag_nanos += lag_nanos;
            self.traffic[due.planned.traffic.index()].pausing -= 1;
            match own {
                Some(slot) => self.dispatch_over(slot, due, now),
                None => self.dispatch_due(due, now),
            }
            now = monotonic_nanos();
        }
    }

    /// Ends the run: what pauses has been given up for as long as its user waits.
    pub(super) fn give_up_pausing(&mut self, now: u64) {
        while let Some((_, Pausing { due, sent_nanos, .. })) = self.pauses.pop(u64::MAX) {
            self.traffic[due.planned.traffic.index()].pausing -= 1;
            self.recorder.record(&Outcome {
                class: due.planned.class,
                due: due.planned.due,
                sent: Some(self.clock.point(sent_nanos)),
                done: self.clock.point(now),
                lag: SimTime::from_nanos(due.lag_nanos),
                result: Err(Failure::Timeout),
            });
            self.ledger.finished(false);
        }
    }
}
