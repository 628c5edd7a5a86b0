//! Calls in flight: where each stands, in a slab that recycles its slots.
//!
//! A call is one request made by one party to one instance. A client's request to a balancer is a call; the balancer's
//! to a server is another, whose parent is the first. Commands and statements are leaves: they have no call of their own
//! and run in the slot of the call that makes them.
//!
//! Owns storage and the FIFO queues threaded through it; refuses to know what a component does with a call.

use scenarios::plan::RequestId;
use scenarios::scenario::ClassId;

use crate::event::Token;
use crate::front::{DRAWS, Due, PathKey};
use crate::world::TIMER_BASE;

/// No slot, no list, no pool.
pub(crate) const NONE: u32 = u32::MAX;
/// No instance.
pub(crate) const NOWHERE: u16 = u16::MAX;

/// The parent of a call that a client made.
pub(crate) const CLIENT: u32 = u32::MAX;
/// The parent of a health check.
pub(crate) const CHECK: u32 = u32::MAX - 1;
/// The parent of a call that nobody waits for any more: it runs to its end, and its answer is not heard.
pub(crate) const NOBODY: u32 = u32::MAX - 2;

/// What a call waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The slot is free.
    Free,
    /// A free connection of its client.
    Connection,
    /// The end of the pause before a client sends it again.
    Pause,
    /// The client's own delay.
    ToEntry,
    /// Its turn at the limits of its caller's policy; no event.
    Gate,
    /// The next try of an unanswered SYN.
    Connecting,
    /// The answer to a SYN, which is on its way.
    Handshake,
    /// The way to the instance, connected.
    InTransit,
    /// Whatever the instance has too little of; no event.
    Queued,
    /// Processor time of the instance, queued or running.
    Work,
    /// Time that the instance lets pass.
    Timed,
    /// The answers of its own calls; no event.
    Calling,
    /// The way to a store.
    ToStore,
    /// The store's thread, queued.
    StoreQueue,
    /// The store's thread, running.
    StoreRun,
    /// The way to an SQL store.
    ToSql,
    /// A connection of the SQL store.
    SqlQueue,
    /// A row that another statement is changing.
    LockWait,
    /// Pages of a statement from the disk.
    DiskRead,
    /// Processor time of a statement, queued or running.
    Statement,
    /// The log of a statement to the disk.
    DiskWrite,
    /// A stopped SQL store to send its result.
    StatementDone,
    /// Processor time of another service's worker, queued or running.
    LentWork,
    /// That service to go on: it is stopped.
    LentDone,
    /// The way back from a store or an SQL store.
    FromLeaf,
    /// The way back: the instance has answered.
    Returning,
    /// Its stopped instance to go on.
    Parked,
}

impl Phase {
    /// Whether the call stands at a component that it sent a command or a statement to.
    pub(crate) fn is_leaf(self) -> bool {
        use Phase::*;
        matches!(
            self,
            ToStore
                | StoreQueue
                | StoreRun
                | ToSql
                | SqlQueue
                | LockWait
                | DiskRead
                | Statement
                | DiskWrite
                | StatementDone
                | LentWork
                | LentDone
        )
    }
}

/// Its instance died; what it was waiting for frees it.
pub(crate) const DEAD: u16 = 1;
/// It holds a core.
pub(crate) const ON_CORE: u16 = 2;
/// The client's connection has to be opened first: the one before it broke.
pub(crate) const UNOPENED: u16 = 4;
/// Whoever answered a client's request did not know its session.
pub(crate) const LOST_SESSION: u16 = 256;

/// It is a check that a connection is enough for.
pub(crate) const CONNECT_ONLY: u16 = 8;
/// It is a branch of its parent at the same instance, and has no worker of its own.
pub(crate) const BRANCH: u16 = 16;
/// It counts in its caller's bulkhead.
pub(crate) const IN_BULKHEAD: u16 = 32;
/// It has a connection of its caller's pool.
pub(crate) const IN_POOL: u16 = 64;
/// One of its branches has failed.
pub(crate) const FAILED: u16 = 128;
/// Its connection is new.
pub(crate) const FRESH: u16 = 512;
/// It has crossed the border of its instance and not come back.
pub(crate) const INSIDE: u16 = 1024;
/// It is followed through the stack.
pub(crate) const TRACED: u16 = 2048;
/// It is the part of a command that goes to one shard of a store.
pub(crate) const SHARD: u16 = 4096;
/// At a cache: a thread works on it.
pub(crate) const HAS_THREAD: u16 = 16384;
/// It has locked the row of its session.
pub(crate) const HOLDS_ROW: u16 = 32768;
/// Its connection was idle in its caller's pool; only where workers hold connections.
pub(crate) const REUSED: u16 = 8192;

/// A call in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// The event that moves it on.
    pub(crate) awaits: Token,
    pub(crate) id: RequestId,
    /// When a client's request was due; when any other call was made.
    pub(crate) due: u64,
    /// When a client's request was sent.
    pub(crate) sent: u64,
    /// The drawn processor time while it waits for a core; the deadline while it connects.
    pub(crate) work: u64,
    /// How often the slot was used: tells a reader of an old reference that the call is gone.
    pub(crate) generation: u32,
    /// The next in the same queue.
    next: u32,
    /// The slot of the client's request that it serves, or had.
    pub(crate) root: u32,
    /// Who waits for its answer: a call's slot, or [`CLIENT`], [`CHECK`], [`NOBODY`].
    pub(crate) parent: u32,
    /// Where the connection that it uses goes when it is answered, as a place in the world's pools.
    pub(crate) pool: u32,
    /// The number of a client's connection; of a health check.
    pub(crate) connection: u32,
    /// Its list of missed keys.
    pub(crate) missed: u32,
    /// The user who waits for the answer to a client's request, if there is one.
    pub(crate) user: u32,
    /// Its traffic.
    pub(crate) traffic: u16,
    pub(crate) class: ClassId,
    /// The instance that made it.
    pub(crate) from: u16,
    /// The instance that is to answer it.
    pub(crate) at: u16,
    /// The store that its present command or statement goes to.
    pub(crate) leaf: u16,
    /// The present one of the world's steps, and the one after its last.
    pub(crate) step: u16,
    pub(crate) end: u16,
    /// Connections that its instance has tried for it.
    pub(crate) attempts: u16,
    /// Which attempt it is, and which its callers are: what it draws goes by it. Zero for the first of the first.
    pub(crate) tries: u16,
    pub(crate) syns: u8,
    /// How far it is within a step, by the component's own count.
    pub(crate) stage: u8,
    pub(crate) phase: Phase,
    pub(crate) flags: u16,
}

impl Call {
    /// A client's request, or the base of any other call.
    #[inline]
    pub(crate) fn new(id: RequestId, class: ClassId, parent: u32, due: u64) -> Self {
        Self {
            awaits: Token::NONE,
            id,
            due,
            sent: due,
            work: 0,
            generation: 0,
            next: NONE,
            root: NONE,
            parent,
            pool: NONE,
            connection: 0,
            missed: NONE,
            user: NONE,
            traffic: 0,
            class,
            from: NOWHERE,
            at: NOWHERE,
            leaf: NOWHERE,
            step: 0,
            end: 0,
            attempts: 0,
            tries: 0,
            syns: 0,
            stage: 0,
            phase: Phase::Connection,
            flags: 0,
        }
    }

    /// By which number it draws for a step.
    #[inline]
    pub(crate) fn draw(&self, step: u16) -> usize {
        usize::from(step) | usize::from(self.tries) << 16
    }

    #[inline]
    pub(crate) fn is(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    /// The instance that it works for, on or before a core.
    #[inline]
    pub(crate) fn core_of(&self) -> u16 {
        match self.phase {
            Phase::Statement | Phase::LentWork => self.leaf,
            _ => self.at,
        }
    }

    /// It has a core until a moment, or will have, and an event that tells of it.
    #[inline]
    pub(crate) fn run_until(&mut self, end: u64, event: Token) {
        self.awaits = event;
        self.work = end;
        self.flags |= ON_CORE;
    }

    /// Whether its instance has it: the connection stands, so that the instance's death resets it.
    pub(crate) fn has_arrived(&self) -> bool {
        !matches!(
            self.phase,
            Phase::Free
                | Phase::Connection
                | Phase::Pause
                | Phase::ToEntry
                | Phase::Gate
                | Phase::Connecting
                | Phase::Handshake
                | Phase::Returning
        )
    }
}

/// What a client's request has drawn ahead.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    id: RequestId,
    path: PathKey,
    nanos: [u64; DRAWS],
}

/// All calls in flight.
#[derive(Debug)]
pub(crate) struct Calls {
    slots: Vec<Call>,
    /// By the slot of the client's request. It outlives the request, and goes by its id.
    drawn: Vec<Drawn>,
    free: u32,
    limit: u32,
}

impl Calls {
    /// With at most so many at once, and never more than there are slots for events.
    pub(crate) fn new(limit: u32) -> Self {
        Self { slots: Vec::new(), drawn: Vec::new(), free: NONE, limit: limit.min(TIMER_BASE) }
    }

    /// The call's slot; none where there are too many.
    #[inline]
    pub(crate) fn insert(&mut self, mut call: Call) -> Option<u32> {
        if self.free == NONE {
            let slot = self.slots.len() as u32;
            if slot >= self.limit {
                return None;
            }
            self.slots.push(call);
            return Some(slot);
        }
        let slot = self.free;
        let place = &mut self.slots[slot as usize];
        self.free = place.next;
        call.generation = place.generation;
        *place = call;
        Some(slot)
    }

    /// Keeps what a client's request, just inserted, has drawn ahead.
    #[inline]
    pub(crate) fn keep_drawn(&mut self, slot: u32, due: &Due) {
        self.slots[slot as usize].root = slot;
        let drawn = Drawn { id: due.planned.id, path: due.path, nanos: due.nanos };
        match self.drawn.get_mut(slot as usize) {
            Some(place) => *place = drawn,
            None => self.drawn.resize(slot as usize + 1, drawn),
        }
    }

    /// The duration that a call drew ahead for a step, if it did: further attempts draw anew.
    #[inline(always)]
    pub(crate) fn drawn(&self, slot: u32, step: u16) -> Option<u64> {
        let call = &self.slots[slot as usize];
        let drawn =
            self.drawn.get(call.root as usize).filter(|drawn| drawn.id == call.id && call.tries == 0)?;
        drawn.nanos.get(usize::from(step)).copied()
    }

    /// The key that a call's request drew ahead.
    #[inline]
    pub(crate) fn path(&self, slot: u32) -> PathKey {
        let call = &self.slots[slot as usize];
        let drawn = self.drawn.get(call.root as usize).filter(|drawn| drawn.id == call.id);
        drawn.map_or(PathKey::NONE, |drawn| drawn.path)
    }

    #[inline]
    pub(crate) fn remove(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        debug_assert!(place.phase != Phase::Free, "a call is removed once");
        place.awaits = Token::NONE;
        place.phase = Phase::Free;
        place.generation = place.generation.wrapping_add(1);
        place.next = self.free;
        self.free = slot;
    }

    /// The call in a slot, if there is such a slot.
    pub(crate) fn get(&self, slot: u32) -> Option<&Call> {
        self.slots.get(slot as usize)
    }

    /// All of them, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Call)> {
        self.slots.iter().enumerate().filter(|(_, c)| c.phase != Phase::Free).map(|(i, c)| (i as u32, c))
    }

    /// The slots of those that a condition holds for, in no order that means anything but always the same.
    pub(crate) fn slots_where(&self, mut holds: impl FnMut(&Call) -> bool) -> Vec<u32> {
        self.iter().filter(|(_, c)| holds(c)).map(|(slot, _)| slot).collect()
    }
}

impl std::ops::Index<u32> for Calls {
    type Output = Call;
    #[inline]
    fn index(&self, slot: u32) -> &Call {
        &self.slots[slot as usize]
    }
}

impl std::ops::IndexMut<u32> for Calls {
    #[inline]
    fn index_mut(&mut self, slot: u32) -> &mut Call {
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
    pub(crate) fn push(&mut self, calls: &mut Calls, slot: u32) {
        calls[slot].next = NONE;
        if self.len == 0 {
            self.head = slot;
        } else {
            calls[self.tail].next = slot;
        }
        self.tail = slot;
        self.len += 1;
    }

    /// Puts one before all others.
    pub(crate) fn push_front(&mut self, calls: &mut Calls, slot: u32) {
        calls[slot].next = self.head;
        self.head = slot;
        if self.len == 0 {
            self.tail = slot;
        }
        self.len += 1;
    }

    #[inline]
    pub(crate) fn pop(&mut self, calls: &Calls) -> Option<u32> {
        if self.len == 0 {
            return None;
        }
        let slot = self.head;
        self.head = calls[slot].next;
        self.len -= 1;
        Some(slot)
    }

    pub(crate) fn first(&self) -> Option<u32> {
        (self.len > 0).then_some(self.head)
    }

    /// Takes out those that `gone` names, keeping the order of the others.
    pub(crate) fn take_out(&mut self, calls: &mut Calls, gone: impl Fn(u32) -> bool) -> u32 {
        let (mut kept, mut taken) = (Self::new(), 0);
        while let Some(slot) = self.pop(calls) {
            if gone(slot) {
                taken += 1;
            } else {
                kept.push(calls, slot);
            }
        }
        *self = kept;
        taken
    }
}
