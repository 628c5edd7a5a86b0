//! Popularity that churns, where only some keys are followed: by [`scenarios::plan::churn`]'s rule and by its own draws, so
//! that popular keys leave for the same places at the same times as where all keys are followed. Behind the head, blocks of
//! neighbours instead of single keys change their places in the order of popularity.
//!
//! What the draws are matters: whether the popular swap with the middle or with the end decides by several percent how many
//! different keys are asked for.

use std::collections::BTreeMap;

use scenarios::plan::churn::Churn;

/// When a key expires and what it takes of memory, if it is there.
pub(super) type Record = Option<(u64, u32)>;

/// Which block has which place.
#[derive(Clone, Debug)]
pub(super) struct Drift {
    churn: Churn,
    head: u64,
    /// How many keys a block has.
    width: u64,
    block_at: Vec<u32>,
    place_of: Vec<u32>,
    /// Which blocks are there.
    held: Vec<bool>,
    /// What the followed keys were that have swapped with one of the head in this turn: of what their neighbours are that
    /// have not yet, they say nothing any more.
    replaced: BTreeMap<u64, Record>,
    turn: i64,
    mirror: Mirror,
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
    /// A rank of the head and another one, of the head or not, have each other's key.
    Ranks(u64, u64),
}

impl Drift {
    /// The order of so many blocks behind a head, as it is at a run's start.
    pub(super) fn new(churn: &Churn, head: u64, width: u64, blocks: u64) -> Self {
        let numbers = || (0..blocks as u32).collect();
        let mut drift = Self {
            churn: churn.clone(),
            head,
            width,
            block_at: numbers(),
            place_of: numbers(),
            held: vec![false; blocks as usize],
            replaced: BTreeMap::new(),
            turn: i64::MIN,
            mirror: Mirror::default(),
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
        self.churn.turn_at(self.churn.start_nanos() + now as i64)
    }

    fn begin(&mut self, turn: i64) {
        let blocks = self.block_at.len() as u64;
        (self.turn, self.next) = (turn, 0);
        self.mirror = Mirror::new(self.churn.centre(turn), self.head, self.width, blocks);
        let ranks = (0..self.head).filter(|&rank| rank < self.churn.partner(turn, rank));
        let places = (0..blocks).filter(|&place| place < self.mirror.partner(place));
        let numbers = ranks.chain(places.map(|place| self.head + place));
        self.replaced.clear();
        self.swaps.clear();
        self.swaps.extend(numbers.map(|number| (self.churn.moment(turn, number), number as u32)));
        self.swaps.sort_unstable();
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
        if number < self.head {
            return Change::Ranks(number, self.churn.partner(self.turn, number));
        }
        let place = number - self.head;
        let other = self.mirror.partner(place);
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

    /// What a followed key was before it swapped with one of the head in this turn, if it has.
    pub(super) fn before_swap(&self, follower: u64) -> Option<Record> {
        self.replaced.get(&follower).copied()
    }

    /// A followed key swaps with one of the head.
    pub(super) fn replace(&mut self, follower: u64, before: Record) {
        self.replaced.insert(follower, before);
    }

    /// All keys have gone.
    pub(super) fn lose_all(&mut self) {
        self.replaced.values_mut().for_each(|record| *record = None);
        self.held.fill(false);
    }
}

/// Which places swap in a turn: those below `low` with each other from both ends, and so do those from `high` on. Those in
/// between have the ranks with which the head swaps, key by key.
#[derive(Clone, Copy, Debug, Default)]
struct Mirror {
    low: u64,
    high: u64,
    places: u64,
}

impl Mirror {
    /// Where ranks that swap add up to `centre`, behind a head.
    fn new(centre: u64, head: u64, width: u64, places: u64) -> Self {
        let behind = |ranks: u64| ((centre + 1).saturating_sub(ranks) / width).min(places);
        Self { low: behind(2 * head), high: behind(head), places }
    }

    fn partner(self, place: u64) -> u64 {
        if place < self.low {
            self.low - 1 - place
        } else if place < self.high {
            place
        } else {
            self.high + self.places - 1 - place
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Mirror;

    #[test]
    fn places_swap_as_the_ranks_in_them_do() {
        let (keys, head, width) = (10_000_u64, 512, 8);
        for centre in [5_000, 7_777, 9_999] {
            let mirror = Mirror::new(centre, head, width, (keys - head).div_ceil(width));
            let partner = |rank: u64| if rank <= centre { centre - rank } else { centre + keys - rank };
            let elsewhere = |rank: &u64| {
                let place = (rank - head) / width;
                let found = head + mirror.partner(place) * width;
                assert_eq!(mirror.partner(mirror.partner(place)), place);
                let expected = if partner(*rank) < head { *rank } else { partner(*rank) };
                found.abs_diff(expected) > 3 * width
            };
            let elsewhere = (head..keys).filter(elsewhere).count() as u64;
            assert!(elsewhere <= 4 * width, "{centre}: {elsewhere} where the blocks' edges are");
        }
    }
}
