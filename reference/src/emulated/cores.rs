//! The cores of one host, held for drawn durations, first come first served.
//!
//! Durations are known on arrival and nobody gives a core back early, so the moment at which a piece of work ends is
//! known on arrival too (Kiefer and Wolfowitz, 1955): the core that is free first takes it. A core's next piece starts
//! where the one before was *scheduled* to end, so late wake-ups delay those who wait for them but never add up.
//!
//! All cores go at one speed, which can change: the schedule is kept on a clock of its own, which counts the work that a core
//! could have done so far, and whoever works is told when that clock turns faster.

use std::cell::RefCell;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use tokio::sync::Notify;

use super::Timer;
use super::clock::now_nanos;

/// A host's cores.
#[derive(Debug)]
pub(crate) struct Cores {
    timer: Timer,
    pace: RefCell<Pace>,
    schedule: RefCell<Schedule>,
    faster: Notify,
}

/// How the schedule's clock goes: by `speed` nanoseconds a nanosecond since the last change.
#[derive(Debug)]
struct Pace {
    speed: f64,
    /// The last change, on the real clock and on the schedule's.
    since: u64,
    at_since: u64,
    /// Busy and waiting nanoseconds of real time until then, and what the schedule had of them.
    real: [f64; 2],
    scheduled: [u64; 2],
}

impl Pace {
    fn new() -> Self {
        Self { speed: 1.0, since: 0, at_since: 0, real: [0.0; 2], scheduled: [0; 2] }
    }

    /// What the schedule's clock shows at a moment.
    fn scheduled(&self, now: u64) -> u64 {
        let passed = now.saturating_sub(self.since);
        self.at_since + if self.speed == 1.0 { passed } else { (passed as f64 * self.speed) as u64 }
    }

    /// When the schedule's clock will show this.
    fn moment(&self, scheduled: u64) -> u64 {
        let left = scheduled.saturating_sub(self.at_since);
        self.since.saturating_add(if self.speed == 1.0 {
            left
        } else {
            (left as f64 / self.speed).ceil() as u64
        })
    }

    /// Busy and waiting nanoseconds of real time, from those of the schedule.
    fn real(&self, scheduled: [u64; 2]) -> [f64; 2] {
        std::array::from_fn(|i| self.real[i] + (scheduled[i] - self.scheduled[i]) as f64 / self.speed)
    }

    fn change(&mut self, now: u64, speed: f64, scheduled: [u64; 2]) {
        *self =
            Self { speed, since: now, at_since: self.scheduled(now), real: self.real(scheduled), scheduled };
    }
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

    fn busy_and_waited(&mut self, now: u64) -> [u64; 2] {
        [self.busy_nanos(now), self.waited_nanos(now)]
    }
}

impl Cores {
    /// A host with this many cores, all idle.
    pub(crate) fn new(cores: u32, timer: Timer) -> Self {
        Self {
            timer,
            pace: RefCell::new(Pace::new()),
            schedule: RefCell::new(Schedule::new(cores)),
            faster: Notify::new(),
        }
    }

    /// Holds a core for `nanos` of its work as soon as one is free; returns when that is over.
    pub(crate) async fn work(&self, nanos: u64) {
        if nanos == 0 {
            return;
        }
        let now = self.pace.borrow().scheduled(now_nanos());
        let end = self.schedule.borrow_mut().assign(now, nanos);
        loop {
            let moment = self.pace.borrow().moment(end);
            if moment <= now_nanos() {
                return;
            }
            tokio::select! {
                () = self.timer.sleep_until(moment) => {}
                () = self.faster.notified() => {}
            }
        }
    }

    /// The cores go at this share of their speed from now on, also with what they work on.
    pub(crate) fn set_speed(&self, speed: f64) {
        let now = now_nanos();
        let mut pace = self.pace.borrow_mut();
        let faster = speed > pace.speed;
        let used = self.schedule.borrow_mut().busy_and_waited(pace.scheduled(now));
        pace.change(now, speed, used);
        if faster {
            self.faster.notify_waiters();
        }
    }

    /// How long work has waited for a core so far, all together, in seconds.
    pub(crate) fn waited_seconds(&self) -> f64 {
        self.real()[1] / 1e9
    }

    /// Core time used so far, in seconds: what is stolen of it counts, as the machine's own accounting has it.
    pub(crate) fn busy_seconds(&self) -> f64 {
        self.real()[0] / 1e9
    }

    fn real(&self) -> [f64; 2] {
        let pace = self.pace.borrow();
        let scheduled = pace.scheduled(now_nanos());
        pace.real(self.schedule.borrow_mut().busy_and_waited(scheduled))
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

    #[test]
    fn a_change_of_speed_reaches_what_is_under_way() {
        let mut pace = Pace::new();
        let mut schedule = Schedule::new(1);
        let first = schedule.assign(pace.scheduled(1_000), 100);
        let second = schedule.assign(pace.scheduled(1_000), 100);
        assert_eq!((pace.moment(first), pace.moment(second)), (1_100, 1_200));
        let used = schedule.busy_and_waited(pace.scheduled(1_050));
        pace.change(1_050, 0.5, used);
        assert_eq!((pace.moment(first), pace.moment(second)), (1_150, 1_350), "half of the first was left");
        let used = schedule.busy_and_waited(pace.scheduled(1_250));
        pace.change(1_250, 1.0, used);
        assert_eq!(pace.moment(second), 1_300, "half of the second was left");
        let real = pace.real(schedule.busy_and_waited(pace.scheduled(2_000)));
        assert_eq!(real, [300.0, 150.0], "busy all the time, and the second waited for the first");
    }
}
