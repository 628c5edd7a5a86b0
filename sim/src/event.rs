//! The event list: who is next.
//!
//! Owns time order and its tie-break, insertion order; refuses to know what an event means. An entry is one 128-bit
//! number, (time, sequence, slot), so order is one comparison and two events at the same nanosecond leave as they came.
//! Entries live in a 4-ary heap whose siblings share a cache line; delays that are always the same go into FIFO rings
//! beside it ([`EventQueue::add_lane`]), of which only the front stands in the heap.

use std::collections::VecDeque;

/// Bits of an entry that hold the slot.
const SLOT_BITS: u32 = 24;
/// The greatest slot that may be scheduled, plus one: those above stand for lanes.
pub const SLOT_LIMIT: u32 = (1 << SLOT_BITS) - LANE_LIMIT;
const LANE_LIMIT: u32 = 1 << 8;
const SLOT_MASK: u64 = (1 << SLOT_BITS) - 1;

/// Names one scheduled event, uniquely in the life of its queue. An owner that remembers the token it waits for knows a
/// stale event when it meets one, so nothing is ever removed from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(u64);

impl Token {
    /// Matches no event.
    pub const NONE: Self = Self(u64::MAX);

    /// The slot that was scheduled.
    #[inline]
    pub const fn slot(self) -> u32 {
        (self.0 & SLOT_MASK) as u32
    }
}

/// A constant delay with a ring of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneId(u32);

/// The children of one node of the heap, in any order. What is missing comes after everything.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Siblings([u128; 4]);

/// No entry: after all that there can be.
const NOTHING: u128 = u128::MAX;

/// Pending events in order of (time, insertion).
#[derive(Debug)]
pub struct EventQueue {
    /// The first of all.
    root: u128,
    /// The rest: node n, counted from one behind the root, is the ((n − 1) mod 4)-th of the children of node (n − 1) / 4.
    children: Vec<Siblings>,
    /// How many there are behind the root.
    behind: usize,
    /// Whether the heap's root was popped and not yet replaced. Most events schedule a successor, which then takes the
    /// root's place with one sift instead of two.
    vacant: bool,
    sequence: u64,
    lanes: Vec<VecDeque<u128>>,
}

impl Default for EventQueue {
    fn default() -> Self {
        Self { root: NOTHING, children: Vec::new(), behind: 0, vacant: false, sequence: 0, lanes: Vec::new() }
    }
}

impl EventQueue {
    /// An empty queue.
    pub fn new() -> Self {
        Self::default()
    }

    /// A ring for events whose times never decrease from one [`EventQueue::schedule_in`] to the next; none when there
    /// are too many, and the heap must do.
    pub fn add_lane(&mut self) -> Option<LaneId> {
        let id = self.lanes.len() as u32;
        (id < LANE_LIMIT).then(|| {
            self.lanes.push(VecDeque::new());
            LaneId(id)
        })
    }

    /// Schedules `slot` at `at` nanoseconds.
    #[inline]
    pub fn schedule(&mut self, at: u64, slot: u32) -> Token {
        let entry = self.entry(at, slot);
        self.insert(entry);
        Token(entry as u64)
    }

    /// Schedules `slot` in a lane, at a time not before the lane's last.
    #[inline]
    pub fn schedule_in(&mut self, lane: LaneId, at: u64, slot: u32) -> Token {
        let entry = self.entry(at, slot);
        let ring = &mut self.lanes[lane.0 as usize];
        debug_assert!(ring.back().is_none_or(|last| *last < entry), "times in a lane do not decrease");
        ring.push_back(entry);
        if ring.len() == 1 {
            self.insert(marker(entry, lane.0));
        }
        Token(entry as u64)
    }

    #[inline]
    fn entry(&mut self, at: u64, slot: u32) -> u128 {
        debug_assert!(slot < SLOT_LIMIT, "slot {slot} is out of range");
        self.sequence += 1;
        u128::from(at) << 64 | u128::from(self.sequence << SLOT_BITS | u64::from(slot))
    }

    /// Takes the next event unless it is after a moment: its time and its token.
    #[inline(always)]
    pub fn pop_until(&mut self, moment: u64) -> Option<(u64, Token)> {
        if self.next_time() <= moment { self.take_root() } else { None }
    }

    /// When the next event is; never, if there is none.
    #[inline(always)]
    pub fn next_time(&mut self) -> u64 {
        if self.vacant {
            self.settle();
        }
        (self.root >> 64) as u64
    }

    /// Takes the next event: its time and its token.
    #[inline(always)]
    pub fn pop(&mut self) -> Option<(u64, Token)> {
        if self.vacant {
            self.settle();
        }
        self.take_root()
    }

    /// Takes the root, which is there or nothing: its time and its token.
    #[inline(always)]
    fn take_root(&mut self) -> Option<(u64, Token)> {
        let mut entry = self.root;
        if entry == NOTHING {
            return None;
        }
        self.vacant = true;
        let slot = (entry as u64 & SLOT_MASK) as u32;
        if slot >= SLOT_LIMIT {
            let lane = slot - SLOT_LIMIT;
            let ring = &mut self.lanes[lane as usize];
            entry = ring.pop_front().expect("a lane has a marker in the heap only while it has entries");
            if let Some(&front) = ring.front() {
                self.insert(marker(front, lane));
            }
        }
        Some(((entry >> 64) as u64, Token(entry as u64)))
    }

    /// When the next event of a slot from this one on is; never, if there is none. Lanes count as such.
    pub(crate) fn first_from(&mut self, slot: u32) -> u64 {
        let times = self.entries().filter(|&entry| slot_of(entry) >= slot).map(|entry| (entry >> 64) as u64);
        times.min().unwrap_or(u64::MAX)
    }

    /// Takes all events of the slots below this one, in no order.
    pub(crate) fn take_below(&mut self, slot: u32) -> Vec<(u64, Token)> {
        let (taken, kept): (Vec<u128>, Vec<u128>) = self.entries().partition(|&entry| slot_of(entry) < slot);
        self.children.clear();
        (self.root, self.behind) = (NOTHING, 0);
        kept.into_iter().for_each(|entry| self.push(entry));
        taken.into_iter().map(|entry| ((entry >> 64) as u64, Token(entry as u64))).collect()
    }

    /// Puts an event back that was taken.
    pub(crate) fn put_back(&mut self, at: u64, token: Token) {
        self.insert(u128::from(at) << 64 | u128::from(token.0));
    }

    /// What stands in the heap, in no order.
    fn entries(&mut self) -> impl Iterator<Item = u128> + '_ {
        if self.vacant {
            self.settle();
        }
        let behind = self.children.iter().flat_map(|siblings| siblings.0);
        std::iter::once(self.root).chain(behind).filter(|entry| *entry != NOTHING)
    }

    #[inline]
    fn insert(&mut self, entry: u128) {
        if self.vacant {
            self.vacant = false;
            self.sift_down(entry);
        } else {
            self.push(entry);
        }
    }

    fn push(&mut self, entry: u128) {
        if self.root == NOTHING {
            self.root = entry;
            return;
        }
        let (mut family, mut place) = (self.behind / 4, self.behind % 4);
        self.behind += 1;
        if place == 0 {
            self.children.push(Siblings([NOTHING; 4]));
        }
        while family > 0 {
            let parent = ((family - 1) / 4, (family - 1) % 4);
            let above = self.children[parent.0].0[parent.1];
            if above <= entry {
                self.children[family].0[place] = entry;
                return;
            }
            self.children[family].0[place] = above;
            (family, place) = parent;
        }
        let first = self.root.min(entry);
        self.children[0].0[place] = self.root.max(entry);
        self.root = first;
    }

    /// Fills the vacant root from the heap's end.
    #[inline(never)]
    fn settle(&mut self) {
        self.vacant = false;
        if self.behind == 0 {
            self.root = NOTHING;
            return;
        }
        self.behind -= 1;
        let place = self.behind % 4;
        let family = self.children.last_mut().expect("there are entries behind the root");
        let last = std::mem::replace(&mut family.0[place], NOTHING);
        if place == 0 {
            self.children.pop();
        }
        self.sift_down(last);
    }

    /// Puts an entry into the vacant root's place.
    #[inline]
    fn sift_down(&mut self, entry: u128) {
        let (at, least) = match self.children.first() {
            Some(children) => children.least(),
            None => (0, NOTHING),
        };
        if entry <= least {
            self.root = entry;
            return;
        }
        self.root = least;
        let (mut family, mut place) = (0, at);
        while let Some(children) = self.children.get(4 * family + 1 + place) {
            let (at, least) = children.least();
            if entry <= least {
                break;
            }
            let below = 4 * family + 1 + place;
            self.children[family].0[place] = least;
            (family, place) = (below, at);
        }
        self.children[family].0[place] = entry;
    }
}

impl Siblings {
    /// The first of them, by a tournament of three comparisons, which compile to conditional moves.
    #[inline(always)]
    fn least(&self) -> (usize, u128) {
        let [a, b, c, d] = self.0;
        let (left_at, left) = if b < a { (1, b) } else { (0, a) };
        let (right_at, right) = if d < c { (3, d) } else { (2, c) };
        if right < left { (right_at, right) } else { (left_at, left) }
    }
}

fn slot_of(entry: u128) -> u32 {
    (entry as u64 & SLOT_MASK) as u32
}

/// The heap's stand-in for the front of a lane: same time, same sequence.
#[inline]
fn marker(entry: u128, lane: u32) -> u128 {
    entry & !u128::from(SLOT_MASK) | u128::from(SLOT_LIMIT + lane)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Do {
        Schedule(u64),
        InLane(usize),
        Pop,
    }

    fn actions() -> impl Strategy<Value = Vec<Do>> {
        let one = prop_oneof![
            // Few different delays, so that ties are common.
            4 => (0_u64..6).prop_map(Do::Schedule),
            3 => (0_usize..3).prop_map(Do::InLane),
            5 => Just(Do::Pop),
        ];
        proptest::collection::vec(one, 0..400)
    }

    #[test]
    fn what_was_taken_and_put_back_leaves_in_its_old_order() {
        let mut queue = EventQueue::new();
        let slots = [7, 1, 8, 2, 3, 9, 4];
        let tokens: Vec<Token> =
            slots.iter().map(|&slot| queue.schedule(u64::from(slot) / 4, slot)).collect();
        assert_eq!(queue.pop().map(|(at, token)| (at, token.slot())), Some((0, 1)));
        assert_eq!((queue.first_from(7), queue.first_from(8), queue.first_from(10)), (1, 2, u64::MAX));
        let mut taken = queue.take_below(7);
        taken.sort_unstable_by_key(|(_, token)| token.slot());
        assert_eq!(taken, [(0, tokens[3]), (0, tokens[4]), (1, tokens[6])]);
        assert_eq!(queue.first_from(0), 1);
        taken.into_iter().rev().for_each(|(at, token)| queue.put_back(at, token));
        let order: Vec<u32> = std::iter::from_fn(|| queue.pop()).map(|(_, token)| token.slot()).collect();
        assert_eq!(order, [2, 3, 7, 4, 8, 9]);
    }

    proptest! {
        #[test]
        fn events_leave_in_order_of_time_then_insertion(actions in actions()) {
            let mut queue = EventQueue::new();
            let lanes: Vec<_> = (0..3).map(|_| queue.add_lane().expect("three lanes fit")).collect();
            let mut reference: Vec<(u64, u32)> = Vec::new();
            let (mut now, mut slot) = (0, 0);
            for action in actions {
                match action {
                    Do::Schedule(delay) => {
                        queue.schedule(now + delay, slot);
                        reference.push((now + delay, slot));
                        slot += 1;
                    }
                    Do::InLane(lane) => {
                        let at = now + [0, 1, 4][lane];
                        queue.schedule_in(lanes[lane], at, slot);
                        reference.push((at, slot));
                        slot += 1;
                    }
                    Do::Pop => {
                        // Slots rise with insertion, so they are the reference's tie-break.
                        let next = reference.iter().copied().min();
                        prop_assert_eq!(queue.next_time(), next.map_or(u64::MAX, |n| n.0));
                        let popped = queue.pop().map(|(at, token)| (at, token.slot()));
                        prop_assert_eq!(popped, next);
                        reference.retain(|e| Some(*e) != next);
                        now = next.map_or(now, |n| n.0);
                    }
                }
            }
            reference.sort_unstable();
            for entry in reference {
                prop_assert_eq!(queue.pop().map(|(at, token)| (at, token.slot())), Some(entry));
            }
            prop_assert!(queue.pop().is_none());
        }
    }
}
