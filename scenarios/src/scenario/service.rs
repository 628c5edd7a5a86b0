//! Services.

use super::{Autoscale, WhenFull, WorkerPool};
use crate::units::{Bytes, SimTime};

/// Apache's and PHP's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Service {
    /// Requests that are worked on at once, per instance, at most.
    pub workers: u32,
    /// Who starts and ends workers; without it there are always as many as can be.
    pub pool: Option<WorkerPool>,
    /// Connections that wait for a worker before the instance stops accepting (`listen`'s backlog).
    pub backlog: u32,
    /// What occupies a worker.
    pub worker_holds: WorkerHolds,
    /// How long a worker that holds a connection waits on it for the next request.
    pub keep_alive: SimTime,
    /// What becomes of a request that finds all workers busy.
    pub when_full: WhenFull,
    /// What an instance holds in memory whatever it does.
    pub memory_base: Bytes,
    /// What each of its workers holds beside that.
    pub memory_per_worker: Bytes,
    /// When instances are added and taken away.
    pub autoscale: Option<Autoscale>,
}

/// What occupies a service's worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WorkerHolds {
    /// A request, from its first step to its answer.
    Request,
    /// A connection, from its acceptance to its close, idle or not.
    Connection,
}
