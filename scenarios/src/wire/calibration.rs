//! Fixed costs of the real stack, as written.

use crate::law::DurationLaw;
use crate::units::{Bytes, SimTime};

use super::decode::Keyed;
use super::prelude::*;

table! {
    /// Fixed costs of the real stack.
    Calibration {
        /// Where the figures come from.
        optional source: String,
        /// A file beside this one, with a table `[calibration]` as `sim calibrate` writes it. What this file says itself goes over
        /// what is included.
        optional include: String,
        /// Which stack the figures were fitted to: the hash that `sim calibrate` writes. Another stack than this file's is a warning.
        optional fitted_to: String,
        /// The machine on which they were measured.
        optional machine: String,
        /// What the client's own end adds to every request.
        optional client: DurationLaw,
        /// How much later than it should each piece of a service's `work` ends, with its core free again.
        optional work: SimTime,
        /// What passing through a component adds, by component.
        default components: Named<ComponentCalibration> = Named::default(),
        /// Half the widths of the 95% intervals of the figures' means, by their paths: `"components.shop.latency" = "2us"`.
        default uncertainty: Keyed<SimTime> = Keyed::default(),
    }
}

table! {
    /// Fixed costs of one component.
    ComponentCalibration {
        /// Delay added to each request or command that passes through, there and back, without occupying it.
        optional latency: DurationLaw,
        /// For key-value stores: time that one command occupies the single thread.
        optional command: SimTime,
        /// For HTTP caches: processor time that one request takes, and each part that is put into an answer. For load balancers: on
        /// their one thread, so that it can saturate.
        optional request: DurationLaw,
        /// For HTTP caches: processor time on top of a request that finds nothing at work, beside the answer's way: waking costs it.
        optional wake: SimTime,
        /// For HTTP caches: delay of a fetch from the back end on top, of a miss and of what is passed on.
        optional fetch: DurationLaw,
        /// For key-value stores: time that each key of a command occupies it on top.
        optional key: SimTime,
        /// For key-value stores: memory that counts towards `max_memory` beside records: of the server itself, and of its clients.
        optional memory: Bytes,
        /// For SQL stores: processor time of a `select`, in place of what the component says; of servers that take what they take.
        optional read: DurationLaw,
        /// For SQL stores: processor time of an `update`, likewise.
        optional write: DurationLaw,
        /// For SQL stores: delay of a `select`, there and back, without occupying anything; in place of `latency`.
        optional read_latency: DurationLaw,
        /// For SQL stores: delay of an `update`, likewise.
        optional write_latency: DurationLaw,
    }
}

table! {
    /// A file that a scenario includes.
    Overlay {
        /// What it says.
        required calibration: Calibration,
    }
}
