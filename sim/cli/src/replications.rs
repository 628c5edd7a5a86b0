//! Several runs with other seeds: pooled into one record, or beside a single run at a reduced scale.

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use programs::{Problem, Progress};
use results::statistics::Moments;
use results::{
    Collector, Evidence, ModelNote, Replications, RunRecord, RunWriter, Selection, Status, Validity,
};
use scenarios::quantity::selector::Selector;
use scenarios::threshold::{Aggregate, Metric};
use scenarios::units::{Ratio, SimTime};
use scenarios::{Scenario, derive};
use sim::{SimOutcome, replicate};

use crate::arguments::Replication;
use crate::executor::Executor;
use crate::warmup;

/// The fewest replications after which a precision is believed: of fewer, the spread itself is hardly known, and the
/// rule would stop at the first that happen to agree (Law and Kelton, 9.4.1, advise at least ten).
const FEWEST: u32 = 10;

/// From this length on a run that ends as it ends is told that it needs others beside it.
const LONG: SimTime = SimTime::from_secs(86_400);

/// How many replications there are to be.
#[derive(Debug)]
pub(crate) struct Rule {
    most: u32,
    precision: Option<Precision>,
    scale: Option<Ratio>,
}

/// When the intervals are narrow enough.
#[derive(Debug)]
struct Precision {
    share: f64,
    confidence: f64,
    figures: Vec<(String, Selection)>,
}

impl Rule {
    /// What the command asks for.
    pub(crate) fn new(asked: &Replication, scenario: &Scenario) -> Result<Self, Problem> {
        let precision = asked.precision.map(|share| {
            let default = [Aggregate::Average, Aggregate::Percentile(99.0)]
                .map(|aggregate| Selection::new(Metric::ResponseTime, aggregate));
            let figures = if asked.figures.is_empty() {
                default.into_iter().map(|s| Ok((s.to_string(), s))).collect()
            } else {
                asked.figures.iter().map(|selector| named(selector, scenario)).collect()
            };
            let figures: Result<Vec<_>, Problem> = figures;
            Ok::<_, Problem>(Precision {
                share: share.get(),
                confidence: asked.confidence.get(),
                figures: figures?,
            })
        });
        let precision = precision.transpose()?;
        let most = match &precision {
            Some(_) => asked.max_replications.max(asked.replications.unwrap_or(2)).max(2),
            None => asked.replications.unwrap_or(1),
        };
        Ok(Self { most, precision, scale: asked.replication_scale })
    }

    /// Whether the record pools replications of the scenario itself.
    pub(crate) fn is_pooled(&self) -> bool {
        self.scale.is_none() && self.most > 1
    }

    /// What a single long terminating run, whose intervals come from batches within it, does not know; none where enough others
    /// stand beside it.
    pub(crate) fn lacks(&self, scenario: &Scenario) -> Option<ModelNote> {
        let beside = self.scale.map_or(0, |_| self.most);
        let is_terminating = || scenario.breaks() || !warmup::is_steady(scenario);
        if self.is_pooled() || beside >= FEWEST || scenario.run.duration < LONG || !is_terminating() {
            return None;
        }
        let how = format!("{beside} beside this one, whose intervals are those of batches within it");
        let error = format!(
            "not known: batches do not tell how another such time would go; \
             --replications {FEWEST} --replication-scale 1% puts {FEWEST} scaled ones beside it"
        );
        Some(ModelNote::new("replications", how, error))
    }
}

/// A figure by the positions of what it names.
fn named(selector: &Selector, scenario: &Scenario) -> Result<(String, Selection), Problem> {
    let aggregate = selector.aggregate.unwrap_or(Aggregate::Average);
    if selector.fault.is_some() {
        let why = "--of: one fault is for thresholds\n  hint: write during:fault, for all of them";
        return Err(Problem::configuration(anyhow::anyhow!(why)));
    }
    let mut selection = Selection::new(selector.metric, aggregate).within(selector.during.into());
    if let Some(class) = &selector.class {
        let position = scenario.requests.iter().position(|r| r.name == *class);
        let unknown = || Problem::configuration(anyhow::anyhow!("--of: the scenario has no class {class:?}"));
        selection = selection.of_class(position.ok_or_else(unknown)?);
    }
    Ok((selection.to_string(), selection))
}

impl Precision {
    /// The figures whose intervals are still too wide, with their widths.
    fn missing(&self, replications: &Replications) -> Vec<(&str, f64)> {
        let widths = self.figures.iter().filter_map(|(name, selection)| {
            // What every replication has none of cannot become more precise.
            let spread = replications.spreads.iter().find(|s| s.selection == *selection)?;
            let width = match replications.values(selection) {
                Some(values) => Moments::of(values).relative_half_width(self.confidence),
                None if spread.values.is_empty() => return None,
                None => f64::INFINITY,
            };
            Some((name.as_str(), width))
        });
        // A width that is not a number is too wide.
        widths.filter(|(_, width)| !matches!(width.partial_cmp(&self.share), Some(o) if o.is_le())).collect()
    }
}

/// Runs the replications of a scenario into one record.
pub(crate) fn pooled(
    (rule, by): (&Rule, &dyn Executor),
    scenario: &Scenario,
    mut writer: RunWriter,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<RunRecord, Problem> {
    let most = rule.most;
    let mut failed = None;
    let mut pieces = false;
    let mut observe = |done: f64| {
        progress.show(done / f64::from(most), || {
            format!("{done:.2} of {} replications{}", told(rule), by.told())
        });
    };
    let own_end = in_order(by, scenario, most, stop, &mut observe, &mut |number, outcome| {
        let appended = if outcome.complete {
            writer.append_replication(&outcome.delta, &outcome.samples)
        } else {
            // The first was broken off: a record of what there is of it.
            pieces = true;
            writer.append(&outcome.delta, &outcome.samples)
        };
        let mut evidence = outcome.evidence;
        if number > 0 {
            // One table of laws is enough, unless another replication breaks one.
            evidence = Evidence { laws: evidence.laws, ..Evidence::default() };
            evidence.laws.retain(|law| !law.holds());
            evidence
                .laws
                .iter_mut()
                .for_each(|law| law.station += &format!(" in replication {}", number + 1));
        }
        writer.add_evidence(evidence);
        if let Err(error) = appended {
            failed = Some(error);
            return ControlFlow::Break(());
        }
        let (Some(precision), Some(replications)) = (&rule.precision, writer.replications()) else {
            return ControlFlow::Continue(());
        };
        if number + 1 >= FEWEST.min(most) && precision.missing(replications).is_empty() {
            let reached = format!(
                "a precision of {} at {} was reached",
                Ratio::new(precision.share),
                Ratio::new(precision.confidence)
            );
            writer.stopped(reached);
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    })?;
    if let Some(error) = failed {
        return Err(error.into());
    }
    if let (Some(precision), Some(replications)) = (&rule.precision, writer.replications()) {
        let missing = precision.missing(replications);
        if own_end && !missing.is_empty() {
            let told = missing.iter().map(|(name, width)| format!("{name} ± {:.1}%", width * 100.0));
            let told = told.collect::<Vec<_>>().join(", ");
            writer.stopped(format!("{most} is the most allowed, but the precision was not reached: {told}"));
        }
    }
    let status = if own_end && !pieces { Status::Complete } else { Status::Interrupted };
    Ok(writer.finish(status, Validity::default())?)
}

/// The replications of a scenario by their numbers, whoever makes them.
fn in_order(
    by: &dyn Executor,
    scenario: &Scenario,
    most: u32,
    stop: &AtomicBool,
    observe: &mut dyn FnMut(f64),
    take: &mut dyn FnMut(u32, SimOutcome) -> ControlFlow<()>,
) -> Result<bool, Problem> {
    let make = |number: u32, observe: &mut dyn FnMut(f64), stop: &AtomicBool| {
        by.run(&replicate::scenario(scenario, number), observe, stop)
    };
    replicate::in_order(most, by.at_once(), stop, observe, take, &make)
}

fn told(rule: &Rule) -> String {
    match rule.precision {
        Some(_) => format!("at most {}", rule.most),
        None => rule.most.to_string(),
    }
}

/// Runs the replications that stand beside a single run, at a reduced scale; none where none are asked for.
pub(crate) fn scaled(
    (rule, by): (&Rule, &dyn Executor),
    scenario: &Scenario,
    progress: &mut Progress,
    stop: &AtomicBool,
) -> Result<Option<Replications>, Problem> {
    let Some(scale) = rule.scale else { return Ok(None) };
    let derived = derive::window(scenario, None, None, Some(scale), None).map_err(Problem::configuration)?;
    let small = derived.scenario;
    let mut collector = Collector::new(&small, scale.get());
    let most = rule.most;
    let mut observe = |done: f64| {
        progress.show(done / f64::from(most), || {
            format!("{done:.2} of {most} replications at {scale}{}", by.told())
        });
    };
    let end = in_order(by, &small, most, stop, &mut observe, &mut |_, outcome| {
        if outcome.complete {
            collector.add(&outcome.delta);
        }
        ControlFlow::Continue(())
    })?;
    let reason = (!end).then(|| "interrupted".to_owned());
    Ok(Some(collector.finish(reason)))
}
