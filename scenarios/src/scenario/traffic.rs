//! Who asks, what breaks, and what the outcome is held against.

use super::{ClassId, ComponentId, HostId};
use crate::law::DurationLaw;
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

/// Something that breaks for a while, in the run's own time.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Fault {
    /// A name for reports, such as `kill host:app[1]`.
    pub name: String,
    /// Its path in the file, such as `faults[2]`.
    pub place: String,
    /// When it starts.
    pub from: SimTime,
    /// When it is mended; a killed process starts again then.
    pub until: SimTime,
    /// How it breaks.
    pub kind: FaultKind,
    /// What breaks.
    pub target: FaultTarget,
}

/// How something breaks, as TCP shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// The process dies: connections are reset, new ones refused at once.
    Kill,
    /// The process stops: connections are accepted by the kernel and never answered.
    Hang,
    /// The cable is pulled: silence.
    Unplug,
    /// Every answer is an HTTP 500 at once, health checks included.
    Serve500,
}

impl FaultKind {
    /// The kind's name in the file.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Hang => "hang",
            Self::Unplug => "unplug",
            Self::Serve500 => "serve_500",
        }
    }
}

/// What breaks. Instances count from zero here and from one in files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultTarget {
    /// One machine with all that runs on it.
    Host(HostId, u32),
    /// One instance of a component.
    Component(ComponentId, u32),
}

/// A figure that somebody published.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Published {
    /// What it is.
    pub what: String,
    /// The metric that it is held against, in a threshold's syntax: `response_time{avg}`, `rate{avg}`.
    pub metric: crate::threshold::Figure,
    /// Its value, in seconds, per second, or as a fraction.
    pub value: f64,
    /// How far off is still a reproduction, relative.
    pub tolerance: Ratio,
}

/// Fixed costs of the real stack as measured on runs other than the ones compared; only the simulator reads them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Calibration {
    /// Where the figures come from.
    pub source: Option<String>,
    /// What the client's own end adds to every request.
    pub client: Option<DurationLaw>,
    /// What passing through a component adds, by component; in the order of [`super::Scenario::components`].
    pub components: Vec<ComponentCalibration>,
}

/// Fixed costs of one component.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ComponentCalibration {
    /// Delay added to each request or command that passes through it, there and back, without occupying it.
    pub latency: Option<DurationLaw>,
    /// For stores: time that one command occupies the single thread.
    pub command: Option<SimTime>,
    /// For stores: time that each key of a command occupies it on top.
    pub key: Option<SimTime>,
}
