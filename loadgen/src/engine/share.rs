//! A share of the plan: what one of several machines plays.

use std::num::NonZeroU32;

/// A segment of the plan: of `of` that are disjoint and together all of it, the one with this number, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    index: u32,
    of: NonZeroU32,
}

impl Share {
    /// All of the plan.
    pub const WHOLE: Self = Self { index: 0, of: NonZeroU32::MIN };

    /// Reads `2/4`: the second of four.
    ///
    /// # Errors
    /// If it is no number from 1 on, a slash and a number that is not less.
    pub fn parse(text: &str) -> Result<Self, String> {
        let numbers =
            text.split_once('/').and_then(|(i, n)| Some((i.parse::<u32>().ok()?, n.parse::<u32>().ok()?)));
        match numbers.and_then(|(i, n)| Some((i.checked_sub(1)?, NonZeroU32::new(n)?))) {
            Some((index, of)) if index < of.get() => Ok(Self { index, of }),
            _ => Err("expected the number of a segment and how many there are, such as 2/4".to_owned()),
        }
    }

    /// Which, from 1.
    pub fn number(self) -> u32 {
        self.index + 1
    }

    /// Of how many.
    pub fn of(self) -> u32 {
        self.of.get()
    }

    /// Which segments of the whole plan's are this share's threads': that of a thread of so many, and how many there are.
    pub(super) fn seat(self, thread: u32, threads: u32) -> (u32, u32) {
        (self.index + self.of.get() * thread, self.of.get() * threads)
    }

    /// How many of `all` things that are dealt out one by one are this share's.
    pub(super) fn part(self, all: u64) -> u64 {
        part(all, (u64::from(self.index), u64::from(self.of.get())))
    }
}

/// How many of `all` things that are dealt out one by one are those of a seat, by its number from 0 and how many there are.
pub(super) fn part(all: u64, (seat, seats): (u64, u64)) -> u64 {
    all / seats + u64::from(seat < all % seats)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_read_with_its_number_from_one() {
        let share = Share::parse("2/4").expect("it is one");
        assert_eq!((share.number(), share.of()), (2, 4));
        for wrong in ["0/4", "5/4", "2", "2/0", "/", "a/b", "-1/2", "2/4/8"] {
            assert!(Share::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_seats_of_all_shares_are_all_seats_once() {
        for (of, threads) in [(1, 3), (4, 1), (3, 5)] {
            let shares = (1..=of).map(|i| Share::parse(&format!("{i}/{of}")).expect("it is one"));
            let seats = |share: Share| (0..threads).map(move |thread| share.seat(thread, threads));
            let mut all: Vec<(u32, u32)> = shares.flat_map(seats).collect();
            all.sort_unstable();
            let expected: Vec<(u32, u32)> = (0..of * threads).map(|seat| (seat, of * threads)).collect();
            assert_eq!(all, expected);
        }
    }

    #[test]
    fn parts_add_up() {
        for all in [0, 1, 7, 100] {
            let sum: u64 =
                (1..=8).map(|i| Share::parse(&format!("{i}/8")).expect("it is one").part(all)).sum();
            assert_eq!(sum, all);
        }
    }
}
