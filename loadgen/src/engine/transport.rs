//! How a slot's requests reach the other end. The lane decides what is sent when; a transport opens, writes and reads.

use std::fmt::Debug;
use std::io;
use std::net::Ipv4Addr;

use results::Failure;
use scenarios::plan::Planned;

use crate::http::Jar;

/// What became of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Happening {
    /// It is connected.
    Opened(u32),
    /// Its request was answered.
    Answered {
        slot: u32,
        result: Result<(), Failure>,
        /// When its last byte came in, in nanoseconds of CLOCK_MONOTONIC, where that is known better than by now.
        arrived_nanos: Option<u64>,
        /// Whether its connection can carry another; else it is closed.
        open: bool,
    },
    /// Its connection could not be made, or is lost; a request under way has failed so.
    Closed(u32, Failure),
}

/// The connections of one thread's slots.
pub(super) trait Transport: Debug {
    /// Starts to connect a slot that is closed. [`Happening::Opened`] or [`Happening::Closed`] will follow.
    fn open(&mut self, slot: u32);

    /// Connections of a slot that are opened from now on come from this address of the loopback interface.
    fn come_from(&mut self, _slot: u32, _source: Ipv4Addr) {}

    /// Sends a request, which was sent so often before, over a connected slot. [`Happening::Answered`] or [`Happening::Closed`]
    /// will follow.
    fn send(&mut self, slot: u32, request: (&Planned, u16), jar: Option<&Jar>);

    /// Closes a slot at once, whatever it is at; nothing more happens to it.
    fn close(&mut self, slot: u32);

    /// Whether an answer to a slot's request has begun to come.
    fn has_begun(&self, slot: u32) -> bool;

    /// What a user has to remember of the answer that came last over a slot.
    fn remember(&mut self, slot: u32, jar: &mut Jar);

    /// Waits until something happens, or until a time of CLOCK_MONOTONIC. Returns at once where something is left to take.
    ///
    /// # Errors
    /// Where the machinery itself fails.
    fn wait(&mut self, until_nanos: u64) -> io::Result<()>;

    /// Takes the next of what has happened.
    fn next(&mut self) -> Option<Happening>;

    /// Whether answers tell when they came, and are so small that nothing waits for their being taken.
    fn is_patient(&self) -> bool {
        false
    }

    /// How many connections are open where so many slots are.
    fn connections(&self, open: u32) -> u32 {
        open
    }

    /// Why a connection could not be opened, where that says more than that it could not.
    fn problem(&mut self) -> Option<String> {
        None
    }

    /// What this machine lacked since this was asked last: a run that needs more than it has proves nothing.
    fn lacked(&mut self) -> Option<String> {
        None
    }
}
