//! The network between machines, as written.

use crate::law::DurationLaw;
use crate::units::{Bandwidth, Ratio};

use super::prelude::*;

table! {
    /// The way between two places: hosts, zones (`zone:NAME`), or the `clients`. A way between two hosts goes before one
    /// between their zones. Places without a way between them are joined at no cost, and a machine is at no distance from
    /// itself.
    Link {
        /// The two places, such as `["app", "redis"]`, `["zone:a", "zone:b"]`, `["clients", "edge"]`.
        required between: List<String>,
        /// How long a packet takes one way; a round trip, as `ping` shows it, takes two of these.
        optional latency: DurationLaw,
        /// What all machines at one end can send to those at the other, in each direction; each client has a line of its own.
        optional bandwidth: Bandwidth,
        /// The share of packets that are lost, in each direction.
        default loss: Ratio = Ratio::new(0.0),
    }
}
