//! The event list: who is next.
//!
//! Owns time order and its tie-break, insertion order; refuses to know what an event means. An entry is one 128-bit
//! number, (time, sequence, slot), so order is one comparison and two events at the same nanosecond leave as they came.
//! Entries live in a 4-ary heap; delays that are always the same go into FIFO rings beside it ([`EventQueue::add_lane`]),
//! of which only the front stands in the heap.

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

/// Pending events in order of (time, insertion).
#[derive(Debug, Default)]
pub struct EventQueue {
    heap: Vec<u128>,
    /// Whether the heap's root was popped and not yet replaced. Most events schedule a successor, which then takes the
    /// root's place with one sift instead of two.
    vacant: bool,
    sequence: u64,
    lanes: Vec<VecDeque<u128>>,
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
    #[inline]
    pub fn pop_until(&mut self, moment: u64) -> Option<(u64, Token)> {
        (self.next_time() <= moment).then(|| self.pop()).flatten()
    }

    /// When the next event is; never, if there is none.
    #[inline]
    pub fn next_time(&mut self) -> u64 {
        if self.vacant {
            self.settle();
        }
        self.heap.first().map_or(u64::MAX, |entry| (entry >> 64) as u64)
    }

    /// Takes the next event: its time and its token.
    #[inline]
    pub fn pop(&mut self) -> Option<(u64, Token)> {
        if self.vacant {
            self.settle();
        }
        let mut entry = *self.heap.first()?;
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

    #[inline]
    fn insert(&mut self, entry: u128) {
        if self.vacant {
            self.vacant = false;
            self.sift_down(entry);
        } else {
            let mut hole = self.heap.len();
            self.heap.push(entry);
            while hole > 0 {
                let parent = (hole - 1) / 4;
                let above = self.heap[parent];
                if above <= entry {
                    break;
                }
                self.heap[hole] = above;
                hole = parent;
            }
            self.heap[hole] = entry;
        }
    }

    /// Fills the vacant root from the heap's end.
    fn settle(&mut self) {
        self.vacant = false;
        if let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.sift_down(last);
        }
    }

    /// Puts an entry into the vacant root's place.
    #[inline]
    fn sift_down(&mut self, entry: u128) {
        let heap = self.heap.as_mut_slice();
        let mut hole = 0;
        loop {
            let first = 4 * hole + 1;
            let (child, least) =
                if let Some(&[a, b, c, d]) = heap.get(first..first + 4).and_then(|s| s.first_chunk()) {
                    // A tournament of three comparisons, which compile to conditional moves.
                    let (left, left_at) = if b < a { (b, 1) } else { (a, 0) };
                    let (right, right_at) = if d < c { (d, 3) } else { (c, 2) };
                    if right < left { (first + right_at, right) } else { (first + left_at, left) }
                } else {
                    let rest = heap.get(first..).unwrap_or_default();
                    match rest.iter().enumerate().min_by_key(|(_, e)| **e) {
                        Some((i, &least)) => (first + i, least),
                        None => break,
                    }
                };
            if entry <= least {
                break;
            }
            heap[hole] = least;
            hole = child;
        }
        heap[hole] = entry;
    }
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
