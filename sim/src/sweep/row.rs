//! The cores of a station that is swept: first come, first served, and who leaves them in which order. Pure.
//!
//! A job begins when the first core is free (Kiefer and Wolfowitz, "On the theory of queues with many servers", 1955) and
//! takes the place of whoever left that core. Those whose places are taken so are, one after the other, the departures
//! in their order: nothing has to be sorted.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Bits of a mark that say who it is about.
const WHO_BITS: u32 = 12;
/// Who has an idle core; numbers are below.
pub(super) const NOBODY: usize = (1 << WHO_BITS) - 1;
/// What a mark's moment stays below.
pub(super) const MOMENT_LIMIT: u64 = 1 << (u64::BITS - WHO_BITS);

/// A moment, in nanoseconds since the sweep's begin, and who it is about, in this order. One number, so that order is one
/// comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(u64);

impl Mark {
    /// After everything.
    const NEVER: Self = Self(u64::MAX);
    /// A core that has been idle since before the sweep.
    pub(super) const IDLE: Self = Self(NOBODY as u64);

    #[inline(always)]
    pub(super) fn new(at: u64, who: usize) -> Self {
        Self(at << WHO_BITS | who as u64)
    }

    #[inline(always)]
    pub(super) fn at(self) -> u64 {
        self.0 >> WHO_BITS
    }

    #[inline(always)]
    pub(super) fn who(self) -> usize {
        self.0 as usize & NOBODY
    }
}

/// Cores, each with the end of its last job and whose that is.
pub(super) trait Cores {
    /// As many as there are marks, which are in order.
    fn new(ends: &[Mark]) -> Self;

    /// Has the core that is free first take up a job that comes at a moment: when it begins, and who is out of the way.
    fn put(&mut self, at: u64, work: u64, who: usize) -> (u64, Mark);

    /// How many cores have work after a moment.
    fn busy_after(&self, at: u64) -> usize;

    /// The marks of all cores, in order.
    fn rest(self) -> Vec<Mark>;
}

/// At most `N`, in order. What stands for no core is never free.
pub(super) struct Few<const N: usize> {
    ends: [Mark; N],
    count: usize,
}

impl<const N: usize> Cores for Few<N> {
    fn new(ends: &[Mark]) -> Self {
        let mut all = [Mark::NEVER; N];
        all[..ends.len()].copy_from_slice(ends);
        Self { ends: all, count: ends.len() }
    }

    #[inline(always)]
    fn put(&mut self, at: u64, work: u64, who: usize) -> (u64, Mark) {
        let ends = &mut self.ends;
        let first = ends[0];
        let begin = at.max(first.at());
        let end = Mark::new(begin + work, who);
        // Each takes the middle one of itself, its next and the new one: nothing to guess about.
        ends[0] = end.min(ends[1]);
        for place in 1..N - 1 {
            ends[place] = ends[place].max(end.min(ends[place + 1]));
        }
        ends[N - 1] = ends[N - 1].max(end);
        (begin, first)
    }

    fn busy_after(&self, at: u64) -> usize {
        self.ends[..self.count].iter().filter(|end| end.at() > at).count()
    }

    fn rest(self) -> Vec<Mark> {
        self.ends[..self.count].to_vec()
    }
}

/// Any number, as a heap.
pub(super) struct Many(BinaryHeap<Reverse<Mark>>);

impl Cores for Many {
    fn new(ends: &[Mark]) -> Self {
        Self(ends.iter().copied().map(Reverse).collect())
    }

    fn put(&mut self, at: u64, work: u64, who: usize) -> (u64, Mark) {
        // It is put where it belongs as the reference goes.
        let mut place = self.0.peek_mut().expect("a machine has a core");
        let first = place.0;
        let begin = at.max(first.at());
        place.0 = Mark::new(begin + work, who);
        (begin, first)
    }

    fn busy_after(&self, at: u64) -> usize {
        self.0.iter().filter(|end| end.0.at() > at).count()
    }

    fn rest(self) -> Vec<Mark> {
        let mut ends: Vec<Mark> = self.0.into_iter().map(|end| end.0).collect();
        ends.sort_unstable();
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Begins, and who leaves in which order.
    fn play<C: Cores>(cores: usize, jobs: &[(u64, u64)]) -> (Vec<u64>, Vec<usize>) {
        let (mut row, mut now) = (C::new(&vec![Mark::IDLE; cores]), 0);
        let (mut begins, mut gone) = (Vec::new(), Vec::new());
        for (who, (gap, work)) in jobs.iter().enumerate() {
            now += gap;
            let (begin, first) = row.put(now, *work, who);
            begins.push(begin);
            gone.push(first.who());
        }
        gone.extend(row.rest().into_iter().map(Mark::who));
        (begins, gone)
    }

    proptest! {
        /// Against cores that are looked at one by one.
        #[test]
        fn jobs_begin_in_turn_and_leave_by_their_ends(
            cores in 1_usize..20,
            jobs in proptest::collection::vec((0_u64..40, 1_u64..100), 1..200),
        ) {
            let (mut free, mut now) = (vec![0; cores], 0);
            let (mut begins, mut ends) = (Vec::new(), Vec::new());
            for (who, (gap, work)) in jobs.iter().enumerate() {
                now += gap;
                let first = free.iter_mut().min().expect("there is a core");
                let begin = now.max(*first);
                *first = begin + work;
                begins.push(begin);
                ends.push((begin + work, who));
            }
            ends.sort_unstable();
            let mut all = vec![play::<Many>(cores, &jobs)];
            all.extend((cores <= 16).then(|| play::<Few<16>>(cores, &jobs)));
            all.extend((cores <= 8).then(|| play::<Few<8>>(cores, &jobs)));
            for (found, mut gone) in all {
                prop_assert_eq!(&found, &begins);
                gone.retain(|who| *who != NOBODY);
                // Who ends at the same moment leaves in either order.
                let moments = |order: &[usize]| {
                    let end = |who: &usize| ends.iter().find(|(_, other)| other == who).map(|(end, _)| *end);
                    order.iter().map(end).collect::<Vec<_>>()
                };
                let order: Vec<usize> = ends.iter().map(|(_, who)| *who).collect();
                prop_assert_eq!(moments(&gone), moments(&order));
            }
        }
    }
}
