//! Fixed costs of the real stack.

use crate::law::DurationLaw;
use crate::units::{Bytes, SimTime};

use super::{ComponentId, ComponentKind, Scenario};

/// Fixed costs of the real stack as measured on runs other than the ones compared; only the simulator reads them.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Calibration {
    /// Where the figures come from.
    pub source: Option<String>,
    /// The stack that they were fitted to, as [`Scenario::stack`] names it.
    pub fitted_to: Option<String>,
    /// The machine on which they were measured.
    pub machine: Option<String>,
    /// What the client's own end adds to every request.
    pub client: Option<DurationLaw>,
    /// How much later than it should each piece of a service's work ends, with its core free again.
    pub work: Option<SimTime>,
    /// What passing through a component adds, by component; in the order of [`Scenario::components`].
    pub components: Vec<ComponentCalibration>,
    /// Half the widths of the 95% intervals of the figures' means, by their paths below `calibration`.
    pub uncertainty: Vec<(String, SimTime)>,
    /// Components that the included file has costs for, and this one does not have.
    pub unknown: Vec<String>,
    /// The text of the included file, until it is part of the scenario's own.
    pub(crate) included: Option<String>,
}

/// Fixed costs of one component.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct ComponentCalibration {
    /// Delay added to each request or command that passes through it, there and back, without occupying it.
    pub latency: Option<DurationLaw>,
    /// For stores: time that one command occupies the single thread.
    pub command: Option<SimTime>,
    /// For HTTP caches: processor time that one request takes, and each part that is put into an answer. For load balancers: on
    /// their one thread, so that it can saturate.
    pub request: Option<DurationLaw>,
    /// For HTTP caches: processor time on top of a request that finds nothing at work, beside the answer's way: waking costs it.
    pub wake: Option<SimTime>,
    /// For HTTP caches: delay of a fetch from the back end on top, of a miss and of what is passed on.
    pub fetch: Option<DurationLaw>,
    /// For stores: time that each key of a command occupies it on top.
    pub key: Option<SimTime>,
    /// For stores: memory that counts towards the limit beside records: of the server itself, and of its clients.
    pub memory: Option<Bytes>,
    /// For SQL stores: processor time of a read, in place of what the component says.
    pub read: Option<DurationLaw>,
    /// For SQL stores: processor time of a write, likewise.
    pub write: Option<DurationLaw>,
    /// For SQL stores: delay of a read, there and back, without occupying it, in place of `latency`.
    pub read_latency: Option<DurationLaw>,
    /// For SQL stores: delay of a write, likewise.
    pub write_latency: Option<DurationLaw>,
}

impl Scenario {
    /// Processor time of a statement of an SQL store: as calibrated, or else as the component says. None of other components.
    pub fn statement_law(&self, database: ComponentId, writes: bool) -> Option<DurationLaw> {
        let ComponentKind::SqlStore(store) = &self.component(database).kind else { return None };
        let calibrated = self.calibration.components.get(database.index()).copied().unwrap_or_default();
        Some(match writes {
            true => calibrated.write.unwrap_or(store.write),
            false => calibrated.read.unwrap_or(store.read),
        })
    }

    /// Why the calibration may not be this stack's; none where nothing speaks against it.
    pub fn calibration_warning(&self) -> Option<String> {
        let Calibration { fitted_to, unknown, .. } = &self.calibration;
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return Some(format!(
                "calibration: what it includes has costs of components that this file does not have: {unknown}"
            ));
        }
        let stack = self.stack();
        let fitted_to = fitted_to.as_ref().filter(|fitted_to| **fitted_to != stack)?;
        let short = |hash: &str| hash.chars().take(12).collect::<String>();
        Some(format!(
            "calibration: its costs were fitted to another stack ({}…) than this file's ({}…): measure this one with \"loadgen \
             measure\"",
            short(fitted_to),
            short(&stack)
        ))
    }
}
