//! Walks a segment of the plan: slice by slice, so that memory does not grow with the run.

use super::replay::Rows;
use super::source::{Slice, Source};
use super::{Origin, Plan, Planned, RequestId, SUBSTREAMS};
use crate::scenario::TrafficId;
use crate::units::SimTime;

/// Which requests a segment has: whole substreams, or where there are more segments than those, every so many of a substream's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seat {
    index: u32,
    of: u32,
    /// Into how many parts each substream is dealt out, request by request.
    parts: u32,
}

impl Seat {
    pub(super) fn new(index: u32, of: u32) -> Self {
        Self { index, of, parts: of.div_ceil(SUBSTREAMS) }
    }

    /// The substreams of which it has any request: one or two where they are shared.
    pub(super) fn substreams(self) -> impl Iterator<Item = u32> {
        (self.index..SUBSTREAMS * self.parts).step_by(self.of as usize).map(|part| part % SUBSTREAMS)
    }

    /// Whether it has all of the substreams of which it has any request.
    #[inline]
    pub(super) fn has_whole_substreams(self) -> bool {
        self.parts == 1
    }

    /// Whether a request is its: by its substream, its place there, and the number of the slice that it was drawn in. Few requests of
    /// a slice have high places, so each slice deals from another part on.
    #[inline]
    pub(super) fn owns(self, substream: u32, place: u64, slice: i64) -> bool {
        let part = match self.parts {
            1 => 0,
            parts => (place as i64).wrapping_add(slice).rem_euclid(i64::from(parts)) as u32,
        };
        (substream + SUBSTREAMS * part) % self.of == self.index
    }
}

/// The requests of one segment in a window, in order of due times. Ties go by id.
#[derive(Debug)]
pub struct Segment<'a> {
    plan: &'a Plan,
    seat: Seat,
    /// The window's end on the timeline.
    to: i64,
    lanes: Vec<Lane<'a>>,
}

/// Where one traffic is.
#[derive(Debug)]
struct Lane<'a> {
    /// The next request, on the timeline.
    head: Option<(i64, RequestId)>,
    /// Which of the plan's.
    traffic: TrafficId,
    walk: Walk<'a>,
}

#[derive(Debug)]
enum Walk<'a> {
    /// Through slices of arrivals.
    Slices { source: &'a Source, slice: Slice, next: usize },
    /// Through the rows of a file.
    Rows(Rows<'a>),
}

impl<'a> Segment<'a> {
    pub(super) fn new(plan: &'a Plan, from: SimTime, to: SimTime, index: u32, of: u32) -> Self {
        let (from, to) = (plan.run.timeline_nanos(from), plan.run.timeline_nanos(to));
        let seat = Seat::new(index, of);
        let mut lanes = Vec::new();
        for (traffic, origin) in plan.traffic.iter().enumerate() {
            let traffic = TrafficId(traffic as u16);
            let walk = match origin {
                Origin::Arrivals(source, _) => {
                    Walk::Slices { source, slice: source.seek(plan.seed, from, seat), next: 0 }
                }
                Origin::Replay(replay) => Walk::Rows(replay.rows(from, seat)),
                Origin::Users(_) => continue,
            };
            let mut lane = Lane { head: None, traffic, walk };
            lane.advance(plan, seat, to);
            // Only the window's first slice reaches to before it.
            while lane.head.is_some_and(|(at, _)| at < from) {
                lane.advance(plan, seat, to);
            }
            lanes.push(lane);
        }
        Self { plan, seat, to, lanes }
    }
}

impl Lane<'_> {
    /// Moves on to the next request; past the window there is none.
    #[inline]
    fn advance(&mut self, plan: &Plan, seat: Seat, to: i64) {
        self.head = match &mut self.walk {
            Walk::Rows(rows) => rows.next(),
            Walk::Slices { source, slice, next } => loop {
                if let Some(found) = source.get(slice, *next) {
                    *next += 1;
                    break Some(found);
                }
                if source.end(slice) >= to {
                    break None;
                }
                source.advance(plan.seed, seat, slice);
                *next = 0;
            },
        };
    }
}

impl Iterator for Segment<'_> {
    type Item = Planned;

    #[inline]
    fn next(&mut self) -> Option<Planned> {
        let mut first: Option<(i64, RequestId, usize)> = None;
        for (i, lane) in self.lanes.iter().enumerate() {
            if let Some((at, id)) = lane.head
                && first.is_none_or(|(best, best_id, _)| (at, id) < (best, best_id))
            {
                first = Some((at, id, i));
            }
        }
        let (at, id, i) = first.filter(|(at, ..)| *at < self.to)?;
        let lane = &mut self.lanes[i];
        let traffic = lane.traffic;
        lane.advance(self.plan, self.seat, self.to);
        let start = self.plan.run.timeline_nanos(SimTime::ZERO);
        let due = SimTime::from_nanos((at - start) as u64);
        Some(Planned { due, id, traffic, class: self.plan.class(traffic, id) })
    }
}
