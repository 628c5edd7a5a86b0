//! How many workers and instances a service has, where that changes as it runs, as written.

use super::Some1M;
use super::decode::{self, Count, Decode, Decoder, Definitions, Node};
use crate::scenario::{Manager, ScaleMetric, WhenFull};
use crate::units::{Ratio, SimTime};

/// A number of workers, or a process manager's rules.
#[derive(Clone, Debug)]
pub(crate) enum Workers {
    Fixed(Some1M),
    Managed(ManagedWorkers),
}

impl Decode for Workers {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if node.get_ref().is_table() {
            ManagedWorkers::decode(node, at, d).map(Self::Managed)
        } else {
            Count::decode(node, at, d).map(Self::Fixed)
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "anyOf": [Some1M::schema(definitions), ManagedWorkers::schema(definitions)] })
    }

    fn to_json(&self) -> serde_json::Value {
        match self {
            Self::Fixed(count) => count.to_json(),
            Self::Managed(_) => serde_json::Value::Null,
        }
    }
}

table! {
    /// Workers that a process manager starts and ends.
    ManagedWorkers {
        /// Whose rules: Apache's `prefork`, or PHP-FPM's `dynamic` or `ondemand`.
        default manager: Manager = Manager::Dynamic,
        /// The most workers (`MaxRequestWorkers`, `pm.max_children`).
        required max: Some1M,
        /// Workers at the start; by default halfway between the spares, none for `ondemand`.
        optional start: Count<0, 1_000_000>,
        /// Fewer idle workers than this are added to, once a second.
        default min_spare: Some1M = Count(5),
        /// More idle workers than this are reduced, one a second.
        default max_spare: Some1M = Count(10),
        /// How long a worker of `ondemand` may be idle.
        default idle_timeout: SimTime = SimTime::from_secs(10),
        /// How long a new worker takes to be ready.
        default boot: SimTime = SimTime::ZERO,
    }
}

table! {
    /// Adds and takes away instances so that a metric stays near its target. The host's count is the most there can be.
    Autoscale {
        /// The fewest instances, and how many there are at the start.
        default min: Count<1, 1000> = Count(1),
        /// What is held near the target.
        default metric: ScaleMetric = ScaleMetric::Cpu,
        /// The target.
        required target: Ratio,
        /// Between two decisions.
        default interval: SimTime = SimTime::from_secs(15),
        /// From the decision to the first request of a new instance.
        default boot: SimTime = SimTime::from_secs(60),
        /// How long an instance that is taken away may take to end what it has in hand; it is sent nothing new.
        default drain: SimTime = SimTime::from_secs(30),
        /// How long the load has to be low before instances are taken away.
        default down_after: SimTime = SimTime::from_secs(300),
        /// Instances added or taken away at once, at most.
        default step: Count<1, 1000> = Count(4),
    }
}

words!(Manager { "prefork" => Prefork, "dynamic" => Dynamic, "ondemand" => OnDemand });
words!(WhenFull { "wait" => Wait, "reject" => Reject });
words!(ScaleMetric { "cpu" => Cpu, "workers" => Workers });
