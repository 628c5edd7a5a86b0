//! How many workers and instances a service has, where that changes as it runs.

use crate::units::{Ratio, SimTime};

/// A process manager's rules for the workers of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkerPool {
    /// Whose rules.
    pub manager: Manager,
    /// Workers at the start.
    pub start: u32,
    /// The most there may be.
    pub most: u32,
    /// Fewer idle workers than this are added to, once a second.
    pub min_spare: u32,
    /// More idle workers than this are reduced, one a second.
    pub max_spare: u32,
    /// How long a worker started on demand may be idle.
    pub idle_timeout: SimTime,
    /// How long a new worker takes to be ready.
    pub boot: SimTime,
}

impl WorkerPool {
    /// A pool under a manager that starts with `start` and ends with `most` workers, and keeps `spare[0]` to `spare[1]`
    /// idle ones.
    pub const fn new(
        manager: Manager,
        start: u32,
        most: u32,
        spare: [u32; 2],
        idle_timeout: SimTime,
        boot: SimTime,
    ) -> Self {
        Self { manager, start, most, min_spare: spare[0], max_spare: spare[1], idle_timeout, boot }
    }
}

/// Who starts and ends workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Manager {
    /// Apache's prefork.
    Prefork,
    /// PHP-FPM's `pm = dynamic`.
    Dynamic,
    /// PHP-FPM's `pm = ondemand`.
    OnDemand,
}

/// What becomes of a request that finds all workers busy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// It waits in the backlog.
    Wait,
    /// It is answered 503 at once, without a worker.
    Reject,
}

/// When instances are added and taken away: target tracking, as Kubernetes' horizontal autoscaler does it.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Autoscale {
    /// The fewest instances, and how many there are at the start.
    pub least: u32,
    /// The most: the count of the host.
    pub most: u32,
    /// What is held near the target.
    pub metric: ScaleMetric,
    /// Its target, as a share.
    pub target: Ratio,
    /// Between two decisions.
    pub interval: SimTime,
    /// From the decision to the first request of a new instance.
    pub boot: SimTime,
    /// How long an instance that is taken away may take to end what it has in hand.
    pub drain: SimTime,
    /// How long the load has to be low before instances are taken away.
    pub down_after: SimTime,
    /// Instances added or taken away at once, at most.
    pub step: u32,
}

impl Autoscale {
    /// From `bounds[0]` to `bounds[1]` instances; `times` are the interval, the boot time, the time to drain, and how long
    /// a low load is waited for.
    pub const fn new(
        bounds: [u32; 2],
        metric: ScaleMetric,
        target: Ratio,
        times: [SimTime; 4],
        step: u32,
    ) -> Self {
        let [interval, boot, drain, down_after] = times;
        Self { least: bounds[0], most: bounds[1], metric, target, interval, boot, drain, down_after, step }
    }
}

/// What an autoscaler looks at: the mean over the serving instances and the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ScaleMetric {
    /// Busy cores of the instances' hosts over all of them.
    Cpu,
    /// Busy workers over all of them.
    Workers,
}
