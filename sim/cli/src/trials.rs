//! Runs of which only figures are wanted: several at a time, in an order that threads cannot change.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use programs::{Part, Problem};
use results::{RunRecord, World};
use scenarios::derive::{self, Circumstances};
use scenarios::plan::Plan;
use scenarios::threshold::{Comparison, Threshold};
use scenarios::units::SimTime;
use scenarios::{Scenario, explain};

use crate::executor::Executor;

/// So many requests tell a 99th percentile to a few per cent, and are simulated in a fraction of a second.
const REQUESTS: f64 = 40_000.0;
/// A part is no shorter, so that health checks and timeouts fit into it, and no longer.
const SHORTEST: SimTime = SimTime::from_secs(10);
const LONGEST: SimTime = SimTime::from_secs(300);
/// The least warm-up that a part keeps of a longer one, as windows do.
const WARMUP: SimTime = SimTime::from_secs(2);
/// How far a threshold can hold or fail, as a logarithm: beyond a hundred times, by how much does not matter.
const FARTHEST: f64 = 4.6;

/// What `work` makes of `0..count`, on several threads, in the order of the numbers.
pub(crate) fn each<T: Send>(count: usize, threads: usize, work: &(dyn Fn(usize) -> T + Sync)) -> Vec<T> {
    let next = AtomicUsize::new(0);
    let made: Mutex<Vec<(usize, T)>> = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, count.max(1)) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return;
                    }
                    let one = work(number);
                    made.lock().expect("no other thread panics while it adds").push((number, one));
                }
            });
        }
    });
    let mut made = made.into_inner().expect("no thread panicked while it added");
    made.sort_by_key(|(number, _)| *number);
    made.into_iter().map(|(_, one)| one).collect()
}

/// One run of a scenario, whoever makes it; none where that was interrupted.
pub(crate) fn run(
    by: &dyn Executor,
    scenario: &Scenario,
    stop: &AtomicBool,
) -> Result<Option<RunRecord>, Problem> {
    let outcome = by.run(scenario, &mut |_| {}, stop)?;
    let Some(outcome) = outcome.filter(|outcome| outcome.complete) else { return Ok(None) };
    if let Some(law) = outcome.evidence.laws.iter().find(|law| !law.holds()) {
        let path = scenario.source.path.display();
        let why = format!("a conservation law does not hold: {path}: {law:?}");
        return Err(Problem::Failure(anyhow::anyhow!(why)));
    }
    Ok(Some(RunRecord::in_memory(scenario, World::Sim, &outcome.delta, &outcome.samples)))
}

/// A file as it is to be looked at, judged by its own thresholds or, where it has none, by its plan's.
pub(crate) fn load(part: &Part, file: &std::path::Path) -> Result<Scenario, Problem> {
    let whole = Part { variant: part.variant.clone(), ..Part::default() }.load(file)?.scenario;
    let judged = if whole.thresholds.is_empty() { for_planning(&whole)? } else { whole };
    Ok(Part { variant: None, ..part.clone() }.of(judged)?.scenario)
}

/// A scenario without what is said of it elsewhere, judged by its plan's thresholds.
pub(crate) fn for_planning(scenario: &Scenario) -> Result<Scenario, Problem> {
    Ok(derive::for_planning(scenario).map_err(Problem::configuration)?.scenario)
}

/// The scenario in other circumstances.
pub(crate) fn under(scenario: &Scenario, circumstances: &Circumstances) -> Result<Scenario, Problem> {
    Ok(derive::under(scenario, circumstances).map_err(Problem::configuration)?.scenario)
}

/// The part that trials run: where nothing else is said, the busiest, as long as it takes to tell a percentile.
pub(crate) fn part(scenario: &Scenario, from: Option<SimTime>, length: Option<SimTime>) -> Circumstances {
    let run = &scenario.run;
    let length = length.unwrap_or_else(|| sensible(scenario)).min(run.duration);
    let from = from.unwrap_or_else(|| derive::busiest(scenario, length));
    let half = SimTime::from_nanos(length.as_nanos() / 2).max(WARMUP);
    let warmup = match run.finds_warmup {
        true => half,
        false if length == run.duration => run.warmup,
        false => run.warmup.min(half),
    };
    Circumstances::at(from, warmup, length)
}

fn sensible(scenario: &Scenario) -> SimTime {
    let run = &scenario.run;
    let expected = Plan::new(scenario).expected(run.warmup, run.total());
    let seconds = REQUESTS / (expected / run.duration.as_secs_f64());
    // With closed loops alone nothing is expected: what is infinitely long is cut.
    SimTime::from_secs(seconds.min(LONGEST.as_secs_f64()).ceil() as u64).max(SHORTEST)
}

/// What a set-up costs in a month, with the currency; of the first currency, where there are several.
pub(crate) fn cost(scenario: &Scenario) -> Option<(f64, String)> {
    let costs = explain::monthly_cost(scenario, &|_| None);
    costs.into_iter().next().map(|price| (price.per_month, price.currency))
}

/// How a threshold stands, over one run or the mean of several.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Held {
    /// The figure; not a number where some run had no request to tell it of.
    pub(crate) value: f64,
    /// Whether it holds.
    pub(crate) holds: bool,
    /// By how much: the logarithm of the limit over the figure, or of the figure over a lower limit.
    pub(crate) margin: f64,
}

impl Held {
    /// Of the figures of some runs; none where there is nothing to judge.
    pub(crate) fn of(threshold: &Threshold, figures: &[f64]) -> Option<Self> {
        if figures.is_empty() {
            return None;
        }
        let value = figures.iter().sum::<f64>() / figures.len() as f64;
        let holds = threshold.comparison.holds(value, threshold.limit);
        let ratio = match threshold.comparison {
            Comparison::Less | Comparison::LessOrEqual => threshold.limit / value,
            Comparison::Greater | Comparison::GreaterOrEqual => value / threshold.limit,
        };
        let margin = if value.is_nan() { -FARTHEST } else { ratio.ln() };
        // Nothing of which nothing is allowed is as far as it may be.
        let margin = if margin.is_nan() { 0.0 } else { margin.clamp(-FARTHEST, FARTHEST) };
        Some(Self { value, holds, margin })
    }
}

/// The figure of each threshold in a run; none where the run has no such part.
pub(crate) fn figures(record: &RunRecord) -> Vec<Option<f64>> {
    let figure = |verdict: &results::verdict::Verdict| {
        verdict.passed.map(|_| verdict.estimate.map_or(f64::NAN, |estimate| estimate.value))
    };
    record.thresholds.iter().map(figure).collect()
}

/// A threshold in words.
pub(crate) fn words(threshold: &Threshold) -> String {
    format!("{} {}", threshold.selector, threshold.condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_threads_make_comes_in_order() {
        for threads in [1, 3, 20] {
            assert_eq!(each(7, threads, &|i| i * i), [0, 1, 4, 9, 16, 25, 36]);
        }
        assert!(each(0, 3, &|i| i).is_empty());
    }

    #[test]
    fn margins_have_the_sign_of_the_verdict_and_an_end() {
        let text = scenarios::library::QUICKSTART;
        let scenario = Scenario::parse("quickstart.toml", text).expect("it is tested");
        let threshold = scenario
            .thresholds
            .iter()
            .find(|t| t.comparison == Comparison::Less && t.limit > 0.0)
            .expect("the quickstart limits something");
        let held = |times: f64| Held::of(threshold, &[threshold.limit * times]).expect("there is a figure");
        assert!(held(0.5).holds && (held(0.5).margin - 2f64.ln()).abs() < 1e-12);
        assert!(!held(2.0).holds && (held(2.0).margin + 2f64.ln()).abs() < 1e-12);
        assert_eq!((held(0.0).margin, held(f64::INFINITY).margin), (FARTHEST, -FARTHEST));
        let nothing = Held::of(threshold, &[f64::NAN]).expect("there is a figure");
        assert!(!nothing.holds && nothing.margin == -FARTHEST);
        assert_eq!(Held::of(threshold, &[]), None);
    }
}
