//! The cheapest set-up that holds: screened by means, looked for by simulation, confirmed by replications.
//!
//! - `screen`: what means tell of candidates; discards only those that are asked for more than they have
//! - `search`: the search itself, which knows neither scenarios nor simulations
//! - `tries`: candidates held against the simulator
//! - `answer`: the sentence, the tables, the page, the JSON

mod answer;
mod screen;
mod search;
mod tries;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Args;
use programs::{Part, Problem, Progress, interrupt};
use scenarios::derive::Circumstances;
use scenarios::scenario::Planning;
use scenarios::{Scenario, exit};

use crate::breaking::{self, Breaks, Effort, Ladder};
use crate::executor::{Executor, Makers};
use crate::{arguments, trials};
use answer::{Answer, Lasting};
use screen::Foresight;
use search::Space;
use tries::{CONFIRMED, Named, Tries, WHOLE};

/// How closely it is told when a set-up is exhausted.
const PRECISION: f64 = 0.05;
/// How busy the busiest part is when thresholds break: where the search for that begins.
const LONG_QUEUES: f64 = 0.9;
/// So many dearer candidates are tried for what more money buys, at up to so many times the price.
const DEARER: usize = 4;
const DEAREST: f64 = 2.0;

/// What is planned.
#[derive(Debug, Args)]
pub(crate) struct PlanArguments {
    /// The scenario file, with a section [plan]
    file: PathBuf,
    /// The variant of the file
    #[arg(long, value_name = "NAME")]
    variant: Option<String>,
    /// Another seed than the scenario's
    #[arg(long)]
    seed: Option<u64>,
    /// Confirms the answer with another number of seeds than the plan says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1000))]
    replications: Option<u32>,
    /// How many runs there are at once; by default as many as there are cores. The answer does not depend on it
    #[arg(long, value_name = "N")]
    threads: Option<NonZeroUsize>,
    /// Writes the answer as JSON, too
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Writes a page, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Prints no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    makers: Makers,
}

/// Plans and tells the answer; the exit code.
pub(crate) fn run(arguments: &PlanArguments) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("signal handlers cannot be set")?;
    let part = Part { variant: arguments.variant.clone(), ..Part::default() };
    let whole = part.load(&arguments.file)?.scenario;
    let planning = whole.planning.clone().ok_or_else(|| tries::no_plan(&whole))?;
    let base = trials::for_planning(&whole)?;
    // Candidates are made of the text, so that is where a seed must stand.
    let base = Part { seed: arguments.seed, ..Part::default() }.of(base)?.scenario;
    let by = arguments.makers.executor(arguments.threads)?;
    let how = How {
        replications: arguments.replications.unwrap_or(planning.replications),
        threads: arguments::threads(arguments.threads),
        by: &*by,
        stop: &stop,
        shows: !arguments.quiet,
    };
    let Some(answer) = plan(&base, &planning, &how)? else { return Ok(exit::INTERRUPTED) };
    writeln!(io::stdout().lock(), "{}{}", answer.text(), answer::trust())?;
    let write = |path: &PathBuf, text: String| {
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    };
    if let Some(path) = &arguments.out {
        write(path, format!("{:#}\n", answer.json()))?;
    }
    if let Some(path) = &arguments.html {
        write(path, answer.html())?;
    }
    Ok(if answer.best.is_some() { exit::GOOD } else { exit::THRESHOLDS })
}

/// With what effort it is planned.
struct How<'a> {
    replications: u32,
    /// On how many threads of this machine means are looked at.
    threads: usize,
    /// Who makes the runs.
    by: &'a dyn Executor,
    stop: &'a AtomicBool,
    shows: bool,
}

/// Every candidate with its price, and what means tell of it.
struct Screened {
    space: Space,
    /// The currency of the prices.
    currency: String,
    /// Those that are asked for more than they have, by what of them is.
    overloaded: BTreeMap<String, BTreeSet<usize>>,
    /// Those that others make needless.
    dominated: BTreeSet<usize>,
    /// The cheapest that is promising.
    guess: Option<usize>,
    /// What is left to try.
    open: BTreeSet<usize>,
}

fn screened(
    base: &Scenario,
    planning: &Planning,
    at: &Circumstances,
    threads: usize,
) -> Result<Screened, Problem> {
    let knobs: Vec<(usize, bool)> =
        planning.knobs.iter().map(|knob| (knob.choices.len(), knob.is_monotone)).collect();
    let count = knobs.iter().map(|knob| knob.0).product();
    let numbers = Space::new(knobs.clone(), vec![0.0; count]);
    let looked_at = trials::each(count, threads, &|candidate| {
        let settings = tries::settings(planning, &numbers, candidate);
        let scenario = tries::scenario(base, &settings)?;
        let foresight = screen::foresee(&trials::under(&scenario, at)?, &planning.conditions);
        Ok::<(Option<(f64, String)>, Foresight), Problem>((trials::cost(&scenario), foresight))
    });
    let mut costs = Vec::with_capacity(count);
    let mut foreseen = Vec::with_capacity(count);
    let mut currency: Option<String> = None;
    for one in looked_at {
        let (cost, foresight) = one?;
        let (cost, own) = cost.unwrap_or((0.0, String::new()));
        let expected = currency.get_or_insert_with(|| own.clone());
        if *expected != own {
            let why = format!(
                "some candidates cost {expected} and some {own}\n  hint: state all prices in one currency"
            );
            return Err(Problem::configuration(anyhow::anyhow!(why)));
        }
        costs.push(cost);
        foreseen.push(foresight);
    }
    let space = Space::new(knobs, costs);
    let mut open: BTreeSet<usize> = (0..space.len()).collect();
    let mut overloaded: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (candidate, foresight) in foreseen.iter().enumerate() {
        if let Some((station, _)) = &foresight.overloaded {
            overloaded.entry(station.clone()).or_default().insert(candidate);
            open.remove(&candidate);
        }
    }
    let dominated: BTreeSet<usize> = space.dominated().intersection(&open).copied().collect();
    open.retain(|candidate| !dominated.contains(candidate));
    let promising = open.iter().copied().filter(|candidate| foreseen[*candidate].is_promising);
    let guess = promising.min_by(|a, b| space.cost(*a).total_cmp(&space.cost(*b)).then(a.cmp(b)));
    Ok(Screened { space, currency: currency.unwrap_or_default(), overloaded, dominated, guess, open })
}

/// Plans; none where that was interrupted.
fn plan<'a>(
    base: &'a Scenario,
    planning: &'a Planning,
    how: &How<'_>,
) -> Result<Option<Answer<'a>>, Problem> {
    match planned(base, planning, how) {
        Ok(answer) => Ok(Some(answer)),
        Err(None) => Ok(None),
        Err(Some(problem)) => Err(problem),
    }
}

fn planned<'a>(
    base: &'a Scenario,
    planning: &'a Planning,
    how: &How<'_>,
) -> Result<Answer<'a>, Option<Problem>> {
    let at = trials::part(base, planning.from, planning.length);
    let progress = Progress::new(how.shows);
    progress.message("looking at every candidate's means");
    let screened = screened(base, planning, &at, how.threads).map_err(Some)?;
    let space = &screened.space;
    let mut tries = Tries {
        base,
        planning,
        space,
        circumstances: tries::circumstances(planning, &at),
        replications: how.replications,
        by: how.by,
        stop: how.stop,
        progress: Mutex::new(progress),
        open: screened.open.len(),
        hardest: 0,
        outcomes: BTreeMap::new(),
        runs: 0,
    };
    // As many at a time as keep two cores busy where there is one circumstance alone; what is found must not depend on the machine.
    let at_once = if tries.circumstances.len() > 1 { 1 } else { 2 };
    let found = search::search(space, screened.open.clone(), screened.guess, at_once, &mut tries)?;
    let today = space.len();
    // What cannot do for long is seen to fail with one seed.
    let as_it_is = screen::foresee(&trials::under(base, &at).map_err(Some)?, &planning.conditions);
    tries.try_one(today, if as_it_is.overloaded.is_some() { WHOLE } else { CONFIRMED })?;
    for candidate in dearer(space, &screened.open, found.best) {
        tries.try_one(candidate, WHOLE)?;
    }
    let tried: BTreeSet<usize> = tries.outcomes.keys().map(|(candidate, _)| *candidate).collect();
    let tried = tried.len() - 1;
    let mut exhausted = Vec::new();
    for candidate in [Some(today), found.best].into_iter().flatten() {
        exhausted.extend(lasting(&tries, candidate, how)?);
    }
    tries.progress.lock().expect("showing progress does not panic").end();
    let known = (0..=today).filter_map(|candidate| {
        let (rung, outcomes) = tries.known(candidate)?;
        Some((candidate, (rung, outcomes.clone())))
    });
    Ok(Answer {
        base,
        planning,
        best: found.best,
        today_cost: trials::cost(base).map_or(0.0, |(cost, _)| cost),
        known: known.collect(),
        circumstances: tries.circumstances.iter().map(|named| named.name.clone()).collect(),
        at,
        tried,
        runs: tries.runs,
        replications: how.replications,
        exhausted,
        screened,
    })
}

/// How long a candidate lasts in every circumstance that is more than a greater load.
fn lasting(tries: &Tries<'_>, candidate: usize, how: &How<'_>) -> Result<Vec<Lasting>, Option<Problem>> {
    let settings = tries::settings(tries.planning, tries.space, candidate);
    let scenario = tries::scenario(tries.base, &settings).map_err(Some)?;
    let told = || {
        let mut progress = tries.progress.lock().expect("showing progress does not panic");
        progress.show(1.0, || format!("looking for when it is exhausted{}", how.by.told()));
    };
    let mut all = Vec::new();
    let mut guess = None;
    for (circumstance, Named { what, .. }) in tries.circumstances.iter().enumerate() {
        if circumstance > 0 && what.down.is_none() && !what.cold {
            continue;
        }
        let near = match guess {
            Some(load) => load / what.load.max(1e-3),
            None => {
                let means = trials::under(&scenario, what).map_err(Some)?;
                let foreseen = screen::foresee(&means, &tries.planning.conditions);
                // Queues are long before the busiest part is busy all the time.
                LONG_QUEUES / foreseen.utilisation.max(1e-3)
            }
        };
        let ladder = Ladder::new(PRECISION, &scenario, what).starting_near(near);
        let effort = Effort { replications: how.replications, by: how.by, stop: how.stop, told: &told };
        let breaks = breaking::first(&scenario, what, ladder, &effort).map_err(Some)?;
        let breaks = breaks.ok_or(None::<Problem>)?;
        if let Breaks::At { load, .. } = breaks {
            guess.get_or_insert(load);
        }
        all.push(Lasting { candidate, circumstance, breaks });
    }
    Ok(all)
}

/// Some dearer candidates than the answer, evenly apart: what more money buys.
fn dearer(space: &Space, open: &BTreeSet<usize>, best: Option<usize>) -> Vec<usize> {
    let Some(best) = best else { return Vec::new() };
    let cost = space.cost(best);
    let mut above: Vec<usize> = open
        .iter()
        .copied()
        .filter(|candidate| space.cost(*candidate) > cost && space.cost(*candidate) <= DEAREST * cost)
        .collect();
    above.sort_by(|a, b| space.cost(*a).total_cmp(&space.cost(*b)).then(a.cmp(b)));
    let count = above.len().min(DEARER);
    (1..=count).map(|i| above[i * above.len() / count - 1]).collect()
}

#[cfg(test)]
mod tests;
