//! Who starts and ends a service's workers, looked after once a second.
//!
//! - `prefork`: Apache's (`server/mpm/prefork/prefork.c`, `perform_idle_server_maintenance`): with fewer than `min_spare` idle
//!   workers it starts 1, 2, 4 … 32, twice as many each second; with more than `max_spare` it ends one. A worker that starts
//!   counts as idle.
//! - `dynamic`: PHP-FPM's (`sapi/fpm/fpm/fpm_process_ctl.c`, `fpm_pctl_perform_idle_server_maintenance`): the same, but never more
//!   than are lacking, and a worker that starts counts as busy.
//! - `ondemand`: PHP-FPM's: what finds no idle worker starts one at once; each second one ends that was idle for too long.

use std::collections::VecDeque;
use std::time::Duration;

use scenarios::scenario::{Manager as Kind, WorkerPool};

/// How often a manager looks after its workers.
pub(super) const MAINTENANCE: Duration = Duration::from_secs(1);
/// Neither program starts more in a second (`MAX_SPAWN_RATE`, `FPM_MAX_SPAWN_RATE`).
const MOST_STARTED: u32 = 32;

/// What a manager does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Start(u32),
    End,
    Keep,
}

/// A process manager and its count of workers.
#[derive(Debug)]
pub(super) struct Manager {
    rules: WorkerPool,
    /// Those that start included.
    alive: u32,
    starting: u32,
    /// How many are started next.
    rate: u32,
    /// Since when those are idle that are, the longest first; kept for `ondemand` alone.
    idle_since: VecDeque<u64>,
}

impl Manager {
    /// With as many workers as there are at the start.
    pub(super) fn new(rules: WorkerPool) -> Self {
        let alive = rules.start.min(rules.most);
        Self { rules, alive, starting: 0, rate: 1, idle_since: VecDeque::new() }
    }

    /// How many there are, those that start included.
    pub(super) fn alive(&self) -> u32 {
        self.alive
    }

    /// How many can work.
    pub(super) fn ready(&self) -> u32 {
        self.alive - self.starting
    }

    /// How long a new one takes to be ready.
    pub(super) fn boot(&self) -> Duration {
        self.rules.boot.as_duration()
    }

    fn is_on_demand(&self) -> bool {
        self.rules.manager == Kind::OnDemand
    }

    /// A second is over, and so many have something in hand.
    pub(super) fn maintain(&mut self, now: u64, occupied: u32) -> Change {
        if self.is_on_demand() {
            let patience = self.rules.idle_timeout.as_nanos();
            if self.idle_since.front().is_some_and(|since| now.saturating_sub(*since) > patience) {
                self.idle_since.pop_front();
                self.alive -= 1;
                return Change::End;
            }
            return Change::Keep;
        }
        let is_prefork = self.rules.manager == Kind::Prefork;
        let idle = (if is_prefork { self.alive } else { self.ready() }).saturating_sub(occupied);
        if idle > self.rules.max_spare && self.ready() > occupied {
            self.rate = 1;
            self.alive -= 1;
            return Change::End;
        }
        let room = self.rules.most - self.alive;
        if idle >= self.rules.min_spare || room == 0 {
            self.rate = 1;
            return Change::Keep;
        }
        let lacking = if is_prefork { u32::MAX } else { self.rules.min_spare - idle };
        let count = self.rate.min(room).min(lacking);
        self.rate = (self.rate * 2).min(MOST_STARTED);
        self.alive += count;
        self.starting += count;
        Change::Start(count)
    }

    /// Something finds no idle worker: whether one starts for it.
    pub(super) fn starts_one(&mut self) -> bool {
        let starts = self.is_on_demand() && self.alive < self.rules.most;
        if starts {
            self.alive += 1;
            self.starting += 1;
        }
        starts
    }

    /// Some of those that start are ready.
    pub(super) fn started(&mut self, now: u64, count: u32) {
        self.starting -= count;
        (0..count).for_each(|_| self.idle(now));
    }

    /// A worker takes something up.
    pub(super) fn busy(&mut self) {
        if self.is_on_demand() {
            self.idle_since.pop_front();
        }
    }

    /// A worker has nothing in hand any more.
    pub(super) fn idle(&mut self, now: u64) {
        if self.is_on_demand() {
            self.idle_since.push_back(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use scenarios::units::SimTime;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn manager(kind: Kind, start: u32, most: u32, spare: [u32; 2]) -> Manager {
        Manager::new(WorkerPool::new(kind, start, most, spare, SimTime::from_secs(10), SimTime::ZERO))
    }

    /// What starts in each of so many seconds, where every worker gets something to do at once.
    fn flood(manager: &mut Manager, seconds: u64) -> Vec<u32> {
        let mut second = |now: u64| match manager.maintain(now * SECOND, manager.alive()) {
            Change::Start(count) => {
                manager.started(now * SECOND, count);
                count
            }
            _ => 0,
        };
        (1..=seconds).map(&mut second).collect()
    }

    #[test]
    fn prefork_starts_twice_as_many_each_second_and_dynamic_no_more_than_are_lacking() {
        assert_eq!(flood(&mut manager(Kind::Prefork, 5, 80, [5, 10]), 8), [1, 2, 4, 8, 16, 32, 12, 0]);
        assert_eq!(flood(&mut manager(Kind::Dynamic, 5, 80, [5, 10]), 6), [1, 2, 4, 5, 5, 5]);
    }

    #[test]
    fn too_many_idle_workers_end_one_a_second() {
        let mut manager = manager(Kind::Dynamic, 13, 50, [5, 10]);
        let changes: Vec<Change> = (1..=5).map(|s| manager.maintain(s * SECOND, 0)).collect();
        assert_eq!(changes, [[Change::End; 3].as_slice(), &[Change::Keep; 2]].concat());
    }

    #[test]
    fn on_demand_starts_at_once_and_ends_what_was_idle_for_long() {
        let mut manager = manager(Kind::OnDemand, 0, 2, [0, 0]);
        assert_eq!([(); 3].map(|()| manager.starts_one()), [true, true, false]);
        manager.started(0, 2);
        manager.busy();
        assert_eq!(manager.maintain(10 * SECOND, 1), Change::Keep, "ten seconds are not more than ten");
        assert_eq!(manager.maintain(11 * SECOND, 1), Change::End);
        assert_eq!(manager.maintain(12 * SECOND, 1), Change::Keep, "the other has something to do");
    }
}
