//! What has an end by the clock: requests that are given up, attempts to connect, and pauses between these.

use std::cmp::Reverse;

use results::Failure;

use super::Lane;
use crate::engine::slot::{NONE, Phase, Slot};
use crate::engine::traffic::TrafficLane;
use crate::engine::transport::Transport;

impl<T: Transport> Lane<'_, T> {
    /// Gives up the requests whose time is over, and ends pauses and attempts that are.
    pub(in crate::engine) fn expire(&mut self, now: u64) {
        for traffic in 0..self.traffic.len() {
            loop {
                let oldest = self.traffic[traffic].oldest;
                let late = |slot: &Slot| slot.exchange.as_ref().is_some_and(|e| e.deadline_nanos <= now);
                if oldest == NONE || !late(&self.slots[oldest as usize]) {
                    break;
                }
                let begun = self.transport.has_begun(oldest);
                self.abandon(oldest, if begun { Failure::Stalled } else { Failure::Timeout }, now);
            }
        }
        while let Some(&Reverse((at, index, generation))) = self.alarms.peek() {
            if at > now {
                break;
            }
            self.alarms.pop();
            let slot = &self.slots[index as usize];
            if slot.generation == generation {
                let limited = self.traffic[slot.traffic].connect_nanos.is_some();
                match slot.phase {
                    Phase::Closed => self.opening(index),
                    // A request's own attempt has no end of its own, unless it was told one.
                    Phase::Opening if slot.exchange.is_none() || limited => {
                        self.abandon(index, Failure::Timeout, now);
                    }
                    Phase::Opening | Phase::Idle | Phase::Busy => {}
                }
            }
        }
    }

    /// Fails a slot's request, if it has one, and has its socket replaced.
    fn abandon(&mut self, index: u32, failure: Failure, now: u64) {
        let finished = self.finish(index, Err(failure), now);
        self.transport.close(index);
        self.closed(index, now);
        self.go_on_after(finished, now);
    }

    /// Has a slot's pause or attempt end at a time, unless it has another socket by then.
    pub(super) fn alarm(&mut self, at: u64, index: u32) {
        self.alarms.push(Reverse((at, index, self.slots[index as usize].generation)));
    }

    /// The next time that `expire` has something to do.
    pub(in crate::engine) fn next_expiry(&self) -> u64 {
        let deadline = |traffic: &TrafficLane| {
            let slot = self.slots.get(traffic.oldest as usize)?;
            slot.exchange.as_ref().map(|exchange| exchange.deadline_nanos)
        };
        let alarm = self.alarms.peek().map(|Reverse((at, ..))| *at);
        self.traffic.iter().filter_map(deadline).chain(alarm).min().unwrap_or(u64::MAX)
    }
}
