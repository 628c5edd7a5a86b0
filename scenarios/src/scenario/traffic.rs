//! Who asks, and how fast.

use super::{ClassId, ComponentId, Retries};
use crate::rate::RateCurve;
use crate::units::{Ratio, SimTime};

/// A source of requests.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Traffic {
    /// Its name in the file.
    pub name: String,
    /// The component that it meets first.
    pub to: ComponentId,
    /// How arrivals are spread within the rate.
    pub arrivals: Arrivals,
    /// The rate over the timeline.
    pub rate: RateCurve,
    /// The classes and their shares, which add up to 1.
    pub mix: Vec<(ClassId, Ratio)>,
    /// Connections that the clients keep; a due request that finds none free waits for one.
    pub connections: u32,
    /// Requests under way and waiting at once, above which a due request is dropped and counts as failed.
    pub max_in_flight: u32,
    /// How long after it was *sent* a client gives a request up.
    pub timeout: SimTime,
    /// How requests that failed are sent again. Response time runs from the first due time to the last answer.
    pub retries: Option<Retries>,
}

/// How arrivals are spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Arrivals {
    /// A Poisson process: the arrivals of many independent users.
    Poisson,
    /// Evenly spaced in the cumulative rate.
    Uniform,
}
