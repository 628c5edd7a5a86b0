//! A number that goes up and down over time, and its integral: from two readings of the integral follows the mean.

use std::cell::Cell;

use super::clock::now_nanos;

/// A level and the area under it.
#[derive(Debug, Default)]
pub(crate) struct Level {
    level: Cell<i64>,
    since_nanos: Cell<u64>,
    nanos: Cell<u64>,
}

impl Level {
    /// Changes the level by `by`.
    pub(crate) fn add(&self, by: i64) {
        self.settle(now_nanos());
        self.level.set(self.level.get() + by);
    }

    /// The level now.
    pub(crate) fn get(&self) -> i64 {
        self.level.get()
    }

    /// The integral so far, in seconds times the level's unit.
    pub(crate) fn seconds(&self) -> f64 {
        self.settle(now_nanos());
        self.nanos.get() as f64 / 1e9
    }

    /// Holds the level one higher until the guard is dropped.
    pub(crate) fn hold(&self) -> Held<'_> {
        self.add(1);
        Held(self)
    }

    fn settle(&self, now: u64) {
        let level = self.level.get().max(0) as u64;
        if level > 0 {
            self.nanos.set(self.nanos.get() + level * now.saturating_sub(self.since_nanos.get()));
        }
        self.since_nanos.set(now);
    }
}

/// Keeps a level raised; see [`Level::hold`].
#[derive(Debug)]
pub(crate) struct Held<'a>(&'a Level);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}
