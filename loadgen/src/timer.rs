//! A timer that wakes a task at an absolute time of CLOCK_MONOTONIC, within what the kernel's wake-up takes.
//!
//! tokio's own timers tick in milliseconds. A timerfd has no such grain, and unlike a timeout of `epoll_wait` it is not
//! subject to the process's timer slack of 50 µs.

use std::io;
use std::os::fd::OwnedFd;
use std::task::{Context, Poll, ready};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// One timer, armed for one time at once.
#[derive(Debug)]
pub(crate) struct Timer {
    descriptor: AsyncFd<OwnedFd>,
    /// What it is armed for, in nanoseconds of CLOCK_MONOTONIC; zero when it is not armed.
    armed_nanos: u64,
}

impl Timer {
    /// Made inside a tokio runtime with its I/O driver on.
    #[allow(
        deprecated,
        reason = "the replacement is unsafe because a type's descriptor might change; an OwnedFd's does not"
    )]
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let descriptor = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self {
            descriptor: AsyncFd::with_interest(descriptor, tokio::io::Interest::READABLE)?,
            armed_nanos: 0,
        })
    }

    /// Arms the timer; a time that is past fires at once.
    pub(crate) fn arm(&mut self, at_nanos: u64) -> io::Result<()> {
        // Zero would disarm it.
        let at_nanos = at_nanos.max(1);
        if self.armed_nanos != at_nanos {
            let it_value = Timespec {
                tv_sec: (at_nanos / 1_000_000_000) as i64,
                tv_nsec: (at_nanos % 1_000_000_000) as i64,
            };
            let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
            timerfd_settime(self.descriptor.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)?;
            self.armed_nanos = at_nanos;
        }
        Ok(())
    }

    /// Ready when the timer may have fired; it must then be armed anew. It may wake too early (when an older arming
    /// fired meanwhile), never too late, so the caller looks at the clock.
    pub(crate) fn poll_fired(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut guard = ready!(self.descriptor.poll_read_ready(context))?;
        // Arming again resets the descriptor, and its next expiry is a new edge: reading the count would be a system call
        // for nothing.
        guard.clear_ready();
        self.armed_nanos = 0;
        Poll::Ready(Ok(()))
    }
}
