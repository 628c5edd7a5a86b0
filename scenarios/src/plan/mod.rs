//! The plan: which requests are due when. A pure function of the scenario, shared by both worlds.
//!
//! It is made of cells, each with a random stream of its own: (traffic, one of 64 fixed substreams, time slice). Within
//! a cell a Poisson count of arrivals is spread by the inverse of the cumulative rate. Segment i of n owns the
//! substreams that are ≡ i mod n, so the union of the segments is the same for every n; more than 64 segments share substreams,
//! request by request. Slices are fixed on the timeline of the scenario, so any window can be sought to, and finds the requests
//! that a whole run has there.
//!
//! Where answers decide when the next request is due, in closed loops ([`Users`]) and in sessions ([`Sessions`]), the plan
//! says what each user does, and the world when: such requests are not among the [`Segment`]'s, but for a session's first.

pub mod churn;
mod draws;
mod replay;
mod segment;
mod session;
mod source;
mod users;
pub mod zipf;

pub use draws::{Draws, reload};
pub use segment::Segment;
pub use session::{REQUESTS_LIMIT, Sessions, Walk};
pub use users::{Iteration, Users};

use crate::scenario::{ClassId, Executor, Run, Scenario, TrafficId};
use crate::units::{Seed, SimTime};

/// The number of substreams into which every traffic is split. As many segments, or a divisor of it, have whole ones.
pub const SUBSTREAMS: u32 = 64;
/// The greatest number of segments.
pub const SEGMENTS: u32 = 64 * SUBSTREAMS;

/// Names a request: which cell it belongs to and its place there. Everything that a request draws follows from the seed
/// and this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

impl RequestId {
    /// The traffic that it belongs to: the name's highest six bits.
    pub fn traffic(self) -> TrafficId {
        TrafficId((self.0 >> 58) as u16)
    }
}

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
    traffic: Vec<Origin>,
}

/// Where the requests of one traffic come from.
#[derive(Clone, Debug)]
enum Origin {
    /// They arrive by themselves; so do the sessions.
    Arrivals(source::Source, Option<Sessions>),
    /// They stand in a file.
    Replay(replay::Replay),
    /// They follow upon answers.
    Users(Users),
}

impl Plan {
    /// The plan of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let run = scenario.run;
        let seed = run.seed;
        let origin = |(i, traffic): (usize, &crate::scenario::Traffic)| {
            let id = TrafficId(i as u16);
            match &traffic.executor {
                Executor::Requests => Origin::Arrivals(source::Source::new(id, traffic), None),
                Executor::Sessions(session) => {
                    Origin::Arrivals(source::Source::new(id, traffic), Some(Sessions::new(seed, *session)))
                }
                Executor::Replay(replay) => Origin::Replay(replay::Replay::new(id, replay)),
                Executor::Users(users) => Origin::Users(Users::new(id, traffic, users, run, seed)),
            }
        };
        Self { seed, run, traffic: scenario.traffic.iter().enumerate().map(origin).collect() }
    }

    /// The users of a traffic that is a closed loop.
    pub fn users(&self, traffic: TrafficId) -> Option<&Users> {
        match &self.traffic[traffic.index()] {
            Origin::Users(users) => Some(users),
            _ => None,
        }
    }

    /// The walks of a traffic whose arrivals are sessions.
    pub fn sessions(&self, traffic: TrafficId) -> Option<&Sessions> {
        match &self.traffic[traffic.index()] {
            Origin::Arrivals(_, sessions) => sessions.as_ref(),
            _ => None,
        }
    }

    /// The class of a request of this traffic, by its name.
    #[inline]
    pub fn class(&self, traffic: TrafficId, id: RequestId) -> ClassId {
        match &self.traffic[traffic.index()] {
            Origin::Arrivals(source, _) => source.class(self.seed, id),
            Origin::Replay(replay) => replay.class(id),
            Origin::Users(users) => users.class(id),
        }
    }

    /// The requests of segment `index` of `of`, in order of their due times, from the run's start to its end.
    ///
    /// # Panics
    /// Where `of` is zero or above [`SEGMENTS`], or `index` is not below it.
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
            index < of && of <= SEGMENTS,
            "segment {index} of {of}: at most {SEGMENTS}, counted from zero"
        );
        Segment::new(self, from, to.min(self.run.total()), index, of)
    }

    /// How many arrivals are expected in `from..to`, requests or sessions: the integral of the rates, not a count; the rows
    /// of a replay are counted.
    pub fn expected(&self, from: SimTime, to: SimTime) -> f64 {
        let (from, to) = (self.run.timeline_nanos(from), self.run.timeline_nanos(to));
        let seconds = |t| t as f64 / 1e9;
        let of = |origin: &Origin| match origin {
            Origin::Arrivals(source, _) => source.rate.expected(seconds(from), seconds(to)),
            Origin::Replay(replay) => replay.count(from, to) as f64,
            Origin::Users(_) => 0.0,
        };
        self.traffic.iter().map(of).sum()
    }
}
