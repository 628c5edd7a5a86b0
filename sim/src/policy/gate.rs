//! So many at once: the others wait in order, up to a limit, or are refused.
//!
//! A bulkhead is a gate with a short queue or none; a pool of connections is one whose callers wait.

use std::collections::VecDeque;

/// What the gate says to who wants to pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passage {
    /// Passed: `leave` is due once.
    Open,
    /// In the queue.
    Waiting,
    /// The queue is full.
    Refused,
}

/// A gate for so many; those who wait are named by slot and generation, as a slot may be used again before its turn.
#[derive(Clone, Debug)]
pub(crate) struct Gate {
    limit: u32,
    inside: u32,
    most_waiting: u32,
    waiting: VecDeque<(u32, u32)>,
}

impl Gate {
    pub(crate) fn new(limit: u32, most_waiting: u32) -> Self {
        Self { limit, inside: 0, most_waiting, waiting: VecDeque::new() }
    }

    /// Someone wants to pass.
    #[inline]
    pub(crate) fn enter(&mut self, slot: u32, generation: u32) -> Passage {
        if self.inside < self.limit {
            self.inside += 1;
            Passage::Open
        } else if (self.waiting.len() as u32) < self.most_waiting {
            self.waiting.push_back((slot, generation));
            Passage::Waiting
        } else {
            Passage::Refused
        }
    }

    /// Someone who had passed is done: who passes now, if anybody that `waits` still knows is in the queue.
    #[inline]
    pub(crate) fn leave(&mut self, waits: impl Fn(u32, u32) -> bool) -> Option<u32> {
        debug_assert!(self.inside > 0, "who leaves has entered");
        while let Some((slot, generation)) = self.waiting.pop_front() {
            if waits(slot, generation) {
                return Some(slot);
            }
        }
        self.inside -= 1;
        None
    }

    /// Someone in the queue has given up. Those who waited the longest usually do first.
    pub(crate) fn give_up(&mut self, slot: u32) {
        if let Some(place) = self.waiting.iter().position(|&(waiting, _)| waiting == slot) {
            self.waiting.remove(place);
        }
    }

    #[cfg(test)]
    /// How many have passed and are not done.
    pub(crate) fn inside(&self) -> u32 {
        self.inside
    }

    #[cfg(test)]
    /// How many are in the queue.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.len() as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_pass_so_many_wait_and_the_others_are_refused() {
        let mut gate = Gate::new(2, 1);
        let found: Vec<Passage> = (0..4).map(|slot| gate.enter(slot, 0)).collect();
        assert_eq!(found, [Passage::Open, Passage::Open, Passage::Waiting, Passage::Refused]);
        assert_eq!(gate.leave(|_, _| true), Some(2), "who waits passes first");
        assert_eq!((gate.leave(|_, _| true), gate.inside()), (None, 1));
        assert_eq!(gate.enter(5, 0), Passage::Open);
    }

    #[test]
    fn who_is_gone_is_passed_over() {
        let mut gate = Gate::new(1, 10);
        let found: Vec<Passage> = (0..4).map(|slot| gate.enter(slot, 7)).collect();
        assert_eq!(found[1..], [Passage::Waiting; 3]);
        gate.give_up(1);
        assert_eq!(gate.waiting(), 2);
        assert_eq!(gate.leave(|slot, generation| slot != 2 && generation == 7), Some(3));
        assert_eq!((gate.leave(|_, _| true), gate.inside()), (None, 0));
    }
}
