//! How a run stands while it goes on: for those who watch.

use results::tally::{Distribution, Tallies, Tally};
use results::{Delta, Frame};
use scenarios::units::SimTime;

use crate::engine::Pulse;

/// How a run stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Snapshot {
    /// The run's time.
    pub at: SimTime,
    /// Its end.
    pub total: SimTime,
    /// What the engine's threads reported last.
    pub pulse: Pulse,
    /// Requests that became due in the last second reported.
    pub rate: f64,
    /// Response times so far, in seconds, warm-up left out once it is over.
    pub p50: Option<f64>,
    /// The same.
    pub p99: Option<f64>,
}

/// All that was counted in windows so far, and the snapshot of the last second.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    frame: &'a Frame,
    tallies: Tallies,
    pub(crate) snapshot: Snapshot,
    planned_before: (SimTime, u64),
}

impl<'a> Standing<'a> {
    pub(crate) fn new(frame: &'a Frame) -> Self {
        Self {
            frame,
            tallies: Tallies::new(frame),
            snapshot: Snapshot { total: frame.total, ..Snapshot::default() },
            planned_before: (SimTime::ZERO, 0),
        }
    }

    /// Adds what was recorded.
    pub(crate) fn add(&mut self, delta: &Delta) {
        self.tallies.merge_windows(delta.tallies());
    }

    /// Another second is over at `now`; when the one before it was.
    pub(crate) fn second(&mut self, now: SimTime, pulse: Pulse) -> SimTime {
        let (then, planned) = std::mem::replace(&mut self.planned_before, (now, pulse.planned));
        let response_times = self.response_times(now);
        let elapsed = now.saturating_sub(then).as_secs_f64();
        let added = pulse.planned.saturating_sub(planned) as f64;
        self.snapshot = Snapshot {
            at: now,
            pulse,
            rate: if elapsed > 0.1 { added / elapsed } else { self.snapshot.rate },
            p50: response_times.percentile(50.0),
            p99: response_times.percentile(99.0),
            ..self.snapshot
        };
        then
    }

    /// Response times so far: of the measured part as soon as it has begun.
    fn response_times(&self, now: SimTime) -> Distribution {
        let mut measured = Tally::default();
        let begun = now > self.frame.warmup;
        for (index, window) in self.frame.windows.iter().enumerate() {
            if window.is_measured() == begun {
                measured.merge(&self.tallies.window(index, None));
            }
        }
        measured.response_times()
    }
}
