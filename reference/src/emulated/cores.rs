//! The cores of one host, held for drawn durations, first come first served.
//!
//! Durations are known on arrival and nobody gives a core back early, so the moment at which a piece of work ends is
//! known on arrival too (Kiefer and Wolfowitz, 1955): the core that is free first takes it. A core's next piece starts
//! where the one before was *scheduled* to end, so late wake-ups delay those who wait for them but never add up.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use super::Timer;
use super::clock::now_nanos;

/// A host's cores.
#[derive(Debug)]
pub(crate) struct Cores {
    timer: Timer,
    schedule: RefCell<Schedule>,
}

#[derive(Debug)]
struct Schedule {
    /// When each core is free.
    free_at: BinaryHeap<Reverse<u64>>,
    /// All durations handed out, in nanoseconds.
    assigned: u64,
    /// When those start that wait still; in order, as they are served in order.
    starts: VecDeque<u64>,
    /// All waiting, past and to come, in nanoseconds.
    waiting: u64,
}

impl Schedule {
    fn new(cores: u32) -> Self {
        let free_at = (0..cores.max(1)).map(|_| Reverse(0)).collect();
        Self { free_at, assigned: 0, starts: VecDeque::new(), waiting: 0 }
    }

    /// Takes the core that is free first; when the work ends.
    fn assign(&mut self, now: u64, nanos: u64) -> u64 {
        let Reverse(free) = self.free_at.pop().expect("a host has at least one core");
        let start = free.max(now);
        let end = start.saturating_add(nanos);
        self.free_at.push(Reverse(end));
        self.forget_started(now);
        if start > now {
            self.starts.push_back(start);
            self.waiting += start - now;
        }
        self.assigned += nanos;
        end
    }

    fn forget_started(&mut self, now: u64) {
        while self.starts.front().is_some_and(|start| *start <= now) {
            self.starts.pop_front();
        }
    }

    /// How long all together waited until `now`.
    fn waited_nanos(&mut self, now: u64) -> u64 {
        self.forget_started(now);
        self.waiting - self.starts.iter().map(|start| start - now).sum::<u64>()
    }

    /// What was worked off by `now`: a core with work left is busy without a gap until it is free.
    fn busy_nanos(&self, now: u64) -> u64 {
        let left: u64 = self.free_at.iter().map(|Reverse(free)| free.saturating_sub(now)).sum();
        self.assigned.saturating_sub(left)
    }
}

impl Cores {
    /// A host with this many cores, all idle.
    pub(crate) fn new(cores: u32, timer: Timer) -> Self {
        Self { timer, schedule: RefCell::new(Schedule::new(cores)) }
    }

    /// Holds a core for `nanos` as soon as one is free; returns when that is over.
    pub(crate) async fn work(&self, nanos: u64) {
        if nanos == 0 {
            return;
        }
        let end = self.schedule.borrow_mut().assign(now_nanos(), nanos);
        self.timer.sleep_until(end).await;
    }

    /// How long work has waited for a core so far, all together, in seconds.
    pub(crate) fn waited_seconds(&self) -> f64 {
        self.schedule.borrow_mut().waited_nanos(now_nanos()) as f64 / 1e9
    }

    /// Core time worked off so far, in seconds.
    pub(crate) fn busy_seconds(&self) -> f64 {
        self.schedule.borrow().busy_nanos(now_nanos()) as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_cores_serve_in_order_of_arrival() {
        let mut schedule = Schedule::new(2);
        assert_eq!(schedule.assign(0, 10), 10);
        assert_eq!(schedule.assign(0, 4), 4);
        assert_eq!(schedule.assign(1, 3), 7, "starts when the second core is free at 4");
        assert_eq!(schedule.assign(20, 5), 25, "an idle core starts at once");
        assert_eq!(schedule.busy_nanos(22), 10 + 4 + 3 + 2);
        assert_eq!(schedule.waited_nanos(22), 3, "from 1 to 4");
        assert_eq!(schedule.assign(22, 10), 32, "the other core is idle");
        assert_eq!(schedule.assign(22, 1), 26, "starts when the first core is free at 25");
        assert_eq!(schedule.waited_nanos(23), 3 + 1);
        assert_eq!(schedule.waited_nanos(40), 3 + 3);
    }
}
