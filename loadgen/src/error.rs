//! The crate's one error type.

use std::io;

/// Why a run could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An engine thread failed at its own machinery.
    #[error("an engine thread cannot work")]
    Engine {
        /// Why.
        source: io::Error,
    },
    /// No connection could be opened before the run.
    #[error(
        "traffic.{traffic}: nothing accepts connections at {address}\nhint: start the target first, and check host and port"
    )]
    Unreachable {
        /// Whose connections.
        traffic: String,
        /// Where to.
        address: String,
    },
    /// Somebody accepts connections, but they do not come to stand.
    #[error(
        "{address}: {problem}\nhint: over TLS --ca-file trusts the authorities of a file, --sni expects another name, --insecure trusts everybody"
    )]
    Handshake {
        /// Where to.
        address: String,
        /// What failed.
        problem: String,
    },
    /// The target is not one for the engine that the scenario asks for.
    #[error("target: {problem}\nhint: leave engine = \"goose\" out")]
    Unfit {
        /// Why.
        problem: &'static str,
    },
    /// Users' addresses are to change where a client has but one.
    #[error(
        "traffic.{traffic}.session.address_change: found a target at {address}, expected one on the loopback interface (127.0.0.0/8), where users can come from any address\nhint: leave address_change out, or play against a port of this machine at 127.0.0.1"
    )]
    Addresses {
        /// Whose users.
        traffic: String,
        /// Where to.
        address: String,
    },
    /// The scenario asks for what is not implemented here.
    #[error(transparent)]
    Scenario(#[from] scenarios::Diagnostics),
    /// More threads than a traffic has connections.
    #[error(
        "found {found} threads, expected at most {most}: every thread needs a connection of every traffic"
    )]
    Threads {
        /// What was asked for.
        found: u32,
        /// What the scenario's connections allow.
        most: u32,
    },
    /// More segments, each with its threads, than a traffic has connections.
    #[error(
        "found {of} segments of {threads} threads each, expected at most {most} threads in all: every thread needs a connection of every traffic"
    )]
    Segments {
        /// How many segments there are.
        of: u32,
        /// Threads of each.
        threads: u32,
        /// What the scenario's connections allow.
        most: u32,
    },
    /// The time at which the run was to begin is past.
    #[error(
        "start: {start} is past, expected a time to come\nhint: agree on one that leaves every machine the time to open its connections, such as 30 s from now"
    )]
    Late {
        /// When it was to begin.
        start: jiff::Timestamp,
    },
    /// One of the machines that were to play together cannot.
    #[error("agent {name}: {problem}")]
    Agent {
        /// Which.
        name: String,
        /// Why.
        problem: String,
    },
    /// The record could not be written.
    #[error("the run record cannot be written")]
    Record(#[from] results::Error),
    /// The target is not one that may be loaded.
    #[error(transparent)]
    Target(#[from] crate::target::TargetError),
    /// The run is longer or faster than allowed.
    #[error(transparent)]
    Limit(#[from] crate::limits::LimitError),
}
