//! Counting outcomes as they come, at the least cost: the simulator records millions a second.
//!
//! The interval and window of the last due time are remembered, since due times come almost in order. A cell's
//! histograms are allocated when first touched and grow by octaves, so that what is hot fits the cache.

use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

use crate::buckets::{Coarse, Fine};
use crate::frame::Frame;
use crate::outcome::{Failure, Outcome};
use crate::recovery::{self, Slot, Watch};
use crate::tally::{Tallies, Tally};

/// Counts the outcomes of a run, or of one thread's share of it.
#[derive(Clone, Debug)]
pub struct Recorder {
    frame: Frame,
    tallies: Tallies,
    watches: Vec<Watch>,
    slots: Vec<Slot>,
    due: Cursor,
    done: Cursor,
}

/// The part of the axis in which the last time lay: inside both an interval and a window.
#[derive(Clone, Copy, Debug)]
struct Cursor {
    from: u64,
    length: u64,
    interval: usize,
    window: usize,
    /// The stretch around a fault in which all of it lies.
    watch: Option<Watch>,
}

impl Cursor {
    #[inline]
    fn holds(&self, nanos: u64) -> bool {
        nanos.wrapping_sub(self.from) < self.length
    }

    /// Moves to where `at` lies; the last interval and window extend past the run's end.
    #[cold]
    fn seek(&mut self, frame: &Frame, watches: &[Watch], at: SimTime) {
        self.interval = frame.interval_of(at);
        self.window = frame.window_of(at);
        let interval_from = frame.bounds(self.interval).0;
        let last = self.interval + 1 == frame.intervals();
        let until = if last { SimTime::MAX } else { interval_from + frame.interval };
        let (from, until) = match frame.windows.get(self.window) {
            None => (interval_from, until),
            Some(w) => {
                let end = if self.window + 1 == frame.windows.len() { SimTime::MAX } else { w.until };
                (interval_from.max(w.from), until.min(end))
            }
        };
        let next = watches.partition_point(|w| w.until <= at);
        let from = next.checked_sub(1).map_or(from, |last| from.max(watches[last].until));
        self.watch = watches.get(next).filter(|w| w.from <= at).copied();
        let (from, until) = match (self.watch, watches.get(next)) {
            (Some(watch), _) => (from.max(watch.from), until.min(watch.until)),
            (None, Some(later)) => (from, until.min(later.from)),
            (None, None) => (from, until),
        };
        self.from = from.as_nanos();
        self.length = until.saturating_sub(from).as_nanos();
    }
}

/// What was recorded between two [`Recorder::take`]s. It may be written and read back without loss, for whoever counts on
/// another machine; what was read is held against the run's frame by [`Delta::fits`] before it is used.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Delta {
    pub(crate) tallies: Tallies,
    /// Seconds around faults.
    pub(crate) slots: Vec<Slot>,
}

impl Delta {
    /// Adds what another recorder of the same run counted.
    pub fn merge(&mut self, other: &Self) {
        self.tallies.merge(&other.tallies);
        merge_slots(&mut self.slots, &other.slots);
    }

    /// Whether it was counted in a run of this frame: only then may it be added to others of it.
    pub fn fits(&self, frame: &Frame) -> bool {
        let slots = recovery::slots(&recovery::watches(frame));
        self.slots.len() == slots && Tallies::new(frame).fits(&self.tallies)
    }

    /// The counts.
    pub fn tallies(&self) -> &Tallies {
        &self.tallies
    }
}

impl Recorder {
    /// A recorder that has seen nothing.
    pub fn new(frame: &Frame) -> Self {
        let nowhere = Cursor { from: 0, length: 0, interval: 0, window: 0, watch: None };
        let watches = recovery::watches(frame);
        let slots = vec![Slot::default(); recovery::slots(&watches)];
        let tallies = Tallies::new(frame);
        Self { frame: frame.clone(), tallies, watches, slots, due: nowhere, done: nowhere }
    }

    /// Counts one outcome, where the request was due.
    #[inline]
    pub fn record(&mut self, outcome: &Outcome) {
        self.count(
            outcome.class.index(),
            outcome.due,
            outcome.sent,
            outcome.done,
            outcome.lag,
            outcome.result,
        );
    }

    #[inline]
    pub(crate) fn count(
        &mut self,
        class: usize,
        due: SimTime,
        sent: Option<SimTime>,
        done: SimTime,
        lag: SimTime,
        result: Result<(), Failure>,
    ) {
        if !self.due.holds(due.as_nanos()) {
            self.due.seek(&self.frame, &self.watches, due);
        }
        let (at_interval, at_window) = (self.due.interval, self.due.window);
        let cell = self.tallies.cells[at_interval * self.tallies.classes + class].get_or_insert_default();
        let window = self.tallies.windows[at_window * self.tallies.classes + class].get_or_insert_default();
        self.tallies.latest = self.tallies.latest.max(done);
        let response = done.saturating_sub(due).as_nanos();
        if let Some(watch) = &self.due.watch {
            self.slots[watch.slot(due)].count(response, result);
        }
        if let (Some(sent), Ok(())) = (sent, result)
            && sent == due
            && lag == SimTime::ZERO
        {
            // The common case: one time is both, and stands in half the memory until it is asked for.
            cell.sent += 1;
            cell.ok += 1;
            cell.direct.add(response);
            cell.direct_sum_nanos = cell.direct_sum_nanos.saturating_add(response);
            window.sent += 1;
            window.ok += 1;
            window.direct.add(response);
            window.direct_sum_nanos = window.direct_sum_nanos.saturating_add(response);
            return self.answered(done);
        }
        if let Some(sent) = sent {
            let service = done.saturating_sub(sent).as_nanos();
            cell.sent += 1;
            cell.service.add(service);
            window.sent += 1;
            window.service.add(service);
            cell.service_sum_nanos = cell.service_sum_nanos.saturating_add(service);
            window.service_sum_nanos = window.service_sum_nanos.saturating_add(service);
            if lag > SimTime::ZERO {
                self.tallies.interval_lags[at_interval].add(lag.as_nanos());
                self.tallies.window_lags[at_window].add(lag.as_nanos());
            }
        }
        match result {
            Ok(()) => {
                cell.ok += 1;
                cell.response.add(response);
                window.ok += 1;
                window.response.add(response);
                cell.response_sum_nanos = cell.response_sum_nanos.saturating_add(response);
                window.response_sum_nanos = window.response_sum_nanos.saturating_add(response);
                self.answered(done);
            }
            Err(failure) => fail(cell, window, failure, response),
        }
    }

    /// A good answer came.
    #[inline]
    fn answered(&mut self, done: SimTime) {
        if !self.done.holds(done.as_nanos()) {
            self.done.seek(&self.frame, &self.watches, done);
        }
        // What is answered after the run's end belongs to no interval.
        if done < self.frame.total {
            self.tallies.answered[self.done.interval] += 1;
        }
    }

    /// Adds what another recorder of the same frame counted.
    pub fn merge(&mut self, mut other: Self) {
        self.tallies.settle();
        other.tallies.settle();
        self.tallies.merge(&other.tallies);
        merge_slots(&mut self.slots, &other.slots);
    }

    /// What was recorded since the last call.
    pub fn take(&mut self) -> Delta {
        let slots = vec![Slot::default(); self.slots.len()];
        self.tallies.settle();
        Delta {
            tallies: std::mem::replace(&mut self.tallies, Tallies::new(&self.frame)),
            slots: std::mem::replace(&mut self.slots, slots),
        }
    }
}

pub(crate) fn merge_slots(mine: &mut [Slot], theirs: &[Slot]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs).filter(|(_, theirs)| theirs.due > 0) {
        mine.merge(theirs);
    }
}

#[inline(never)]
fn fail(cell: &mut Tally<Coarse>, window: &mut Tally<Fine>, failure: Failure, response: u64) {
    cell.failures[failure.index()] += 1;
    window.failures[failure.index()] += 1;
    if failure != Failure::Dropped {
        cell.failed_response.add(response);
        window.failed_response.add(response);
        cell.response_sum_nanos = cell.response_sum_nanos.saturating_add(response);
        window.response_sum_nanos = window.response_sum_nanos.saturating_add(response);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame() -> Frame {
        let secs = SimTime::from_secs;
        let faults =
            [("a", secs(4), SimTime::from_millis(5_500)), ("b", SimTime::from_millis(5_200), secs(8))];
        Frame::cut(secs(2), SimTime::from_millis(12_300), 2, &faults)
    }

    proptest! {
        /// The cursor is only a shortcut: whatever came before, a request lands where the frame says.
        #[test]
        fn outcomes_land_where_they_were_due(dues in proptest::collection::vec(0u64..15_000, 1..200)) {
            let frame = frame();
            let mut recorder = Recorder::new(&frame);
            let mut expected = vec![0u64; frame.intervals() + frame.windows.len()];
            for &due in &dues {
                // Edges are hit exactly in half of the cases.
                let due = SimTime::from_millis(if due % 2 == 0 { due / 100 * 100 } else { due });
                recorder.count(1, due, Some(due), due + SimTime::from_millis(700), SimTime::ZERO, Ok(()));
                expected[frame.interval_of(due)] += 1;
                expected[frame.intervals() + frame.window_of(due)] += 1;
            }
            let delta = recorder.take();
            let intervals = (0..frame.intervals()).map(|i| delta.tallies.interval(i, None).ok);
            let windows = (0..frame.windows.len()).map(|w| delta.tallies.window(w, Some(1)).ok);
            prop_assert_eq!(intervals.chain(windows).collect::<Vec<_>>(), expected);
            let answered: u64 = (0..frame.intervals()).map(|i| delta.tallies.answered(i)).sum();
            prop_assert!(answered <= dues.len() as u64);
        }
    }

    #[test]
    fn what_was_counted_elsewhere_is_the_same_and_is_held_against_the_frame() {
        let mut recorder = Recorder::new(&frame());
        for millis in 0..12_000u64 {
            let due = SimTime::from_millis(millis);
            let result = if millis % 97 == 0 { Err(Failure::Timeout) } else { Ok(()) };
            let lag = SimTime::from_millis(millis % 3);
            let done = due + SimTime::from_nanos(millis * 100_003);
            recorder.count(usize::from(millis % 2 == 0), due, Some(due + lag), done, lag, result);
        }
        let delta = recorder.take();
        assert!(delta.slots.iter().any(|slot| slot.due > 0), "there are faults, and seconds around them");
        let sent = serde_json::to_string(&delta).expect("it can be written");
        let read: Delta = serde_json::from_str(&sent).expect("own encoding");
        assert_eq!(read, delta);
        assert!(read.fits(&frame()));
        let shorter = Frame::cut(SimTime::from_secs(2), SimTime::from_secs(11), 2, &[]);
        assert!(!read.fits(&shorter));
        let more_classes = Frame { classes: 3, ..frame() };
        assert!(!read.fits(&more_classes));
    }

    #[test]
    fn dropped_requests_have_no_times() {
        let mut recorder = Recorder::new(&frame());
        let due = SimTime::from_secs(3);
        recorder.count(0, due, None, due, SimTime::ZERO, Err(Failure::Dropped));
        let tally = recorder.take().tallies.window(1, None);
        assert_eq!((tally.due(), tally.sent, tally.dropped()), (1, 0, 1));
        assert!(tally.failed_response.is_empty() && tally.service.is_empty());
        assert_eq!(tally.response_times().percentile(50.0), Some(f64::INFINITY));
    }
}
