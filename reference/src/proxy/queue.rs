//! Requests that wait because the servers have as many as they may be sent: for one server, or for whichever has room
//! first. When a server has room, whoever has waited the longest for it goes (HAProxy's `queue.c`).
//!
//! Its limit is that of the connections: each waits with one request at most.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::oneshot;

use super::servers::Slot;
use crate::emulated::Level;

/// What ends a wait.
#[derive(Debug)]
pub(super) enum Turn {
    /// There is a place.
    Go(Slot),
    /// The server that was waited for is out; another may do.
    Elsewhere,
}

/// Those who wait.
#[derive(Debug)]
pub(super) struct Queue {
    common: Line,
    own: Vec<Line>,
    arrivals: Cell<u64>,
    /// How many wait.
    pub(super) level: Level,
}

type Line = Rc<RefCell<VecDeque<Waiter>>>;

#[derive(Debug)]
pub(super) struct Waiter {
    arrival: u64,
    turn: oneshot::Sender<Turn>,
}

impl Waiter {
    /// Tells that there is a place. A slot that nobody takes any more is dropped, and so given back.
    pub(super) fn go(self, slot: Slot) {
        let _given_up = self.turn.send(Turn::Go(slot));
    }
}

/// A place in the queue, left when dropped.
#[derive(Debug)]
pub(super) struct Waiting<'a> {
    queue: &'a Queue,
    line: Line,
    arrival: u64,
    turn: oneshot::Receiver<Turn>,
}

impl Waiting<'_> {
    /// Waits.
    pub(super) async fn turn(&mut self) -> Turn {
        // The sender is dropped only after it has sent.
        (&mut self.turn).await.unwrap_or(Turn::Elsewhere)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.queue.level.add(-1);
        let mut line = self.line.borrow_mut();
        // Who gives up has waited the longest, as a rule, so this looks at the first few only.
        if let Some(place) = line.iter().position(|waiter| waiter.arrival == self.arrival) {
            line.remove(place);
        }
    }
}

impl Queue {
    /// For so many servers.
    pub(super) fn new(servers: usize) -> Self {
        Self {
            common: Line::default(),
            own: (0..servers).map(|_| Line::default()).collect(),
            arrivals: Cell::new(0),
            level: Level::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.level.get() == 0
    }

    /// Begins to wait: for a server, or for any.
    pub(super) fn wait(&self, server: Option<usize>) -> Waiting<'_> {
        let line = Rc::clone(server.map_or(&self.common, |server| &self.own[server]));
        let arrival = self.arrivals.replace(self.arrivals.get() + 1);
        let (sender, turn) = oneshot::channel();
        line.borrow_mut().push_back(Waiter { arrival, turn: sender });
        self.level.add(1);
        Waiting { queue: self, line, arrival, turn }
    }

    /// Whoever has waited the longest for this server, or for any where this one takes such.
    pub(super) fn next_for(&self, server: usize, takes_any: bool) -> Option<Waiter> {
        let first = |line: &Line| line.borrow().front().map_or(u64::MAX, |waiter| waiter.arrival);
        let own = &self.own[server];
        let line = if !takes_any || first(own) <= first(&self.common) { own } else { &self.common };
        line.borrow_mut().pop_front()
    }

    /// A server is out: those who wait for it look for another, and where it was the last one, all do.
    pub(super) fn send_elsewhere(&self, server: usize, was_last: bool) {
        let lines = [Some(&self.own[server]), was_last.then_some(&self.common)];
        for line in lines.into_iter().flatten() {
            let waiters = std::mem::take(&mut *line.borrow_mut());
            for waiter in waiters {
                let _given_up = waiter.turn.send(Turn::Elsewhere);
            }
        }
    }
}
