//! Counts over a sliding window of time, in ten slices: what happened more than a window ago is forgotten a slice at a
//! time, as Finagle's `WindowedAdder` and resilience4j's time-based window do it.

/// How finely the window slides.
const SLICES: u64 = 10;

/// Two counts over the last window.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    slice_nanos: u64,
    slices: [[u64; 2]; SLICES as usize],
    /// The number of the newest slice since time zero.
    newest: u64,
    sums: [u64; 2],
}

impl Window {
    /// An empty window of so many nanoseconds.
    pub(crate) fn new(span_nanos: u64) -> Self {
        let slice_nanos = (span_nanos / SLICES).max(1);
        Self { slice_nanos, slices: [[0; 2]; SLICES as usize], newest: 0, sums: [0; 2] }
    }

    /// Forgets what is older than the window.
    #[inline]
    fn slide(&mut self, now: u64) {
        let slice = now / self.slice_nanos;
        if slice == self.newest {
            return;
        }
        for passed in 1..=(slice - self.newest).min(SLICES) {
            let old = std::mem::take(&mut self.slices[((self.newest + passed) % SLICES) as usize]);
            self.sums[0] -= old[0];
            self.sums[1] -= old[1];
        }
        self.newest = slice;
    }

    /// Adds to both counts.
    #[inline]
    pub(crate) fn add(&mut self, now: u64, counts: [u64; 2]) {
        self.slide(now);
        let slice = &mut self.slices[(self.newest % SLICES) as usize];
        for (i, count) in counts.into_iter().enumerate() {
            slice[i] += count;
            self.sums[i] += count;
        }
    }

    /// Both counts over the window that ends now.
    #[inline]
    pub(crate) fn sums(&mut self, now: u64) -> [u64; 2] {
        self.slide(now);
        self.sums
    }

    /// Starts again from nothing.
    pub(crate) fn clear(&mut self) {
        self.slices = Default::default();
        self.sums = [0; 2];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_what_happened_within_its_span_and_nothing_older() {
        let mut window = Window::new(1000);
        window.add(0, [1, 0]);
        window.add(950, [2, 1]);
        assert_eq!(window.sums(999), [3, 1]);
        assert_eq!(window.sums(1000), [2, 1], "the first slice is over");
        assert_eq!(window.sums(1899), [2, 1]);
        assert_eq!(window.sums(1900), [0, 0]);
        window.add(1_000_000, [5, 5]);
        assert_eq!(window.sums(1_000_999), [5, 5], "a long silence empties it once");
        window.clear();
        assert_eq!(window.sums(1_000_999), [0, 0]);
    }
}
