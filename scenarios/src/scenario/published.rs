//! What must come out of a scenario.

use crate::threshold::{Aggregate, Comparison, Figure};
use crate::units::Ratio;

/// How a published figure and the scenario are related.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It must follow.
    Predicted,
    /// It was worked out from figures that were published or that the file states: the model can only agree with the arithmetic.
    Derived,
    /// Parameters were chosen so that it follows: no success.
    Fitted,
    /// It is put into the file.
    Input,
    /// The file cannot tell.
    Outside,
}

/// The part of a file that something is said of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaidOf {
    /// The part that is scored, or the whole: not what is played.
    Score,
    /// The part that is played, and nothing else.
    Play,
}

/// What of a run is looked at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Observed {
    /// A figure of requests, in a threshold's syntax.
    Requests(Figure),
    /// What was observed of something in each interval: `varnish.hit_ratio{rate}`.
    Series {
        /// A component's name, `host:` and a machine's, `job:` and a job's, or `failures`.
        of: String,
        /// What was observed.
        metric: String,
        /// How intervals and instances become one number.
        aggregate: Aggregate,
    },
}

/// What is said of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Claim {
    /// It has this value, in seconds, per second, as a fraction, a count or bytes.
    Near {
        /// The value.
        value: f64,
        /// How far off is still a reproduction, relative.
        tolerance: Ratio,
    },
    /// It stands in this relation to a limit, in the same units.
    Holds(Comparison, f64),
}

/// A figure that somebody published, or an outcome that must hold.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Published {
    /// What it is.
    pub what: String,
    /// How it and the scenario are related.
    pub role: Role,
    /// The variant that it is about; none for the file as it is.
    pub variant: Option<String>,
    /// Which part of the file it is said of; none for all.
    pub of: Option<SaidOf>,
    /// Which other published figure it contradicts, and what follows.
    pub contradicts: Option<String>,
    /// What is said of what; none for inputs and for what the file cannot tell.
    pub claim: Option<(Observed, Claim)>,
    /// The metric as written; empty where there is none.
    pub metric: String,
    /// The value or the condition, as written.
    pub stated: String,
    /// Where it was published.
    pub source: Option<String>,
    /// What is assumed for it that the source does not say.
    pub assumed: Option<String>,
    /// Where it stands in the file: `published[3]`.
    pub place: String,
}

/// The scenario with some of its values changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Variant {
    /// Its name.
    pub name: String,
    /// What is different.
    pub what: String,
    /// The paths of the values that it sets.
    pub sets: Vec<String>,
    /// The paths of what it leaves out.
    pub removes: Vec<String>,
}

/// What of a scenario is played over sockets, as [`crate::derive::played`] makes it.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Play {
    /// The part.
    pub window: Window,
    /// The variant that is played where none is asked for; none for the file as it is.
    pub variant: Option<String>,
    /// The paths of the values that it sets.
    pub sets: Vec<String>,
    /// The paths of what it leaves out.
    pub removes: Vec<String>,
    /// Why nothing of the file can be played.
    pub impossible: Option<String>,
}

/// A part of a scenario, as [`crate::derive::window`] takes it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Window {
    /// Where on the timeline it starts.
    pub from: Option<crate::units::SimTime>,
    /// How long it is.
    pub length: Option<crate::units::SimTime>,
    /// The share of the traffic, keys, memory and cores.
    pub rate: Option<Ratio>,
}
