//! Fixed costs of the real stack.

use crate::law::DurationLaw;
use crate::units::SimTime;

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
    /// For HTTP caches: processor time that one request takes, and each part that is put into an answer.
    pub request: Option<DurationLaw>,
    /// For stores: time that each key of a command occupies it on top.
    pub key: Option<SimTime>,
}
