//! Services, as written.

use crate::scenario::{WhenFull, WorkerHolds};
use crate::units::{Bytes, SimTime};

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
        /// Memory that its processes hold.
        default memory: ProcessMemory = ProcessMemory::default(),
        /// Adds and takes away instances as the load asks for it.
        optional autoscale: Autoscale,
    }
}

table! {
    /// Memory of a service's processes.
    ProcessMemory {
        /// What an instance holds whatever it does: code, configuration, caches of its own.
        default base: Bytes = Bytes::new(0),
        /// What each worker holds that there is, busy or not.
        default per_worker: Bytes = Bytes::new(0),
    }
}

impl Default for ProcessMemory {
    fn default() -> Self {
        Self { base: Bytes::new(0), per_worker: Bytes::new(0) }
    }
}

words!(WorkerHolds { "request" => Request, "connection" => Connection });
