//! Background jobs, as written.

use crate::law::DurationLaw;
use crate::units::{Bytes, SimTime};

use super::component::Priority;
use super::prelude::*;

table! {
    /// Work that no request asks for, on each machine of a host: a backup, a build, a report.
    Job {
        /// The host.
        required host: String,
        /// When it starts, on the timeline.
        required at: SimTime,
        /// How long after that it starts again, and so on; without it, it runs once. A run that comes due while the one
        /// before still goes on is left out.
        optional every: SimTime,
        /// Processor time that each of its cores gives to it; what it takes is longer where others want them too.
        optional work: DurationLaw,
        /// How many cores it works on at once.
        default cores: Count<1, 4096> = Count(1),
        /// What it holds in memory while it runs.
        default memory: Bytes = Bytes::new(0),
        /// What it reads from, or writes to, the host's disk in one go, beside its work.
        optional disk: Bytes,
        /// Its priority on a host that schedules by it, among those of the components.
        default priority: Priority = Count(0),
    }
}
