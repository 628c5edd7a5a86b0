//! The plan: which requests are due when. A pure function of the scenario, shared by both worlds.
//!
//! It is made of cells, each with a random stream of its own: (traffic, one of 64 fixed substreams, time slice). Within
//! a cell a Poisson count of arrivals is spread by the inverse of the cumulative rate. Segment i of n owns the
//! substreams that are ≡ i mod n, so the union of the segments is the same for every n. Slices are fixed on the timeline
//! of the scenario, so any window can be sought to, and finds the requests that a whole run has there.

mod draws;
mod segment;
pub mod zipf;

pub use draws::Draws;
pub use segment::Segment;

use crate::scenario::{Arrivals, ClassId, Run, Scenario, TrafficId};
use crate::units::{Seed, SimTime};

/// The number of substreams into which every traffic is split, so the greatest useful number of segments.
pub const SUBSTREAMS: u32 = 64;

/// Names a request: which cell it belongs to and its place there. Everything that a request draws follows from the seed
/// and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

/// A request that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// When, on the run's axis.
    pub due: SimTime,
    /// Its name.
    pub id: RequestId,
    /// Where it comes from.
    pub traffic: TrafficId,
    /// What kind it is.
    pub class: ClassId,
}

/// The requests that a scenario stands for.
#[derive(Clone, Debug)]
pub struct Plan {
    seed: Seed,
    run: Run,
    traffic: Vec<segment::Source>,
}

impl Plan {
    /// The plan of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let traffic = scenario
            .traffic
            .iter()
            .enumerate()
            .map(|(i, t)| segment::Source::new(TrafficId(i as u16), t))
            .collect();
        Self { seed: scenario.run.seed, run: scenario.run, traffic }
    }

    /// The requests of segment `index` of `of`, in order of their due times, from the run's start to its end.
    ///
    /// # Panics
    /// Where `of` is zero or above [`SUBSTREAMS`], or `index` is not below it.
    pub fn segment(&self, index: u32, of: u32) -> Segment<'_> {
        self.window(SimTime::ZERO, self.run.total(), index, of)
    }

    /// All requests, in order of their due times.
    pub fn requests(&self) -> Segment<'_> {
        self.segment(0, 1)
    }

    /// The requests of a segment that are due in `from..to`, without walking what is before.
    ///
    /// # Panics
    /// As [`Plan::segment`].
    pub fn window(&self, from: SimTime, to: SimTime, index: u32, of: u32) -> Segment<'_> {
        assert!(
            index < of && of <= SUBSTREAMS,
            "segment {index} of {of}: at most {SUBSTREAMS}, counted from zero"
        );
        Segment::new(self, from, to.min(self.run.total()), index, of)
    }

    /// How many requests are expected in `from..to`: the integral of the rates, not a count.
    pub fn expected(&self, from: SimTime, to: SimTime) -> f64 {
        let seconds = |t| self.run.timeline_nanos(t) as f64 / 1e9;
        self.traffic.iter().map(|s| s.rate.expected(seconds(from), seconds(to))).sum()
    }
}
