//! Machines, as written.

use crate::units::{Bytes, Price};

use super::prelude::*;

table! {
    /// A machine, or several equal ones.
    Host {
        /// How many there are.
        default count: Count<1, 1000> = Count(1),
        /// Processor cores of each, shared by the components on it.
        default cores: Count<1, 4096> = Count(1),
        /// Main memory of each.
        optional memory: Bytes,
        /// The zone that they stand in: a data centre, an availability zone.
        optional zone: String,
        /// What each costs.
        optional price: Price,
    }
}
