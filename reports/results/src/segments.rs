//! One run from the records of its segments, as several machines played them.
//!
//! Segments are exact shares of the plan, so counts add up and histograms merge: the percentiles are those of the union of
//! all requests. What is missing makes the whole invalid, and is named.

use jiff::Timestamp;
use scenarios::units::SimTime;
use serde::{Deserialize, Serialize};

use crate::evidence::ModelNote;
use crate::provenance::Provenance;
use crate::record::{RunRecord, Series, Status, Validity};
use crate::sample;
use crate::wire::timestamp;

/// Segments that started further apart than this did not make one run.
pub const APART: SimTime = SimTime::from_secs(1);

/// Which share of the plan a run played, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// Which, from 1.
    pub index: u32,
    /// Of how many.
    pub of: u32,
    /// The run's zero by the machine's clock.
    #[serde(with = "timestamp")]
    pub start: Timestamp,
}

/// Why records do not make one run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unjoinable {
    /// One of them is of another run.
    #[error("run {number}: found another {what} than the first run's, expected segments of one run")]
    Other {
        /// Which, from 1.
        number: usize,
        /// In what it differs.
        what: &'static str,
    },
    /// One of them is no segment.
    #[error("run {number}: found a whole run, expected a segment (loadgen run --segment 1/{of} …)")]
    Whole {
        /// Which, from 1.
        number: usize,
        /// How many segments there would be.
        of: usize,
    },
    /// A segment is there twice: its requests would count twice.
    #[error("run {number}: found segment {index}/{of} again")]
    Twice {
        /// Which, from 1.
        number: usize,
        /// Its segment.
        index: u32,
        /// Of how many.
        of: u32,
    },
}

/// Joins the records of a run's segments, in whatever order. `provenance` is the joined record's.
///
/// # Errors
/// Where they are not segments of one run, or one of them is there twice. A segment that is missing is no error: the record
/// is then invalid, and says which.
///
/// # Panics
/// If there is no record.
pub fn join(mut records: Vec<RunRecord>, provenance: Provenance) -> Result<RunRecord, Unjoinable> {
    assert!(!records.is_empty(), "there is nothing to join");
    let mut segments: Vec<Segment> = Vec::new();
    for (place, record) in records.iter().enumerate() {
        let number = place + 1;
        let first = &records[0];
        let other = |what| Err(Unjoinable::Other { number, what });
        if record.scenario.hash != first.scenario.hash {
            return other("scenario");
        }
        if record.frame != first.frame {
            return other("set of faults");
        }
        if record.world != first.world {
            return other("world");
        }
        let &[segment] = record.provenance.segments.as_slice() else {
            return Err(Unjoinable::Whole { number, of: records.len() });
        };
        if segments.first().is_some_and(|known| known.of != segment.of) {
            return other("number of segments");
        }
        if segments.iter().any(|known| known.index == segment.index) {
            return Err(Unjoinable::Twice { number, index: segment.index, of: segment.of });
        }
        segments.push(segment);
    }
    records.sort_by_key(|record| record.provenance.segments[0].index);
    segments.sort_by_key(|segment| segment.index);
    Ok(joined(records, segments, provenance))
}

fn joined(records: Vec<RunRecord>, segments: Vec<Segment>, mut provenance: Provenance) -> RunRecord {
    let of = segments[0].of;
    let mut reasons: Vec<String> = (1..=of)
        .filter(|index| segments.iter().all(|segment| segment.index != *index))
        .map(|index| {
            format!("segment {index}/{of} is missing: its requests were not counted, if they were sent")
        })
        .collect();
    let apart = apart(&segments);
    if apart > APART {
        reasons.push(format!(
            "the segments started {:.1} s apart (limit {:.0} s): together they are not the plan's load",
            apart.as_secs_f64(),
            APART.as_secs_f64()
        ));
    }
    let mut status = Status::Complete;
    let mut whole: Option<RunRecord> = None;
    for (record, segment) in records.into_iter().zip(&segments) {
        reasons.extend(
            record.validity.reasons.iter().map(|reason| format!("segment {}/{of}: {reason}", segment.index)),
        );
        if record.status != Status::Complete {
            reasons.push(format!(
                "segment {}/{of} did not come to its end: {}",
                segment.index,
                record.status.name()
            ));
            status = record.status;
        }
        let series = record.series.into_iter().map(|series| of_segment(series, segment));
        match &mut whole {
            None => {
                let mut first = RunRecord::new(
                    record.world,
                    record.scenario,
                    record.frame,
                    record.tallies,
                    series.collect(),
                    provenance.clone(),
                );
                first.evidence = record.evidence;
                whole = Some(first);
            }
            Some(whole) => {
                whole.tallies.merge(&record.tallies);
                whole.evidence.extend(record.evidence);
                whole.series.extend(series);
            }
        }
        provenance.took = provenance.took.max(record.provenance.took);
    }
    let mut whole = whole.expect("there is a record");
    whole
        .series
        .sort_by(|a, b| (&a.component, &a.metric, a.instance).cmp(&(&b.component, &b.metric, b.instance)));
    whole.evidence.model.push(ModelNote::new(
        "start of the segments",
        format!(
            "{} of {of}, {:.3} ms apart by their machines' clocks",
            segments.len(),
            apart.as_secs_f64() * 1e3
        ),
        "as far as the clocks differ",
    ));
    provenance.segments = segments;
    whole.provenance = provenance;
    whole.judged(status, Validity { reasons })
}

/// What a segment's generator observed, under the segment's number.
fn of_segment(series: Series, segment: &Segment) -> Series {
    match series.component.as_str() {
        sample::GENERATOR => Series { instance: segment.index - 1, ..series },
        _ => series,
    }
}

/// How far apart the first and the last of them started.
fn apart(segments: &[Segment]) -> SimTime {
    let starts = || segments.iter().map(|segment| segment.start);
    match (starts().min(), starts().max()) {
        (Some(first), Some(last)) => SimTime::from_secs_f64(last.duration_since(first).as_secs_f64()),
        _ => SimTime::ZERO,
    }
}

#[cfg(test)]
mod tests {
    use scenarios::Scenario;
    use scenarios::library::QUICKSTART;
    use scenarios::plan::Plan;

    use super::*;
    use crate::facts::ScenarioFacts;
    use crate::figure::Scope;
    use crate::frame::Frame;
    use crate::outcome::{Outcome, World};
    use crate::pool::Pool;
    use crate::recorder::Recorder;
    use crate::sample::Sample;

    /// The record of a segment in which each request takes a time of its own.
    fn played(scenario: &Scenario, index: u32, of: u32) -> RunRecord {
        let frame = Frame::new(scenario);
        let (plan, mut recorder) = (Plan::new(scenario), Recorder::new(&frame));
        for planned in plan.segment(index - 1, of) {
            let done = planned.due + SimTime::from_nanos(planned.id.0 % 50_000_000);
            recorder.record(&Outcome {
                class: planned.class,
                due: planned.due,
                sent: Some(planned.due),
                done,
                lag: SimTime::ZERO,
                result: Ok(()),
            });
        }
        let sample = Sample {
            interval: 0,
            component: sample::GENERATOR.to_owned(),
            instance: 0,
            metric: sample::CPU.into(),
            value: f64::from(index),
        };
        let mut pool = Pool::new(&frame);
        pool.add(&recorder.take(), &[sample]);
        let start = Timestamp::from_second(1_800_000_000).expect("a time");
        let segments = if of == 1 { Vec::new() } else { vec![Segment { index, of, start }] };
        let provenance = Provenance { segments, ..Provenance::nowhere() };
        let record = pool.into_record(World::Loadgen, ScenarioFacts::new(scenario), frame, provenance);
        record.judged(Status::Complete, Validity::default())
    }

    fn quickstart() -> Scenario {
        Scenario::parse("quickstart.toml", QUICKSTART).expect("it is a scenario")
    }

    #[test]
    fn segments_together_are_the_run_whatever_their_number_and_order() {
        let scenario = quickstart();
        let whole = played(&scenario, 1, 1);
        for of in [2, 4, 7] {
            let records = (1..=of).rev().map(|index| played(&scenario, index, of)).collect();
            let joined = join(records, Provenance::nowhere()).expect("they are one run's");
            assert!(joined.validity.is_valid(), "{:?}", joined.validity);
            for scope in [Scope::Run, Scope::Fault, Scope::NoFault] {
                assert_eq!(joined.tally(scope, None), whole.tally(scope, None), "{of} segments");
            }
            let cpu: Vec<_> =
                joined.series(sample::GENERATOR, sample::CPU).map(|s| (s.instance, s.values[0])).collect();
            let expected: Vec<_> = (0..of).map(|i| (i, Some(f64::from(i + 1)))).collect();
            assert_eq!(cpu, expected, "each generator keeps its own figures");
        }
    }

    #[test]
    fn a_missing_segment_makes_the_run_invalid_and_is_named() {
        let scenario = quickstart();
        let records = [1, 2, 4].map(|index| played(&scenario, index, 4)).into();
        let joined = join(records, Provenance::nowhere()).expect("they are one run's");
        assert_eq!(joined.validity.reasons.len(), 1, "{:?}", joined.validity);
        assert!(joined.validity.reasons[0].starts_with("segment 3/4 is missing"), "{:?}", joined.validity);
    }

    #[test]
    fn what_is_not_a_segment_of_the_same_run_is_refused_by_its_place() {
        let scenario = quickstart();
        let other =
            Scenario::parse("q.toml", QUICKSTART.replace("300/s", "301/s")).expect("it is a scenario");
        let refused = |records: Vec<RunRecord>| join(records, Provenance::nowhere()).expect_err("refused");
        let part = |index, of| played(&scenario, index, of);
        let twice = Unjoinable::Twice { number: 2, index: 1, of: 2 };
        assert_eq!(refused(vec![part(1, 2), part(1, 2)]), twice);
        assert_eq!(refused(vec![part(1, 2), part(1, 1)]), Unjoinable::Whole { number: 2, of: 2 });
        let of_others = Unjoinable::Other { number: 2, what: "number of segments" };
        assert_eq!(refused(vec![part(1, 2), part(2, 3)]), of_others);
        let of_another = Unjoinable::Other { number: 2, what: "scenario" };
        assert_eq!(refused(vec![part(1, 2), played(&other, 2, 2)]), of_another);
    }

    #[test]
    fn segments_that_started_apart_are_not_one_load() {
        let scenario = quickstart();
        let (first, mut second) = (played(&scenario, 1, 2), played(&scenario, 2, 2));
        let start = &mut second.provenance.segments[0].start;
        *start = start.checked_add(jiff::SignedDuration::from_millis(1_500)).expect("a time");
        let joined = join(vec![first, second], Provenance::nowhere()).expect("they are one run's");
        assert!(joined.validity.reasons[0].contains("1.5 s apart"), "{:?}", joined.validity);
    }
}
