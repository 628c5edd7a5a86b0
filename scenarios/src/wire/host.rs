//! Machines, as written.

use crate::law::DurationLaw;
use crate::scenario::{Cpu, DiskClass, Scheduling};
use crate::units::{Bandwidth, Bytes, Price, Ratio};

use super::fault::Breakdowns;
use super::policy::Number;
use super::prelude::*;

table! {
    /// A machine, or several equal ones.
    Host {
        /// How many there are.
        default count: Count<1, 1000> = Count(1),
        /// Processor cores of each, shared by the components on it.
        default cores: Count<1, 4096> = Count(1),
        /// Main memory of each. What its processes hold beyond it is swapped, where there is a `swap`; beyond both the kernel
        /// kills the largest.
        optional memory: Bytes,
        /// Room on the disk for what of its processes' memory does not fit; it makes everything on the machine slower.
        default swap: Bytes = Bytes::new(0),
        /// How fast its network interface is, in each direction; unlimited without it.
        optional nic: Bandwidth,
        /// The zone that they stand in: a data centre, an availability zone.
        optional zone: String,
        /// What each costs.
        optional price: Price,
        /// In which order work gets a core: `fcfs` as it comes, `processor-sharing` all at once at equal speed, `priority` by
        /// the priority of components and requests without interrupting what runs, `preemptive-priority` interrupting it.
        default scheduling: Scheduling = Scheduling::Fcfs,
        /// What the reference stack does for the processor time of services and SQL stores: `emulated`, it holds a core of the
        /// host's for as long, without this machine's; `burn`, it uses this machine's. The simulator makes no difference.
        default cpu: Cpu = Cpu::Emulated,
        /// How fast a core is: work of 3 ms takes 2 ms at speed 1.5.
        default speed: Number<0, 1000> = Number(1.0),
        /// Processor time that the hypervisor gives to other guests.
        optional steal: Steal,
        /// What the machine may use is limited by credits that it saves up (AWS's T2 and the like).
        optional cpu_credits: CpuCredits,
        /// Its disk, by class or by numbers.
        optional disk: DiskChoice,
        /// When each dies by chance, with all that runs on it, and for how long.
        optional breakdowns: Breakdowns,
    }
}

/// A disk by its class, or by its numbers.
#[derive(Clone, Debug)]
pub(crate) enum DiskChoice {
    Class(DiskClass),
    Numbers(Disk),
}

impl Decode for DiskChoice {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if node.get_ref().is_table() {
            Disk::decode(node, at, d).map(Self::Numbers)
        } else {
            DiskClass::decode(node, at, d).map(Self::Class)
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "anyOf": [DiskClass::schema(definitions), Disk::schema(definitions)] })
    }
}

table! {
    /// A disk by its numbers.
    Disk {
        /// How long it takes to read a page of 16 KiB from a random place.
        required read: DurationLaw,
        /// How long a small write takes until it is safe; by default as long as a read.
        optional write: DurationLaw,
        /// How many operations it does at once.
        default parallel: Count<1, 1024> = Count(1),
        /// How fast it reads in one go, as when a process loads its data at a start.
        default throughput: Bandwidth = Bandwidth::bits_per_second(4e9),
    }
}

words!(DiskClass { "sata" => Sata, "ssd" => Ssd, "nvme" => Nvme });

table! {
    /// Processor time that the hypervisor gives to other guests.
    Steal {
        /// Which part of each core.
        required share: Ratio,
        /// How long a time lasts in which it does; without it always.
        optional bursts: DurationLaw,
        /// How long it then does not.
        optional gaps: DurationLaw,
    }
}

table! {
    /// CpuCredits credits: one is a core for a minute. AWS's t2.micro has 6, 144 and 30.
    CpuCredits {
        /// Credits earned an hour; they are the baseline: 6 an hour are 10% of a core.
        required per_hour: Number<0, 1_000_000>,
        /// How many of them are saved at most; by default those of a day.
        optional at_most: Number<0, 1_000_000_000>,
        /// Credits at the run's start, which do not count against `at_most`.
        default launch: Number<0, 1_000_000_000> = Number(0.0),
    }
}

words!(Cpu { "emulated" => Emulated, "burn" => Burn });
words!(Scheduling {
    "fcfs" => Fcfs,
    "processor-sharing" => ProcessorSharing,
    "priority" => Priority,
    "preemptive-priority" => PreemptivePriority,
});
