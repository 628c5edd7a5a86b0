//! Candidates held against the simulator, in every circumstance of the plan and with the same random numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use programs::{Problem, Progress};
use reports::Bottleneck;
use results::{Scope, Selection};
use scenarios::derive::{self, Circumstances};
use scenarios::scenario::{Planning, Setting};
use scenarios::threshold::{Aggregate, Metric};
use scenarios::units::SimTime;
use scenarios::{Diagnostic, Scenario};

use super::search::{Evaluator, Space, Verdict};
use crate::executor::Executor;
use crate::trials::{self, Held};

/// No part is measured for less.
const SHORTEST: SimTime = SimTime::from_secs(2);

/// Efforts: the share of the part that is measured, and whether with all the seeds rather than one.
const RUNGS: [(f64, bool); 3] = [(0.25, false), (1.0, false), (1.0, true)];
/// The rung that measures the whole part, with one seed.
pub(super) const WHOLE: usize = 1;
/// The rung that confirms.
pub(super) const CONFIRMED: usize = 2;

/// A circumstance with its name.
#[derive(Clone, Debug)]
pub(super) struct Named {
    /// `as it is`, or a condition's name with the host that a machine is dead of, where there are several.
    pub(super) name: String,
    /// What it is.
    pub(super) what: Circumstances,
}

/// The circumstances of a plan over one part of the time: the file's own first.
pub(super) fn circumstances(planning: &Planning, at: &Circumstances) -> Vec<Named> {
    let mut all = vec![Named { name: "as it is".to_owned(), what: at.clone() }];
    for condition in &planning.conditions {
        let what = Circumstances { load: condition.load, cold: condition.cold, ..at.clone() };
        if condition.down.is_empty() {
            all.push(Named { name: condition.name.clone(), what: what.clone() });
        }
        for host in &condition.down {
            let name = match condition.down.len() {
                1 => condition.name.clone(),
                _ => format!("{}: {host}", condition.name),
            };
            all.push(Named { name, what: Circumstances { down: Some(host.clone()), ..what.clone() } });
        }
    }
    all
}

/// What came of a candidate in one circumstance.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// Which one.
    pub(super) circumstance: usize,
    /// The thresholds, in the order of the file; none where there was nothing to judge.
    pub(super) held: Vec<Option<Held>>,
    /// The 99th percentile of the response time in seconds, the mean over the seeds.
    pub(super) p99_s: f64,
    /// What was busiest with the first seed.
    pub(super) bottleneck: Option<Bottleneck>,
}

impl Outcome {
    /// Whether every threshold holds, and by how much the one that holds least does.
    pub(super) fn verdict(&self) -> Verdict {
        let judged = || self.held.iter().flatten();
        let margin = judged().map(|held| held.margin).fold(f64::INFINITY, f64::min);
        Verdict { holds: judged().all(|held| held.holds), margin }
    }
}

/// The verdict over all circumstances.
pub(super) fn overall(outcomes: &[Outcome]) -> Verdict {
    let verdicts = outcomes.iter().map(Outcome::verdict);
    let none = Verdict { holds: true, margin: f64::INFINITY };
    verdicts.fold(none, |a, b| Verdict { holds: a.holds && b.holds, margin: a.margin.min(b.margin) })
}

/// Who tries candidates. The number after the last candidate's stands for the file as it is.
pub(super) struct Tries<'a> {
    pub(super) base: &'a Scenario,
    pub(super) planning: &'a Planning,
    pub(super) space: &'a Space,
    pub(super) circumstances: Vec<Named>,
    pub(super) replications: u32,
    /// Who makes the runs.
    pub(super) by: &'a dyn Executor,
    pub(super) stop: &'a AtomicBool,
    pub(super) progress: Mutex<Progress>,
    /// How many candidates there were at the beginning.
    pub(super) open: usize,
    /// The circumstance in which the last candidate that failed did so most.
    pub(super) hardest: usize,
    /// What came of each candidate, by rung: in every circumstance, or in those in which it failed and the file's own.
    pub(super) outcomes: BTreeMap<(usize, usize), Vec<Outcome>>,
    /// How many runs were made.
    pub(super) runs: u64,
}

/// What a candidate sets.
pub(super) fn settings(planning: &Planning, space: &Space, candidate: usize) -> Vec<Setting> {
    if candidate >= space.len() {
        return Vec::new();
    }
    let chosen = space.choices(candidate).into_iter().zip(&planning.knobs);
    chosen.flat_map(|(choice, knob)| knob.choices[choice].settings.clone()).collect()
}

/// A candidate as a scenario.
pub(super) fn scenario(base: &Scenario, settings: &[Setting]) -> Result<Scenario, Problem> {
    if settings.is_empty() {
        return Ok(base.clone());
    }
    match derive::with_settings(base, settings) {
        Ok(derived) => Ok(derived.scenario),
        Err(error) => {
            let told = settings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let why = anyhow::Error::from(error).context(format!("the candidate with {told} is no scenario"));
            Err(Problem::Configuration(why))
        }
    }
}

/// One run of one candidate.
struct Job {
    candidate: usize,
    circumstance: usize,
    seed: u32,
}

/// What one run told.
struct Run {
    figures: Vec<Option<f64>>,
    p99_s: f64,
    bottleneck: Option<Bottleneck>,
}

impl Tries<'_> {
    /// Tries a candidate on a rung, unless it was tried there already; none where that was interrupted.
    pub(super) fn try_one(&mut self, candidate: usize, rung: usize) -> Result<Vec<Outcome>, Option<Problem>> {
        if !self.outcomes.contains_key(&(candidate, rung)) {
            self.evaluate(&[candidate], rung, 1)?;
        }
        Ok(self.outcomes[&(candidate, rung)].clone())
    }

    /// The most that is known of a candidate: what it came to on the highest rung on which the whole part was measured.
    pub(super) fn known(&self, candidate: usize) -> Option<(usize, &Vec<Outcome>)> {
        let of = |rung: usize| Some((rung, self.outcomes.get(&(candidate, rung))?));
        of(CONFIRMED).or_else(|| of(WHOLE))
    }

    fn run(&self, job: &Job, rung: usize) -> Result<Option<Run>, Problem> {
        let settings = settings(self.planning, self.space, job.candidate);
        let candidate = scenario(self.base, &settings)?;
        let whole = &self.circumstances[job.circumstance].what;
        let length = SimTime::from_nanos((whole.length.as_nanos() as f64 * RUNGS[rung].0) as u64);
        let length = length.max(SHORTEST).min(whole.length);
        let there = trials::under(&candidate, &Circumstances { length, ..whole.clone() })?;
        let run = sim::replicate::scenario(&there, job.seed);
        let Some(record) = trials::run(self.by, &run, self.stop)? else { return Ok(None) };
        let p99 = Selection::new(Metric::ResponseTime, Aggregate::Percentile(99.0)).within(Scope::Run);
        let p99_s = results::figure::estimate(&record, &p99).map_or(f64::NAN, |estimate| estimate.value);
        let bottleneck = reports::bottleneck(&record);
        Ok(Some(Run { figures: trials::figures(&record), p99_s, bottleneck }))
    }

    /// What comes of candidates in some circumstances each.
    fn outcomes_of(
        &mut self,
        of: Vec<(usize, &[usize])>,
        rung: usize,
        left: usize,
    ) -> Result<BTreeMap<usize, Vec<Outcome>>, Option<Problem>> {
        let seeds = if RUNGS[rung].1 { self.replications } else { 1 };
        let mut jobs = Vec::new();
        for (candidate, circumstances) in of {
            for &circumstance in circumstances {
                jobs.extend((0..seeds).map(|seed| Job { candidate, circumstance, seed }));
            }
        }
        let made = trials::each(jobs.len(), self.by.at_once(), &|number| {
            let run = self.run(&jobs[number], rung);
            // Halving leaves a bit less to do with every step; how many steps there will be is not known.
            let share = 1.0 - (left as f64).ln_1p() / (self.open as f64 + 1.0).ln_1p();
            let share = (rung as f64 + share) / RUNGS.len() as f64;
            let mut progress = self.progress.lock().expect("showing progress does not panic");
            progress
                .show(share, || format!("{left} candidates are left on rung {}{}", rung + 1, self.by.told()));
            run
        });
        let mut runs = Vec::new();
        for run in made {
            runs.push(run.map_err(Some)?.ok_or(None::<Problem>)?);
        }
        self.runs += runs.len() as u64;
        let mut all: BTreeMap<usize, Vec<Outcome>> = BTreeMap::new();
        for (jobs, runs) in jobs.chunks(seeds as usize).zip(runs.chunks(seeds as usize)) {
            let outcome = self.outcome(jobs[0].circumstance, runs);
            all.entry(jobs[0].candidate).or_default().push(outcome);
        }
        Ok(all)
    }

    fn outcome(&self, circumstance: usize, runs: &[Run]) -> Outcome {
        let held = |(j, threshold)| {
            let figures: Vec<f64> = runs.iter().filter_map(|run: &Run| run.figures[j]).collect();
            Held::of(threshold, &figures)
        };
        Outcome {
            circumstance,
            held: self.base.thresholds.iter().enumerate().map(held).collect(),
            p99_s: runs.iter().map(|run| run.p99_s).sum::<f64>() / runs.len() as f64,
            bottleneck: runs.first().and_then(|run| run.bottleneck.clone()),
        }
    }
}

impl Evaluator for Tries<'_> {
    /// None where it was interrupted.
    type Error = Option<Problem>;

    fn rungs(&self) -> usize {
        RUNGS.len()
    }

    fn evaluate(
        &mut self,
        candidates: &[usize],
        rung: usize,
        left: usize,
    ) -> Result<Vec<Verdict>, Option<Problem>> {
        // Who fails where others failed needs no other circumstance. The file's own is always told.
        let first: BTreeSet<usize> = [0, self.hardest].into();
        let rest: Vec<usize> = (0..self.circumstances.len()).filter(|c| !first.contains(c)).collect();
        let first: Vec<usize> = first.into_iter().collect();
        let of_first = candidates.iter().map(|candidate| (*candidate, first.as_slice())).collect();
        let mut all = self.outcomes_of(of_first, rung, left)?;
        let holding = all.iter().filter(|(_, outcomes)| overall(outcomes).holds);
        let holding = holding.map(|(candidate, _)| (*candidate, rest.as_slice())).collect();
        for (candidate, outcomes) in self.outcomes_of(holding, rung, left)? {
            all.entry(candidate).or_default().extend(outcomes);
        }
        let mut verdicts = Vec::new();
        for candidate in candidates {
            let mut outcomes = all.remove(candidate).unwrap_or_default();
            outcomes.sort_by_key(|outcome| outcome.circumstance);
            let verdict = overall(&outcomes);
            let worst = |a: &&Outcome, b: &&Outcome| a.verdict().margin.total_cmp(&b.verdict().margin);
            if let Some(worst) = outcomes.iter().min_by(worst).filter(|_| !verdict.holds) {
                self.hardest = worst.circumstance;
            }
            verdicts.push(verdict);
            self.outcomes.insert((*candidate, rung), outcomes);
        }
        Ok(verdicts)
    }
}

/// The problem of a file that plans nothing.
pub(super) fn no_plan(scenario: &Scenario) -> Diagnostic {
    let hint = "add [plan] with knobs.\"hosts.app.count\" = \"1..20\"";
    scenario.problem_at("plan", "nothing", "a section [plan] that says what may be chosen", Some(hint))
}
