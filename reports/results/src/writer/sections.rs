//! Sections of the record beside the counts: recoveries, replications, the figures' intervals.

use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

use super::document::finite;
use crate::figure::{CONFIDENCE, Estimate, Noise, Selection};
use crate::recovery::Recovery;
use crate::replications::{Replications, Spread};
use crate::wire::seconds;

/// Infinite durations are null.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoveryDocument {
    name: String,
    #[serde(rename = "from_s", with = "seconds")]
    from: SimTime,
    #[serde(rename = "until_s", with = "seconds")]
    until: SimTime,
    #[serde(rename = "step_s", with = "seconds")]
    step: SimTime,
    band_p99_s: Option<f64>,
    band_failed: f64,
    recovery_s: Option<f64>,
    disruption_s: Option<f64>,
}

impl From<&Recovery> for RecoveryDocument {
    fn from(r: &Recovery) -> Self {
        Self {
            name: r.name.clone(),
            from: r.from,
            until: r.until,
            step: r.step,
            band_p99_s: finite(r.band_p99_s),
            band_failed: r.band_failed,
            recovery_s: finite(r.recovery_s),
            disruption_s: finite(r.disruption_s),
        }
    }
}

fn or_infinite(value: Option<f64>) -> f64 {
    value.unwrap_or(f64::INFINITY)
}

impl From<RecoveryDocument> for Recovery {
    fn from(d: RecoveryDocument) -> Self {
        Self {
            name: d.name,
            from: d.from,
            until: d.until,
            step: d.step,
            band_p99_s: or_infinite(d.band_p99_s),
            band_failed: d.band_failed,
            recovery_s: or_infinite(d.recovery_s),
            disruption_s: or_infinite(d.disruption_s),
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplicationsDocument {
    count: u32,
    scale: f64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
    figures: Vec<SpreadDocument>,
}

#[derive(Serialize, Deserialize)]
struct SpreadDocument {
    figure: Selection,
    /// Follows from the values.
    #[serde(skip_deserializing, default)]
    mean: Option<f64>,
    /// Half of the 95% interval; follows from the values.
    #[serde(skip_deserializing, default)]
    half_width: Option<f64>,
    /// Infinite ones are null.
    values: Vec<Option<f64>>,
}

impl From<&Replications> for ReplicationsDocument {
    fn from(r: &Replications) -> Self {
        let figures = r.spreads.iter().map(|spread| SpreadDocument {
            figure: spread.selection,
            mean: finite(spread.moments().mean),
            half_width: finite(spread.moments().half_width(CONFIDENCE)),
            values: spread.values.iter().map(|v| finite(*v)).collect(),
        });
        Self { count: r.count, scale: r.scale, stopped: r.stopped.clone(), figures: figures.collect() }
    }
}

impl ReplicationsDocument {
    /// What was written; classes and windows must be there.
    pub(crate) fn into_replications(self, classes: usize, windows: usize) -> Result<Replications, String> {
        let mut spreads = Vec::new();
        for d in self.figures {
            d.figure.check(classes, windows)?;
            if d.values.len() > self.count as usize {
                return Err(format!(
                    "{}: found {} values of {} replications",
                    d.figure,
                    d.values.len(),
                    self.count
                ));
            }
            let values = d.values.into_iter().map(or_infinite).collect();
            spreads.push(Spread { selection: d.figure, values });
        }
        Ok(Replications { count: self.count, scale: self.scale, stopped: self.stopped, spreads })
    }
}

/// A figure's interval and how it was found.
#[derive(Serialize)]
pub(crate) struct IntervalDocument {
    figure: String,
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    noise: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    batches: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lag_one: Option<f64>,
}

impl IntervalDocument {
    pub(crate) fn new(selection: &Selection, estimate: &Estimate) -> Self {
        let (batches, lag_one) = match estimate.noise {
            Noise::Batches { batches, lag_one } => (Some(batches), Some(lag_one)),
            _ => (None, None),
        };
        Self {
            figure: selection.to_string(),
            value: finite(estimate.value),
            low: finite(estimate.low),
            high: finite(estimate.high),
            noise: estimate.noise.name(),
            batches,
            lag_one,
        }
    }
}
