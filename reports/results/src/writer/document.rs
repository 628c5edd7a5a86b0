//! The record as JSON: `run.json`, described by `run-record.schema.json`.

use std::io::{self, Write};
use std::path::Path;

use scenarios::threshold::{Aggregate, Metric};
use serde::{Deserialize, Serialize};

use super::counts::TalliesDocument;
use super::sections::{IntervalDocument, RecoveryDocument, ReplicationsDocument};
use crate::error::Error;
use crate::evidence::Evidence;
use crate::facts::ScenarioFacts;
use crate::figure::{Estimate, Scope, Selection, estimate};
use crate::frame::{Frame, WindowKind};
use crate::outcome::World;
use crate::provenance::Provenance;
use crate::record::{RunRecord, Series, Status, Validity};
use crate::replications::figures;
use crate::wire::seconds;
use scenarios::units::SimTime;

/// What the file calls itself.
pub(crate) const FORMAT: &str = "rehearsal run record";
/// The version that is written. Whatever is added to the format raises it, so that an older reader says that it is too old
/// rather than what it stumbled over; what is added has a default, so that older records are read.
pub(crate) const VERSION: u64 = 3;

/// The parts of `run.json` that say whether the rest can be read.
#[derive(Deserialize)]
pub(crate) struct Head {
    pub(crate) format: String,
    pub(crate) version: u64,
}

/// Fields that follow from others are written for people and for `jq`, and not read back.
#[derive(Serialize, Deserialize)]
struct Document {
    format: String,
    version: u64,
    world: World,
    status: Status,
    validity: ValidityDocument,
    #[serde(skip_deserializing, default)]
    exit_code: u8,
    scenario: ScenarioFacts,
    frame: FrameDocument,
    #[serde(skip_deserializing, default)]
    figures: Vec<FigureDocument>,
    #[serde(skip_deserializing, default)]
    thresholds: Vec<VerdictDocument>,
    #[serde(skip_deserializing, default)]
    published: Vec<ReproductionDocument>,
    counts: TalliesDocument,
    series: Vec<SeriesDocument>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    recoveries: Vec<RecoveryDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replications: Option<ReplicationsDocument>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scaled_replications: Option<ReplicationsDocument>,
    #[serde(default, skip_serializing_if = "Evidence::is_empty")]
    evidence: Evidence,
    provenance: Provenance,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ValidityDocument {
    valid: bool,
    reasons: Vec<String>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FrameDocument {
    #[serde(rename = "total_s", with = "seconds")]
    total: SimTime,
    #[serde(rename = "warmup_s", with = "seconds")]
    warmup: SimTime,
    #[serde(rename = "interval_s", with = "seconds")]
    interval: SimTime,
    windows: Vec<WindowDocument>,
}

#[derive(PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WindowDocument {
    name: String,
    kind: String,
    /// Positions in the scenario's faults.
    faults: Vec<usize>,
    #[serde(rename = "from_s", with = "seconds")]
    from: SimTime,
    #[serde(rename = "until_s", with = "seconds")]
    until: SimTime,
}

/// A figure in the units of JSON: infinite and unknown are both null, told apart by `n`.
#[derive(Serialize, Default)]
struct EstimateDocument {
    value: Option<f64>,
    low: Option<f64>,
    high: Option<f64>,
    n: u64,
}

#[derive(Serialize, Default)]
struct FigureDocument {
    window: String,
    due: u64,
    sent: u64,
    ok: u64,
    failed: u64,
    rate_per_s: Option<f64>,
    failed_share: Option<f64>,
    response_time_s: Percentiles,
    service_time_s: Percentiles,
    intervals: Vec<IntervalDocument>,
}

#[derive(Serialize, Default)]
struct Percentiles {
    avg: Option<f64>,
    p50: Option<f64>,
    p90: Option<f64>,
    p99: Option<f64>,
    p999: Option<f64>,
    max: Option<f64>,
}

#[derive(Serialize)]
struct VerdictDocument {
    selector: String,
    condition: String,
    passed: Option<bool>,
    limit: f64,
    #[serde(flatten)]
    estimate: EstimateDocument,
}

#[derive(Serialize)]
struct ReproductionDocument {
    what: String,
    metric: String,
    stated: String,
    published: Option<f64>,
    tolerance: Option<f64>,
    /// Whether it came out; null for what was fitted, and for what the run has no observation of.
    reproduced: Option<bool>,
    error: Option<f64>,
    verdict: Option<String>,
    #[serde(flatten)]
    estimate: EstimateDocument,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SeriesDocument {
    component: String,
    instance: u32,
    metric: String,
    values: Vec<Option<f64>>,
}

pub(crate) fn finite(value: f64) -> Option<f64> {
    Some(value).filter(|v| v.is_finite())
}

impl From<Option<Estimate>> for EstimateDocument {
    fn from(estimate: Option<Estimate>) -> Self {
        estimate.map_or_else(Self::default, |e| Self {
            value: finite(e.value),
            low: finite(e.low),
            high: finite(e.high),
            n: e.n,
        })
    }
}

impl Percentiles {
    fn of(record: &RunRecord, metric: Metric, scope: Scope) -> Self {
        let value = |aggregate| {
            let selection = Selection::new(metric, aggregate).within(scope);
            estimate(record, &selection).and_then(|e| finite(e.value))
        };
        Self {
            avg: value(Aggregate::Average),
            p50: value(Aggregate::Percentile(50.0)),
            p90: value(Aggregate::Percentile(90.0)),
            p99: value(Aggregate::Percentile(99.0)),
            p999: value(Aggregate::Percentile(99.9)),
            max: value(Aggregate::Maximum),
        }
    }
}

impl FigureDocument {
    fn of(record: &RunRecord, window: &str, scope: Scope) -> Self {
        let tally = record.tally(scope, None);
        let of = |metric, aggregate| {
            let selection = Selection::new(metric, aggregate).within(scope);
            estimate(record, &selection).and_then(|e| finite(e.value))
        };
        Self {
            window: window.to_owned(),
            due: tally.due(),
            sent: tally.sent,
            ok: tally.ok,
            failed: tally.failed(),
            rate_per_s: of(Metric::Rate, Aggregate::Rate),
            failed_share: of(Metric::Failed, Aggregate::Rate),
            response_time_s: Percentiles::of(record, Metric::ResponseTime, scope),
            service_time_s: Percentiles::of(record, Metric::ServiceTime, scope),
            intervals: figures()
                .map(|selection| selection.within(scope))
                .filter_map(|selection| {
                    Some(IntervalDocument::new(&selection, &estimate(record, &selection)?))
                })
                .collect(),
        }
    }
}

impl From<&Frame> for FrameDocument {
    fn from(frame: &Frame) -> Self {
        let windows = frame.windows.iter().map(|w| {
            let (kind, faults) = match &w.kind {
                WindowKind::Warmup => ("warmup", Vec::new()),
                WindowKind::Quiet => ("quiet", Vec::new()),
                WindowKind::Fault(faults) => ("fault", faults.clone()),
            };
            WindowDocument {
                name: w.name.clone(),
                kind: kind.to_owned(),
                faults,
                from: w.from,
                until: w.until,
            }
        });
        Self {
            total: frame.total,
            warmup: frame.warmup,
            interval: frame.interval,
            windows: windows.collect(),
        }
    }
}

impl FrameDocument {
    /// The frame that follows from the scenario, which must be the one that was stored.
    pub(crate) fn into_frame(self, scenario: &ScenarioFacts) -> Result<Frame, String> {
        let frame = scenario.frame();
        if self != FrameDocument::from(&frame) {
            return Err(
                "frame: found another one than follows from the scenario's times and faults".to_owned()
            );
        }
        Ok(frame)
    }
}

/// Writes `run.json`.
pub(crate) fn write(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    let windows = record.frame.windows.iter().enumerate();
    let mut figures = vec![FigureDocument::of(record, "whole", Scope::Run)];
    figures.extend(windows.map(|(i, w)| FigureDocument::of(record, &w.name, Scope::Window(i))));
    let document = Document {
        format: FORMAT.to_owned(),
        version: VERSION,
        world: record.world,
        status: record.status,
        validity: ValidityDocument {
            valid: record.validity.is_valid(),
            reasons: record.validity.reasons.clone(),
        },
        exit_code: record.exit_code(),
        scenario: record.scenario.clone(),
        frame: FrameDocument::from(&record.frame),
        figures,
        thresholds: record.thresholds.iter().map(verdict).collect(),
        published: record.published.iter().map(reproduction).collect(),
        counts: TalliesDocument::new(&record.tallies, &record.scenario.classes),
        series: record.series.iter().map(series).collect(),
        recoveries: record.recoveries.iter().map(Into::into).collect(),
        replications: record.replications.as_ref().map(Into::into),
        scaled_replications: record.scaled_replications.as_ref().map(Into::into),
        evidence: record.evidence.clone(),
        provenance: record.provenance.clone(),
    };
    serde_json::to_writer_pretty(&mut *to, &document)?;
    writeln!(to)
}

fn verdict(v: &crate::verdict::Verdict) -> VerdictDocument {
    VerdictDocument {
        selector: v.threshold.selector.clone(),
        condition: v.threshold.condition.clone(),
        passed: v.passed,
        limit: v.threshold.limit,
        estimate: v.estimate.into(),
    }
}

fn reproduction(r: &crate::verdict::Reproduction) -> ReproductionDocument {
    let bare = EstimateDocument { value: r.value.and_then(finite), ..EstimateDocument::default() };
    ReproductionDocument {
        what: r.published.what.clone(),
        metric: r.published.named(),
        stated: r.published.stated.clone(),
        published: r.published.value,
        tolerance: r.published.tolerance,
        reproduced: r.judgement.and_then(|judgement| judgement.came_out()),
        error: r.judgement.and_then(|judgement| judgement.error()).and_then(finite),
        verdict: r.judgement.map(|judgement| judgement.words()),
        estimate: if r.estimate.is_some() { r.estimate.into() } else { bare },
    }
}

fn series(s: &Series) -> SeriesDocument {
    SeriesDocument {
        component: s.component.clone(),
        instance: s.instance,
        metric: s.metric.clone(),
        values: s.values.clone(),
    }
}

/// Whether a file is of this format and no newer than this reader; versions count from 1.
pub(crate) fn check(path: &Path, text: &str, format: &str, newest: u64) -> Result<(), Error> {
    let malformed = |line, problem| Error::Malformed { path: path.to_owned(), line, problem };
    let head: Head = serde_json::from_str(text).map_err(|e| malformed(e.line(), e.to_string()))?;
    if head.format != format {
        return Err(malformed(1, format!("found format {:?}, expected {format:?}", head.format)));
    }
    if !(1..=newest).contains(&head.version) {
        return Err(Error::Version { path: path.to_owned(), found: head.version, newest });
    }
    Ok(())
}

/// Reads `run.json`. What follows from the counts (verdicts, figures) is computed again, not believed.
pub(crate) fn read(path: &Path, text: &str) -> Result<RunRecord, Error> {
    check(path, text, FORMAT, VERSION)?;
    let malformed = |line, problem| Error::Malformed { path: path.to_owned(), line, problem };
    let d: Document = serde_json::from_str(text).map_err(|e| malformed(e.line(), e.to_string()))?;
    let frame = d.frame.into_frame(&d.scenario).map_err(|p| malformed(1, p))?;
    let (classes, windows) = (frame.classes, frame.windows.len());
    let tallies = d.counts.into_tallies(&frame, &d.scenario.classes).map_err(|p| malformed(1, p))?;
    d.scenario.check().map_err(|p| malformed(1, p))?;
    if d.validity.valid != d.validity.reasons.is_empty() {
        let problem = "validity: found valid together with reasons against it, or neither";
        return Err(malformed(1, problem.to_owned()));
    }
    let replications = |document: Option<ReplicationsDocument>| {
        let read = document.map(|r| r.into_replications(classes, windows)).transpose();
        read.map_err(|p| malformed(1, p))
    };
    let series = d.series.into_iter().map(|mut s| {
        // Readers index series by interval.
        s.values.resize(frame.intervals(), None);
        Series { component: s.component, instance: s.instance, metric: s.metric, values: s.values }
    });
    let series = series.collect();
    let mut record = RunRecord::new(d.world, d.scenario, frame, tallies, series, d.provenance);
    record.recoveries = d.recoveries.into_iter().map(Into::into).collect();
    record.replications = replications(d.replications)?;
    record.scaled_replications = replications(d.scaled_replications)?;
    record.evidence = d.evidence;
    Ok(record.judged(d.status, Validity { reasons: d.validity.reasons }))
}
