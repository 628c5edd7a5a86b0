//! What became of one request, as its client saw it.

use scenarios::scenario::ClassId;
use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

/// Where a run took place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum World {
    /// In the simulator.
    Sim,
    /// Over sockets.
    Loadgen,
}

impl World {
    /// The name in records and directory names.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sim => "sim",
            Self::Loadgen => "loadgen",
        }
    }

    /// The name for readers of reports.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Sim => "simulated",
            Self::Loadgen => "measured",
        }
    }
}

/// Why a request has no good answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Failure {
    /// The connection could not be opened.
    Refused,
    /// The connection was lost before the answer was complete.
    Reset,
    /// No complete answer within the client's timeout.
    Timeout,
    /// An answer whose status is no success.
    Status,
    /// An answer that is not HTTP, or not the body that was asked for.
    Malformed,
    /// Never sent: too many requests were under way and waiting.
    Dropped,
    /// Answered by a server that did not know the user's session: what was in the basket is gone.
    LostSession,
}

impl Failure {
    /// Every kind, in the order of records.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Reset,
        Self::Timeout,
        Self::Status,
        Self::Malformed,
        Self::Dropped,
        Self::LostSession,
    ];

    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Malformed => "malformed",
            Self::Dropped => "dropped",
            Self::LostSession => "lost_session",
        }
    }

    /// The position in [`Failure::ALL`].
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// What became of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What kind of request it was.
    pub class: ClassId,
    /// When it was due.
    pub due: SimTime,
    /// When it was sent; never, if it was dropped.
    pub sent: Option<SimTime>,
    /// When its last byte had come, or when it had failed.
    pub done: SimTime,
    /// How late the generator itself was in handing the request over: zero in the simulator.
    pub lag: SimTime,
    /// Good, or why not.
    pub result: Result<(), Failure>,
}
