//! Services.

/// Apache's and PHP's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Service {
    /// Requests that are worked on at once, per instance.
    pub workers: u32,
    /// Connections that wait for a worker before the instance stops accepting (`listen`'s backlog).
    pub backlog: u32,
    /// What occupies a worker.
    pub worker_holds: WorkerHolds,
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
