//! SQL stores, as written.

use crate::law::DurationLaw;
use crate::units::{Bytes, Ratio, SimTime};

use super::balancer::Vip;
use super::prelude::*;

table! {
    /// Executes statements (MySQL's role).
    SqlStore {
        /// Statements executed at once; others wait in order.
        default connections: Some1M = Count(100),
        /// Processor time of a `select`.
        required read: DurationLaw,
        /// Processor time of an `update`; by default the same as `read`.
        optional write: DurationLaw,
        /// Memory for pages (InnoDB's buffer pool), warm at the start; pages that are not in it are read from the host's disk.
        /// Without it everything is in memory.
        optional buffer_pool: Bytes,
        /// How long an update waits for another one of the same row, before it fails; InnoDB's default is 50 s. Without it
        /// updates of the same row do not wait for each other.
        optional lock_wait: SimTime,
        /// How long a statement may take once it has its connection, its wait for a row included, before it is ended and fails
        /// (MariaDB's `max_statement_time`). Without it, as long as it takes.
        optional statement_timeout: SimTime,
        /// Where the host has several machines: the first is the master, the others are replicas.
        optional replicas: Replicas,
        /// A virtual address that one of several machines holds: that one is the master, and another takes over.
        optional vip: Vip,
        /// Goes to sleep when nobody asks (serverless databases).
        optional hibernation: Hibernation,
    }
}

table! {
    /// Copies that follow the master.
    Replicas {
        /// How long a commit takes to be applied at a replica.
        required lag: DurationLaw,
        /// The share of the reads that go to replicas. What a miss in a key-value store asks for counts as one.
        default reads: Ratio = Ratio::new(1.0),
    }
}

table! {
    /// How a database goes to sleep.
    Hibernation {
        /// After how long without a statement.
        required after: SimTime,
        /// How long the next statement waits for it to wake.
        required wake: DurationLaw,
    }
}
