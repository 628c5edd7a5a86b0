//! Background jobs.

use super::HostId;
use crate::law::DurationLaw;
use crate::units::{Bytes, SimTime};

/// Work that no request asks for, on each machine of a host.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job {
    /// Its name in the file.
    pub name: String,
    /// Where it runs.
    pub host: HostId,
    /// When it starts for the first time in the run, in the run's own time; none where it does not.
    pub first: Option<SimTime>,
    /// How long after that it starts again.
    pub every: Option<SimTime>,
    /// Processor time on each of its cores; none where it only uses the disk.
    pub work: Option<DurationLaw>,
    /// How many cores it works on at once.
    pub cores: u32,
    /// What it holds in memory while it runs.
    pub memory: Bytes,
    /// What it reads or writes in one go.
    pub disk: Bytes,
    /// Its priority on a host that schedules by it.
    pub priority: u8,
}
