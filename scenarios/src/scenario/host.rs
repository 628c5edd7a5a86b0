//! Machines.

use super::Breakdowns;
use crate::law::{DurationLaw, Law};
use crate::units::{Bandwidth, Bytes, Price, Ratio};

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
    /// Room on the disk for what does not fit into memory.
    pub swap: Bytes,
    /// How fast its network interface is, in each direction.
    pub nic: Option<Bandwidth>,
    /// The zone that they stand in.
    pub zone: Option<String>,
    /// What each costs.
    pub price: Option<Price>,
    /// In which order work gets a core.
    pub scheduling: Scheduling,
    /// What stands for its cores where it is real.
    pub cpu: Cpu,
    /// How fast a core is, against one that does a second of work in a second.
    pub speed: f64,
    /// Processor time that the hypervisor gives to other guests.
    pub steal: Option<Steal>,
    /// The limit of what it may use.
    pub cpu_credits: Option<CpuCredits>,
    /// Its disk.
    pub disk: Option<Disk>,
    /// When each dies by chance, with all that runs on it.
    pub breakdowns: Option<Breakdowns>,
}

/// What stands for a host's cores in the reference stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cpu {
    /// Tokens: who has one waits for as long as the work is to take.
    Emulated,
    /// Threads that do work of that length.
    Burn,
}

/// A disk's class; see [`Disk::of`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DiskClass {
    /// A hard disk of 7,200 turns a minute.
    Sata,
    /// Flash behind SATA.
    Ssd,
    /// Flash on the PCIe bus.
    Nvme,
}

/// A disk.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Disk {
    /// How long a page from a random place takes.
    pub read: DurationLaw,
    /// How long a small write takes until it is safe.
    pub write: DurationLaw,
    /// How many operations it does at once.
    pub parallel: u32,
    /// How fast it reads in one go.
    pub throughput: Bandwidth,
}

impl Disk {
    /// A disk of a class, by data sheets. A hard disk (Seagate Exos 7E8): 8.5 ms of average seek and half a turn of 4.2 ms, a
    /// write of the log half a turn or a whole one. SATA flash (Samsung 860 EVO): 10,000 reads a second one at a time, 98,000
    /// with 32 in flight. NVMe flash (Samsung 970 EVO Plus): 19,000 and 600,000. Writes are those of drives whose
    /// buffer is safe against a loss of power; others take a millisecond.
    pub fn of(class: DiskClass) -> Self {
        let micros =
            |low: f64, high: f64| DurationLaw::from_nanos(Law::Uniform { low: low * 1e3, high: high * 1e3 });
        let (read, write, parallel, bytes_per_second) = match class {
            DiskClass::Sata => (micros(4_700.0, 20_700.0), micros(4_200.0, 8_300.0), 1, 200e6),
            DiskClass::Ssd => (micros(80.0, 120.0), micros(30.0, 70.0), 10, 550e6),
            DiskClass::Nvme => (micros(40.0, 65.0), micros(10.0, 30.0), 32, 3_500e6),
        };
        Self { read, write, parallel, throughput: Bandwidth::bits_per_second(8.0 * bytes_per_second) }
    }
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
