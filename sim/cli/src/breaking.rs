//! At how many times its load a set-up stops to hold what is asked of it, threshold by threshold.
//!
//! Loads are powers of one step, so that the searches of all thresholds, which halve, meet at the same loads and share their
//! runs. Each replication has a search of its own, with its own random numbers at every load: the spread of what they find is
//! the interval.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::AtomicBool;

use programs::Problem;
use reports::Bottleneck;
use results::figure::CONFIDENCE;
use results::statistics::Moments;
use results::{RunRecord, Scope};
use scenarios::Scenario;
use scenarios::derive::Circumstances;
use scenarios::plan::Plan;

use crate::executor::Executor;
use crate::trials::{self, Held};

/// No load is farther from the file's own than this, either way.
const FARTHEST: f64 = 64.0;
/// No trial has many more requests.
const REQUESTS: f64 = 2e6;
/// The first stride, in steps: where nothing is known, and near a load at which something probably breaks.
const STRIDE: i32 = 8;
const STRIDE_NEAR: i32 = 2;

/// The loads that may be tried: a step to the power of a whole number.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ladder {
    step: f64,
    /// The greatest power, and how far down it goes.
    most: i32,
    least: i32,
    /// Where the search begins, and with which stride.
    start: i32,
    stride: i32,
}

impl Ladder {
    /// Of steps that are apart by a share, as far as trials of a part of a scenario may go.
    pub(crate) fn new(precision: f64, base: &Scenario, at: &Circumstances) -> Self {
        let run = &base.run;
        let expected = Plan::new(base).expected(run.warmup, run.total()) / run.duration.as_secs_f64();
        let requests = expected * at.load * (at.warmup + at.length).as_secs_f64();
        let step = 1.0 + precision.max(0.005);
        let powers = |factor: f64| (factor.ln() / step.ln()).ceil() as i32;
        let most = (REQUESTS / requests.max(1.0)).clamp(4.0, FARTHEST);
        Self { step, most: powers(most), least: -powers(FARTHEST), start: 0, stride: STRIDE }
    }

    /// The same with a search that begins near a load at which something probably breaks.
    pub(crate) fn starting_near(self, load: f64) -> Self {
        let power = (load.max(1e-9).ln() / self.step.ln()).round();
        Self { start: (power as i32).clamp(self.least, self.most), stride: STRIDE_NEAR, ..self }
    }

    /// The load of a power.
    pub(crate) fn load(&self, power: i32) -> f64 {
        self.step.powi(power)
    }
}

/// Between which two neighbouring powers something stops to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bracket {
    /// The greatest that holds; none where none was found.
    low: Option<i32>,
    /// The least that does not.
    high: Option<i32>,
}

/// Halves from a start outwards and then inwards, until the two that enclose the limit are neighbours or there is no farther to go.
fn enclose<E>(ladder: Ladder, holds: &mut dyn FnMut(i32) -> Result<bool, E>) -> Result<Bracket, E> {
    let Ladder { least, most, start, stride, .. } = ladder;
    let mut bracket = Bracket::default();
    let (mut at, mut stride) = (start, stride);
    loop {
        if holds(at)? {
            bracket.low = Some(at)
        } else {
            bracket.high = Some(at)
        }
        at = match (bracket.low, bracket.high) {
            (Some(low), Some(high)) if high - low <= 1 => return Ok(bracket),
            (Some(low), Some(high)) => low + (high - low) / 2,
            (Some(low), None) if low >= most => return Ok(bracket),
            (None, Some(high)) if high <= least => return Ok(bracket),
            (Some(low), None) => (low + stride).min(most),
            (None, Some(high)) => (high - stride).max(least),
            (None, None) => unreachable!("the load that was just tried holds or does not"),
        };
        stride *= 2;
    }
}

/// One run at one load.
#[derive(Debug)]
pub(crate) struct Trial {
    /// Requests due, per second.
    pub(crate) rate: f64,
    /// The figure of each threshold.
    figures: Vec<Option<f64>>,
    /// What is busiest.
    pub(crate) bottleneck: Option<Bottleneck>,
    /// The run itself, of the first replication alone.
    pub(crate) record: Option<RunRecord>,
}

/// Where a threshold breaks, in times the load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Breaks {
    /// There, with its interval.
    At {
        /// The middle.
        load: f64,
        /// The interval's ends.
        low: f64,
        high: f64,
    },
    /// It holds at every load that was tried, up to this.
    Beyond(f64),
    /// It fails at every load that was tried, down to this.
    Below(f64),
}

impl Breaks {
    /// What comes first is the least.
    pub(crate) fn order(&self) -> f64 {
        match *self {
            Self::At { load, .. } => load,
            Self::Beyond(_) => f64::INFINITY,
            Self::Below(_) => 0.0,
        }
    }

    /// In words, as times the load.
    pub(crate) fn words(&self) -> String {
        match *self {
            Self::At { load, low, high } => format!("{load:.2} [{low:.2} … {high:.2}]"),
            Self::Beyond(most) => format!("not up to {most:.1}"),
            Self::Below(least) => format!("even at {least:.3}"),
        }
    }
}

/// A threshold and where it breaks.
#[derive(Debug)]
pub(crate) struct Limit {
    /// Which threshold.
    pub(crate) threshold: usize,
    /// How it stands at the load as it is, over the replications.
    pub(crate) now: Option<Held>,
    /// Where it breaks.
    pub(crate) breaks: Breaks,
    /// The power of the greatest load at which it holds in the first replication, or the least tried.
    pub(crate) before: i32,
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// A threshold each, in the order of the file; those of which there is nothing to judge are left out.
    pub(crate) limits: Vec<Limit>,
    /// What the first replication tried, by the power of its load.
    pub(crate) trials: BTreeMap<i32, Trial>,
}

impl Found {
    /// What breaks first.
    pub(crate) fn first(&self) -> Option<&Limit> {
        self.limits.iter().min_by(|a, b| a.breaks.order().total_cmp(&b.breaks.order()))
    }

    /// What is busiest just before a threshold breaks.
    pub(crate) fn bottleneck(&self, limit: &Limit) -> Option<&Bottleneck> {
        self.trials.get(&limit.before)?.bottleneck.as_ref()
    }
}

/// What one replication found: where thresholds that are looked for together stop to hold, all of them.
struct Walk {
    brackets: Vec<Option<Bracket>>,
    trials: BTreeMap<i32, Trial>,
}

/// With what effort it is looked for.
pub(crate) struct Effort<'a> {
    pub(crate) replications: u32,
    /// Who makes the runs.
    pub(crate) by: &'a dyn Executor,
    pub(crate) stop: &'a AtomicBool,
    /// Hears of every run.
    pub(crate) told: &'a (dyn Fn() + Sync),
}

/// Looks for where each threshold of a scenario breaks; none where that was interrupted.
pub(crate) fn find(
    base: &Scenario,
    at: &Circumstances,
    ladder: Ladder,
    effort: &Effort<'_>,
) -> Result<Option<Found>, Problem> {
    let each: Vec<Vec<usize>> = (0..base.thresholds.len()).map(|threshold| vec![threshold]).collect();
    let Some(all) = walks(base, at, ladder, &each, effort)? else { return Ok(None) };
    let limits = (0..base.thresholds.len()).filter_map(|j| limit(base, ladder, &all, j)).collect();
    let trials = all.into_iter().next().map(|walk| walk.trials).unwrap_or_default();
    Ok(Some(Found { limits, trials }))
}

/// Looks for where the first of a scenario's thresholds breaks, whichever it is; none where that was interrupted.
pub(crate) fn first(
    base: &Scenario,
    at: &Circumstances,
    ladder: Ladder,
    effort: &Effort<'_>,
) -> Result<Option<Breaks>, Problem> {
    let together = [(0..base.thresholds.len()).collect()];
    let Some(all) = walks(base, at, ladder, &together, effort)? else { return Ok(None) };
    let brackets: Option<Vec<Bracket>> = all.iter().map(|walk| walk.brackets[0]).collect();
    // Where there is nothing to judge, nothing breaks that is known of.
    Ok(Some(brackets.map_or(Breaks::Beyond(1.0), |brackets| breaks(ladder, &brackets))))
}

fn walks(
    base: &Scenario,
    at: &Circumstances,
    ladder: Ladder,
    groups: &[Vec<usize>],
    effort: &Effort<'_>,
) -> Result<Option<Vec<Walk>>, Problem> {
    let walks = trials::each(effort.replications as usize, effort.by.at_once(), &|number| {
        walk(base, at, ladder, groups, (number as u32, effort))
    });
    let walks = walks.into_iter().collect::<Result<Vec<Option<Walk>>, Problem>>()?;
    Ok(walks.into_iter().collect())
}

fn walk(
    base: &Scenario,
    at: &Circumstances,
    ladder: Ladder,
    groups: &[Vec<usize>],
    (number, effort): (u32, &Effort<'_>),
) -> Result<Option<Walk>, Problem> {
    let mut trials: BTreeMap<i32, Trial> = BTreeMap::new();
    let mut brackets = Vec::new();
    for group in groups {
        let mut holds = |power: i32| -> Result<bool, Option<Problem>> {
            let known = match trials.entry(power) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => {
                    let circumstances = Circumstances { load: at.load * ladder.load(power), ..at.clone() };
                    let scenario = trials::under(base, &circumstances).map_err(Some)?;
                    let scenario = sim::replicate::scenario(&scenario, number);
                    let record = trials::run(effort.by, &scenario, effort.stop);
                    let record = record.map_err(Some)?.ok_or(None::<Problem>)?;
                    (effort.told)();
                    place.insert(trial(record, number == 0))
                }
            };
            let holds = |j: usize| {
                let threshold = &base.thresholds[j];
                known.figures[j].is_none_or(|value| threshold.comparison.holds(value, threshold.limit))
            };
            Ok(group.iter().all(|j| holds(*j)))
        };
        let found = match enclose(ladder, &mut holds) {
            Ok(bracket) => bracket,
            Err(Some(problem)) => return Err(problem),
            Err(None) => return Ok(None),
        };
        let judged = trials.values().any(|trial| group.iter().any(|j| trial.figures[*j].is_some()));
        brackets.push(judged.then_some(found));
    }
    Ok(Some(Walk { brackets, trials }))
}

fn trial(record: RunRecord, keeps: bool) -> Trial {
    let due = record.tally(Scope::Run, None).due() as f64;
    Trial {
        rate: due / record.seconds(Scope::Run).max(1e-9),
        figures: trials::figures(&record),
        bottleneck: reports::bottleneck(&record),
        record: keeps.then_some(record),
    }
}

fn limit(base: &Scenario, ladder: Ladder, walks: &[Walk], j: usize) -> Option<Limit> {
    let brackets: Option<Vec<Bracket>> = walks.iter().map(|walk| walk.brackets[j]).collect();
    let brackets = brackets?;
    let values: Vec<f64> =
        walks.iter().filter_map(|walk| walk.trials.get(&0).and_then(|trial| trial.figures[j])).collect();
    let before = brackets.first().and_then(|b| b.low.or(b.high))?;
    Some(Limit {
        threshold: j,
        now: Held::of(&base.thresholds[j], &values),
        breaks: breaks(ladder, &brackets),
        before,
    })
}

/// The mean of the replications' limits on a logarithmic scale, with Student's interval and half a step on both sides, since
/// each limit lies anywhere in its step.
fn breaks(ladder: Ladder, brackets: &[Bracket]) -> Breaks {
    let middle = |b: &Bracket| Some((f64::from(b.low?) + f64::from(b.high?)) / 2.0);
    let middles: Option<Vec<f64>> = brackets.iter().map(middle).collect();
    match middles {
        Some(middles) => {
            let moments = Moments::of(&middles);
            let half = moments.half_width(CONFIDENCE) + 0.5;
            let load = |power: f64| ladder.step.powf(power);
            Breaks::At {
                load: load(moments.mean),
                low: load(moments.mean - half),
                high: load(moments.mean + half),
            }
        }
        None if brackets.iter().any(|b| b.low.is_none()) => Breaks::Below(ladder.load(ladder.least)),
        None => Breaks::Beyond(ladder.load(ladder.most)),
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// A bracket of what cannot fail to be told.
    fn sure(
        (least, start, most): (i32, i32, i32),
        stride: i32,
        holds: impl Fn(i32) -> bool,
    ) -> (Bracket, usize) {
        let mut tried = 0;
        let ladder = Ladder { step: 1.05, most, least, start, stride };
        let bracket = enclose::<Infallible>(ladder, &mut |power| {
            tried += 1;
            Ok(holds(power))
        });
        let Ok(bracket) = bracket;
        (bracket, tried)
    }

    #[test]
    fn limits_are_enclosed_by_neighbours_in_few_trials() {
        for limit in [-70, -9, -1, 0, 1, 7, 30, 83] {
            for start in [-40, 0, 3] {
                let (bracket, tried) = sure((-85, start, 85), STRIDE, |power| power <= limit);
                assert_eq!((bracket.low, bracket.high), (Some(limit), Some(limit + 1)));
                assert!(tried <= 13, "{limit}: {tried}");
            }
        }
        for limit in -3..=3 {
            let (bracket, tried) = sure((-85, 0, 85), STRIDE_NEAR, |power| power <= limit);
            assert_eq!((bracket.low, bracket.high), (Some(limit), Some(limit + 1)));
            assert!(tried <= 5, "{limit}: {tried}");
        }
        assert_eq!(sure((-85, 0, 20), STRIDE, |_| true).0, Bracket { low: Some(20), high: None });
        assert_eq!(sure((-85, 0, 20), STRIDE, |_| false).0, Bracket { low: None, high: Some(-85) });
    }

    #[test]
    fn the_interval_holds_the_replications_and_no_less_than_their_step() {
        let ladder = Ladder { step: 1.05, most: 85, least: -85, start: 0, stride: STRIDE };
        let at = |low: i32| Bracket { low: Some(low), high: Some(low + 1) };
        let Breaks::At { load, low, high } = breaks(ladder, &[at(10), at(10), at(10)]) else {
            panic!("all of them broke");
        };
        assert!((load - 1.05f64.powf(10.5)).abs() < 1e-9);
        assert!((low - 1.05f64.powi(10)).abs() < 1e-9 && (high - 1.05f64.powi(11)).abs() < 1e-9);
        let Breaks::At { low, high, .. } = breaks(ladder, &[at(8), at(10), at(12)]) else {
            panic!("all of them broke");
        };
        assert!(low < 1.05f64.powi(8) && high > 1.05f64.powi(13));
        let unbroken = Bracket { low: Some(85), high: None };
        assert!(matches!(breaks(ladder, &[at(80), unbroken]), Breaks::Beyond(most) if most > 63.0));
        let never = Bracket { low: None, high: Some(-85) };
        assert!(matches!(breaks(ladder, &[never, never]), Breaks::Below(least) if least < 0.016));
    }
}
