//! Ends a run whose thresholds say that it need not go on.

use std::sync::atomic::{AtomicBool, Ordering};

use results::{Frame, RunWriter};
use scenarios::Scenario;
use scenarios::units::SimTime;

/// The thresholds that stop a run.
#[derive(Debug)]
pub(crate) struct Aborts<'a> {
    /// Their places among the scenario's, and from when on they are looked at.
    thresholds: Vec<(usize, SimTime)>,
    stop: &'a AtomicBool,
    /// Whether one of them did.
    pub(crate) aborted: bool,
}

impl<'a> Aborts<'a> {
    pub(crate) fn new(scenario: &Scenario, frame: &Frame, stop: &'a AtomicBool) -> Self {
        let from = |delay: SimTime| frame.warmup.saturating_add(delay);
        let thresholds = scenario.thresholds.iter().enumerate();
        let thresholds = thresholds.filter_map(|(i, t)| Some((i, from(t.abort?)))).collect();
        Self { thresholds, stop, aborted: false }
    }

    /// None: somebody else judges.
    pub(crate) fn none(stop: &'a AtomicBool) -> Self {
        Self { thresholds: Vec::new(), stop, aborted: false }
    }

    /// Looks whether one of them fails by what was recorded so far; then the run is told to stop.
    pub(crate) fn look(&mut self, now: SimTime, writer: &RunWriter) {
        if self.aborted || !self.thresholds.iter().any(|(_, from)| now >= *from) {
            return;
        }
        let record = writer.so_far();
        let fails = |index: usize| {
            let verdict = &record.thresholds[index];
            verdict.passed == Some(false) && verdict.estimate.is_some()
        };
        if self.thresholds.iter().any(|(index, from)| now >= *from && fails(*index)) {
            self.aborted = true;
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}
