//! SQL stores.

use super::Vip;
use crate::law::DurationLaw;
use crate::units::{Bytes, Ratio, SimTime};

/// MySQL's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqlStore {
    /// Statements executed at once; others wait in order.
    pub connections: u32,
    /// Processor time of one `select`, whatever the number of rows.
    pub read: DurationLaw,
    /// Processor time of one `update`.
    pub write: DurationLaw,
    /// Memory for pages; without it everything is in memory.
    pub buffer_pool: Option<Bytes>,
    /// How long an update waits for another one of the same row; without it none waits.
    pub lock_wait: Option<SimTime>,
    /// How long a statement may take once it has its connection, before it is ended and fails.
    pub statement_timeout: Option<SimTime>,
    /// Copies that follow the master.
    pub replicas: Option<Replicas>,
    /// The address that the master holds.
    pub vip: Option<Vip>,
    /// How it goes to sleep.
    pub hibernation: Option<Hibernation>,
}

/// Copies that follow the master: the other instances.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Replicas {
    /// How long a commit takes to be applied at one of them.
    pub lag: DurationLaw,
    /// The share of the reads that go to them.
    pub reads: Ratio,
}

/// How a database goes to sleep.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Hibernation {
    /// After how long without a statement.
    pub after: SimTime,
    /// How long the next statement waits for it to wake.
    pub wake: DurationLaw,
}
