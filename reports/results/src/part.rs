//! A part of a run, merged once: its counts, its distributions, and its batches.

use std::sync::{Arc, Mutex, PoisonError};

use crate::buckets::Coarse;
use crate::figure::Scope;
use crate::record::RunRecord;
use crate::statistics::batch::{Batch, Ratio};
use crate::statistics::moments::lag_one;
use crate::tally::{Distribution, Tally};

/// Batches of a steady run: few, so that each is long against the time in which requests are delayed together.
const STEADY: usize = 30;
/// Batches of a run whose load rises and falls: more, so that neighbours see the same load.
const UNSTEADY: usize = 200;
/// Neighbouring intervals whose numbers of requests are correlated like this have a load that rises and falls: arrivals
/// at a steady rate are uncorrelated.
const TREND: f64 = 0.5;

/// What a scope and a class select, merged.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) tally: Tally<crate::buckets::Fine>,
    pub(crate) response: Distribution,
    pub(crate) service: Distribution,
    batches: Vec<Piece>,
    trend: bool,
}

/// Some neighbouring intervals of a window.
#[derive(Debug)]
struct Piece {
    window: usize,
    seconds: f64,
    tally: Tally<Coarse>,
}

/// What of a batch is counted above the line.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Above {
    /// The sum of response times, over requests that have one.
    ResponseSum,
    /// The sum of service times, over requests sent.
    ServiceSum,
    /// Response times beyond a duration, over requests due.
    ResponseBeyond(u64),
    /// Service times beyond a duration, over requests sent.
    ServiceBeyond(u64),
    /// Failed requests, over requests due.
    Failed,
    /// Good answers, over seconds.
    Good,
    /// Failed requests, over seconds.
    FailedPerSecond,
}

impl Part {
    fn new(record: &RunRecord, scope: Scope, class: Option<usize>) -> Self {
        let tally = record.merged(scope, class);
        let (response, service) = (tally.response_times(), tally.service_times());
        let (batches, trend) = pieces(record, scope, class);
        Self { tally, response, service, batches, trend }
    }

    /// A ratio by batches, where there are enough of them.
    pub(crate) fn ratio(&self, above: Above) -> Option<Ratio> {
        let batch = |piece: &Piece| {
            let tally = &piece.tally;
            let (above, below) = match above {
                Above::ResponseSum => (tally.response_sum_nanos, (tally.due() - tally.dropped()) as f64),
                Above::ServiceSum => (tally.service_sum_nanos, tally.sent as f64),
                Above::ResponseBeyond(nanos) => {
                    let late = tally.response.beyond(nanos) + tally.failed_response.beyond(nanos);
                    (late + tally.dropped(), tally.due() as f64)
                }
                Above::ServiceBeyond(nanos) => (tally.service.beyond(nanos), tally.sent as f64),
                Above::Failed => (tally.failed(), tally.due() as f64),
                Above::Good => (tally.ok, piece.seconds),
                Above::FailedPerSecond => (tally.failed(), piece.seconds),
            };
            Batch { stratum: piece.window, above: above as f64, below }
        };
        Ratio::new(&self.batches.iter().map(batch).collect::<Vec<_>>(), self.trend)
    }
}

/// The intervals of a part, a few at a time; and whether its load rises and falls. An interval belongs to the window in
/// which it starts, which is exact but for the few that an edge divides: batches only tell the noise.
fn pieces(record: &RunRecord, scope: Scope, class: Option<usize>) -> (Vec<Piece>, bool) {
    let frame = &record.frame;
    let end = record.covered();
    let inside: Vec<(usize, usize)> = (0..frame.intervals())
        .filter(|&i| frame.bounds(i).1 <= end)
        .map(|i| (i, frame.window_of(frame.bounds(i).0)))
        .filter(|&(_, w)| frame.windows.get(w).is_some_and(|window| scope.includes(w, window)))
        .collect();
    let due: Vec<f64> = inside.iter().map(|&(i, _)| record.tallies.due(i) as f64).collect();
    let trend = due.len() >= 20 && lag_one(&due) > TREND;
    let length = inside.len().div_ceil(if trend { UNSTEADY } else { STEADY }).max(1);
    let mut pieces = Vec::new();
    for window in inside.chunk_by(|a, b| a.1 == b.1) {
        for chunk in window.chunks(length) {
            let mut tally = Tally::default();
            let mut seconds = 0.0;
            for &(interval, _) in chunk {
                tally.merge(&record.tallies.interval(interval, class));
                let (from, until) = frame.bounds(interval);
                seconds += (until - from).as_secs_f64();
            }
            pieces.push(Piece { window: chunk[0].1, seconds, tally });
        }
    }
    (pieces, trend)
}

type Key = (Scope, Option<usize>);

/// Parts that were asked for before. Not a part of the record: all of them are equal, and a copy starts without any.
#[derive(Default)]
pub(crate) struct Parts(Mutex<Vec<(Key, Arc<Part>)>>);

impl Parts {
    pub(crate) fn get(&self, record: &RunRecord, scope: Scope, class: Option<usize>) -> Arc<Part> {
        let key = (scope, class);
        // A list that another thread left while it panicked is whole: entries are added by one push.
        let known = |parts: &Vec<(Key, Arc<Part>)>| {
            parts.iter().find(|(k, _)| *k == key).map(|(_, part)| Arc::clone(part))
        };
        if let Some(part) = known(&self.0.lock().unwrap_or_else(PoisonError::into_inner)) {
            return part;
        }
        let part = Arc::new(Part::new(record, scope, class));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((key, Arc::clone(&part)));
        part
    }
}

impl Clone for Parts {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl PartialEq for Parts {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Parts")
    }
}
