//! Requests in flight: where each stands, in a slab that recycles its slots.
//!
//! Owns storage and the FIFO queues threaded through it; refuses to know what a component does with a request.

use scenarios::plan::RequestId;
use scenarios::scenario::ClassId;

use crate::event::Token;
use crate::world::TIMER_BASE;

/// No slot, no instance.
pub(crate) const NONE: u32 = u32::MAX;
/// The origin of health checks, which no client sent.
pub(crate) const CHECK: u16 = u16::MAX;
/// No instance of a component.
pub(crate) const NOWHERE: u16 = u16::MAX;

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The slot is free.
    Free,
    /// A free connection of its client.
    Connection,
    /// The client's own delay.
    ToEntry,
    /// The balancer's delay.
    InBalancer,
    /// The turn-around before a connection is tried again.
    TurnAround,
    /// The next try of an unanswered SYN.
    Connecting,
    /// The service's delay, connected.
    ToService,
    /// A worker.
    Worker,
    /// Processor time of its service, queued or running.
    Work,
    /// A step's time without a processor.
    Wait,
    /// The next try of a SYN to a service called for one step.
    ConnectingRemote,
    /// The delay of that service.
    ToRemote,
    /// A worker of that service.
    RemoteWorker,
    /// Processor time there, queued or running.
    RemoteWork,
    /// Time without a processor there.
    RemoteWait,
    /// The delay of a store.
    ToStore,
    /// The store's thread, queued.
    StoreQueue,
    /// The store's thread, running.
    StoreRun,
    /// The delay of an SQL store.
    ToSql,
    /// A connection of the SQL store.
    SqlQueue,
    /// Processor time of a statement, queued or running.
    Statement,
    /// A stopped SQL store to send its result.
    StatementDone,
    /// A stopped service to go on.
    Parked,
}

/// The client or the balancer has given the request up, and has its answer already.
pub(crate) const ABANDONED: u8 = 1;
/// Its service died; whatever it was waiting for frees it.
pub(crate) const ORPHAN: u8 = 2;
/// It holds a core.
pub(crate) const ON_CORE: u8 = 4;
/// The client's connection has to be opened first: the one before it broke.
pub(crate) const UNOPENED: u8 = 8;
/// Its balancer died or gave the server up, and with that closed the connection between the two.
pub(crate) const CUT: u8 = 32;
/// A call of its present step failed, which its stopped service has yet to notice.
pub(crate) const FAILED: u8 = 16;

/// A request in flight, or a health check.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// The event that moves it on.
    pub(crate) awaits: Token,
    pub(crate) id: RequestId,
    pub(crate) due: u64,
    pub(crate) sent: u64,
    /// The drawn processor time while it waits for a core; the deadline while it connects.
    pub(crate) work: u64,
    /// How often the slot was used: tells a reader of an old reference that the request is gone.
    pub(crate) generation: u32,
    /// The next in the same queue.
    next: u32,
    pub(crate) connection: u32,
    /// Connections tried so far, or SYNs of the present one.
    pub(crate) attempts: u32,
    /// Its list of missed keys.
    pub(crate) missed: u32,
    /// Its traffic.
    pub(crate) origin: u16,
    pub(crate) class: ClassId,
    pub(crate) step: u16,
    pub(crate) balancer: u16,
    pub(crate) service: u16,
    pub(crate) remote: u16,
    pub(crate) store: u16,
    pub(crate) syns: u8,
    pub(crate) stage: u8,
    pub(crate) phase: Phase,
    pub(crate) flags: u8,
}

impl Request {
    #[inline]
    pub(crate) fn new(id: RequestId, class: ClassId, origin: u16, due: u64) -> Self {
        Self {
            awaits: Token::NONE,
            id,
            due,
            sent: due,
            work: 0,
            generation: 0,
            next: NONE,
            connection: 0,
            attempts: 0,
            missed: NONE,
            origin,
            class,
            step: 0,
            balancer: NOWHERE,
            service: NOWHERE,
            remote: NOWHERE,
            store: NOWHERE,
            syns: 0,
            stage: 0,
            phase: Phase::Connection,
            flags: 0,
        }
    }

    #[inline]
    pub(crate) fn is(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// All requests in flight.
#[derive(Debug)]
pub(crate) struct Requests {
    slots: Vec<Request>,
    free: u32,
    limit: u32,
}

impl Requests {
    /// With at most so many at once, and never more than there are slots for events.
    pub(crate) fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), free: NONE, limit: limit.min(TIMER_BASE) }
    }

    /// The request's slot; none where there are too many.
    #[inline]
    pub(crate) fn insert(&mut self, mut request: Request) -> Option<u32> {
        if self.free == NONE {
            let slot = self.slots.len() as u32;
            if slot >= self.limit {
                return None;
            }
            self.slots.push(request);
            return Some(slot);
        }
        let slot = self.free;
        let place = &mut self.slots[slot as usize];
        self.free = place.next;
        request.generation = place.generation;
        *place = request;
        Some(slot)
    }

    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        debug_assert!(place.phase != Phase::Free, "a request is removed once");
        place.awaits = Token::NONE;
        place.phase = Phase::Free;
        place.generation = place.generation.wrapping_add(1);
        place.next = self.free;
        self.free = slot;
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &Request)> {
        self.slots.iter().enumerate().filter(|(_, r)| r.phase != Phase::Free).map(|(i, r)| (i as u32, r))
    }
}

impl std::ops::Index<u32> for Requests {
    type Output = Request;
    #[inline]
    fn index(&self, slot: u32) -> &Request {
        &self.slots[slot as usize]
    }
}

impl std::ops::IndexMut<u32> for Requests {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut Request {
        &mut self.slots[slot as usize]
    }
}

/// A FIFO queue threaded through the slab: waiting costs no memory of its own. Its limit is its owner's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fifo {
    head: u32,
    tail: u32,
    len: u32,
}

impl Fifo {
    pub(crate) const fn new() -> Self {
        Self { head: NONE, tail: NONE, len: 0 }
    }

    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    #[inline]
    pub(crate) fn push(&mut self, requests: &mut Requests, slot: u32) {
        requests[slot].next = NONE;
        if self.len == 0 {
            self.head = slot;
        } else {
            requests[self.tail].next = slot;
        }
        self.tail = slot;
        self.len += 1;
    }

    #[inline]
    pub(crate) fn pop(&mut self, requests: &Requests) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let slot = self.head;
        self.head = requests[slot].next;
        self.len -= 1;
        Some(slot)
    }

    /// Takes out those that `gone` names, keeping the order of the others.
    pub(crate) fn take_out(&mut self, requests: &mut Requests, gone: impl Fn(u32) -> bool) -> u32 {
        let (mut kept, mut taken) = (Self::new(), 0);
        while let Some(slot) = self.pop(requests) {
            if gone(slot) {
                taken += 1;
            } else {
                kept.push(requests, slot);
            }
        }
        *self = kept;
        taken
    }
}
