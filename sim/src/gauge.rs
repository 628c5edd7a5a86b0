//! A level over time and its time-weighted mean.

/// A level that changes at events; knows its mean since it was last read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauge {
    level: u32,
    since: u64,
    /// Level × nanoseconds up to `since`.
    area: u64,
}

impl Gauge {
    #[inline]
    pub(crate) fn level(&self) -> u32 {
        self.level
    }

    #[inline]
    fn settle(&mut self, now: u64) {
        self.area += u64::from(self.level) * (now - self.since);
        self.since = now;
    }

    #[inline]
    pub(crate) fn up(&mut self, now: u64) {
        self.settle(now);
        self.level += 1;
    }

    #[inline]
    pub(crate) fn down(&mut self, now: u64) {
        self.settle(now);
        debug_assert!(self.level > 0, "a level is not negative");
        self.level -= 1;
    }

    pub(crate) fn set(&mut self, now: u64, level: u32) {
        self.settle(now);
        self.level = level;
    }

    /// The mean level over the `nanos` that end now, which began at the last reading.
    pub(crate) fn read(&mut self, now: u64, nanos: u64) -> f64 {
        self.settle(now);
        std::mem::take(&mut self.area) as f64 / nanos.max(1) as f64
    }
}
