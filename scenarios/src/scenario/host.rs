//! Machines.

use crate::law::DurationLaw;
use crate::units::{Bytes, Price, Ratio};

/// A machine, or several equal ones.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Host {
    /// Its name in the file.
    pub name: String,
    /// How many there are.
    pub count: u32,
    /// Processor cores of each, shared by the components on it.
    pub cores: u32,
    /// Main memory of each.
    pub memory: Option<Bytes>,
    /// The zone that they stand in.
    pub zone: Option<String>,
    /// What each costs.
    pub price: Option<Price>,
    /// In which order work gets a core.
    pub scheduling: Scheduling,
    /// How fast a core is, against one that does a second of work in a second.
    pub speed: f64,
    /// Processor time that the hypervisor gives to other guests.
    pub steal: Option<Steal>,
    /// The limit of what it may use.
    pub cpu_credits: Option<CpuCredits>,
}

/// In which order work gets a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheduling {
    /// First come, first served.
    Fcfs,
    /// All at once, at equal speed.
    ProcessorSharing,
    /// By priority; what runs is not interrupted.
    Priority,
    /// By priority; what runs makes room for what is more urgent, and goes on later where it was.
    PreemptivePriority,
}

impl Scheduling {
    /// Whether priorities mean anything.
    pub const fn has_priorities(self) -> bool {
        matches!(self, Self::Priority | Self::PreemptivePriority)
    }
}

/// Processor time that the hypervisor gives to other guests.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Steal {
    /// Which part of each core.
    pub share: Ratio,
    /// How long it does, and then does not, in turn; none for always.
    pub bursts: Option<(DurationLaw, DurationLaw)>,
}

/// CpuCredits credits: one is a core for a minute.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CpuCredits {
    /// Credits earned an hour.
    pub per_hour: f64,
    /// How many of them are saved at most.
    pub at_most: f64,
    /// Credits at the run's start.
    pub launch: f64,
}
