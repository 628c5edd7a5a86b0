//! What breaks, as written.

use crate::law::DurationLaw;
use crate::units::{Ratio, SimTime};

use super::policy::Number;
use super::prelude::*;

table! {
    /// Something that breaks for a while: `at`, `for`, and exactly one of the other keys. A target is `host:app[1]` or
    /// `component:shop[2]`, counted from 1, `[*]` for all of them, or `zone:a` for all machines of a zone.
    Fault {
        /// When it starts, on the timeline.
        required at: SimTime,
        /// How long it lasts. A `flush` and a `deploy` have no such time.
        optional length("for"): SimTime,
        /// The process dies: connections are reset, new ones refused.
        optional kill: String,
        /// The process stops: connections are accepted and never answered.
        optional hang: String,
        /// The cable is pulled: silence.
        optional unplug: String,
        /// Every answer is an HTTP 500 at once, health checks included.
        optional serve_500: String,
        /// All work takes longer: `{ target = "component:shop[1]", times = 3 }`.
        optional slow: Slow,
        /// A share of the answers is an HTTP 500: `{ target = "component:shop[1]", share = "5%" }`.
        optional error_rate: Part,
        /// Other machines on the same iron take processor time: `{ target = "host:app[1]", share = "40%" }`.
        optional cpu_steal: Part,
        /// No packet gets through between two places: `["zone:a", "zone:b"]`.
        optional partition: List<String>,
        /// Packets between two places take longer: `{ between = ["clients", "edge"], added = "50ms" }`.
        optional delay: PacketDelay,
        /// Packets between two places are lost: `{ between = ["clients", "edge"], share = "2%" }`.
        optional loss: PacketLoss,
        /// What a cache holds is gone at once; persistent keys stay.
        optional flush: String,
        /// Writes fail.
        optional disk_full: String,
        /// A new version, one instance after another.
        optional deploy: Deploy,
    }
}

table! {
    /// Slowness.
    Slow {
        /// What is slow.
        required target: String,
        /// How many times as long its work takes.
        required times: Number<1, 10_000>,
    }
}

table! {
    /// A share of something.
    Part {
        /// What is hit.
        required target: String,
        /// The share.
        required share: Ratio,
    }
}

table! {
    /// A longer way.
    PacketDelay {
        /// The two places.
        required between: List<String>,
        /// What each packet takes longer, one way.
        required added: DurationLaw,
    }
}

table! {
    /// A lossy way.
    PacketLoss {
        /// The two places.
        required between: List<String>,
        /// The share of packets that are lost in each direction, beside those that the way loses anyway.
        required share: Ratio,
    }
}

table! {
    /// A rolling deployment: each instance in turn is drained, replaced and warmed up.
    Deploy {
        /// The component.
        required component: String,
        /// How long balancers send an instance nothing new before its process ends.
        default drain: SimTime = SimTime::ZERO,
        /// How long the process is gone.
        required down: SimTime,
        /// How long it is cold afterwards; the next instance follows then.
        default warm_up: SimTime = SimTime::ZERO,
        /// How many times as long a cold instance's work takes.
        default slower: Number<1, 10_000> = Number(1.0),
    }
}

table! {
    /// Failures by chance: times of work and of repair take turns, each drawn by its law. All work at the run's start.
    Breakdowns {
        /// How long it works until its process, or the machine with all on it, dies.
        required up: DurationLaw,
        /// How long it is dead until it is started again, which takes its `restart` on top.
        required down: DurationLaw,
    }
}
