//! What is held against a measurement, as written: which cases, how often, and how far off is still good.

use crate::units::Ratio;

use super::prelude::*;

table! {
    /// Cases of the file that are simulated and played: how far apart prediction and measurement are. `report twin FILE`.
    Twin {
        /// Names of variants, and `base` for the file as it is; without any, that and all variants.
        default cases: List<String> = List::default(),
        /// With so many seeds: the file's own and those that follow it.
        default repetitions: Count<1, 100> = Count(5),
        /// The cases that make up a curve of latency against load, and which share of its capacity each asks of the stack:
        /// `{ steady-30 = "30%" }`.
        default loads: Named<Ratio> = Named::default(),
        /// How far off is still good.
        optional targets: TwinTargets,
    }
}

table! {
    /// How far a prediction may be off.
    TwinTargets {
        /// Good answers a second, relative.
        default goodput: Ratio = TwinTargets::standard().goodput,
        /// The median of the response time, relative.
        default p50: Ratio = TwinTargets::standard().p50,
        /// Its 99th percentile up to 70% of the capacity, relative.
        default p99: Ratio = TwinTargets::standard().p99,
        /// Above that, the load at which the simulated 99th percentile is the measured one, relative.
        default load: Ratio = TwinTargets::standard().load,
        /// The share of what a cache or a store had of what it was asked for, in points.
        default hit_ratio: Ratio = TwinTargets::standard().hit_ratio,
        /// Depth and duration of the dip after a fault, relative.
        default dip: Ratio = TwinTargets::standard().dip,
        /// The busy share of a component, in points.
        default utilisation: Ratio = TwinTargets::standard().utilisation,
    }
}

impl TwinTargets {
    /// What holds where the file says nothing.
    pub(crate) fn standard() -> Self {
        Self {
            goodput: Ratio::new(0.05),
            p50: Ratio::new(0.10),
            p99: Ratio::new(0.20),
            load: Ratio::new(0.10),
            hit_ratio: Ratio::new(0.01),
            dip: Ratio::new(0.25),
            utilisation: Ratio::new(0.08),
        }
    }
}
