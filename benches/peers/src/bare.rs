//! The least that a simulation by events can be: one loop, one event list, three counters, three queues. It knows no
//! topology, no faults, no timeouts and no names; four events a customer.

use std::collections::VecDeque;

use crate::{BETWEEN, Draws, Histogram, SERVERS, SERVICE, STATIONS};

/// Something that happens: when, at which station (an arrival from outside is at station 3), and when its customer came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Event {
    /// When.
    pub at: u64,
    /// When its customer came.
    pub came: u64,
    /// Where a service ends.
    pub station: u32,
}

/// A list of events, the next first.
pub trait EventList: Default {
    /// Adds an event.
    fn push(&mut self, event: Event);
    /// Takes the next.
    fn pop(&mut self) -> Option<Event>;
}

/// Plays the loop.
pub fn simulate<L: EventList>(customers: u64, seed: u64) -> Histogram {
    const ARRIVAL: u32 = STATIONS as u32;
    let mut draws = Draws::new(seed);
    let mut responses = Histogram::default();
    let mut events = L::default();
    let mut busy = [0_u32; STATIONS];
    let mut queues: [VecDeque<u64>; STATIONS] = Default::default();
    let mut left = customers;
    let first = draws.exponential(BETWEEN);
    events.push(Event { at: first, came: first, station: ARRIVAL });
    while let Some(Event { at, came, station }) = events.pop() {
        let to = if station == ARRIVAL {
            left -= 1;
            if left > 0 {
                let next = at + draws.exponential(BETWEEN);
                events.push(Event { at: next, came: next, station: ARRIVAL });
            }
            0
        } else {
            let from = station as usize;
            if let Some(waited) = queues[from].pop_front() {
                events.push(Event { at: at + draws.exponential(SERVICE), came: waited, station });
            } else {
                busy[from] -= 1;
            }
            from + 1
        };
        if to == STATIONS {
            responses.add(at - came);
        } else if busy[to] < SERVERS {
            busy[to] += 1;
            events.push(Event { at: at + draws.exponential(SERVICE), came, station: to as u32 });
        } else {
            queues[to].push_back(came);
        }
    }
    responses
}
