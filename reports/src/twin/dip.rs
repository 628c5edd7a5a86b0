//! How deep goodput falls when something breaks, and for how long.
//!
//! Second by second (by the intervals of the record), the *deficit* is the share of what was due that was not answered well in
//! that second: 1 − good answers that came / requests due, and 0 where more came than was due. The *depth* is the greatest deficit from
//! the fault's start until the next fault or the run's end. The *duration* is the sum of all deficits of a tenth and more, over the
//! depth, times the interval: that of a dip of the same depth and the same loss with straight walls. It changes smoothly with what
//! was lost, where "from the first to the last bad second" would jump by whole seconds.

use results::RunRecord;
use scenarios::units::SimTime;

/// A deficit below this is not told from requests that are answered a moment after the second in which they were due.
pub const FLOOR: f64 = 0.10;

/// A dip.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Dip {
    /// The greatest deficit, a share.
    pub depth: f64,
    /// In seconds; none where the depth is below [`FLOOR`].
    pub duration_s: Option<f64>,
}

/// The dips of a run, one for each stretch of faults that overlap or touch.
pub fn dips(record: &RunRecord) -> Vec<Dip> {
    let episodes = episodes(record);
    let end = record.frame.total;
    let next = |i: usize| episodes.get(i + 1).map_or(end, |(from, _)| *from);
    let of = |(i, (from, _)): (usize, &(SimTime, SimTime))| of_deficits(&deficits(record, *from, next(i)));
    episodes.iter().enumerate().map(of).collect()
}

/// When something is broken: from when to when, in the measured part.
pub(crate) fn episodes(record: &RunRecord) -> Vec<(SimTime, SimTime)> {
    let frame = &record.frame;
    let faults = record.scenario.faults.iter();
    let mut faults: Vec<_> = faults
        .filter(|fault| fault.from < frame.total && fault.until >= frame.warmup)
        .map(|fault| (fault.from.max(frame.warmup), fault.until.min(frame.total)))
        .collect();
    faults.sort_unstable();
    let mut episodes: Vec<(SimTime, SimTime)> = Vec::new();
    for (from, until) in faults {
        match episodes.last_mut() {
            Some(last) if from <= last.1 => last.1 = last.1.max(until),
            _ => episodes.push((from, until)),
        }
    }
    episodes
}

/// Of each interval that ends after `from` and begins before `until`: how long it is, and its deficit.
fn deficits(record: &RunRecord, from: SimTime, until: SimTime) -> Vec<(f64, f64)> {
    let (frame, tallies) = (&record.frame, &record.tallies);
    let intervals = (0..frame.intervals()).filter(|interval| {
        let (begin, end) = frame.bounds(*interval);
        end > from && begin < until
    });
    let deficit = |interval: usize| {
        let (begin, end) = frame.bounds(interval);
        let (due, good) = (tallies.due(interval) as f64, tallies.answered(interval) as f64);
        let deficit = if due > 0.0 { (1.0 - good / due).max(0.0) } else { 0.0 };
        ((end - begin).as_secs_f64(), deficit)
    };
    intervals.map(deficit).collect()
}

fn of_deficits(deficits: &[(f64, f64)]) -> Dip {
    let depth = deficits.iter().map(|(_, deficit)| *deficit).fold(0.0, f64::max);
    let lost: f64 = deficits.iter().filter(|(_, d)| *d >= FLOOR).map(|(seconds, d)| seconds * d).sum();
    Dip { depth, duration_s: (depth >= FLOOR).then(|| lost / depth) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(deficits: &[f64]) -> Dip {
        of_deficits(&deficits.iter().map(|d| (1.0, *d)).collect::<Vec<_>>())
    }

    #[test]
    fn a_dip_with_straight_walls_is_as_deep_and_long_as_it_is() {
        assert_eq!(of(&[0.0, 0.5, 0.5, 0.5, 0.02, 0.0]), Dip { depth: 0.5, duration_s: Some(3.0) });
    }

    #[test]
    fn a_second_that_is_half_bad_counts_half() {
        assert_eq!(of(&[0.25, 0.5, 0.5, 0.25]), Dip { depth: 0.5, duration_s: Some(3.0) });
    }

    #[test]
    fn where_nothing_is_lost_there_is_no_duration() {
        assert_eq!(of(&[0.03, 0.0, 0.09]), Dip { depth: 0.09, duration_s: None });
        assert_eq!(of(&[]), Dip::default());
    }
}
