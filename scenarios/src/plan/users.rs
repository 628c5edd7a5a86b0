//! Closed loops: users who think, ask, wait for the answer, and think again. What a user does in an iteration follows from
//! (seed, user, iteration), never from the order of events; only when it happens depends on the answers.

use super::source::{class, cumulative};
use super::{ClassId, RequestId, TrafficId};
use crate::law::DurationLaw;
use crate::rate::RateCurve;
use crate::rng::{Purpose, Stream};
use crate::scenario::{Iterations, Run, Traffic, Users as Settings};
use crate::units::{Seed, SimTime};

const THINK: Purpose = Purpose::named("think");
/// Bits of a request's name that hold the iteration; above them 20 for the user and 6 for the traffic.
const ITERATION_BITS: u32 = 38;

/// What a user does in one iteration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iteration {
    /// The request's name.
    pub id: RequestId,
    /// What kind it is.
    pub class: ClassId,
    /// How long the user thinks before it is sent.
    pub think: SimTime,
}

/// The users of one traffic.
#[derive(Clone, Debug)]
pub struct Users {
    id: TrafficId,
    seed: Seed,
    run: Run,
    level: RateCurve,
    mix: Vec<(ClassId, f64)>,
    think: DurationLaw,
    iterations: Iterations,
}

impl Users {
    pub(super) fn new(id: TrafficId, traffic: &Traffic, settings: &Settings, run: Run, seed: Seed) -> Self {
        Self {
            id,
            seed,
            run,
            level: settings.level.clone(),
            mix: cumulative(&traffic.mix),
            think: settings.think,
            iterations: settings.iterations,
        }
    }

    /// How many users there are at most at once: they have the numbers from zero to below this.
    pub fn count(&self) -> u32 {
        self.level.peak().round() as u32
    }

    /// What limits their iterations, but for the run's end.
    pub fn iterations(&self) -> Iterations {
        self.iterations
    }

    /// What a user does in an iteration, both counted from zero.
    ///
    /// # Panics
    /// In debug builds, where the iteration is above 2^38 or the user above 2^20: validation and time rule it out.
    #[inline]
    pub fn iteration(&self, user: u32, iteration: u64) -> Iteration {
        debug_assert!(
            iteration >> ITERATION_BITS == 0 && user >> 20 == 0,
            "iteration {iteration} of user {user}"
        );
        let id = u64::from(self.id.0) << 58 | u64::from(user) << ITERATION_BITS | iteration;
        let id = RequestId(id);
        let think = self.think.sample(&mut Stream::new(self.seed, THINK, id.0));
        Iteration { id, class: self.class(id), think }
    }

    #[inline]
    pub(super) fn class(&self, id: RequestId) -> ClassId {
        class(&self.mix, self.seed, id)
    }

    /// The first stretch of time, from `after` on, in which a user is there: on the run's own axis, its end not included.
    /// User `n` is there while the stated number of users, rounded, is above `n`.
    pub fn stretch(&self, user: u32, after: SimTime) -> Option<(SimTime, SimTime)> {
        let zero = self.run.timeline_nanos(SimTime::ZERO);
        let seconds = |t: SimTime| self.run.timeline_nanos(t) as f64 / 1e9;
        let end = seconds(self.run.total());
        let on_run = |t: f64| SimTime::from_nanos(((t * 1e9).round() as i64 - zero).max(0) as u64);
        let level = f64::from(user) + 0.5;
        let from = self.level.crossing(seconds(after), end, |rate, level| rate >= level, level)?;
        let until = self.level.crossing(from, end, |rate, level| rate < level, level - 1e-9).unwrap_or(end);
        Some((on_run(from).max(after), on_run(until))).filter(|(from, until)| from < until)
    }
}
