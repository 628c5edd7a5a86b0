//! Published figures, as written.

use crate::units::Ratio;

use super::prelude::*;

table! {
    /// A figure that somebody published.
    Published {
        /// What it is.
        required what: String,
        /// The metric that it is held against: `response_time{avg}`, `rate{avg}`.
        required metric: String,
        /// Its value, in the metric's unit.
        required value: String,
        /// How far off is still a reproduction.
        required tolerance: Ratio,
    }
}
