//! A database that goes to sleep when nobody asks: the next statement wakes it, and all that come meanwhile wait.

use std::cell::Cell;

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Hibernation;
use scenarios::units::Seed;

const WAKE: Purpose = Purpose::named("sql-wake");

/// Whether it sleeps.
#[derive(Debug)]
pub(super) struct Sleep {
    rules: Hibernation,
    seed: Seed,
    /// When it falls asleep, unless somebody asks, and when it is awake.
    asleep_at: Cell<u64>,
    awake_at: Cell<u64>,
    wakes: Cell<u64>,
}

impl Sleep {
    /// Awake now.
    pub(super) fn new(rules: Hibernation, seed: Seed, now: u64) -> Self {
        let asleep_at = now.saturating_add(rules.after.as_nanos());
        Self { rules, seed, asleep_at: Cell::new(asleep_at), awake_at: Cell::new(now), wakes: Cell::new(0) }
    }

    /// A statement comes: when it can begin.
    pub(super) fn wake(&self, now: u64) -> u64 {
        if now >= self.asleep_at.get() {
            let mut stream = Stream::new(self.seed, WAKE, self.wakes.get());
            self.wakes.set(self.wakes.get() + 1);
            self.awake_at.set(now.saturating_add(self.rules.wake.sample(&mut stream).as_nanos()));
        }
        let begins = self.awake_at.get().max(now);
        self.asleep_at.set(begins.saturating_add(self.rules.after.as_nanos()));
        begins
    }
}
