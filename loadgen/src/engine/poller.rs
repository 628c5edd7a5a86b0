//! Waits for sockets, or for a point of time, whichever comes first: epoll, with every descriptor edge-triggered.
//!
//! Edges are cheaper than levels: the kernel asks a descriptor again only after something happened to it, and no interest
//! ever has to be changed. Who is told of an edge must therefore read or write until the kernel has no more.

use std::fmt;
use std::io;
use std::num::NonZeroU64;
use std::os::fd::{AsFd, OwnedFd};

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::time::Timespec;

use crate::clock::monotonic_nanos;

/// Events taken from the kernel at once.
const EVENTS: usize = 256;

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
    events: Vec<epoll::Event>,
    next: usize,
    /// Whether the kernel waits in nanoseconds: before Linux 5.11 it does so in milliseconds.
    fine: bool,
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").field("epoll", &self.epoll).field("fine", &self.fine).finish_non_exhaustive()
    }
}

impl Poller {
    /// Of the thread that it is made in: its timer slack, which is 50 µs by default, becomes a nanosecond.
    pub(crate) fn new() -> io::Result<Self> {
        rustix::thread::set_current_timer_slack(NonZeroU64::new(1))?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(EVENTS), next: 0, fine: true })
    }

    /// Watches a descriptor until it is closed.
    pub(crate) fn add(&self, descriptor: impl AsFd, token: u64) -> io::Result<()> {
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
        let event = self.events.get(self.next)?;
        self.next += 1;
        let (flags, data) = (event.flags, event.data);
        let has = |wanted: EventFlags| flags.intersects(wanted);
        let broken = EventFlags::ERR | EventFlags::HUP;
        Some(Edge {
            token: data.u64(),
            writable: has(EventFlags::OUT | broken),
            readable: has(EventFlags::IN | EventFlags::RDHUP | broken),
            ended: has(EventFlags::RDHUP | broken),
        })
    }

    /// Waits for edges until a time of CLOCK_MONOTONIC; where that is past, only takes those that are there.
    pub(crate) fn wait(&mut self, until_nanos: u64) -> io::Result<()> {
        debug_assert!(!self.has_edges(), "edges that were not looked at would be lost");
        self.next = 0;
        self.events.clear();
        let mut left = until_nanos.saturating_sub(monotonic_nanos());
        if !self.fine {
            // Rather late by less than a millisecond than busy until then.
            left = left.div_ceil(1_000_000) * 1_000_000;
        }
        let timeout =
            Timespec { tv_sec: (left / 1_000_000_000) as i64, tv_nsec: (left % 1_000_000_000) as _ };
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(Errno::NOSYS) if self.fine => {
                self.fine = false;
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}
