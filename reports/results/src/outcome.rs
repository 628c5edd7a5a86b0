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
    /// The connection was lost before the answer began.
    Reset,
    /// No complete answer within the client's timeout.
    Timeout,
    /// An answer whose status is no success.
    Status,
    /// An answer that is not HTTP.
    Malformed,
    /// Never sent: too many requests were under way and waiting.
    Dropped,
    /// Answered by a server that did not know the user's session: what was in the basket is gone.
    LostSession,
    /// The connection was lost within the answer.
    Truncated,
    /// The answer had begun, but was not complete within the client's timeout.
    Stalled,
    /// An answer longer than the client accepts, in its head or its body.
    TooLarge,
    /// A good answer by its status that is not what the scenario's check asks for.
    Check,
}

impl Failure {
    /// Every kind, in the order of records.
    pub const ALL: [Self; 11] = [
        Self::Refused,
        Self::Reset,
        Self::Timeout,
        Self::Status,
        Self::Malformed,
        Self::Dropped,
        Self::LostSession,
        Self::Truncated,
        Self::Stalled,
        Self::TooLarge,
        Self::Check,
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
            Self::Truncated => "truncated",
            Self::Stalled => "stalled",
            Self::TooLarge => "too_large",
            Self::Check => "check",
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
