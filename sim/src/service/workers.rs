//! How many workers an instance has: as many as configured, or as many as its process manager keeps.
//!
//! Three managers, each looked after once a second:
//! - `prefork`: Apache's (`server/mpm/prefork/prefork.c`, `perform_idle_server_maintenance`): below `min_spare` idle
//!   workers it starts 1, 2, 4 … 32 at a time, doubling each second, even past `min_spare`; above `max_spare` it ends one.
//! - `dynamic`: PHP-FPM's (`sapi/fpm/fpm/fpm_process_ctl.c`, `fpm_pctl_perform_idle_server_maintenance`): the same, but
//!   never more than `min_spare` lacks.
//! - `ondemand`: PHP-FPM's: a connection that finds no idle worker starts one at once; each second one that was idle for
//!   longer than `idle_timeout` is ended.
//!
//! Workers that start count as idle for prefork ("we consider a starting server as idle") and as active for FPM.

use std::collections::VecDeque;

use scenarios::scenario::{Manager, WorkerPool};

/// How often a manager looks after its workers.
pub(crate) const MAINTENANCE_NANOS: u64 = 1_000_000_000;
/// Neither program starts more in a second (`MAX_SPAWN_RATE`, `FPM_MAX_SPAWN_RATE`).
const MOST_SPAWNED: u32 = 32;

/// What a manager does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// So many workers are started.
    Start(u32),
    /// One idle worker is ended.
    End,
    /// Nothing.
    Keep,
}

/// The workers of one instance under a process manager.
#[derive(Clone, Debug)]
pub(crate) struct Workers {
    rules: WorkerPool,
    /// All there are, those that start included.
    alive: u32,
    starting: u32,
    era: u32,
    /// How many the next maintenance may start.
    spawn_rate: u32,
    /// Since when each idle worker is idle, the longest first: workers that wait for a connection are served in turn by
    /// the kernel. Kept for `ondemand` alone.
    idle_since: VecDeque<u64>,
    /// Occupied workers that were killed: what they had in hand is lost, which is noticed when it would have been done, or
    /// when the connection would have been closed.
    killed: u32,
}

impl Workers {
    pub(crate) fn new(rules: &WorkerPool) -> Self {
        let alive = rules.start.min(rules.most);
        Self {
            rules: *rules,
            alive,
            starting: 0,
            era: 0,
            spawn_rate: 1,
            idle_since: VecDeque::new(),
            killed: 0,
        }
    }

    /// How many can work, now.
    #[inline]
    pub(crate) fn ready(&self) -> u32 {
        self.alive - self.starting
    }

    /// How many processes there are, which each take their memory.
    pub(crate) fn alive(&self) -> u32 {
        self.alive
    }

    /// How many there can be.
    pub(crate) fn most(&self) -> u32 {
        self.rules.most
    }

    fn on_demand(&self) -> bool {
        self.rules.manager == Manager::OnDemand
    }

    /// The second is over, with so many workers busy.
    pub(crate) fn maintain(&mut self, now: u64, busy: u32) -> Change {
        let rules = &self.rules;
        let idle = match rules.manager {
            Manager::Prefork => self.alive.saturating_sub(busy),
            _ => self.ready().saturating_sub(busy),
        };
        if self.on_demand() {
            let timeout = rules.idle_timeout.as_nanos();
            let longest = self.idle_since.front().copied();
            if longest.is_some_and(|since| now.saturating_sub(since) > timeout) {
                self.idle_since.pop_front();
                self.alive -= 1;
                return Change::End;
            }
            return Change::Keep;
        }
        let room = rules.most - self.alive;
        if idle > rules.max_spare && self.ready() > busy {
            self.spawn_rate = 1;
            self.alive -= 1;
            Change::End
        } else if idle < rules.min_spare && room > 0 {
            let lacking = match rules.manager {
                Manager::Prefork => u32::MAX,
                _ => rules.min_spare - idle,
            };
            let count = self.spawn_rate.min(room).min(lacking);
            self.spawn_rate = (self.spawn_rate * 2).min(MOST_SPAWNED);
            self.alive += count;
            self.starting += count;
            Change::Start(count)
        } else {
            self.spawn_rate = 1;
            Change::Keep
        }
    }

    /// A connection came that no idle worker takes: whether one is started for it.
    pub(crate) fn start_on_demand(&mut self) -> bool {
        let starts = self.on_demand() && self.alive < self.rules.most;
        if starts {
            self.alive += 1;
            self.starting += 1;
        }
        starts
    }

    /// Some of those that started can work.
    pub(crate) fn started(&mut self, now: u64, count: u32) {
        // Some may have been killed meanwhile.
        let count = count.min(self.starting);
        self.starting -= count;
        if self.on_demand() {
            self.idle_since.extend((0..count).map(|_| now));
        }
    }

    /// A worker takes something up.
    #[inline]
    pub(crate) fn busy(&mut self) {
        if self.on_demand() {
            self.idle_since.pop_front();
        }
    }

    /// A worker is done.
    #[inline]
    pub(crate) fn idle(&mut self, now: u64) {
        if self.on_demand() {
            self.idle_since.push_back(now);
        }
    }

    /// The kernel kills the newest, with so many that have something in hand or wait on a connection, those included whose
    /// death is not noticed yet: one that starts, an idle one, or else one of those.
    pub(crate) fn kill_newest(&mut self, occupied: u32) {
        if self.starting > 0 {
            self.starting -= 1;
        } else if self.alive + self.killed > occupied {
            self.idle_since.pop_back();
        } else {
            self.killed += 1;
        }
        self.alive -= 1;
    }

    /// An occupied worker is done; whether it was killed before that.
    #[inline]
    pub(crate) fn was_killed(&mut self) -> bool {
        let killed = self.killed > 0;
        self.killed -= u32::from(killed);
        killed
    }

    /// The instance starts anew; what still boots belongs to its earlier life.
    pub(crate) fn restart(&mut self) {
        *self = Self { era: self.era.wrapping_add(1), ..Self::new(&self.rules) };
    }

    /// Which life of the instance it is.
    pub(crate) fn era(&self) -> u32 {
        self.era
    }

    /// How long a new worker takes to be ready.
    pub(crate) fn boot_nanos(&self) -> u64 {
        self.rules.boot.as_nanos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::units::SimTime;

    fn pool(manager: Manager, start: u32, most: u32, spare: [u32; 2]) -> Workers {
        let idle_timeout = SimTime::from_secs(10);
        Workers::new(&WorkerPool::new(manager, start, most, spare, idle_timeout, SimTime::ZERO))
    }

    /// What starts in each of so many seconds, where every worker that there is gets busy at once.
    fn flood(workers: &mut Workers, seconds: u64) -> Vec<u32> {
        let mut starts = Vec::new();
        for second in 1..=seconds {
            let now = second * MAINTENANCE_NANOS;
            let busy = workers.alive();
            starts.push(match workers.maintain(now, busy) {
                Change::Start(count) => {
                    workers.started(now, count);
                    count
                }
                _ => 0,
            });
        }
        starts
    }

    #[test]
    fn prefork_doubles_what_it_starts_each_second_up_to_thirty_two_and_its_limit() {
        let mut workers = pool(Manager::Prefork, 5, 100, [5, 10]);
        assert_eq!(flood(&mut workers, 9), [1, 2, 4, 8, 16, 32, 32, 0, 0]);
        assert_eq!(workers.ready(), 100);
    }

    #[test]
    fn dynamic_starts_no_more_than_spare_workers_are_lacking() {
        let mut workers = pool(Manager::Dynamic, 5, 50, [5, 10]);
        assert_eq!(flood(&mut workers, 6), [1, 2, 4, 5, 5, 5]);
    }

    #[test]
    fn too_many_idle_workers_end_one_a_second() {
        for manager in [Manager::Prefork, Manager::Dynamic] {
            let mut workers = pool(manager, 14, 50, [5, 10]);
            let changes: Vec<Change> = (1..=6).map(|s| workers.maintain(s * MAINTENANCE_NANOS, 0)).collect();
            assert_eq!(changes, [[Change::End; 4].as_slice(), &[Change::Keep; 2]].concat());
            assert_eq!(workers.ready(), 10);
        }
    }

    #[test]
    fn a_calm_second_puts_the_rate_back_to_one() {
        let mut workers = pool(Manager::Prefork, 5, 100, [5, 10]);
        flood(&mut workers, 4);
        let calm = workers.alive() - 7;
        assert_eq!(workers.maintain(0, calm), Change::Keep);
        assert_eq!(workers.maintain(0, workers.alive()), Change::Start(1));
    }

    #[test]
    fn the_kernel_kills_those_that_start_before_idle_ones_and_busy_ones_last() {
        let mut workers = pool(Manager::Dynamic, 3, 50, [5, 10]);
        assert_eq!(workers.maintain(0, 2), Change::Start(1));
        let left = [(); 3].map(|()| {
            workers.kill_newest(2);
            (workers.alive(), workers.ready())
        });
        assert_eq!(left, [(3, 3), (2, 2), (1, 1)]);
        workers.started(0, 1);
        assert_eq!(workers.ready(), 1, "the one that was to be ready is dead");
        assert_eq!([workers.was_killed(), workers.was_killed()], [true, false]);
    }

    #[test]
    fn starting_workers_count_as_idle_for_prefork_only() {
        let (mut prefork, mut dynamic) =
            (pool(Manager::Prefork, 4, 50, [5, 10]), pool(Manager::Dynamic, 4, 50, [5, 10]));
        assert_eq!(prefork.maintain(0, 0), Change::Start(1));
        assert_eq!(prefork.maintain(0, 0), Change::Keep, "the one that starts is counted");
        assert_eq!(dynamic.maintain(0, 0), Change::Start(1));
        assert_eq!(dynamic.maintain(0, 0), Change::Start(1), "the one that starts is not");
    }

    #[test]
    fn on_demand_starts_at_once_and_ends_those_idle_for_long() {
        let mut workers = pool(Manager::OnDemand, 0, 2, [0, 0]);
        assert_eq!(workers.ready(), 0);
        assert_eq!([(); 3].map(|()| workers.start_on_demand()), [true, true, false]);
        workers.started(0, 2);
        workers.busy();
        assert_eq!(
            workers.maintain(10 * MAINTENANCE_NANOS, 1),
            Change::Keep,
            "ten seconds are not more than ten"
        );
        assert_eq!(workers.maintain(11 * MAINTENANCE_NANOS, 1), Change::End);
        assert_eq!(workers.maintain(12 * MAINTENANCE_NANOS, 1), Change::Keep, "the other is busy");
        workers.idle(12 * MAINTENANCE_NANOS);
        assert_eq!(workers.maintain(23 * MAINTENANCE_NANOS, 0), Change::End);
        assert_eq!(workers.alive(), 0);
    }
}
