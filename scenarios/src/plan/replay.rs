//! The requests of a replayed file.

use std::sync::Arc;

use super::segment::Seat;
use super::{ClassId, RequestId, SUBSTREAMS, TrafficId};
use crate::scenario::Replay as Settings;
use crate::trace::Trace;

/// Bits of a request's name that hold its row.
const ROW_BITS: u32 = 58;

/// A traffic whose requests stand in a file, in order of their times.
#[derive(Clone, Debug)]
pub(super) struct Replay {
    id: TrafficId,
    trace: Arc<Trace>,
}

impl Replay {
    pub(super) fn new(id: TrafficId, settings: &Settings) -> Self {
        Self { id, trace: Arc::clone(&settings.trace) }
    }

    /// How many requests are due in a span of the timeline, in nanoseconds.
    pub(super) fn count(&self, from: i64, to: i64) -> usize {
        self.trace.first_at(to).saturating_sub(self.trace.first_at(from))
    }

    pub(super) fn class(&self, id: RequestId) -> ClassId {
        self.trace.class(row(id))
    }

    /// The key that the file gives for a request.
    pub(super) fn key(&self, id: RequestId) -> Option<u64> {
        self.trace.key(row(id))
    }

    /// When a request is due, in nanoseconds of the timeline.
    pub(super) fn start_of(&self, id: RequestId) -> i64 {
        self.trace.nanos(row(id)).unwrap_or(0)
    }

    /// The rows of a segment from a nanosecond of the timeline on.
    pub(super) fn rows(&self, from: i64, seat: Seat) -> Rows<'_> {
        Rows { replay: self, seat, next: self.trace.first_at(from) }
    }
}

fn row(id: RequestId) -> usize {
    (id.0 & ((1 << ROW_BITS) - 1)) as usize
}

/// A walk through the rows of a segment: row r belongs to substream r mod 64.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    replay: &'a Replay,
    seat: Seat,
    next: usize,
}

impl Rows<'_> {
    #[inline]
    pub(super) fn next(&mut self) -> Option<(i64, RequestId)> {
        loop {
            let row = self.next;
            let at = self.replay.trace.nanos(row)?;
            self.next += 1;
            if self.seat.owns(row as u32 % SUBSTREAMS, row as u64 / u64::from(SUBSTREAMS), 0) {
                return Some((at, RequestId(u64::from(self.replay.id.0) << ROW_BITS | row as u64)));
            }
        }
    }
}
