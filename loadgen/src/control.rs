//! Breaks and mends what the scenario says, when it says so, and asks the components how they are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use results::{Frame, Sample, sample};
use scenarios::Scenario;
use scenarios::units::SimTime;

use crate::clock::Clock;
use crate::run::Event;
use crate::system::{Differences, System};

/// The end of the run is noticed this soon.
const LOOK: SimTime = SimTime::from_millis(50);
/// A fault carried out later than this makes the run invalid: windows would not show what they are named after.
const LATE: SimTime = SimTime::from_millis(500);
/// Metric of the generator's samples: how late the interval's last fault was begun or ended, in seconds.
pub const FAULT_LAG_S: &str = "fault_lag_s";

/// What the control thread does at a point of the run. Faults come before the reading at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    End(usize),
    Begin(usize),
    Read(usize),
}

/// All that is to be done, in order.
fn tasks(scenario: &Scenario, frame: &Frame) -> Vec<(SimTime, Task)> {
    let mut tasks: Vec<_> = (0..frame.intervals()).map(|i| (frame.bounds(i).1, Task::Read(i))).collect();
    for (index, fault) in scenario.faults.iter().enumerate() {
        if fault.from < fault.until && fault.from < frame.total {
            tasks.push((fault.from, Task::Begin(index)));
            // What outlasts the run is not mended: the stack is stopped.
            if fault.until < frame.total {
                tasks.push((fault.until, Task::End(index)));
            }
        }
    }
    tasks.sort_unstable();
    tasks
}

/// Does it, until the run is over.
pub(crate) fn control(
    scenario: &Scenario,
    frame: &Frame,
    clock: Clock,
    system: &mut dyn System,
    over: &AtomicBool,
    events: &Sender<Event>,
) {
    // Counters start before the run: prefill and connections are not the first interval's.
    let mut differences = Differences::default();
    if let Ok(readings) = system.stats() {
        differences.samples(0, 1.0, readings);
    }
    let mut read_at = SimTime::ZERO;
    for (at, task) in tasks(scenario, frame) {
        while clock.now() < at {
            if over.load(Ordering::Relaxed) {
                return;
            }
            clock.sleep_until(at.min(clock.now() + LOOK));
        }
        let started = clock.now();
        let event = match task {
            Task::Read(interval) => {
                let Ok(readings) = system.stats() else { continue };
                let seconds = started.saturating_sub(read_at).max(SimTime::from_millis(1)).as_secs_f64();
                read_at = started;
                Event::Samples(differences.samples(interval, seconds, readings))
            }
            Task::Begin(index) => {
                fault(scenario, frame, "begun", index, (at, started), system.begin_fault(index))
            }
            Task::End(index) => {
                fault(scenario, frame, "ended", index, (at, started), system.end_fault(index))
            }
        };
        if events.send(event).is_err() {
            return;
        }
    }
    while !over.load(Ordering::Relaxed) {
        std::thread::sleep(LOOK.as_duration());
    }
}

/// What is reported of a fault's edge.
fn fault(
    scenario: &Scenario,
    frame: &Frame,
    what: &str,
    index: usize,
    (due, started): (SimTime, SimTime),
    result: Result<(), crate::system::Problem>,
) -> Event {
    let name = &scenario.faults[index].name;
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
        interval: frame.interval_of(due),
        component: sample::GENERATOR.to_owned(),
        instance: 0,
        metric: FAULT_LAG_S.into(),
        value: late.as_secs_f64(),
    }])
}
