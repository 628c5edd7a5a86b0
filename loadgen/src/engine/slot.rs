//! One of the connections that a traffic keeps: a place that outlives the sockets that fill it in turn.

use std::net::Ipv4Addr;

use scenarios::plan::Planned;

/// No slot: the end of a list. No user.
pub(super) const NONE: u32 = u32::MAX;

/// What a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Without a socket, until it is wanted or its pause is over.
    Closed,
    /// Connecting.
    Opening,
    /// Connected and free.
    Idle,
    /// Connected, with a request under way.
    Busy,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exchange {
    pub(super) planned: Planned,
    /// Who makes it, or [`NONE`].
    pub(super) user: u32,
    /// How often it was sent before.
    pub(super) attempt: u16,
    /// How late it was dispatched, in all of its attempts.
    pub(super) lag_nanos: u64,
    /// When it was handed to the slot, on CLOCK_MONOTONIC. Where its connection had to be opened first, that is
    /// before the opening.
    pub(super) sent_nanos: u64,
    pub(super) deadline_nanos: u64,
}

/// One connection's place.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) traffic: usize,
    pub(super) phase: Phase,
    pub(super) exchange: Option<Exchange>,
    /// The user whose session it is kept for, or [`NONE`].
    pub(super) holder: u32,
    /// Where its connections come from, if that is told.
    pub(super) source: Option<Ipv4Addr>,
    /// Openings in a row that led to no answer; they are paced.
    pub(super) fruitless: u32,
    /// Sockets and attempts so far, so that an alarm meant for an earlier one is known.
    pub(super) generation: u32,
    /// When its socket was connected, on CLOCK_MONOTONIC.
    pub(super) opened_nanos: u64,
    /// Neighbours in the traffic's list of requests under way, in order of sending.
    pub(super) before: u32,
    pub(super) after: u32,
}

impl Slot {
    pub(super) fn new(traffic: usize) -> Self {
        Self {
            traffic,
            phase: Phase::Closed,
            exchange: None,
            holder: NONE,
            source: None,
            fruitless: 0,
            generation: 0,
            opened_nanos: 0,
            before: NONE,
            after: NONE,
        }
    }

    /// How long a closed slot rests before it is opened again unasked.
    pub(super) fn pause_nanos(&self) -> u64 {
        match self.fruitless {
            0 => 0,
            n => (10_000_000 << (n - 1).min(6)).min(500_000_000),
        }
    }
}
