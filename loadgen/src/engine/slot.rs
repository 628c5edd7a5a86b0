//! One of the connections that a traffic keeps: a place that outlives the sockets that fill it in turn.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Waker};

use scenarios::plan::Planned;
use tokio::net::TcpStream;

use crate::http::{Limits, Reader};

/// No slot: the end of a list.
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
    /// How late it was dispatched.
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
    pub(super) address: SocketAddr,
    /// The `Host` field for this address.
    pub(super) host: Rc<str>,
    pub(super) phase: Phase,
    pub(super) stream: Option<TcpStream>,
    pub(super) exchange: Option<Exchange>,
    pub(super) reader: Reader,
    /// The request's bytes and how many of them are written.
    pub(super) out: Vec<u8>,
    pub(super) written: usize,
    /// Set by others than the slot's own task: the socket is to be closed.
    pub(super) close: bool,
    /// Set by others than the slot's own task: a closed slot is to be opened.
    pub(super) open: bool,
    /// Openings in a row that led to no answer; they are paced.
    pub(super) fruitless: u32,
    /// Sockets and attempts so far, so that an alarm meant for an earlier one is known.
    pub(super) generation: u32,
    waker: Option<Waker>,
    /// Neighbours in the traffic's list of requests under way, in order of sending.
    pub(super) before: u32,
    pub(super) after: u32,
}

impl Slot {
    pub(super) fn new(traffic: usize, address: SocketAddr, host: Rc<str>, limits: Limits) -> Self {
        Self {
            traffic,
            address,
            host,
            phase: Phase::Closed,
            stream: None,
            exchange: None,
            reader: Reader::new(limits),
            out: Vec::new(),
            written: 0,
            close: false,
            open: true,
            fruitless: 0,
            generation: 0,
            waker: None,
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

    /// Remembers whom to wake.
    pub(super) fn remember(&mut self, context: &Context<'_>) {
        if !self.waker.as_ref().is_some_and(|waker| waker.will_wake(context.waker())) {
            self.waker = Some(context.waker().clone());
        }
    }

    /// Wakes the slot's task.
    pub(super) fn wake(&self) {
        if let Some(waker) = &self.waker {
            waker.wake_by_ref();
        }
    }
}
