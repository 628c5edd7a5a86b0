//! Who asks, and how fast.

use std::sync::Arc;

use super::{ClassId, ComponentId, KeyspaceId, Retries};
use crate::law::{CountLaw, DurationLaw};
use crate::plan::RequestId;
use crate::rate::RateCurve;
use crate::rng::{Purpose, Stream};
use crate::trace::Trace;
use crate::units::{Ratio, Seed, SimTime};

const RECORD: Purpose = Purpose::named("session-record");

/// A source of requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Traffic {
    /// Its name in the file.
    pub name: String,
    /// The component that it meets first.
    pub to: ComponentId,
    /// What makes requests due.
    pub executor: Executor,
    /// How arrivals are spread within the rate; users of a closed loop do not arrive.
    pub arrivals: Arrivals,
    /// The rate of arrivals over the timeline, of requests or of sessions; that of a replay is counted from its rows, and
    /// that of a closed loop is zero.
    pub rate: RateCurve,
    /// The classes and their shares, which add up to 1.
    pub mix: Vec<(ClassId, Ratio)>,
    /// Connections that the clients keep; a due request that finds none free waits for one. In a closed loop every user
    /// has one.
    pub connections: u32,
    /// Requests under way and waiting at once, above which a due request is dropped and counts as failed.
    pub max_in_flight: u32,
    /// How long after it was *sent* a client gives a request up.
    pub timeout: SimTime,
    /// How requests that failed are sent again. Response time runs from the first due time to the last answer.
    pub retries: Option<Retries>,
    /// Whether connections carry one request after another.
    pub reuse: Reuse,
    /// How old a connection may become.
    pub max_connection_age: Option<SimTime>,
    /// How long a connection may take to open, where that is less than `timeout`.
    pub connect_timeout: Option<SimTime>,
    /// Where clients speak HTTP/2: how many requests a connection carries at once.
    pub http2_streams: Option<u32>,
}

impl Traffic {
    /// Where the records of its users' sessions are, if they have any.
    pub fn session_record(&self) -> Option<SessionRecord> {
        match &self.executor {
            Executor::Sessions(Session { state: SessionState::Record(record), .. }) => Some(*record),
            _ => None,
        }
    }
}

/// What becomes of a connection after an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reuse {
    /// It carries the next request.
    #[default]
    Always,
    /// It is closed: every request opens one of its own.
    Never,
    /// It is its session's own, and closed with it.
    Session,
}

/// What makes requests due.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Executor {
    /// They arrive at the rate, whatever becomes of those before: an open loop.
    Requests,
    /// Users arrive at the rate and walk through a session each: a partly open loop.
    Sessions(Session),
    /// They stand in a file: an open loop.
    Replay(Replay),
    /// A number of users make one request after another: a closed loop.
    Users(Users),
}

impl Traffic {
    /// How many requests an arrival makes on average: one, but for a session.
    pub fn requests_per_arrival(&self) -> f64 {
        match &self.executor {
            Executor::Sessions(session) => session.mean_requests(),
            _ => 1.0,
        }
    }
}

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrivals {
    /// A Poisson process: the arrivals of many independent users.
    Poisson,
    /// Evenly spaced in the cumulative rate.
    Uniform,
    /// In bursts.
    Bursty(Burst),
}

/// Arrivals in bursts: a Neyman-Scott cluster process. Bursts start as a Poisson process of the rate divided by `size`, and
/// each has exactly `size` arrivals, each after a time of its own, uniform over `within`. The index of dispersion of counts
/// (variance over mean) tends to `size` in spans much longer than `within`, and to 1 in spans much shorter.
///
/// J. Neyman and E. L. Scott, "Statistical approach to problems of cosmology", J. R. Statist. Soc. B 20(1), 1958; the index
/// of dispersion of cluster processes: D. R. Cox and V. Isham, "Point Processes", 1980, section 3.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Burst {
    /// Arrivals in each burst.
    pub size: u32,
    /// The time over which a burst spreads.
    pub within: SimTime,
}

/// A user's walk: request, answer, pause, request.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Session {
    /// How many requests a visit has.
    pub requests: CountLaw,
    /// The pause between an answer and the next request.
    pub think: DurationLaw,
    /// The chance that the user comes back after a visit.
    pub returns: Ratio,
    /// How long after the visit's last answer.
    pub returns_after: DurationLaw,
    /// The chance that the user's network address has changed since the request before.
    pub address_change: Ratio,
    /// Whether the user's client sends cookies back.
    pub cookies: bool,
    /// Where the session's state is kept.
    pub state: SessionState,
}

impl Session {
    /// How many requests a user makes on average, over all visits.
    pub fn mean_requests(&self) -> f64 {
        self.requests.mean() / (1.0 - self.returns.get())
    }
}

/// Where a session's state is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// Nowhere that can be lost: with the client, or in a store that the steps ask.
    Stateless,
    /// In the memory of the service instance that began it. It is lost where that instance dies or another one is asked.
    Instance,
    /// In files of that instance's machine. It is lost where another one is asked; a process that starts again finds it.
    Files,
    /// In a record. It is lost where that is gone: evicted, expired, or with its store.
    Record(SessionRecord),
}

/// Where the records of sessions are: one for each, which is read before a request's steps and written after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionRecord {
    /// The SQL store that has it as a row, which is locked meanwhile where the store has a `lock_wait`; without it, the
    /// keyspace's own store has it as a key.
    pub database: Option<ComponentId>,
    /// The keyspace whose keys are the sessions.
    pub keyspace: KeyspaceId,
}

impl SessionRecord {
    /// By which numbers the statements draw that read and write a record: no step of a class has them.
    pub const DRAWS: [u16; 2] = [u16::MAX - 1, u16::MAX];

    /// The key of a session, which is named by the request that began it, in a keyspace of so many keys. Sessions are spread
    /// over all of them, so that two have the same one as seldom as in a table of hashes.
    pub fn key(session: RequestId, keys: u64) -> u64 {
        Stream::new(Seed(0), RECORD, session.0).below(keys)
    }
}

/// A recorded file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Replay {
    /// The file's path.
    pub file: std::path::PathBuf,
    /// The SHA-256 of its bytes, in lower-case hexadecimal; part of the scenario's hash.
    pub hash: String,
    /// Its rows that are kept, at the times of the timeline.
    pub trace: Arc<Trace>,
}

/// What falls on the timeline's zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The file's first row.
    FirstRow,
    /// The zero of the file's own times.
    File,
}

/// A closed loop.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Users {
    /// How many users there are, over the timeline.
    pub level: RateCurve,
    /// How long a user thinks before each request.
    pub think: DurationLaw,
    /// How many requests they make at most.
    pub iterations: Iterations,
    /// What plays them.
    pub engine: LoopEngine,
}

/// A load generator for closed loops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LoopEngine {
    /// This project's.
    #[default]
    Rehearsal,
    /// The crate goose, as a check of ours.
    Goose,
}

/// How many requests the users of a closed loop make, the run's end apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Iterations {
    /// As many as they can.
    Unlimited,
    /// So many each.
    Each(u64),
    /// So many together.
    Shared(u64),
}
