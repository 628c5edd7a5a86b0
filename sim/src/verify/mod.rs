//! The simulator held against mathematics: systems with closed solutions, each run as a scenario through
//! [`Simulation`], its intervals beside the exact values.
//!
//! The intervals of all rows hold together with 99%: a right simulator fails the table once in a hundred choices of the
//! seeds, and the seeds were chosen beforehand. Start at [`verify`].
//!
//! - [`formulas`]: the exact values
//! - [`interval`]: replications and control variates to an interval
//! - `systems`: the scenarios; `reading`: what is read of a run; `table`: how it is printed

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use results::Frame;
use scenarios::Scenario;

pub mod formulas;
pub mod interval;
mod reading;
mod systems;
mod table;

use crate::Simulation;
use interval::Interval;
use reading::Finished;
use systems::System;

/// The probability that any row of a right simulator lies outside its interval.
const FAMILY: f64 = 0.01;
/// The quick table's replications are shorter by this.
const QUICK: u32 = 25;
/// The greatest half-width of an interval that still counts as a verification, as a share of the exact value.
const NARROW: f64 = 0.005;

/// How much is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Intervals narrower than half a percent.
    Full,
    /// Intervals five times as wide, in a twenty-fifth of the time.
    Quick,
}

impl Effort {
    fn narrow(self) -> f64 {
        match self {
            Self::Full => NARROW,
            Self::Quick => NARROW * f64::from(QUICK).sqrt(),
        }
    }

    fn seconds(self, system: &System) -> u32 {
        match self {
            Self::Full => system.seconds,
            Self::Quick => system.quick_seconds.unwrap_or((system.seconds / QUICK).max(1)),
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// The system.
    pub system: &'static str,
    /// What of it, with its unit.
    pub quantity: &'static str,
    /// What mathematics says.
    pub exact: f64,
    /// What was simulated.
    pub simulated: Interval,
    /// What follows.
    pub verdict: Verdict,
}

/// Whether a row agrees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The exact value lies in the interval, which is narrow; or within the tolerance of an approximation.
    Agrees,
    /// It lies outside.
    Differs,
    /// The interval is too wide to tell.
    TooWide,
}

/// The whole table.
#[derive(Clone, Debug, PartialEq)]
pub struct Verification {
    /// Its lines.
    pub rows: Vec<Row>,
    /// How many requests were simulated for it.
    pub requests: u64,
    /// The significance of each row's interval, such that all hold together with 99%.
    pub significance: f64,
}

impl Verification {
    /// Whether every row agrees.
    pub fn agrees(&self) -> bool {
        self.rows.iter().all(|row| row.verdict == Verdict::Agrees)
    }
}

/// What one replication yields: its values, its controls, its requests.
type Yield = (Vec<f64>, Vec<f64>, u64);

/// Simulates all systems on so many threads, whose number does not show in the result; says after each replication how
/// many of how many are done.
///
/// # Panics
/// If the simulator refuses one of the built-in scenarios or does not finish it.
pub fn verify(effort: Effort, threads: usize, observe: &(dyn Fn(usize, usize) + Sync)) -> Verification {
    hold(&systems::all(), effort, threads, observe)
}

fn hold(
    systems: &[System],
    effort: Effort,
    threads: usize,
    observe: &(dyn Fn(usize, usize) + Sync),
) -> Verification {
    let jobs: Vec<(&System, usize)> =
        systems.iter().flat_map(|system| (1..=system.replications).map(move |seed| (system, seed))).collect();
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let yields: Mutex<Vec<Option<Yield>>> = Mutex::new(vec![None; jobs.len()]);
    let work = || {
        loop {
            let job = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(system, seed)) = jobs.get(job) else { return };
            let yielded = replicate(system, effort, seed);
            yields.lock().expect("no replication panics with the lock held")[job] = Some(yielded);
            observe(done.fetch_add(1, Ordering::Relaxed) + 1, jobs.len());
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.max(1) {
            scope.spawn(work);
        }
        work();
    });
    let yields = yields.into_inner().expect("no replication panics with the lock held");
    let yields: Vec<Yield> = yields.into_iter().map(|y| y.expect("every job was done")).collect();
    let significance = interval::sidak(FAMILY, systems.iter().map(|s| s.quantities.len()).sum());
    let mut rest = yields.as_slice();
    let mut rows = Vec::new();
    for system in systems {
        let (mine, others) = rest.split_at(system.replications);
        rest = others;
        rows.extend(judge(system, effort, mine, significance));
    }
    Verification { rows, requests: yields.iter().map(|y| y.2).sum(), significance }
}

fn replicate(system: &System, effort: Effort, seed: usize) -> Yield {
    let System { name, text, warmup, controls, quantities, .. } = system;
    let seconds = effort.seconds(system);
    let text = format!(
        "title = \"{name}\"\n[run]\nduration = \"{seconds}s\"\nwarmup = \"{warmup}s\"\nseed = {seed}\n{text}"
    );
    let scenario =
        Scenario::parse("verify.toml", &text).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    // Replications keep the cores busy enough; the outcome is that of `Simulation::new`.
    let mut simulation =
        Simulation::with_threads(&scenario, 1).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    let outcome = simulation.run(&mut |_| {}, &AtomicBool::new(false));
    assert!(outcome.complete, "{name}: the run has come to its end");
    let finished = Finished { scenario: &scenario, frame: &Frame::new(&scenario), outcome: &outcome };
    (
        quantities.iter().map(|q| finished.read(q.reading)).collect(),
        controls.iter().map(|c| finished.control(c)).collect(),
        outcome.counts.due,
    )
}

fn judge(system: &System, effort: Effort, yields: &[Yield], significance: f64) -> Vec<Row> {
    let controls: Vec<Vec<f64>> = yields.iter().map(|y| y.1.clone()).collect();
    let row = |(i, quantity): (usize, &systems::Quantity)| {
        let values: Vec<f64> = yields.iter().map(|y| y.0[i]).collect();
        let simulated = interval::controlled(&values, &controls, significance);
        let exact = quantity.exact;
        let (right, narrow) = match quantity.tolerance {
            Some(tolerance) => ((simulated.mean - exact).abs() <= tolerance, simulated.half <= tolerance),
            None => (simulated.holds(exact), simulated.half <= effort.narrow() * exact),
        };
        let verdict = match (right, narrow) {
            (true, true) => Verdict::Agrees,
            (false, _) => Verdict::Differs,
            (true, false) => Verdict::TooWide,
        };
        Row { system: system.name, quantity: quantity.name, exact, simulated, verdict }
    };
    system.quantities.iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> System {
        let mut system = systems::all().swap_remove(2);
        system.replications = 16;
        system
    }

    #[test]
    fn the_table_does_not_depend_on_the_number_of_threads() {
        let alone = hold(&[one()], Effort::Quick, 1, &|_, _| {});
        assert_eq!(alone, hold(&[one()], Effort::Quick, 3, &|_, _| {}));
        assert_eq!(alone.rows.len(), 2);
    }

    #[test]
    fn the_canary_a_wrong_exact_value_is_noticed() {
        let mut wrong = one();
        wrong.quantities[0].exact *= 1.05;
        let found = hold(&[wrong], Effort::Quick, 2, &|_, _| {});
        assert_eq!(found.rows[0].verdict, Verdict::Differs, "{found}");
        assert!(!found.agrees());
    }
}
