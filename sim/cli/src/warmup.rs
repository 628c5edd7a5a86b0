//! How long a steady run needs to warm up, found out by a run before the run.

use std::sync::atomic::AtomicBool;

use programs::{Problem, Progress};
use results::statistics::mser;
use results::{Frame, ModelNote};
use scenarios::plan::Plan;
use scenarios::units::SimTime;
use scenarios::{Scenario, derive};
use sim::Simulation;

use crate::arguments::Warmup;

/// The load of a steady run differs by no more than this between its tenths.
const STEADY: f64 = 1.05;

/// The scenario with the warm-up that is asked for, and what is to be told of it.
pub(crate) fn apply(
    asked: Option<Warmup>,
    scenario: Scenario,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<(Scenario, Option<ModelNote>), Problem> {
    match asked {
        None if scenario.run.finds_warmup => automatic(scenario, progress, stop),
        None => Ok((scenario, None)),
        Some(Warmup::Fixed(length)) => Ok((with(&scenario, length)?, None)),
        Some(Warmup::Auto) => automatic(scenario, progress, stop),
    }
}

fn with(scenario: &Scenario, length: SimTime) -> Result<Scenario, Problem> {
    Ok(derive::with_warmup(scenario, length).map_err(Problem::configuration)?.scenario)
}

fn automatic(
    scenario: Scenario,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<(Scenario, Option<ModelNote>), Problem> {
    let refuse = |why: &str| Problem::configuration(anyhow::anyhow!("warmup auto: {why}"));
    let pilot = with(&scenario, SimTime::ZERO)?;
    if scenario.breaks() {
        return Err(refuse(
            "the scenario has faults or breakdowns, so it has no steady state that so short a run could warm up to\n  \
             hint: write --warmup 30s, or --skip-faults",
        ));
    }
    if !is_steady(&pilot) {
        return Err(refuse(
            "the load rises and falls, so the run is a terminating one: it starts as it starts and ends as it ends\n  \
             hint: write --warmup 1h for the time in which caches fill",
        ));
    }
    let frame = Frame::new(&pilot);
    let mut simulation = Simulation::new(&pilot)?;
    let mut observe = |reached: sim::Progress| {
        let share = reached.reached.as_secs_f64() / reached.total.as_secs_f64().max(1e-9);
        progress.show(share, || "looking for the end of the warm-up".to_owned());
    };
    let outcome = simulation.run(&mut observe, stop);
    let tallies = outcome.delta.tallies();
    let means: Vec<f64> = (0..frame.intervals())
        .filter_map(|i| tallies.interval(i, None).response_times().mean().filter(|m| m.is_finite()))
        .collect();
    let cut = mser::truncation(&means).ok_or_else(|| {
        refuse(&format!(
            "{} does not settle in its first half\n  hint: make the run longer, at least 50 s, or write --warmup 30s",
            pilot.run.duration
        ))
    })?;
    let length = frame.bounds(cut.min(frame.intervals() - 1)).0;
    let how = format!("{length}, cut by MSER-5 from a run of {} without one", pilot.run.duration);
    let note = ModelNote::new("warm-up", how, "what is left of the start is less than the noise");
    Ok((with(&scenario, length)?, Some(note)))
}

/// Whether as many requests are expected in each tenth of the run.
pub(crate) fn is_steady(scenario: &Scenario) -> bool {
    let plan = Plan::new(scenario);
    let total = scenario.run.total().as_nanos();
    let edge = |i: u64| SimTime::from_nanos(total / 10 * i);
    let tenths: Vec<f64> = (0..10).map(|i| plan.expected(edge(i), edge(i + 1))).collect();
    let (least, most) = tenths.iter().fold((f64::INFINITY, 0.0f64), |(l, m), t| (l.min(*t), m.max(*t)));
    most <= least * STEADY
}
