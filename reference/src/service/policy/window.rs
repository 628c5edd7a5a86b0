//! Counts over the last while, kept in slices of a tenth of it: a slice is forgotten as a whole, as Finagle's
//! `WindowedAdder` (`util-stats`) and resilience4j's time-based sliding window do it.

use std::collections::VecDeque;

/// Slices of a window.
const SLICES: u64 = 10;

/// Two counts over a window.
#[derive(Debug)]
pub(crate) struct Window {
    slice_nanos: u64,
    /// The slices that something fell in: their numbers and counts, the oldest first.
    slices: VecDeque<(u64, [u64; 2])>,
}

impl Window {
    /// An empty window of so many nanoseconds.
    pub(crate) fn new(span_nanos: u64) -> Self {
        Self { slice_nanos: (span_nanos / SLICES).max(1), slices: VecDeque::new() }
    }

    /// Adds to the counts.
    pub(crate) fn add(&mut self, now: u64, counts: [u64; 2]) {
        let number = self.forget(now);
        match self.slices.back_mut().filter(|(newest, _)| *newest == number) {
            Some((_, slice)) => *slice = [slice[0] + counts[0], slice[1] + counts[1]],
            None => self.slices.push_back((number, counts)),
        }
    }

    /// The counts over the window that ends now.
    pub(crate) fn sums(&mut self, now: u64) -> [u64; 2] {
        self.forget(now);
        self.slices.iter().fold([0, 0], |sums, (_, slice)| [sums[0] + slice[0], sums[1] + slice[1]])
    }

    /// Starts again from nothing.
    pub(crate) fn clear(&mut self) {
        self.slices.clear();
    }

    /// The number of the slice that it is now; those that are older than the window go.
    fn forget(&mut self, now: u64) -> u64 {
        let number = now / self.slice_nanos;
        while self.slices.front().is_some_and(|(oldest, _)| oldest + SLICES <= number) {
            self.slices.pop_front();
        }
        number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_the_window_is_forgotten_slice_by_slice() {
        let mut window = Window::new(1000);
        window.add(0, [1, 0]);
        window.add(950, [2, 1]);
        assert_eq!(window.sums(999), [3, 1]);
        assert_eq!(window.sums(1000), [2, 1], "the first slice is over");
        assert_eq!(window.sums(1899), [2, 1]);
        assert_eq!(window.sums(1900), [0, 0]);
        (0..100_000).for_each(|now| window.add(now, [1, 1]));
        assert!(window.slices.len() <= 10, "{} slices", window.slices.len());
        window.clear();
        assert_eq!(window.sums(100_000), [0, 0]);
    }
}
