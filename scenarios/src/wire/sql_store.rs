//! SQL stores, as written.

use crate::law::DurationLaw;

use super::prelude::*;

table! {
    /// Executes statements (MySQL's role).
    SqlStore {
        /// Statements executed at once; others wait in order.
        default connections: Some1M = Count(100),
        /// Processor time of a `select`.
        required read: DurationLaw,
        /// Processor time of an `update`; by default the same as `read`.
        optional write: DurationLaw,
    }
}
