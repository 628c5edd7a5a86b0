//! Waking up in time: a sleeping thread runs some tens of microseconds after its timer, and as long again on a virtual
//! machine. So the timer is set earlier by about what most wake-ups take on this machine, learnt as the run goes on, and
//! the little that is then left is waited for awake. Nothing is ever handed over before it is due.

use std::hint::spin_loop;
use std::io;

use rustix::io::Errno;
use rustix::thread::clock_nanosleep_absolute;
use rustix::time::{ClockId, Timespec};

use crate::clock::monotonic_nanos;

/// The most that a timer is set early, and so the longest time that is waited awake.
const MOST_NANOS: u64 = 60_000;
/// How far one wake-up moves what is learnt. It rests where one in four is faster.
const STEP_NANOS: u64 = 250;
const FASTER: u64 = 3;

/// How early the timer is set.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Aim {
    early_nanos: u64,
}

impl Aim {
    /// What to set the timer to, so as to be awake at a time.
    #[inline]
    pub(super) fn timer_for(self, due_nanos: u64) -> u64 {
        due_nanos.saturating_sub(self.early_nanos)
    }

    /// A timer was set and the thread is awake; what woke it earlier was something else.
    #[inline]
    pub(super) fn woke(&mut self, timer_nanos: u64, now: u64) {
        if now < timer_nanos {
        } else if now - timer_nanos > self.early_nanos {
            self.early_nanos = (self.early_nanos + STEP_NANOS).min(MOST_NANOS);
        } else {
            self.early_nanos = self.early_nanos.saturating_sub(FASTER * STEP_NANOS);
        }
    }

    /// Whether a time lies ahead and is as near as a timer would have been early.
    #[inline]
    pub(super) fn is_near(self, due_nanos: u64, now: u64) -> bool {
        now < due_nanos && self.timer_for(due_nanos) <= now
    }

    /// Waits awake for a time that is near; when it is.
    #[inline]
    pub(super) fn reach(self, due_nanos: u64, mut now: u64) -> u64 {
        if self.is_near(due_nanos, now) {
            while now < due_nanos {
                spin_loop();
                now = monotonic_nanos();
            }
        }
        now
    }
}

/// Sleeps until a time of `CLOCK_MONOTONIC`, whatever happens to descriptors. It may return earlier.
pub(super) fn sleep_until(nanos: u64) -> io::Result<()> {
    let at = Timespec { tv_sec: (nanos / 1_000_000_000) as i64, tv_nsec: (nanos % 1_000_000_000) as _ };
    match clock_nanosleep_absolute(ClockId::Monotonic, &at) {
        Ok(()) | Err(Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timer_is_set_early_by_what_all_but_the_fastest_quarter_of_wake_ups_take() {
        let mut aim = Aim::default();
        // Wake-ups that take 20, 30, 40 and 50 µs in turn.
        for n in 0..4_000 {
            aim.woke(1_000_000, 1_000_000 + 20_000 + 10_000 * (n % 4));
        }
        assert!((19_000..=31_000).contains(&aim.early_nanos), "{}", aim.early_nanos);
        for _ in 0..4_000 {
            aim.woke(1_000_000, 1_000_000);
        }
        assert_eq!(aim.early_nanos, 0, "a machine that has become fast");
        for _ in 0..4_000 {
            aim.woke(1_000_000, 9_000_000);
        }
        assert_eq!(aim.early_nanos, MOST_NANOS, "a slow machine costs no more than that");
        aim.woke(1_000_000, 999_999);
        assert_eq!(aim.early_nanos, MOST_NANOS, "a descriptor woke it");
    }

    #[test]
    fn what_is_near_is_waited_for_and_what_is_far_is_not() {
        let aim = Aim { early_nanos: 50_000 };
        let now = monotonic_nanos();
        assert!(aim.reach(now + 40_000, now) >= now + 40_000);
        let now = monotonic_nanos();
        assert_eq!(aim.reach(now + 60_000, now), now);
        assert_eq!(aim.reach(now - 1, now), now, "it is past");
        let near = [now - 1, now, now + 1, now + 50_000, now + 50_001].map(|due| aim.is_near(due, now));
        assert_eq!(near, [false, false, true, true, false]);
    }
}
