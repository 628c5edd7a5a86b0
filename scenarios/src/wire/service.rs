//! Services, as written.

use crate::scenario::WorkerHolds;

use super::prelude::*;

table! {
    /// Answers requests by walking the steps of their class (Apache's and PHP's role).
    Service {
        /// Requests that are worked on at once, per instance.
        default workers: Some1M = Count(64),
        /// Connections that wait for a worker before the instance stops accepting.
        default backlog: Count<0, 1_000_000> = Count(511),
        /// What occupies a worker.
        default worker_holds: WorkerHolds = WorkerHolds::Request,
    }
}

words!(WorkerHolds { "request" => Request, "connection" => Connection });
