//! What a record says about its scenario: as data, so that a reader needs no scenario parser.

use scenarios::Scenario;
use scenarios::quantity::amount::RATIO_LIMIT;
use scenarios::scenario::{Claim, Observed, Published, Role, SaidOf};
use scenarios::threshold::{Aggregate, Comparison};
use scenarios::units::{Ratio, SimTime};
use serde::{Deserialize, Serialize};

use crate::figure::Selection;
use crate::frame::Frame;
use crate::wire::{aggregate, comparison, seconds};

/// The scenario of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScenarioFacts {
    /// What it is about.
    pub title: String,
    /// The question that it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<String>,
    /// What came out, as the file says: of all its designs and of several seeds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
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

/// One figure that somebody published, or an outcome that must hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishedFacts {
    /// What it is.
    pub what: String,
    /// The metric as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metric: String,
    /// What it is held against, where that is a figure of requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figure: Option<Selection>,
    /// What it is held against, where that was observed of something else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series: Option<SeriesFacts>,
    /// The value that it has: in seconds, per second, as a fraction, a count or bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<f64>,
    /// How far off is still a reproduction, as a fraction of the value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// Instead of a value, what must hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holds: Option<LimitFacts>,
    /// Whether parameters were chosen so that the value comes out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub fitted: bool,
    /// The value or what must hold, as written.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stated: String,
    /// Where it was published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// What is assumed for it that the source does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assumed: Option<String>,
}

/// What was observed of a component, a machine or a job, as one number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesFacts {
    /// Of what.
    pub of: String,
    /// What.
    pub metric: String,
    /// How intervals and instances become one number.
    #[serde(with = "aggregate")]
    pub aggregate: Aggregate,
}

/// A limit, and on which side of it something must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitFacts {
    /// How it is compared.
    #[serde(with = "comparison")]
    pub comparison: Comparison,
    /// Against which limit, in the units of values.
    pub limit: f64,
}

impl PublishedFacts {
    /// What one run can be held against; none for what the file states alone.
    fn new(published: &Published) -> Option<Self> {
        let (observed, claim) = published.claim.as_ref()?;
        let (figure, series) = match observed {
            Observed::Requests(figure) => (Some(Selection::from(figure)), None),
            Observed::Series { of, metric, aggregate } => {
                let (of, metric) = (of.clone(), metric.clone());
                (None, Some(SeriesFacts { of, metric, aggregate: *aggregate }))
            }
            _ => return None,
        };
        let (value, tolerance, holds) = match *claim {
            Claim::Near { value, tolerance } => (Some(value), Some(tolerance.get()), None),
            Claim::Holds(comparison, limit) => (None, None, Some(LimitFacts { comparison, limit })),
        };
        Some(Self {
            what: published.what.clone(),
            metric: published.metric.clone(),
            figure,
            series,
            value,
            tolerance,
            holds,
            fitted: published.role == Role::Fitted,
            stated: published.stated.clone(),
            source: published.source.clone(),
            assumed: published.assumed.clone(),
        })
    }

    /// What is said; none where a record says neither.
    pub fn claim(&self) -> Option<Claim> {
        match (self.value, self.tolerance, self.holds) {
            (Some(value), Some(tolerance), None) => {
                Some(Claim::Near { value, tolerance: Ratio::new(tolerance) })
            }
            (None, None, Some(holds)) => Some(Claim::Holds(holds.comparison, holds.limit)),
            _ => None,
        }
    }

    /// What is looked at, where that is no figure of requests.
    pub fn observed(&self) -> Option<Observed> {
        let SeriesFacts { of, metric, aggregate } = self.series.clone()?;
        Some(Observed::Series { of, metric, aggregate })
    }

    /// The metric as written; where a record does not say, the figure.
    pub fn named(&self) -> String {
        match self.figure {
            Some(figure) if self.metric.is_empty() => figure.to_string(),
            _ => self.metric.clone(),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.figure.is_some() == self.series.is_some() || self.claim().is_none() {
            return Err(format!(
                "published {:?}: found neither or both of what it says or of what",
                self.what
            ));
        }
        if self.tolerance.is_some_and(|tolerance| !(0.0..=RATIO_LIMIT).contains(&tolerance)) {
            return Err(format!("published {:?}: found a tolerance that is none", self.what));
        }
        Ok(())
    }
}

impl ScenarioFacts {
    /// Whether all that refers to classes refers to one that is there.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.published.iter().try_for_each(PublishedFacts::check)?;
        let thresholds = self.thresholds.iter().map(|t| &t.figure);
        let mut figures = thresholds.chain(self.published.iter().filter_map(|p| p.figure.as_ref()));
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
        let of_run = scenario.published.iter().filter(|p| p.variant.is_none() && p.of != Some(SaidOf::Play));
        let published = of_run.filter_map(PublishedFacts::new);
        Self {
            title: scenario.title.clone(),
            question: scenario.question.clone(),
            answer: scenario.answer.clone(),
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
