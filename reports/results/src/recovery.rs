//! How long a run took to recover from what broke.
//!
//! Faults that overlap or touch are one *episode*. Around each, requests are counted by the second in which they were
//! due. Seconds are joined to *steps* long enough for a 99th percentile: a hundred requests on average before the
//! episode, if a minute has that many. What the system was like before is the *band*: the greatest 99th percentile of
//! the response time in any step of the minute before, and a tenth more; and the greatest share of failures in any of
//! them, and a tenth of a per cent more. The system has *recovered* at the beginning of the first step from which on
//! five steps in a row lie in the band.
//!
//! `recovery_time` runs from the episode's end, `disruption_time` from its start: with redundancy a system may recover
//! long before what broke is mended, and be disturbed once more by the mending, so that both are looked for after their
//! own edge. A disruption that outlasts the episode goes on until the system has recovered from the end. Either is
//! infinite where the system does not recover within a quarter of an hour of the edge, within the run, or before the
//! next episode begins.

use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

use crate::buckets::Coarse;
use crate::frame::{Frame, WindowKind};
use crate::outcome::Failure;
use crate::tally::Distribution;

/// What counts as before.
const BEFORE: SimTime = SimTime::from_secs(60);
/// How long recovery is looked for after an edge.
const AFTER: SimTime = SimTime::from_secs(900);
const SECOND: SimTime = SimTime::from_secs(1);
/// Lengths of a step, in seconds.
const STEPS: [usize; 6] = [1, 2, 5, 10, 20, 30];
/// Requests of a step, on average.
const REQUESTS: u64 = 100;
/// How many steps in a row must lie in the band.
const STEPS_IN_A_ROW: usize = 5;
/// The fewest steps that tell what was before.
const FEWEST_BEFORE: usize = 2;
/// Steps may exceed the band by this share, and this share of failures.
const SLACK: f64 = 0.10;
const SLACK_FAILED: f64 = 0.001;
/// The most seconds that are counted in all: later episodes go without.
const MOST_SLOTS: u64 = 40_000;

/// A stretch that is counted by the second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Watch {
    pub(crate) from: SimTime,
    pub(crate) until: SimTime,
    /// The position of its first second among all slots.
    pub(crate) first: usize,
}

/// A second's requests, by when they were due.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slot {
    pub(crate) due: u64,
    pub(crate) failed: u64,
    pub(crate) dropped: u64,
    pub(crate) response: Coarse,
}

impl Slot {
    #[inline]
    pub(crate) fn count(&mut self, response_nanos: u64, result: Result<(), Failure>) {
        self.due += 1;
        self.failed += u64::from(result.is_err());
        if result == Err(Failure::Dropped) {
            self.dropped += 1;
        } else {
            self.response.add(response_nanos);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.due += other.due;
        self.failed += other.failed;
        self.dropped += other.dropped;
        self.response.merge(&other.response);
    }
}

/// What became of one episode.
#[derive(Clone, Debug, PartialEq)]
pub struct Recovery {
    /// The windows of the frame in which something of it was broken: `during kill host:app[1]`.
    pub name: String,
    /// When it began.
    pub from: SimTime,
    /// When all was mended.
    pub until: SimTime,
    /// How long a step is.
    pub step: SimTime,
    /// The greatest 99th percentile of the response time that counts as recovered, in seconds.
    pub band_p99_s: f64,
    /// The greatest share of failures that does.
    pub band_failed: f64,
    /// From the episode's end until the system had recovered, in seconds; infinite if it never did.
    pub recovery_s: f64,
    /// From its start.
    pub disruption_s: f64,
}

/// Faults that overlap or touch.
#[derive(Clone, Debug)]
struct Episode {
    name: String,
    from: SimTime,
    until: SimTime,
    /// Where the stretch may end at the latest: the next episode, or the run's end.
    limit: SimTime,
    /// Where the stretch before may begin at the earliest.
    quiet_since: SimTime,
}

fn episodes(frame: &Frame) -> Vec<Episode> {
    let mut episodes: Vec<Episode> = Vec::new();
    let mut quiet_since = frame.warmup;
    for window in &frame.windows {
        match window.kind {
            WindowKind::Fault(_) => match episodes.last_mut() {
                Some(last) if last.until == window.from => last.until = window.until,
                _ => episodes.push(Episode {
                    name: window.name.clone(),
                    from: window.from,
                    until: window.until,
                    limit: frame.total,
                    quiet_since,
                }),
            },
            WindowKind::Quiet => quiet_since = window.from,
            WindowKind::Warmup => {}
        }
    }
    for i in 1..episodes.len() {
        episodes[i - 1].limit = episodes[i].from;
    }
    episodes
}

impl Episode {
    /// Before and after its start, and after its end.
    fn stretches(&self) -> [(SimTime, SimTime); 2] {
        let before = self.from.saturating_sub(BEFORE).max(self.quiet_since);
        let first = (before, self.from.saturating_add(AFTER).min(self.limit));
        let second = (self.until, self.until.saturating_add(AFTER).min(self.limit));
        if first.1 >= second.0 {
            [(before, second.1.max(first.1)), (second.1, second.1)]
        } else {
            [first, second]
        }
    }
}

/// The stretches of a run that are counted by the second, in order.
pub(crate) fn watches(frame: &Frame) -> Vec<Watch> {
    let mut watches: Vec<Watch> = Vec::new();
    let mut first = 0;
    for (from, until) in episodes(frame).iter().flat_map(Episode::stretches) {
        // The stretch before one episode may be a stretch after another.
        let from = from.max(watches.last().map_or(SimTime::ZERO, |w| w.until));
        if from >= until {
            continue;
        }
        let length = (until - from).as_nanos().div_ceil(SECOND.as_nanos());
        if first + length > MOST_SLOTS {
            break;
        }
        watches.push(Watch { from, until, first: first as usize });
        first += length;
    }
    watches
}

/// How many seconds are counted in all.
pub(crate) fn slots(watches: &[Watch]) -> usize {
    watches.last().map_or(0, |w| w.first + seconds(w.until - w.from))
}

fn seconds(length: SimTime) -> usize {
    length.as_nanos().div_ceil(SECOND.as_nanos()) as usize
}

impl Watch {
    /// The slot of a time inside.
    #[inline]
    pub(crate) fn slot(&self, at: SimTime) -> usize {
        self.first + ((at.as_nanos() - self.from.as_nanos()) / SECOND.as_nanos()) as usize
    }
}

/// What became of each episode, as far as anything can be said of it.
pub(crate) fn recoveries(frame: &Frame, slots: &[Slot]) -> Vec<Recovery> {
    let watches = watches(frame);
    let between = |from: SimTime, until: SimTime| -> Vec<&Slot> {
        let inside = watches.iter().flat_map(|w| {
            let (a, b) = (from.max(w.from), until.min(w.until));
            let range = if a < b { w.slot(a)..w.slot(b - SimTime::from_nanos(1)) + 1 } else { 0..0 };
            slots.get(range).unwrap_or_default()
        });
        inside.collect()
    };
    episodes(frame).iter().filter_map(|episode| recovery(episode, &between)).collect()
}

fn recovery<'a>(episode: &Episode, between: &dyn Fn(SimTime, SimTime) -> Vec<&'a Slot>) -> Option<Recovery> {
    let start = episode.from.saturating_sub(BEFORE).max(episode.quiet_since);
    let before = between(start, episode.from);
    let due: u64 = before.iter().map(|s| s.due).sum();
    let fits = |step: &&usize| due >= REQUESTS * (before.len() / **step) as u64;
    let step = STEPS.iter().find(fits).copied().unwrap_or(STEPS[STEPS.len() - 1]);
    // Steps end at the edge: what is left over at the far end is less than a step.
    let steps: Vec<Step> = before.rchunks_exact(step).map(Step::new).filter(|s| s.due > 0).collect();
    if steps.len() < FEWEST_BEFORE {
        return None;
    }
    let p99 = steps.iter().map(|s| s.p99).fold(0.0, f64::max) * (1.0 + SLACK);
    let failed = steps.iter().map(|s| s.failed).fold(0.0, f64::max) + SLACK_FAILED;
    let settled = |from: SimTime, until: SimTime| -> f64 {
        let steps: Vec<bool> = between(from, until)
            .chunks(step)
            .map(Step::new)
            .map(|s| s.p99 <= p99 && s.failed <= failed)
            .collect();
        let good = (0..steps.len()).find(|&i| {
            i + STEPS_IN_A_ROW <= steps.len() && steps[i..i + STEPS_IN_A_ROW].iter().all(|good| *good)
        });
        good.map_or(f64::INFINITY, |i| (i * step) as f64)
    };
    let recovery_s = settled(episode.until, episode.limit.min(episode.until.saturating_add(AFTER)));
    let during = settled(episode.from, episode.until.min(episode.from.saturating_add(AFTER)));
    let length = (episode.until - episode.from).as_secs_f64();
    Some(Recovery {
        name: episode.name.clone(),
        from: episode.from,
        until: episode.until,
        step: SimTime::from_secs(step as u64),
        band_p99_s: p99,
        band_failed: failed,
        recovery_s,
        disruption_s: if during.is_finite() { during } else { length + recovery_s },
    })
}

/// Some seconds together.
struct Step {
    due: u64,
    p99: f64,
    failed: f64,
}

impl Step {
    fn new(slots: &[&Slot]) -> Self {
        let mut all = Slot::default();
        slots.iter().for_each(|slot| all.merge(slot));
        let times = Distribution::new(&all.response, all.dropped, 0);
        // A step without requests shows nothing amiss.
        Self {
            due: all.due,
            p99: times.percentile(99.0).unwrap_or(0.0),
            failed: if all.due == 0 { 0.0 } else { all.failed as f64 / all.due as f64 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(s: u64) -> SimTime {
        SimTime::from_secs(s)
    }

    /// A run with a response time and a share of failures for each second, 200 requests each.
    fn run(frame: &Frame, answer: impl Fn(u64) -> (u64, u64)) -> Vec<Recovery> {
        let watches = watches(frame);
        let mut all = vec![Slot::default(); slots(&watches)];
        for second in 0..frame.total.as_nanos() / 1_000_000_000 {
            let (millis, failed) = answer(second);
            if let Some(watch) = watches.iter().find(|w| w.from <= secs(second) && secs(second) < w.until) {
                for i in 0..200 {
                    let result = if i < failed { Err(Failure::Status) } else { Ok(()) };
                    all[watch.slot(secs(second))].count((millis + i % 3) * 1_000_000, result);
                }
            }
        }
        recoveries(frame, &all)
    }

    fn frame(faults: &[(&str, SimTime, SimTime)]) -> Frame {
        Frame::cut(secs(10), secs(600), 1, faults)
    }

    #[test]
    fn undisturbed_run_recovers_at_once() {
        let frame = frame(&[("kill a", secs(100), secs(160))]);
        let found = run(&frame, |_| (10, 0));
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].recovery_s, found[0].disruption_s), (0.0, 0.0));
        assert_eq!(found[0].step, secs(1));
    }

    #[test]
    fn recovery_is_timed_from_both_edges() {
        let frame = frame(&[("kill a", secs(100), secs(160))]);
        // Errors until the health check has noticed; slow after the cold start.
        let found = run(&frame, |s| match s {
            100..107 => (10, 50),
            160..178 => (300, 0),
            _ => (10, 0),
        });
        assert_eq!((found[0].disruption_s, found[0].recovery_s), (7.0, 18.0));
    }

    #[test]
    fn disruption_that_outlasts_the_fault_goes_on_until_recovery() {
        let frame = frame(&[("kill a", secs(100), secs(160))]);
        let found = run(&frame, |s| if (100..170).contains(&s) { (10, 200) } else { (10, 0) });
        assert_eq!((found[0].disruption_s, found[0].recovery_s), (70.0, 10.0));
    }

    #[test]
    fn calm_of_a_few_seconds_is_no_recovery() {
        let frame = frame(&[("kill a", secs(100), secs(101))]);
        let found =
            run(
                &frame,
                |s| if (100..104).contains(&s) || (107..120).contains(&s) { (500, 0) } else { (10, 0) },
            );
        assert_eq!(found[0].recovery_s, 19.0);
    }

    #[test]
    fn what_never_comes_back_is_infinitely_late() {
        let frame = frame(&[("kill a", secs(100), secs(160))]);
        let found = run(&frame, |s| if s >= 100 { (500, 0) } else { (10, 0) });
        assert_eq!((found[0].disruption_s, found[0].recovery_s), (f64::INFINITY, f64::INFINITY));
    }

    #[test]
    fn faults_that_overlap_are_one_episode_and_others_are_not() {
        let faults = [("a", secs(100), secs(120)), ("b", secs(110), secs(130)), ("c", secs(400), secs(410))];
        let found = run(&frame(&faults), |s| if (130..135).contains(&s) { (99, 0) } else { (10, 0) });
        let told: Vec<_> = found.iter().map(|r| (r.from, r.until, r.recovery_s)).collect();
        assert_eq!(told, [(secs(100), secs(130), 5.0), (secs(400), secs(410), 0.0)]);
    }

    #[test]
    fn fault_at_the_very_start_has_no_before() {
        let frame = frame(&[("kill a", secs(10), secs(20))]);
        assert_eq!(run(&frame, |_| (10, 0)), []);
    }

    #[test]
    fn watches_are_few_even_in_a_week_of_faults() {
        let faults: Vec<_> =
            (0..300).map(|i| ("a", secs(2_000 * i + 1_000), secs(2_000 * i + 1_600))).collect();
        let frame = Frame::cut(SimTime::ZERO, secs(604_800), 1, &faults);
        let watches = watches(&frame);
        assert!(slots(&watches) <= MOST_SLOTS as usize && !watches.is_empty());
        assert!(watches.windows(2).all(|w| w[0].until <= w[1].from));
    }
}
