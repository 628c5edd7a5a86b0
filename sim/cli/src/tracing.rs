//! Which requests a simulation follows.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;

use programs::{Problem, Progress};
use results::Evidence;
use scenarios::Scenario;
use scenarios::scenario::ClassId;
use sim::{Follow, Simulation};

use crate::arguments::Tracing;

/// Has a simulation follow what the command asks for.
pub(crate) fn begin(
    asked: &Tracing,
    scenario: &Scenario,
    simulation: &mut Simulation,
) -> Result<(), Problem> {
    if !asked.is_wanted() {
        return Ok(());
    }
    let run = &scenario.run;
    // The run's axis begins with the warm-up, before the place on the timeline where the measured part does.
    let from = asked.trace_at.map(|at| at.saturating_add(run.warmup).saturating_sub(run.from));
    let class = asked.trace_class.as_deref().map(|name| class(scenario, name)).transpose()?;
    simulation.follow(Follow {
        first: asked.trace.unwrap_or(0),
        from: from.unwrap_or(run.warmup),
        class,
        only: BTreeSet::new(),
        slowest: asked.slowest.unwrap_or(0),
    });
    Ok(())
}

fn class(scenario: &Scenario, name: &str) -> Result<ClassId, Problem> {
    let names = || scenario.requests.iter().map(|r| r.name.as_str()).collect::<Vec<_>>().join(", ");
    let found = scenario.class_ids().find(|id| scenario.class(*id).name == name);
    found.ok_or_else(|| {
        Problem::configuration(anyhow::anyhow!("--trace-class: found {name:?}, expected one of {}", names()))
    })
}

/// What a simulation that is over says of itself, with the slowest requests followed in a second run of the same.
pub(crate) fn evidence(
    asked: &Tracing,
    scenario: &Scenario,
    simulation: &mut Simulation,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<Evidence, Problem> {
    let mut evidence = simulation.evidence();
    if let Some(first) = asked.slowest {
        let only = simulation.slowest().into_iter().collect();
        let mut again = Simulation::new(scenario)?;
        again.follow(Follow { first, only, ..Follow::default() });
        let mut observe = |reached: sim::Progress| {
            let share = reached.reached.as_secs_f64() / reached.total.as_secs_f64().max(1e-9);
            progress.show(share, || "again, following the slowest requests".to_owned());
        };
        evidence.traces = again.run(&mut observe, stop).evidence.traces;
        // The slowest come first.
        evidence.traces.sort_by_key(|trace| std::cmp::Reverse(trace.done.saturating_sub(trace.due)));
    }
    Ok(evidence)
}
