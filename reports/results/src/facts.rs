//! What a record says about its scenario: as data, so that a reader needs no scenario parser.

use scenarios::Scenario;
use scenarios::scenario::{Claim, Observed};
use scenarios::threshold::Comparison;
use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

use crate::figure::Selection;
use crate::frame::Frame;
use crate::wire::{comparison, seconds};

/// The scenario of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFacts {
    /// What it is about.
    pub title: String,
    /// The question that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// The file, as it was named.
    pub path: String,
    /// SHA-256 of the text.
    pub hash: String,
    /// All randomness follows from it.
    pub seed: u64,
    /// Where the measured part starts on the scenario's timeline.
    #[serde(rename = "from_s", with = "seconds")]
    pub from: SimTime,
    /// How long the load lasts before the measured part.
    #[serde(rename = "warmup_s", with = "seconds")]
    pub warmup: SimTime,
    /// How long is measured.
    #[serde(rename = "duration_s", with = "seconds")]
    pub duration: SimTime,
    /// The names of the request classes.
    pub classes: Vec<String>,
    /// The components.
    pub components: Vec<ComponentFacts>,
    /// What breaks.
    pub faults: Vec<FaultFacts>,
    /// What counts as good.
    pub thresholds: Vec<ThresholdFacts>,
    /// What must be reproduced.
    pub published: Vec<PublishedFacts>,
    /// The file, complete.
    pub text: String,
}

/// One component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComponentFacts {
    /// Its name in the file.
    pub name: String,
    /// The kind's name in the file.
    pub kind: String,
    /// The host's name in the file.
    pub host: String,
    /// How many instances there are.
    pub instances: u32,
    /// Cores of each instance's machine.
    pub cores: u32,
}

/// One fault, on the run's axis.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultFacts {
    /// `kill host:app[1]`.
    pub name: String,
    /// When it starts.
    #[serde(rename = "from_s", with = "seconds")]
    pub from: SimTime,
    /// When it is mended.
    #[serde(rename = "until_s", with = "seconds")]
    pub until: SimTime,
}

/// One threshold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ThresholdFacts {
    /// The metric as written, with its filter.
    pub selector: String,
    /// The condition as written.
    pub condition: String,
    /// What is judged.
    pub figure: Selection,
    /// How it is compared.
    #[serde(with = "comparison")]
    pub comparison: Comparison,
    /// Against which limit: in seconds, per second, or as a fraction.
    pub limit: f64,
}

/// One figure that somebody published.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFacts {
    /// What it is.
    pub what: String,
    /// What it is held against.
    pub figure: Selection,
    /// Its value: in seconds, per second, or as a fraction.
    pub value: f64,
    /// How far off is still a reproduction, as a fraction of the value.
    pub tolerance: f64,
}

impl ScenarioFacts {
    /// Whether all that refers to classes refers to one that is there.
    pub(crate) fn check(&self) -> Result<(), String> {
        let thresholds = self.thresholds.iter().map(|t| &t.figure);
        let mut figures = thresholds.chain(self.published.iter().map(|p| &p.figure));
        figures.try_for_each(|figure| figure.check(self.classes.len(), usize::MAX))
    }

    /// How a run of it is cut.
    pub(crate) fn frame(&self) -> Frame {
        let faults: Vec<_> = self.faults.iter().map(|f| (f.name.as_str(), f.from, f.until)).collect();
        let total = self.warmup.saturating_add(self.duration);
        Frame::cut(self.warmup, total, self.classes.len(), &faults)
    }

    /// The facts of a scenario.
    pub fn new(scenario: &Scenario) -> Self {
        let components = scenario.component_ids().map(|id| {
            let (component, instances) = (scenario.component(id), scenario.instances(id));
            let host = scenario.host(component.host);
            ComponentFacts {
                name: component.name.clone(),
                kind: component.kind.name().to_owned(),
                host: host.name.clone(),
                instances,
                cores: host.cores,
            }
        });
        let faults = scenario.faults.iter();
        let thresholds = scenario.thresholds.iter().map(|t| ThresholdFacts {
            selector: t.selector.clone(),
            condition: t.condition.clone(),
            figure: Selection::from(&t.figure),
            comparison: t.comparison,
            limit: t.limit,
        });
        // What one run of the file as it is can be held against.
        let of_run = scenario.published.iter().filter(|p| p.variant.is_none());
        let published = of_run.filter_map(|p| match &p.claim {
            Some((Observed::Requests(figure), Claim::Near { value, tolerance })) => Some(PublishedFacts {
                what: p.what.clone(),
                figure: Selection::from(figure),
                value: *value,
                tolerance: tolerance.get(),
            }),
            _ => None,
        });
        Self {
            title: scenario.title.clone(),
            question: scenario.question.clone(),
            path: scenario.source.path.display().to_string(),
            hash: scenario.source.hash.clone(),
            seed: scenario.run.seed.0,
            from: scenario.run.from,
            warmup: scenario.run.warmup,
            duration: scenario.run.duration,
            classes: scenario.requests.iter().map(|r| r.name.clone()).collect(),
            components: components.collect(),
            faults: faults
                .map(|f| FaultFacts { name: f.name.clone(), from: f.from, until: f.until })
                .collect(),
            thresholds: thresholds.collect(),
            published: published.collect(),
            text: scenario.source.text.clone(),
        }
    }
}
