//! What breaks, as written.

use crate::units::SimTime;

use super::prelude::*;

table! {
    /// Something that breaks for a while: exactly one of `kill`, `hang`, `unplug`, `serve_500`, with a target such as
    /// `host:app[1]` or `component:shop[2]`, counted from 1.
    Fault {
        /// When it starts, on the timeline.
        required at: SimTime,
        /// How long it lasts.
        required length("for"): SimTime,
        /// The process dies: connections are reset, new ones refused.
        optional kill: String,
        /// The process stops: connections are accepted and never answered.
        optional hang: String,
        /// The cable is pulled: silence.
        optional unplug: String,
        /// Every answer is an HTTP 500 at once, health checks included.
        optional serve_500: String,
    }
}
