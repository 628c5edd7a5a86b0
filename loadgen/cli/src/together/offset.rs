//! How far two machines' clocks are apart, by questions and answers (as in RFC 5905, section 8, of a server that answers at once): the
//! other's clock was read somewhere between the question and its answer, so half of the time between is how far the result may be off.

use std::time::{Duration, Instant};

use fleet::Link;
use jiff::Timestamp;

use super::words::Time;

/// Questions, of which the one answered fastest counts.
const QUESTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(2);

/// How far this machine's clock is ahead of another's, in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Offset {
    nanos: i128,
    error_nanos: i128,
}

/// This machine's clock, in nanoseconds since 1970.
pub(super) fn day_nanos() -> i128 {
    Timestamp::now().as_nanosecond()
}

impl Offset {
    /// Asks who answers on a subject.
    pub(super) async fn measure(link: &Link, subject: &str) -> Result<Self, fleet::Error> {
        let mut best: Option<Self> = None;
        for _ in 0..QUESTIONS {
            let (asked, before) = (day_nanos(), Instant::now());
            let time: Time = link.ask("the time", subject, &(), PATIENCE).await?;
            let found = Self::of(asked, before.elapsed().as_nanos() as i128, time.day_ns.into());
            if best.is_none_or(|best| found.error_nanos < best.error_nanos) {
                best = Some(found);
            }
        }
        Ok(best.unwrap_or_default())
    }

    /// From a question asked at a time of this clock, an answer so much later, and the time of the other clock that it told.
    fn of(asked: i128, round_trip: i128, told: i128) -> Self {
        let half = (round_trip + 1) / 2;
        Self { nanos: asked + round_trip / 2 - told, error_nanos: half }
    }

    pub(super) fn seconds(self) -> f64 {
        self.nanos as f64 / 1e9
    }

    pub(super) fn error_seconds(self) -> f64 {
        self.error_nanos as f64 / 1e9
    }

    /// By how much this clock is proven to be ahead: nothing where the two may agree, as on one machine they do.
    fn proven(self) -> i128 {
        if self.nanos.abs() > self.error_nanos { self.nanos } else { 0 }
    }

    /// A time of the other clock by this one.
    pub(super) fn here(self, there: i128) -> i128 {
        there + self.proven()
    }

    /// A time of this clock by the other one.
    pub(super) fn there(self, here: i128) -> i128 {
        here - self.proven()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_truth_lies_within_the_error() {
        // This clock is 5,000 ahead; the way there takes `out`, the way back `back`.
        for (out, back) in [(100, 100), (1, 399), (399, 1), (0, 0)] {
            let asked = 1_000_000;
            let offset = Offset::of(asked, out + back, asked + out - 5_000);
            assert!((offset.nanos - 5_000).abs() <= offset.error_nanos, "{offset:?}");
            assert_eq!(offset.error_nanos, (out + back + 1) / 2);
        }
    }

    #[test]
    fn clocks_that_may_agree_are_taken_to() {
        let same = Offset { nanos: -90, error_nanos: 100 };
        assert_eq!((same.here(7_000), same.there(7_000)), (7_000, 7_000));
        let ahead = Offset { nanos: 5_000, error_nanos: 100 };
        assert_eq!((ahead.here(7_000), ahead.there(12_000)), (12_000, 7_000));
    }
}
