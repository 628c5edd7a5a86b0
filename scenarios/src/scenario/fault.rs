//! What breaks.

use super::{ComponentId, HostId, Place};
use crate::law::DurationLaw;
use crate::units::{Ratio, SimTime};

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
    /// When it started, in nanoseconds of the run; negative where that was before the run, and `from` is zero.
    pub started_nanos: i64,
    /// How it breaks.
    pub kind: FaultKind,
    /// What breaks. A deployment's instances follow each other in this order.
    pub targets: Vec<FaultTarget>,
}

/// How something breaks.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    /// All work takes longer.
    Slow {
        /// How many times as long.
        times: f64,
    },
    /// A share of the answers is an HTTP 500, drawn for each.
    ErrorRate {
        /// The share.
        share: Ratio,
    },
    /// Other machines on the same iron take processor time.
    CpuSteal {
        /// The share of the cores' time that is gone, below 1.
        share: Ratio,
    },
    /// No packet gets through.
    Partition,
    /// Packets take longer.
    PacketDelay {
        /// By how much, one way.
        added: DurationLaw,
    },
    /// Packets are lost.
    PacketLoss {
        /// The share, in each direction.
        share: Ratio,
    },
    /// What a cache holds is gone at once; persistent keys stay.
    Flush,
    /// Writes fail.
    DiskFull,
    /// A new version, one instance after another.
    Deploy(Deploy),
}

/// A rolling deployment.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Deploy {
    /// How long balancers send an instance nothing new before its process ends.
    pub drain: SimTime,
    /// How long the process is gone.
    pub down: SimTime,
    /// How long it is cold afterwards.
    pub warm_up: SimTime,
    /// How many times as long a cold instance's work takes.
    pub slower: f64,
}

impl Deploy {
    /// From the beginning of one instance's turn to that of the next.
    pub fn turn(&self) -> SimTime {
        self.drain + self.down + self.warm_up
    }
}

impl FaultKind {
    /// The kind's name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Unplug => "unplug",
            Self::Serve500 => "serve_500",
            Self::Slow { .. } => "slow",
            Self::ErrorRate { .. } => "error_rate",
            Self::CpuSteal { .. } => "cpu_steal",
            Self::Partition => "partition",
            Self::PacketDelay { .. } => "delay",
            Self::PacketLoss { .. } => "loss",
            Self::Flush => "flush",
            Self::DiskFull => "disk_full",
            Self::Deploy(_) => "deploy",
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
    /// The ways between the machines at two places, in both directions.
    Way(Place, Place),
}

/// Failures by chance: times of work and of repair take turns. All work at the run's start.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Breakdowns {
    /// How long something works until it dies.
    pub up: DurationLaw,
    /// How long it is dead until it is started again.
    pub down: DurationLaw,
}
