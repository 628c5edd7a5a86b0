//! Figures that somebody published.

use crate::units::Ratio;

/// A figure that somebody published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Published {
    /// What it is.
    pub what: String,
    /// The metric that it is held against, in a threshold's syntax: `response_time{avg}`, `rate{avg}`.
    pub metric: crate::threshold::Figure,
    /// Its value, in seconds, per second, or as a fraction.
    pub value: f64,
    /// How far off is still a reproduction, relative.
    pub tolerance: Ratio,
}
