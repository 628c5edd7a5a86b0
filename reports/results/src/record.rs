//! The run record as its readers see it.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::buckets::Fine;
use crate::error::Error;
use crate::evidence::Evidence;
use crate::facts::ScenarioFacts;
use crate::figure::Scope;
use crate::frame::Frame;
use crate::journal;
use crate::observation;
use crate::outcome::World;
use crate::part::{Part, Parts};
use crate::pool::Pool;
use crate::provenance::Provenance;
use crate::recorder::Delta;
use crate::recovery::{self, Recovery, Slot};
use crate::replications::Replications;
use crate::sample::{self, Sample};
use crate::tally::{Tallies, Tally};
use crate::verdict::{Reproduction, Verdict};
use crate::writer::document;
use scenarios::Scenario;
use scenarios::exit;
use scenarios::scenario::HostId;
use scenarios::threshold::{Aggregate, Metric};
use scenarios::units::SimTime;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It went to its end.
    Complete,
    /// It was asked to stop before.
    Interrupted,
    /// It ended without a word; the record comes from its journal.
    Killed,
    /// A threshold that stops the run failed.
    Aborted,
}

impl Status {
    /// The name in records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Interrupted => "interrupted",
            Self::Killed => "killed",
            Self::Aborted => "aborted",
        }
    }
}

/// Why a run's figures must not be believed; without a reason they may.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validity {
    /// The reasons against, as sentences.
    pub reasons: Vec<String>,
}

impl Validity {
    /// Whether nothing speaks against the figures.
    pub fn is_valid(&self) -> bool {
        self.reasons.is_empty()
    }
}

/// The values of one instance's metric, by interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// The component's name in the file, or [`crate::sample::GENERATOR`].
    pub component: String,
    /// Which instance, from 0.
    pub instance: u32,
    /// What; a name of [`crate::sample`].
    pub metric: String,
    /// One value per interval, where there was one.
    pub values: Vec<Option<f64>>,
}

/// What a run left behind.
#[derive(Clone, Debug, PartialEq)]
pub struct RunRecord {
    /// Where it took place.
    pub world: World,
    /// How it ended.
    pub status: Status,
    /// Whether it may be believed.
    pub validity: Validity,
    /// What was run.
    pub scenario: ScenarioFacts,
    /// How its time is cut.
    pub frame: Frame,
    /// All counts.
    pub tallies: Tallies,
    /// What was observed of components, ordered by component, metric and instance.
    pub series: Vec<Series>,
    /// What became of the thresholds.
    pub thresholds: Vec<Verdict>,
    /// What became of the published figures.
    pub published: Vec<Reproduction>,
    /// What became of the system after each episode of faults.
    pub recoveries: Vec<Recovery>,
    /// Replications that the counts pool, this run among them; none where there was one run only.
    pub replications: Option<Replications>,
    /// Replications of the scenario at a reduced scale, which were made beside the run to tell its noise.
    pub scaled_replications: Option<Replications>,
    /// What the producer says of its own run.
    pub evidence: Evidence,
    /// Where the record comes from.
    pub provenance: Provenance,
    pub(crate) parts: Parts,
}

impl RunRecord {
    /// Everything but the counts' consequences; verdicts follow with [`RunRecord::judged`].
    pub(crate) fn new(
        world: World,
        scenario: ScenarioFacts,
        frame: Frame,
        tallies: Tallies,
        series: Vec<Series>,
        provenance: Provenance,
    ) -> Self {
        Self {
            world,
            status: Status::Complete,
            validity: Validity::default(),
            scenario,
            frame,
            tallies,
            series,
            thresholds: Vec::new(),
            published: Vec::new(),
            recoveries: Vec::new(),
            replications: None,
            scaled_replications: None,
            evidence: Evidence::default(),
            provenance,
            parts: Parts::default(),
        }
    }

    /// The record of a run that leaves no files: for programs that only want its figures.
    pub fn in_memory(scenario: &Scenario, world: World, delta: &Delta, samples: &[Sample]) -> Self {
        let (facts, frame) = (ScenarioFacts::new(scenario), Frame::new(scenario));
        let mut pool = Pool::new(&frame);
        pool.add(delta, samples);
        let record = pool.into_record(world, facts, frame, Provenance::nowhere());
        record.judged(Status::Complete, Validity::default())
    }

    /// The record with its end stated and everything judged.
    pub(crate) fn judged(mut self, status: Status, validity: Validity) -> Self {
        (self.status, self.validity) = (status, validity);
        self.parts = Parts::default();
        self.thresholds = self.scenario.thresholds.iter().map(|t| Verdict::new(&self, t)).collect();
        self.published = self.scenario.published.iter().map(|p| Reproduction::new(&self, p)).collect();
        self
    }

    /// Reads a `run.json`, a run's directory, or the journal of a run that was killed.
    ///
    /// # Errors
    /// If there is no such file, it is no run record, or of another version.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if path.is_dir() {
            let (record, journal) = (path.join(crate::writer::RECORD), path.join(crate::writer::JOURNAL));
            if record.is_file() {
                return Self::read(record);
            }
            if journal.is_file() {
                return Self::read(journal);
            }
            return Err(Error::NotARun { path: path.to_owned() });
        }
        let failed = |source| Error::Read { path: path.to_owned(), source };
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut text = String::new();
        file.read_line(&mut text).map_err(failed)?;
        if text.contains(journal::FORMAT) {
            return journal::read(path, &text, file);
        }
        file.read_to_string(&mut text).map_err(failed)?;
        document::read(path, &text)
    }

    /// With the recoveries that follow from the seconds around the faults.
    pub(crate) fn with_recoveries(mut self, slots: &[Slot]) -> Self {
        self.recoveries = recovery::recoveries(&self.frame, slots);
        self
    }

    /// How many runs the counts are of.
    pub fn runs(&self) -> u32 {
        self.replications.as_ref().map_or(1, |r| r.count.max(1))
    }

    /// What a metric of recoveries measured; none for other metrics.
    pub(crate) fn recovery_times(&self, metric: Metric) -> Option<Vec<f64>> {
        let read: fn(&Recovery) -> f64 = match metric {
            Metric::RecoveryTime => |r| r.recovery_s,
            Metric::DisruptionTime => |r| r.disruption_s,
            _ => return None,
        };
        Some(self.recoveries.iter().map(read).collect())
    }

    /// A part of the run, merged at the first time it is asked for.
    pub(crate) fn part(&self, scope: Scope, class: Option<usize>) -> Arc<Part> {
        self.parts.get(self, scope, class)
    }

    /// What was due in a part of the run: of one class, or of all.
    pub fn tally(&self, scope: Scope, class: Option<usize>) -> Tally<Fine> {
        self.part(scope, class).tally.clone()
    }

    pub(crate) fn merged(&self, scope: Scope, class: Option<usize>) -> Tally<Fine> {
        let mut total = Tally::default();
        for (i, window) in self.frame.windows.iter().enumerate() {
            if scope.includes(i, window) {
                total.merge(&self.tallies.window(i, class));
            }
        }
        total
    }

    /// How long a part of the run lasted, in seconds; of a run that did not go to its end, only what there was of it.
    pub fn seconds(&self, scope: Scope) -> f64 {
        let end = self.covered();
        let windows = self.frame.windows.iter().enumerate().filter(|(i, w)| scope.includes(*i, w));
        windows.map(|(_, w)| w.until.min(end).saturating_sub(w.from).as_secs_f64()).sum()
    }

    /// The same, of all runs that the counts are of: what a count is divided by for a rate.
    pub fn counted_seconds(&self, scope: Scope) -> f64 {
        self.seconds(scope) * f64::from(self.runs())
    }

    /// How far the run came.
    pub fn covered(&self) -> SimTime {
        match self.status {
            Status::Complete => self.frame.total,
            _ => self.tallies.latest().min(self.frame.total),
        }
    }

    /// The process's exit code: interrupted, invalid and failed thresholds, in this order of precedence.
    pub fn exit_code(&self) -> u8 {
        if !matches!(self.status, Status::Complete | Status::Aborted) {
            exit::INTERRUPTED
        } else if !self.validity.is_valid() {
            exit::INVALID
        } else if self.status == Status::Aborted || self.thresholds.iter().any(|v| v.passed == Some(false)) {
            exit::THRESHOLDS
        } else {
            exit::GOOD
        }
    }

    /// How many machines of a host there were on average in the measured part, where an autoscaler had them come and go; none
    /// of other hosts.
    pub fn machines(&self, scenario: &Scenario, host: HostId) -> Option<f64> {
        let mean =
            |component: &str| observation::series(self, component, sample::INSTANCES, Aggregate::Average);
        scenario.scaled_on(host).iter().filter_map(|(component, _)| mean(&component.name)).reduce(f64::max)
    }

    /// The values of a component's metric, an instance each.
    pub fn series<'a>(
        &'a self,
        component: &'a str,
        metric: &'a str,
    ) -> impl Iterator<Item = &'a Series> + 'a {
        self.series.iter().filter(move |s| s.component == component && s.metric == metric)
    }
}

/// Samples as they gather into series.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gathered(std::collections::BTreeMap<(String, String, u32), Vec<Option<f64>>>);

impl Gathered {
    /// Adds a sample; one of an interval past the end is left out.
    pub(crate) fn add(&mut self, sample: &Sample, intervals: usize) {
        let key = (sample.component.clone(), sample.metric.to_string(), sample.instance);
        let values = self.0.entry(key).or_insert_with(|| vec![None; intervals]);
        if let Some(value) = values.get_mut(sample.interval) {
            *value = Some(sample.value).filter(|v| v.is_finite());
        }
    }

    /// Adds what another replication observed, as the mean of `runs` of them.
    pub(crate) fn add_run(&mut self, samples: &[Sample], intervals: usize, runs: u32) {
        for sample in samples {
            let key = (sample.component.clone(), sample.metric.to_string(), sample.instance);
            let values = self.0.entry(key).or_insert_with(|| vec![None; intervals]);
            if let Some(value) = values.get_mut(sample.interval).filter(|_| sample.value.is_finite()) {
                let mean = value.map_or(sample.value, |mean| mean + (sample.value - mean) / f64::from(runs));
                *value = Some(mean);
            }
        }
    }

    /// The series, ordered.
    pub(crate) fn into_series(self) -> Vec<Series> {
        let series = self.0.into_iter();
        series
            .map(|((component, metric, instance), values)| Series { component, instance, metric, values })
            .collect()
    }
}
