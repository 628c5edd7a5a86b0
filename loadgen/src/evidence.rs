//! Evidence about the generator and its machine: so that a bad figure can be laid at the right door.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use scenarios::units::SimTime;

use crate::clock::{monotonic_nanos, process_cpu_nanos, thread_cpu_nanos};

/// Between two looks of the watchdog.
const LOOK: Duration = Duration::from_millis(10);

/// Measures how late a thread wakes that does nothing but sleep. Where it is very late, the machine stood still (or this
/// process was stopped): neither the server nor the generator's work is to blame.
#[derive(Debug, Default)]
pub struct Watchdog {
    /// The greatest lateness of the run, and since it was last asked for.
    worst_nanos: AtomicU64,
    recent_nanos: AtomicU64,
}

impl Watchdog {
    /// Watches until told to stop.
    pub(crate) fn watch(&self, stop: &AtomicBool) {
        let mut before = monotonic_nanos();
        while !stop.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
            let now = monotonic_nanos();
            let late = (now - before).saturating_sub(LOOK.as_nanos() as u64);
            self.worst_nanos.fetch_max(late, Ordering::Relaxed);
            self.recent_nanos.fetch_max(late, Ordering::Relaxed);
            before = now;
        }
    }

    /// The greatest lateness so far.
    pub(crate) fn worst(&self) -> SimTime {
        SimTime::from_nanos(self.worst_nanos.load(Ordering::Relaxed))
    }

    /// The greatest lateness since this was asked last.
    pub(crate) fn recent(&self) -> SimTime {
        SimTime::from_nanos(self.recent_nanos.swap(0, Ordering::Relaxed))
    }
}

/// What the generator and the machine used, since their start.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Usage {
    at_nanos: u64,
    own_nanos: u64,
    /// Ticks of all processors: busy, stolen by the host of this virtual machine, and all.
    busy: u64,
    stolen: u64,
    all: u64,
    processors: u64,
}

/// What was used between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Used {
    /// Cores that this process kept busy.
    pub(crate) own_cores: f64,
    /// Share of all processors that was busy.
    pub(crate) machine: f64,
    /// Cores that the machine's host gave to others.
    pub(crate) stolen_cores: f64,
}

/// How a thread spent the time between two readings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Spent {
    /// All of it, in nanoseconds.
    pub(crate) elapsed_nanos: u64,
    /// On a processor.
    pub(crate) running_nanos: u64,
    /// Ready to run, while others had the processors.
    pub(crate) delayed_nanos: u64,
}

/// Reads how the thread that asks spends its time. What is left of it was spent asleep, with nothing to do.
#[derive(Debug)]
pub(crate) struct ThreadMeter {
    at_nanos: u64,
    running_nanos: u64,
    delayed_nanos: u64,
}

impl ThreadMeter {
    pub(crate) fn new() -> Self {
        // The scheduler's own account (Documentation/scheduler/sched-stats.rst of the kernel): nanoseconds on a processor and on a
        // run queue. A kernel without it tells of the first only.
        let account = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        let delayed_nanos = account.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0);
        Self { at_nanos: monotonic_nanos(), running_nanos: thread_cpu_nanos(), delayed_nanos }
    }

    /// What was spent since the reading before.
    pub(crate) fn read(&mut self) -> Spent {
        let before = std::mem::replace(self, Self::new());
        Spent {
            elapsed_nanos: self.at_nanos.saturating_sub(before.at_nanos),
            running_nanos: self.running_nanos.saturating_sub(before.running_nanos),
            delayed_nanos: self.delayed_nanos.saturating_sub(before.delayed_nanos),
        }
    }
}

/// Reads usage, from one reading to the next.
#[derive(Debug)]
pub(crate) struct Meter {
    last: Usage,
}

impl Meter {
    pub(crate) fn new() -> Self {
        Self { last: Usage::now() }
    }

    pub(crate) fn read(&mut self) -> Used {
        let now = Usage::now();
        let used = now.since(&self.last);
        self.last = now;
        used
    }
}

impl Usage {
    fn now() -> Self {
        // Without /proc there is no such evidence; the run goes on.
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let (busy, stolen, all, processors) = processors(&stat);
        Self { at_nanos: monotonic_nanos(), own_nanos: process_cpu_nanos(), busy, stolen, all, processors }
    }

    fn since(&self, before: &Self) -> Used {
        let share = |now: u64, then: u64, whole: u64| match whole {
            0 => 0.0,
            whole => now.saturating_sub(then) as f64 / whole as f64,
        };
        let all = self.all.saturating_sub(before.all);
        Used {
            own_cores: share(self.own_nanos, before.own_nanos, self.at_nanos.saturating_sub(before.at_nanos)),
            machine: share(self.busy, before.busy, all),
            stolen_cores: share(self.stolen, before.stolen, all) * self.processors as f64,
        }
    }
}

/// Busy, stolen and all ticks, and the number of processors, from /proc/stat (proc_stat(5): user nice system idle iowait irq softirq steal).
fn processors(stat: &str) -> (u64, u64, u64, u64) {
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<u64> = first.split_whitespace().skip(1).take(8).map(|n| n.parse().unwrap_or(0)).collect();
    let tick = |place: usize| ticks.get(place).copied().unwrap_or(0);
    let (idle, stolen, all) = (tick(3) + tick(4), tick(7), ticks.iter().sum::<u64>());
    let processors = stat.lines().skip(1).take_while(|line| line.starts_with("cpu")).count() as u64;
    (all - idle - stolen, stolen, all, processors)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processors_are_busy_idle_or_stolen() {
        let stat = "cpu  10 1 5 100 4 2 3 25 0 0\ncpu0 1 2 3\n";
        assert_eq!(processors(stat), (21, 25, 150, 1));
        assert_eq!(processors(""), (0, 0, 0, 0));
    }

    #[test]
    fn usage_is_a_difference() {
        let before = Usage { at_nanos: 1_000, own_nanos: 50, busy: 10, stolen: 0, all: 100, processors: 2 };
        let now = Usage { at_nanos: 2_000, own_nanos: 550, busy: 60, stolen: 10, all: 200, processors: 2 };
        assert_eq!(now.since(&before), Used { own_cores: 0.5, machine: 0.5, stolen_cores: 0.2 });
        assert_eq!(now.since(&now), Used::default());
    }
}
