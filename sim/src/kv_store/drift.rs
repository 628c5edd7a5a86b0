//! Popularity that churns, where only some keys are followed: by [`scenarios::plan::churn`]'s rule, but blocks of neighbours
//! instead of single keys change their places in the order of popularity, each pair at its time.
//!
//! A key of the head gets the popularity of another one at its time as well; whether the new one is there follows from the
//! block that it comes from. The memory of the old one, which nobody asks for any more, is left out of account at once.

use scenarios::plan::churn::Churn;
use scenarios::rng::{Purpose, Stream};
use scenarios::units::Seed;

const CENTRE: Purpose = Purpose::named("sim-drift-centre");
const PHASE: Purpose = Purpose::named("sim-drift-phase");
/// The golden ratio's part behind the point, in units of 2^-64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Which block has which place.
#[derive(Clone, Debug)]
pub(super) struct Drift {
    seed: Seed,
    keyspace: u64,
    head: u64,
    turn_nanos: f64,
    /// Where the run starts on the timeline.
    start_nanos: i64,
    block_at: Vec<u32>,
    place_of: Vec<u32>,
    /// Which blocks are there.
    held: Vec<bool>,
    turn: i64,
    /// Places that swap add up to this, modulo their number.
    centre: u64,
    /// The turn's swaps in order of time: when, in units of 2^-64 of the turn, and of which key of the head or, from there
    /// on, of which place.
    swaps: Vec<(u64, u32)>,
    next: usize,
}

/// What changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Two places have each other's block.
    Places(u64, u64),
    /// A key of the head is another one, which was in a block that is there, or not.
    Head { key: u64, is_there: bool },
}

impl Drift {
    /// The order of so many blocks behind a head, as it is at a run's start.
    pub(super) fn new(churn: &Churn, head: u64, blocks: u64, keyspace: u64, seed: Seed) -> Self {
        let numbers = || (0..blocks as u32).collect();
        let mut drift = Self {
            seed,
            keyspace,
            head,
            turn_nanos: churn.turn_nanos(),
            start_nanos: churn.start_nanos(),
            block_at: numbers(),
            place_of: numbers(),
            held: vec![false; blocks as usize],
            turn: i64::MIN,
            centre: 0,
            swaps: Vec::new(),
            next: 0,
        };
        let (turn, over) = drift.turn_at(0);
        drift.begin(turn);
        drift.next = drift.swaps.partition_point(|(moment, _)| *moment < over);
        drift
    }

    /// The turn at a nanosecond of the run, and how much of it is over.
    fn turn_at(&self, now: u64) -> (i64, u64) {
        let turns = (self.start_nanos as f64 + now as f64) / self.turn_nanos;
        let number = turns.floor();
        (number as i64, ((turns - number) * 18_446_744_073_709_551_616.0) as u64)
    }

    fn begin(&mut self, turn: i64) {
        let blocks = self.block_at.len() as u64;
        let draw = |purpose: Purpose| Stream::new(self.seed, purpose.of(self.keyspace), turn as u64);
        let centre = blocks / 2 + draw(CENTRE).below((blocks - blocks / 2).max(1));
        let phase = draw(PHASE).next_bits();
        let moment = |number: u64| (number.wrapping_mul(GOLDEN).wrapping_add(phase), number as u32);
        let first_of_pair = |place: &u64| *place <= partner(*place, centre, blocks);
        let places = (0..blocks).filter(first_of_pair).map(|place| moment(self.head + place));
        self.swaps.clear();
        self.swaps.extend((0..self.head).map(moment).chain(places));
        self.swaps.sort_unstable();
        (self.turn, self.centre, self.next) = (turn, centre, 0);
    }

    /// The next change before a nanosecond of the run.
    #[inline]
    pub(super) fn next(&mut self, now: u64) -> Option<Change> {
        let (turn, over) = self.turn_at(now);
        loop {
            match self.swaps.get(self.next) {
                Some(&(moment, number)) if turn > self.turn || moment < over => {
                    self.next += 1;
                    return Some(self.change(u64::from(number)));
                }
                None if turn > self.turn => self.begin(self.turn + 1),
                _ => return None,
            }
        }
    }

    fn change(&mut self, number: u64) -> Change {
        let blocks = self.block_at.len() as u64;
        if number < self.head {
            // The neighbours in the head come from about as many places as they are.
            let place = partner(number % blocks.max(1), self.centre, blocks);
            let is_there = self.block_at.get(place as usize).is_some_and(|block| self.held[*block as usize]);
            return Change::Head { key: number, is_there };
        }
        let place = number - self.head;
        let other = partner(place, self.centre, blocks);
        self.block_at.swap(place as usize, other as usize);
        for place in [place, other] {
            self.place_of[self.block_at[place as usize] as usize] = place as u32;
        }
        Change::Places(place, other)
    }

    #[inline]
    pub(super) fn block_at(&self, place: u64) -> u64 {
        u64::from(self.block_at[place as usize])
    }

    #[inline]
    pub(super) fn place_of(&self, block: u64) -> u64 {
        u64::from(self.place_of[block as usize])
    }

    /// Notes whether a block is there.
    #[inline]
    pub(super) fn hold(&mut self, block: u64, is_there: bool) {
        self.held[block as usize] = is_there;
    }

    /// Whether the block at a place is there.
    pub(super) fn is_held_at(&self, place: u64) -> bool {
        self.held[self.block_at[place as usize] as usize]
    }

    /// All keys have gone.
    pub(super) fn lose_all(&mut self) {
        self.held.fill(false);
    }
}

/// The place with which a place swaps.
fn partner(place: u64, centre: u64, places: u64) -> u64 {
    if place <= centre { centre - place } else { centre + places - place }
}
