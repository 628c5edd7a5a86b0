//! The run's clock: CLOCK_MONOTONIC, with the run's start as its zero.
//!
//! All threads of a run read the same clock, and the timer is armed on its absolute times, so no conversion adds an error.

use rustix::time::{ClockId, Timespec, clock_gettime};
use scenarios::units::SimTime;

/// Nanoseconds of CLOCK_MONOTONIC.
pub(crate) fn monotonic_nanos() -> u64 {
    nanos(clock_gettime(ClockId::Monotonic))
}

/// Nanoseconds of CLOCK_REALTIME, by which the kernel stamps what comes in.
pub(crate) fn day_nanos() -> u64 {
    nanos(clock_gettime(ClockId::Realtime))
}

/// Processor time that this process has used, in nanoseconds.
pub(crate) fn process_cpu_nanos() -> u64 {
    nanos(clock_gettime(ClockId::ProcessCPUTime))
}

/// Processor time that this thread has used, in nanoseconds.
pub(crate) fn thread_cpu_nanos() -> u64 {
    nanos(clock_gettime(ClockId::ThreadCPUTime))
}

/// CLOCK_MONOTONIC and CLOCK_REALTIME at the same moment. A thread that is put aside between two readings would take one of them for
/// later than it is, so the closest of a few counts.
fn together() -> (u64, u64) {
    let reading = || {
        let before = monotonic_nanos();
        let day = day_nanos();
        (monotonic_nanos() - before, before, day)
    };
    let (_, monotonic, day) = (0..5).map(|_| reading()).min().expect("five is not none");
    (monotonic, day)
}

fn nanos(time: Timespec) -> u64 {
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Reads the time of one run.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    /// CLOCK_MONOTONIC at the run's start.
    origin_nanos: u64,
}

impl Clock {
    /// A clock whose zero lies this far ahead of now.
    pub fn starting_in(delay: std::time::Duration) -> Self {
        Self { origin_nanos: monotonic_nanos() + delay.as_nanos() as u64 }
    }

    /// A clock whose zero is this time of CLOCK_REALTIME, in nanoseconds; none where that is past.
    pub(crate) fn starting_at(day: u64) -> Option<Self> {
        let (now, day_now) = together();
        Some(Self { origin_nanos: now + day.checked_sub(day_now)? })
    }

    /// Where the run's zero lies by CLOCK_REALTIME now, in nanoseconds.
    pub(crate) fn zero_of_day(&self) -> u64 {
        let (now, day_now) = together();
        day_now.saturating_add(self.origin_nanos).saturating_sub(now)
    }

    /// The run's time now; zero before its start.
    #[inline]
    pub fn now(&self) -> SimTime {
        SimTime::from_nanos(monotonic_nanos().saturating_sub(self.origin_nanos))
    }

    /// How long it is until the run's start; nothing after it.
    pub(crate) fn until_start(&self) -> std::time::Duration {
        std::time::Duration::from_nanos(self.origin_nanos.saturating_sub(monotonic_nanos()))
    }

    /// The point of the run at a time of CLOCK_MONOTONIC.
    #[inline]
    pub(crate) fn point(&self, monotonic_nanos: u64) -> SimTime {
        SimTime::from_nanos(monotonic_nanos.saturating_sub(self.origin_nanos))
    }

    /// A point of the run in nanoseconds of CLOCK_MONOTONIC.
    pub(crate) fn absolute_nanos(&self, at: SimTime) -> u64 {
        self.origin_nanos.saturating_add(at.as_nanos())
    }

    /// Sleeps until a point of the run; returns at once where it is past.
    pub(crate) fn sleep_until(&self, at: SimTime) {
        // A past start counts as zero in `now`, so the wait before it is computed on the absolute axis.
        let left = self.absolute_nanos(at).saturating_sub(monotonic_nanos());
        if left > 0 {
            std::thread::sleep(std::time::Duration::from_nanos(left));
        }
    }
}
