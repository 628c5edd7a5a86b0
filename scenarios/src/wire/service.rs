//! Services, as written.

use crate::scenario::{WhenFull, WorkerHolds};
use crate::units::SimTime;

use super::prelude::*;
use super::workers::{Autoscale, Workers};

table! {
    /// Answers requests by walking the steps of their class (Apache's and PHP's role).
    Service {
        /// Requests that are worked on at once, per instance: a number, or a process manager's rules.
        default workers: Workers = Workers::Fixed(Count(64)),
        /// Connections that wait for a worker before the instance stops accepting.
        default backlog: Count<0, 1_000_000> = Count(511),
        /// What occupies a worker.
        default worker_holds: WorkerHolds = WorkerHolds::Request,
        /// How long a worker that holds a connection waits on it for the next request (Apache's `KeepAliveTimeout`).
        default keep_alive: SimTime = SimTime::from_secs(5),
        /// What becomes of a request that finds all workers busy: it waits, or is answered 503 at once.
        default when_full: WhenFull = WhenFull::Wait,
        /// Adds and takes away instances as the load asks for it.
        optional autoscale: Autoscale,
    }
}

words!(WorkerHolds { "request" => Request, "connection" => Connection });
