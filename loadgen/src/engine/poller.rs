//! Waits for sockets, or for a point of time, whichever comes first: epoll, with every descriptor edge-triggered, and a
//! timerfd among them.
//!
//! Edges are cheaper than levels: the kernel asks a descriptor again only after something happened to it, and no interest
//! ever has to be changed. Who is told of an edge must therefore read or write until the kernel has no more.
//!
//! The timeout of `epoll_wait` is in milliseconds and subject to the thread's timer slack; a timerfd is neither.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};

use crate::clock::monotonic_nanos;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;
/// What the timer's edges are known by; no descriptor may have it.
const TIMER: u64 = u64::MAX;

/// What happened to a descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    /// As it was given with the descriptor.
    pub(crate) token: u64,
    /// It may take more bytes, or its connection was made.
    pub(crate) writable: bool,
    /// It has bytes, its end, or an error.
    pub(crate) readable: bool,
    /// The other end has closed its side: after what can be read there is nothing more.
    pub(crate) ended: bool,
}

/// The descriptors of one thread.
pub(crate) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// What the timer is set to, on CLOCK_MONOTONIC; zero where it has fired.
    armed_nanos: u64,
    events: Vec<epoll::Event>,
    next: usize,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller")
            .field("epoll", &self.epoll)
            .field("timer", &self.timer)
            .finish_non_exhaustive()
    }
}

impl Poller {
    /// Without descriptors.
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let data = epoll::EventData::new_u64(TIMER);
        epoll::add(&epoll, &timer, data, EventFlags::IN | EventFlags::ET)?;
        Ok(Self { epoll, timer, armed_nanos: 0, events: Vec::with_capacity(EVENTS), next: 0 })
    }

    /// Watches a descriptor until it is closed.
    pub(crate) fn add(&self, descriptor: impl AsFd, token: u64) -> io::Result<()> {
        debug_assert!(token != TIMER, "the timer's token is its own");
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        Ok(epoll::add(&self.epoll, descriptor, epoll::EventData::new_u64(token), flags)?)
    }

    /// Whether edges are left that were not looked at.
    #[inline]
    pub(crate) fn has_edges(&self) -> bool {
        self.next < self.events.len()
    }

    /// The next edge of those that the last wait brought.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Edge> {
        loop {
            let event = self.events.get(self.next)?;
            self.next += 1;
            let (flags, data) = (event.flags, event.data);
            if data.u64() == TIMER {
                // Setting it again resets its count: there is nothing to read.
                self.armed_nanos = 0;
                continue;
            }
            let has = |wanted: EventFlags| flags.intersects(wanted);
            let broken = EventFlags::ERR | EventFlags::HUP;
            return Some(Edge {
                token: data.u64(),
                writable: has(EventFlags::OUT | broken),
                readable: has(EventFlags::IN | EventFlags::RDHUP | broken),
                ended: has(EventFlags::RDHUP | broken),
            });
        }
    }

    /// Waits for edges until a time of CLOCK_MONOTONIC, or a little less: whoever waits looks at the clock. Where the time is
    /// past, only takes the edges that are there.
    pub(crate) fn wait(&mut self, until_nanos: u64) -> io::Result<()> {
        debug_assert!(!self.has_edges(), "edges that were not looked at would be lost");
        self.next = 0;
        self.events.clear();
        let now = monotonic_nanos();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        let timeout = if until_nanos <= now {
            Some(&at_once)
        } else {
            // A timer that fires earlier does no harm, and setting one is a system call.
            if self.armed_nanos <= now || self.armed_nanos > until_nanos {
                self.arm(until_nanos)?;
            }
            None
        };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn arm(&mut self, at_nanos: u64) -> io::Result<()> {
        let it_value =
            Timespec { tv_sec: (at_nanos / 1_000_000_000) as i64, tv_nsec: (at_nanos % 1_000_000_000) as _ };
        let spec = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value };
        timerfd_settime(&self.timer, TimerfdTimerFlags::ABSTIME, &spec)?;
        self.armed_nanos = at_nanos;
        Ok(())
    }
}
