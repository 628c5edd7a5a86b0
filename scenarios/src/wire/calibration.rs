//! Fixed costs of the real stack, as written.

use crate::law::DurationLaw;
use crate::units::SimTime;

use super::prelude::*;

table! {
    /// Fixed costs of the real stack.
    Calibration {
        /// Where the figures come from.
        optional source: String,
        /// What the client's own end adds to every request.
        optional client: DurationLaw,
        /// What passing through a component adds, by component.
        default components: Named<ComponentCalibration> = Named::default(),
    }
}

table! {
    /// Fixed costs of one component.
    ComponentCalibration {
        /// Delay added to each request or command that passes through, there and back, without occupying it.
        optional latency: DurationLaw,
        /// For key-value stores: time that one command occupies the single thread.
        optional command: SimTime,
        /// For HTTP caches: processor time that one request takes, and each part that is put into an answer.
        optional request: DurationLaw,
        /// For key-value stores: time that each key of a command occupies it on top.
        optional key: SimTime,
    }
}
