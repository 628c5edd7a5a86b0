//! Breaks and mends what the scenario says, when it says so, and asks the components how they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use results::{Frame, Sample, sample};
use scenarios::Scenario;
use scenarios::units::SimTime;

use crate::clock::Clock;
use crate::journal::Event;
use crate::system::{Differences, Problem, System};

/// The end of the run is noticed this soon.
const LOOK: SimTime = SimTime::from_millis(50);
/// A fault carried out later than this makes the run invalid: windows would not show what they are named after.
const LATE: SimTime = SimTime::from_millis(500);
/// Metric of the generator's samples: how late the interval's last fault was begun or ended, in seconds.
pub const FAULT_LAG_S: &str = "fault_lag_s";

/// A fault's edge. At equal times what ends comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Edge {
    End(usize),
    Begin(usize),
}

/// All edges inside the run, in order.
fn edges(scenario: &Scenario, frame: &Frame) -> Vec<(SimTime, Edge)> {
    let mut edges = Vec::new();
    for (index, fault) in scenario.faults.iter().enumerate() {
        if fault.from < frame.total {
            edges.push((fault.from, Edge::Begin(index)));
            // A flush happens and is over. What outlasts the run is not mended: the stack is stopped.
            if fault.from < fault.until && fault.until < frame.total {
                edges.push((fault.until, Edge::End(index)));
            }
        }
    }
    edges.sort_unstable();
    edges
}

/// What both threads need to know.
#[derive(Clone, Copy)]
pub(crate) struct Control<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) frame: &'a Frame,
    pub(crate) clock: Clock,
    pub(crate) system: &'a dyn System,
    /// Set when the run is over.
    pub(crate) over: &'a AtomicBool,
}

impl Control<'_> {
    /// Tells the system when the run begins, and carries the faults out, until the run is over.
    pub(crate) fn faults(self, events: &Sender<Event>) {
        self.clock.sleep_until(SimTime::ZERO);
        if let Err(problem) = self.system.begin() {
            let told = format!("the system was not told that the run begins: {problem}");
            if events.send(Event::Unsound(told)).is_err() {
                return;
            }
        }
        for (at, edge) in edges(self.scenario, self.frame) {
            if !self.wait(at) {
                return;
            }
            let started = self.clock.now();
            let event = match edge {
                Edge::Begin(index) => {
                    self.report("begun", index, (at, started), self.system.begin_fault(index))
                }
                Edge::End(index) => self.report("ended", index, (at, started), self.system.end_fault(index)),
            };
            if events.send(event).is_err() {
                return;
            }
        }
    }

    /// Asks for figures at the end of every interval, until the run is over.
    pub(crate) fn figures(self, events: &Sender<Event>) {
        // Counters start before the run: prefill and connections are not the first interval's.
        let mut differences = Differences::default();
        if let Ok(readings) = self.system.stats() {
            differences.samples(0, 0.0, readings);
        }
        for interval in 0..self.frame.intervals() {
            if !self.wait(self.frame.bounds(interval).1) {
                return;
            }
            // A reading that fails leaves a gap in the series; the next one covers its time.
            let Ok(readings) = self.system.stats() else { continue };
            let samples = differences.samples(interval, self.clock.now().as_secs_f64(), readings);
            if events.send(Event::Samples(samples)).is_err() {
                return;
            }
        }
    }

    /// Waits for a point of the run; `false` where the run is over before.
    fn wait(&self, at: SimTime) -> bool {
        while self.clock.now() < at {
            if self.over.load(Ordering::Relaxed) {
                return false;
            }
            self.clock.sleep_until(at.min(self.clock.now() + LOOK));
        }
        true
    }

    /// What is reported of a fault's edge.
    fn report(
        &self,
        what: &str,
        index: usize,
        (due, started): (SimTime, SimTime),
        result: Result<(), Problem>,
    ) -> Event {
        let name = &self.scenario.faults[index].name;
        let late = started.saturating_sub(due);
        if let Err(problem) = result {
            return Event::Unsound(format!("the fault {name:?} could not be {what}: {problem}"));
        }
        if late > LATE {
            let (late, limit) = (late.as_secs_f64() * 1e3, LATE.as_secs_f64() * 1e3);
            return Event::Unsound(format!(
                "the fault {name:?} was {what} {late:.0} ms late (limit {limit:.0} ms)"
            ));
        }
        Event::Samples(vec![Sample {
            interval: self.frame.interval_of(due),
            component: sample::GENERATOR.to_owned(),
            instance: 0,
            metric: FAULT_LAG_S.into(),
            value: late.as_secs_f64(),
        }])
    }
}
