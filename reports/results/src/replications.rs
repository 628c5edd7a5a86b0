//! The spread of figures over independent replications: runs of the same scenario that differ in their seed only.

use scenarios::Scenario;
use scenarios::threshold::{Aggregate, Metric};

use crate::facts::ScenarioFacts;
use crate::figure::{CONFIDENCE, Scope, Selection, of_run};
use crate::frame::{Frame, WindowKind};
use crate::outcome::World;
use crate::provenance::Provenance;
use crate::record::RunRecord;
use crate::recorder::Delta;
use crate::statistics::Moments;

/// Replications of a run, and each figure's value in each of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Replications {
    /// How many there are.
    pub count: u32,
    /// The share of the scenario's traffic, keys, memory and cores that they ran with; 1 where they are the run itself.
    pub scale: f64,
    /// Why there are so many, where a rule decided it: `precision 5% reached`.
    pub stopped: Option<String>,
    /// The figures.
    pub spreads: Vec<Spread>,
}

/// A figure's value in each replication, in their order.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Which figure.
    pub selection: Selection,
    /// Its values; infinite where a percentile lies among dropped requests.
    pub values: Vec<f64>,
}

impl Spread {
    /// Mean and variance of the values.
    pub fn moments(&self) -> Moments {
        Moments::of(&self.values)
    }
}

impl Replications {
    /// A figure's values. None where it was not followed, or a replication did not have it.
    pub fn values(&self, selection: &Selection) -> Option<&[f64]> {
        let spread = self.spreads.iter().find(|s| s.selection == *selection)?;
        (self.count > 1 && spread.values.len() == self.count as usize).then_some(spread.values.as_slice())
    }

    /// Half the width of a figure's 95% interval over its mean.
    pub fn relative_half_width(&self, selection: &Selection) -> Option<f64> {
        self.values(selection).map(|values| Moments::of(values).relative_half_width(CONFIDENCE))
    }
}

/// Follows the figures of a scenario over its replications.
#[derive(Clone, Debug)]
pub struct Collector {
    facts: ScenarioFacts,
    frame: Frame,
    provenance: Provenance,
    replications: Replications,
}

impl Collector {
    /// For replications of a scenario; `scale` is the share of the original's traffic that it has.
    pub fn new(scenario: &Scenario, scale: f64) -> Self {
        Self::following(ScenarioFacts::new(scenario), Frame::new(scenario), scale)
    }

    pub(crate) fn following(facts: ScenarioFacts, frame: Frame, scale: f64) -> Self {
        let followed = selections(&facts, &frame);
        let spreads = followed.into_iter().map(|selection| Spread { selection, values: Vec::new() });
        let replications = Replications { count: 0, scale, stopped: None, spreads: spreads.collect() };
        Self { facts, frame, provenance: Provenance::nowhere(), replications }
    }

    /// Adds what one replication recorded from its beginning to its end.
    pub fn add(&mut self, delta: &Delta) {
        let record = RunRecord::new(
            World::Sim,
            self.facts.clone(),
            self.frame.clone(),
            delta.tallies.clone(),
            Vec::new(),
            self.provenance.clone(),
        )
        .with_recoveries(&delta.slots);
        self.replications.count += 1;
        for spread in &mut self.replications.spreads {
            spread.values.extend(of_run(&record, &spread.selection).map(|estimate| estimate.value));
        }
    }

    /// How it stands.
    pub fn replications(&self) -> &Replications {
        &self.replications
    }

    /// What was collected, and why no more than that.
    pub fn finish(mut self, stopped: Option<String>) -> Replications {
        self.replications.stopped = stopped;
        // A figure that no replication has is none.
        self.replications.spreads.retain(|spread| !spread.values.is_empty());
        self.replications
    }
}

/// Every figure that records and reports tell: by part, by class, and what thresholds and published figures ask for.
fn selections(facts: &ScenarioFacts, frame: &Frame) -> Vec<Selection> {
    let mut all = Vec::new();
    let mut add = |selection: Selection| {
        if !all.contains(&selection) {
            all.push(selection);
        }
    };
    let mut scopes = vec![Scope::Run];
    let measured = frame.windows.iter().enumerate().filter(|(_, w)| w.is_measured());
    if frame.windows.iter().any(|w| matches!(w.kind, WindowKind::Fault(_))) {
        scopes.extend([Scope::Fault, Scope::NoFault]);
        scopes.extend(measured.map(|(i, _)| Scope::Window(i)));
    } else {
        // The only measured window is the run; reports may name it either way.
        scopes.extend(measured.map(|(i, _)| Scope::Window(i)));
    }
    let classes = if facts.classes.len() > 1 { facts.classes.len() } else { 0 };
    for scope in scopes {
        figures().for_each(|selection| add(selection.within(scope)));
    }
    for class in 0..classes {
        figures().for_each(|selection| add(selection.of_class(class)));
    }
    facts.thresholds.iter().for_each(|t| add(t.figure));
    facts.published.iter().filter_map(|p| p.figure).for_each(&mut add);
    if !facts.faults.is_empty() {
        for metric in [Metric::RecoveryTime, Metric::DisruptionTime] {
            add(Selection::new(metric, Aggregate::Maximum));
        }
    }
    all
}

/// The figures that are told of each part.
pub fn figures() -> impl Iterator<Item = Selection> {
    let percentiles = [50.0, 90.0, 99.0, 99.9].map(Aggregate::Percentile);
    let times = [Metric::ResponseTime, Metric::ServiceTime].into_iter().flat_map(move |metric| {
        let aggregates = std::iter::once(Aggregate::Average).chain(percentiles);
        aggregates.map(move |aggregate| Selection::new(metric, aggregate))
    });
    let shares = [Metric::Rate, Metric::Failed].map(|metric| Selection::new(metric, Aggregate::Rate));
    times.chain(shares)
}
