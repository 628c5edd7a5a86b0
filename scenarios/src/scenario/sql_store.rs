//! SQL stores.

use crate::law::DurationLaw;

/// MySQL's role.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SqlStore {
    /// Statements executed at once; others wait in order.
    pub connections: u32,
    /// Processor time of one `select`, whatever the number of rows.
    pub read: DurationLaw,
    /// Processor time of one `update`.
    pub write: DurationLaw,
}
