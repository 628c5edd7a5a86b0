//! A level over time and its time-weighted mean.

/// The steps of a level that somebody else knows.
///
/// A step up at time t adds (now − t) to the area below the level, a step down takes it away. So the area is the level
/// times now, less the times of the steps up, plus those of the steps down: one addition a step. The sums may wrap around
/// 64 bits; the area of an interval does not.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Steps(u64);

impl Steps {
    #[inline]
    pub(crate) fn up(&mut self, now: u64) {
        self.0 = self.0.wrapping_sub(now);
    }

    #[inline]
    pub(crate) fn down(&mut self, now: u64) {
        self.0 = self.0.wrapping_add(now);
    }

    /// So many steps down at once; up, where they wrap around.
    pub(crate) fn step_by(&mut self, down: u64, now: u64) {
        self.0 = self.0.wrapping_add(down.wrapping_mul(now));
    }

    /// Steps up and down at many moments, whose order the area does not depend on.
    pub(crate) fn pass(&mut self, up: Moments, down: Moments) {
        self.0 = self.0.wrapping_sub(up.sum).wrapping_add(down.sum);
    }

    /// The area below the level since the last reading, in nanoseconds.
    pub(crate) fn area(self, level: u64, now: u64) -> u64 {
        self.0.wrapping_add(level.wrapping_mul(now))
    }

    /// The same; the next interval begins now, with nothing below the level yet.
    pub(crate) fn read(&mut self, level: u64, now: u64) -> u64 {
        let area = self.area(level, now);
        self.0 = 0_u64.wrapping_sub(level.wrapping_mul(now));
        area
    }
}

/// Many moments at once: how many, and their sum, which may wrap around.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    pub(crate) count: u32,
    sum: u64,
}

impl Moments {
    /// One more.
    #[inline(always)]
    pub(crate) fn add(&mut self, at: u64) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(at);
    }

    /// These and others.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { count: self.count + other.count, sum: self.sum.wrapping_add(other.sum) }
    }
}

/// A level that changes at events; knows its mean since it was last read.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Gauge {
    level: u32,
    steps: Steps,
}

impl Gauge {
    #[inline]
    pub(crate) fn level(&self) -> u32 {
        self.level
    }

    #[inline]
    pub(crate) fn up(&mut self, now: u64) {
        self.level += 1;
        self.steps.up(now);
    }

    #[inline]
    pub(crate) fn down(&mut self, now: u64) {
        debug_assert!(self.level > 0, "a level is not negative");
        self.level -= 1;
        self.steps.down(now);
    }

    /// Up at many moments, and down at many.
    pub(crate) fn pass(&mut self, up: Moments, down: Moments) {
        self.level = self.level + up.count - down.count;
        self.steps.pass(up, down);
    }

    /// The level is one higher from `now` to `until`, which may be later than what is known of it otherwise.
    #[inline]
    pub(crate) fn up_until(&mut self, now: u64, until: u64) {
        self.steps.up(now);
        self.steps.down(until);
    }

    pub(crate) fn set(&mut self, now: u64, level: u32) {
        self.steps.step_by(u64::from(self.level).wrapping_sub(u64::from(level)), now);
        self.level = level;
    }

    /// The area below the level since the last reading, in nanoseconds.
    pub(crate) fn area_nanos(&self, now: u64) -> f64 {
        self.area_nanos_and(now, 0)
    }

    /// The same and so many nanoseconds, which steps that are still to come have taken from it.
    pub(crate) fn area_nanos_and(&self, now: u64, more: u64) -> f64 {
        self.steps.area(u64::from(self.level), now).wrapping_add(more) as f64
    }

    /// The mean level over the `nanos` that end now, which began at the last reading.
    pub(crate) fn read(&mut self, now: u64, nanos: u64) -> f64 {
        self.steps.read(u64::from(self.level), now) as f64 / nanos.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_is_that_of_the_level_over_each_interval() {
        let mut gauge = Gauge::default();
        gauge.up(10);
        gauge.up(20);
        gauge.down(50);
        // 0 for 10, 1 for 10, 2 for 30, 1 for 50.
        assert_eq!(gauge.read(100, 100), 1.2);
        gauge.set(150, 4);
        assert_eq!(gauge.area_nanos(180), 170.0, "and looking at it changes nothing");
        assert_eq!(gauge.read(200, 100), 2.5);
        gauge.set(200, 0);
        assert_eq!(gauge.read(300, 100), 0.0);
    }

    #[test]
    fn many_steps_at_once_are_as_many_one_by_one() {
        let (mut one_by_one, mut at_once) = (Gauge::default(), Gauge::default());
        let (mut up, mut down) = (Moments::default(), Moments::default());
        for at in [10, 20, 60] {
            one_by_one.up(at);
            up.add(at);
        }
        for at in [30, 70] {
            one_by_one.down(at);
            down.add(at);
        }
        at_once.pass(up, down);
        assert_eq!(at_once.level(), 1);
        assert_eq!(at_once.read(100, 100), one_by_one.read(100, 100));
    }

    #[test]
    fn a_year_of_nanoseconds_at_a_high_level_does_not_lose_an_interval() {
        let (mut gauge, year) = (Gauge::default(), 31_536_000_000_000_000);
        (0..10_000).for_each(|_| gauge.up(year));
        assert_eq!(gauge.read(year + 1_000, 1_000), 10_000.0);
    }
}
