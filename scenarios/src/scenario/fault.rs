//! What breaks.

use super::{ComponentId, HostId};
use crate::units::SimTime;

/// Something that breaks for a while, in the run's own time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// A name for reports, such as `kill host:app[1]`.
    pub name: String,
    /// Its path in the file, such as `faults[2]`.
    pub place: String,
    /// When it starts.
    pub from: SimTime,
    /// When it is mended; a killed process starts again then.
    pub until: SimTime,
    /// How it breaks.
    pub kind: FaultKind,
    /// What breaks.
    pub target: FaultTarget,
}

/// How something breaks, as TCP shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The process dies: connections are reset, new ones refused at once.
    Kill,
    /// The process stops: connections are accepted by the kernel and never answered.
    Hang,
    /// The cable is pulled: silence.
    Unplug,
    /// Every answer is an HTTP 500 at once, health checks included.
    Serve500,
}

impl FaultKind {
    /// The kind's name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Unplug => "unplug",
            Self::Serve500 => "serve_500",
        }
    }
}

/// What breaks. Instances count from zero here and from one in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultTarget {
    /// One machine with all that runs on it.
    Host(HostId, u32),
    /// One instance of a component.
    Component(ComponentId, u32),
}
