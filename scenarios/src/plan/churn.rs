//! Popularity that churns: which key has which rank at a time.
//!
//! Ranks keep their popularity and keys change ranks. Time is cut into turns, in each of which every rank gets another key
//! once: the rank r swaps keys with the rank a − r (modulo their number), where a is drawn for each turn from the upper
//! half of the ranks, so that what becomes popular was hardly asked for before, and what was popular fades to its place.
//! When a pair swaps within the turn follows from the smaller of its ranks, by steps of the golden ratio from a point drawn
//! for the turn (a Weyl sequence): popular and unpopular ranks change evenly over the turn. With `churn = "2%/day"` a turn
//! is fifty days, and on each of them 2% of the ranks get another key.
//!
//! Swaps of a turn have no rank in common, so which key has a rank is a bijection at all times. What whole turns did is one
//! reflection after another, which is a rotation or a reflection, so it is known without walking through them. Turns are
//! counted on the timeline, so a window of a scenario finds the keys that the whole run has there.

use crate::rng::{Purpose, Stream};
use crate::scenario::{Churn as Stated, Run};
use crate::units::Seed;

const CENTRE: Purpose = Purpose::named("churn-centre");
const PHASE: Purpose = Purpose::named("churn-phase");
/// The golden ratio's part behind the point, in units of 2^-64.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// The churn of a keyspace.
#[derive(Clone, Debug)]
pub struct Churn {
    keys: u64,
    turn_nanos: f64,
    /// Where the run starts on the timeline.
    start_nanos: i64,
    /// The number of the first of `turns`.
    first: i64,
    turns: Vec<Turn>,
}

/// What there is to know of a turn: its own swaps, and what all those between the timeline's zero and it did.
#[derive(Clone, Copy, Debug)]
struct Turn {
    /// Ranks that swap add up to this, modulo the number of keys.
    centre: u64,
    phase: u64,
    /// What other turns made of a number: reflected or not, and then shifted.
    reflected: bool,
    shift: u64,
}

/// The churn at a moment.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    keys: u64,
    turn: Turn,
    /// How much of the turn is over, in units of 2^-64.
    over: u64,
    /// Whether pairs are swapped that still have to swap in the turn, instead of those that have: before the timeline's
    /// zero, at which each key has the rank of its number.
    before: bool,
}

impl Churn {
    /// The churn of the `place`-th keyspace, of so many keys, in a run.
    pub fn new(stated: Stated, keys: u64, place: u64, run: &Run, seed: Seed) -> Self {
        let turn_nanos = stated.turn_seconds() * 1e9;
        let number = |nanos: i64| (nanos as f64 / turn_nanos).floor() as i64;
        let start_nanos = run.timeline_nanos(crate::units::SimTime::ZERO);
        let first = number(start_nanos).min(0);
        let last = number(run.timeline_nanos(run.total())).max(0);
        let bare = |number: i64| Turn {
            centre: keys / 2 + Stream::new(seed, CENTRE.of(place), number as u64).below(keys - keys / 2),
            phase: Stream::new(seed, PHASE.of(place), number as u64).next_bits(),
            reflected: false,
            shift: 0,
        };
        let mut turns: Vec<Turn> = (first..=last).map(bare).collect();
        // From the timeline's zero onward and backward, each turn follows upon what its neighbour did.
        let zero = (-first) as usize;
        for i in zero + 1..turns.len() {
            turns[i] = turns[i].after(turns[i - 1], keys);
        }
        for i in (0..zero.saturating_sub(1)).rev() {
            turns[i] = turns[i].after(turns[i + 1], keys);
        }
        Self { keys, turn_nanos, start_nanos, first, turns }
    }

    /// The churn at a nanosecond of the timeline.
    #[inline]
    pub fn at(&self, nanos: i64) -> Moment {
        let (number, over) = self.turn_at(nanos);
        Moment { keys: self.keys, turn: *self.turn(number), over, before: number < 0 }
    }

    /// The number of the turn at a nanosecond of the timeline, and how much of it is over, in units of 2^-64.
    #[inline]
    pub fn turn_at(&self, nanos: i64) -> (i64, u64) {
        let turns = nanos as f64 / self.turn_nanos;
        let number = turns.floor();
        (number as i64, ((turns - number) * 18_446_744_073_709_551_616.0) as u64)
    }

    #[inline]
    fn turn(&self, number: i64) -> &Turn {
        &self.turns[(number - self.first).clamp(0, self.turns.len() as i64 - 1) as usize]
    }

    /// To what the smaller ranks that swap in a turn add up: the rank with which the first one swaps.
    pub fn centre(&self, turn: i64) -> u64 {
        self.turn(turn).centre
    }

    /// The rank with which a rank swaps in a turn.
    pub fn partner(&self, turn: i64, rank: u64) -> u64 {
        partner(rank, self.centre(turn), self.keys)
    }

    /// When in a turn the pair swaps of which this is the smaller rank, in units of 2^-64 of the turn.
    pub fn moment(&self, turn: i64, smaller: u64) -> u64 {
        moment_of(smaller, self.turn(turn).phase)
    }

    /// Where the run starts, in nanoseconds of the timeline.
    pub fn start_nanos(&self) -> i64 {
        self.start_nanos
    }
}

impl Turn {
    /// This turn comes after a neighbour: what was done before it is what had been done before that, and its swaps.
    fn after(self, neighbour: Self, keys: u64) -> Self {
        // The neighbour's swaps come first here, as ranks are asked for their keys: x becomes centre - x.
        let centre = neighbour.centre % keys;
        let turned = if neighbour.reflected { (keys - centre) % keys } else { centre };
        Self { reflected: !neighbour.reflected, shift: (neighbour.shift + turned) % keys, ..self }
    }

    /// What other turns made of a number.
    #[inline]
    fn settled(self, number: u64, keys: u64) -> u64 {
        let turned = if self.reflected { keys - number } else { number };
        (turned + self.shift) % keys
    }
}

impl Moment {
    /// The key that has a rank.
    #[inline]
    pub fn key(&self, rank: u64) -> u64 {
        let other = partner(rank, self.turn.centre, self.keys);
        let swapped = moment_of(rank.min(other), self.turn.phase) < self.over;
        let number = if swapped != self.before { other } else { rank };
        self.turn.settled(number, self.keys)
    }
}

/// The rank with which a rank swaps.
#[inline]
fn partner(rank: u64, centre: u64, keys: u64) -> u64 {
    if rank <= centre { centre - rank } else { centre + keys - rank }
}

/// When in a turn a pair swaps, in units of 2^-64 of it.
#[inline]
fn moment_of(smaller: u64, phase: u64) -> u64 {
    smaller.wrapping_mul(GOLDEN).wrapping_add(phase)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::SimTime;

    fn churn(share: &str, keys: u64, duration: u64, warmup: u64) -> Churn {
        let run = Run {
            duration: SimTime::from_secs(duration),
            warmup: SimTime::from_secs(warmup),
            finds_warmup: false,
            from: SimTime::ZERO,
            seed: Seed(1),
            sampling: Default::default(),
        };
        Churn::new(share.parse().expect("it is churn"), keys, 0, &run, Seed(1))
    }

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn every_key_has_one_rank_at_all_times() {
        for keys in [1, 2, 7, 100, 101] {
            let churn = churn("30%/h", keys, 36_000, 36_000);
            for tenth in -100..100 {
                let moment = churn.at(tenth * HOUR / 10);
                let mut seen: Vec<u64> = (0..keys).map(|rank| moment.key(rank)).collect();
                seen.sort_unstable();
                assert_eq!(seen, (0..keys).collect::<Vec<_>>(), "{keys} keys, hour {}", tenth as f64 / 10.0);
            }
        }
    }

    #[test]
    fn the_stated_share_of_the_ranks_gets_another_key_in_each_hour() {
        let keys = 10_000;
        let churn = churn("5%/h", keys, 360_000, 360_000);
        for hour in [-70, -21, -20, -1, 0, 1, 19, 20, 57] {
            let (from, to) = (churn.at(hour * HOUR), churn.at((hour + 1) * HOUR));
            for ranks in [0..100, 0..keys] {
                let number = ranks.end as f64;
                let changed = ranks.filter(|&rank| from.key(rank) != to.key(rank)).count() as f64 / number;
                assert!((changed - 0.05).abs() < 0.02, "hour {hour}: {changed} of {number}");
            }
        }
    }

    #[test]
    fn keys_have_the_ranks_of_their_numbers_at_zero_and_no_jump_there() {
        let churn = churn("10%/h", 1_000, 36_000, 36_000);
        assert!((0..1_000).all(|rank| churn.at(0).key(rank) == rank));
        let before = churn.at(-HOUR / 1_000);
        let changed = (0..1_000).filter(|&rank| before.key(rank) != rank).count();
        assert!(changed <= 2, "{changed}");
    }

    #[test]
    fn what_becomes_popular_was_not_before() {
        let keys = 1_000;
        let churn = churn("10%/h", keys, 72_000, 0);
        let (from, to) = (churn.at(0), churn.at(9 * HOUR));
        let old: Vec<u64> = (0..100).map(|rank| from.key(rank)).collect();
        let kept = (0..100).filter(|&rank| old.contains(&to.key(rank))).count();
        assert!((5..=15).contains(&kept), "{kept} of a hundred after nine tenths of a turn");
    }
}
