//! Who played a run that several machines played together.

use serde::{Deserialize, Serialize};

use crate::record::RunRecord;

/// One of the machines, and how it did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// What it calls itself.
    pub name: String,
    /// The segment of the plan that it played, from 1.
    pub segment: u32,
    /// Cores that it may use.
    pub cores: u32,
    /// What it found of its machine's limits when it came: files, ports, timers, and how fast it can be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<String>,
    /// How far its clock was ahead of the coordinator's before the run, in seconds.
    pub clock_offset_s: f64,
    /// How far that may be off: half of the shortest round trip in which it was measured.
    pub clock_error_s: f64,
    /// How much later than agreed its run began by the coordinator's clock, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_skew_s: Option<f64>,
    /// Requests that became due on it and were told of.
    pub requests: u64,
    /// The 99th percentile of its send lag in the measured window where it is worst, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send_lag_p99_s: Option<f64>,
    /// Cores that its generator used on average.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_cores: Option<f64>,
    /// Why there is not all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// The 99th percentile of a run's send lag in the measured window where it is worst, in seconds.
pub fn send_lag_p99_s(record: &RunRecord) -> Option<f64> {
    let windows = record.frame.windows.iter().enumerate().filter(|(_, window)| window.is_measured());
    windows.filter_map(|(index, _)| record.tallies.window_send_lag(index).percentile(99.0)).reduce(f64::max)
}
