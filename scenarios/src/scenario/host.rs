//! Machines.

use crate::units::{Bytes, Price};

/// A machine, or several equal ones.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Host {
    /// Its name in the file.
    pub name: String,
    /// How many there are.
    pub count: u32,
    /// Processor cores of each, shared by the components on it, first come first served.
    pub cores: u32,
    /// Main memory of each.
    pub memory: Option<Bytes>,
    /// The zone that they stand in.
    pub zone: Option<String>,
    /// What each costs.
    pub price: Option<Price>,
}
