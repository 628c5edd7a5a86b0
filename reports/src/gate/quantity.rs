//! What is compared, which way is worse, and what difference matters.

use serde::{Deserialize, Serialize};

/// A quantity of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Processor time of the server's processes a request, in seconds. Only where the gate started them.
    CpuPerRequest,
    /// The median of the response times, in seconds.
    P50,
    /// Their 99th percentile, in seconds.
    P99,
    /// Good answers a second, of closed loops.
    Throughput,
    /// The share of requests that failed.
    Failed,
}

/// What a difference of a metric means. Differences are positive where the candidate is worse: logarithms of ratios, and
/// for shares plain differences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Up to this, nobody minds.
    pub margin: f64,
    /// From this on, it must be noticed.
    pub detect: f64,
    /// Whether a session that could not have noticed it is inconclusive.
    pub gated: bool,
}

impl Metric {
    /// The name in files and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::CpuPerRequest => "cpu_per_request",
            Self::P50 => "p50",
            Self::P99 => "p99",
            Self::Throughput => "throughput",
            Self::Failed => "failed",
        }
    }

    /// Whether its differences are ratios.
    pub const fn is_relative(self) -> bool {
        !matches!(self, Self::Failed)
    }

    /// How much worse a value is than another.
    pub fn worsening(self, base: f64, candidate: f64) -> f64 {
        match self {
            Self::CpuPerRequest | Self::P50 | Self::P99 => (candidate / base).ln(),
            Self::Throughput => (base / candidate).ln(),
            Self::Failed => candidate - base,
        }
    }

    /// The centre of two values of the base, by which a worsening is the mean of the worsenings over each.
    pub fn centre(self, a: f64, b: f64) -> f64 {
        if self.is_relative() { (a * b).sqrt() } else { 0.5 * (a + b) }
    }

    /// What a value becomes when it is worse by so much.
    pub fn worsened(self, value: f64, by: f64) -> f64 {
        match self {
            Self::CpuPerRequest | Self::P50 | Self::P99 => value * by.exp(),
            Self::Throughput => value * (-by).exp(),
            Self::Failed => (value + by).min(1.0),
        }
    }

    /// A worsening as readers see it: `+5.0%`, or points of a share.
    pub fn show(self, worsening: f64) -> String {
        let percent = match self {
            Self::Throughput => 100.0 * (-worsening).exp_m1(),
            Self::Failed => 100.0 * worsening,
            _ => 100.0 * worsening.exp_m1(),
        };
        match self {
            _ if percent.is_infinite() || percent >= 1e6 => "unbounded".to_owned(),
            Self::Throughput if worsening == f64::INFINITY => "unbounded".to_owned(),
            Self::Failed => format!("{percent:+.2} points"),
            _ => format!("{percent:+.1}%"),
        }
    }
}

/// A metric of one of the scenarios that a block plays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quantity {
    /// The scenario's file, without its directory and ending.
    pub scenario: String,
    /// The metric.
    pub metric: Metric,
}

impl std::fmt::Display for Quantity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {}", self.metric.name(), self.scenario)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn worse_is_positive_whatever_the_metric() {
        assert!(Metric::P50.worsening(0.010, 0.011) > 0.0);
        assert!(Metric::Throughput.worsening(1000.0, 900.0) > 0.0);
        assert!(Metric::Failed.worsening(0.0, 0.01) > 0.0);
    }

    #[test]
    fn worsened_is_worse_by_as_much() {
        for metric in [Metric::CpuPerRequest, Metric::P99, Metric::Throughput, Metric::Failed] {
            let worse = metric.worsened(0.25, 0.05);
            assert!((metric.worsening(0.25, worse) - 0.05).abs() < 1e-12, "{metric:?}");
        }
    }

    #[test]
    fn readers_see_the_change_of_the_value() {
        assert_eq!(Metric::P50.show(1.05_f64.ln()), "+5.0%");
        assert_eq!(Metric::Throughput.show((1.0 / 0.95_f64).ln()), "-5.0%");
        assert_eq!(Metric::Failed.show(0.0012), "+0.12 points");
        assert_eq!(Metric::P50.show(f64::INFINITY), "unbounded");
    }
}
