//! Walks a segment of the plan: cells are generated slice by slice, so memory does not grow with the run.

use rand_distr::{Distribution, Poisson};

use super::{Arrivals, ClassId, Plan, Planned, RequestId, SUBSTREAMS, TrafficId};
use crate::rate::RateCurve;
use crate::rng::{Purpose, Stream};
use crate::scenario::Traffic;
use crate::units::{Seed, SimTime};

const CELL: Purpose = Purpose::named("arrivals");
const CLASS: Purpose = Purpose::named("class");

/// A slice is as long as this many requests take at the traffic's peak: enough to spread a cell's fixed cost, few
/// enough to sort in the first-level cache.
const REQUESTS_PER_SLICE: f64 = 1024.0;
/// No slice is longer, so that a window of a quiet scenario is found as quickly.
const LONGEST_SLICE_NANOS: f64 = 64e9;
/// Slices before the timeline's zero (a warm-up) have negative numbers; an id holds them with this added.
const SLICE_BIAS: i64 = 1 << 35;

/// One traffic, ready to generate.
#[derive(Clone, Debug)]
pub(super) struct Source {
    id: TrafficId,
    pub(super) rate: RateCurve,
    arrivals: Arrivals,
    /// Classes with the cumulative share up to and including each.
    mix: Vec<(ClassId, f64)>,
    slice_nanos: i64,
}

impl Source {
    pub(super) fn new(id: TrafficId, traffic: &Traffic) -> Self {
        let slice = (REQUESTS_PER_SLICE / traffic.rate.peak() * 1e9).min(LONGEST_SLICE_NANOS);
        let mut sum = 0.0;
        let mix = traffic.mix.iter().map(|&(class, share)| {
            sum += share.get();
            (class, sum)
        });
        Self {
            id,
            arrivals: traffic.arrivals,
            mix: mix.collect(),
            slice_nanos: slice.max(1.0) as i64,
            rate: traffic.rate.clone(),
        }
    }

    fn class(&self, seed: Seed, id: RequestId) -> ClassId {
        let last = self.mix[self.mix.len() - 1].0;
        if self.mix.len() == 1 {
            return last;
        }
        let unit = Stream::new(seed, CLASS, id.0).unit();
        self.mix.iter().find(|(_, up_to)| unit < *up_to).map_or(last, |(class, _)| *class)
    }

    /// traffic: 6 bits, slice: 36, substream: 6, place in the cell: 16.
    fn request_id(&self, slice: i64, substream: u32, place: u64) -> RequestId {
        let slice = (slice + SLICE_BIAS) as u64;
        RequestId((self.id.0 as u64) << 58 | slice << 22 | u64::from(substream) << 16 | place)
    }

    /// Fills `buffer` with the arrivals of a slice in the segment's substreams: timeline nanoseconds and ids, in order.
    fn generate(&self, seed: Seed, slice: i64, segment: (u32, u32), buffer: &mut Vec<(i64, RequestId)>) {
        buffer.clear();
        let start = slice * self.slice_nanos;
        let (from, to) = (start as f64 / 1e9, (start + self.slice_nanos) as f64 / 1e9);
        match self.arrivals {
            Arrivals::Poisson => self.poisson(seed, slice, segment, (from, to), buffer),
            Arrivals::Uniform => self.uniform(slice, segment, (from, to), buffer),
        }
        buffer.sort_unstable();
    }

    fn poisson(
        &self,
        seed: Seed,
        slice: i64,
        (index, of): (u32, u32),
        (from, to): (f64, f64),
        buffer: &mut Vec<(i64, RequestId)>,
    ) {
        let expected = self.rate.expected(from, to);
        let Ok(law) = Poisson::new(expected / f64::from(SUBSTREAMS)) else { return };
        let line = self.rate.straight(from, to);
        let start = slice * self.slice_nanos;
        for substream in (index..SUBSTREAMS).step_by(of as usize) {
            let cell = CELL.of(u64::from(self.id.0) << 6 | u64::from(substream));
            let mut stream = Stream::new(seed, cell, slice as u64);
            let count: f64 = law.sample(&mut stream);
            for place in 0..count as u64 {
                let arrivals = stream.unit() * expected;
                let moment = line
                    .map_or_else(|| self.rate.moment(from, to, arrivals) - from, |line| line.span(arrivals));
                let at = start + ((moment * 1e9) as i64).clamp(0, self.slice_nanos - 1);
                buffer.push((at, self.request_id(slice, substream, place)));
            }
        }
    }

    /// Arrival j is due when j + 1/2 arrivals are expected, and belongs to substream j mod 64.
    fn uniform(
        &self,
        slice: i64,
        (index, of): (u32, u32),
        (from, to): (f64, f64),
        buffer: &mut Vec<(i64, RequestId)>,
    ) {
        let before = self.rate.cumulative(from);
        let first = (before - 0.5).ceil() as i64;
        let end = (self.rate.cumulative(to) - 0.5).ceil() as i64;
        for j in first..end {
            let substream = j.rem_euclid(i64::from(SUBSTREAMS)) as u32;
            if substream % of == index {
                let moment = self.rate.moment(from, to, j as f64 + 0.5 - before) - from;
                let at = slice * self.slice_nanos + ((moment * 1e9) as i64).clamp(0, self.slice_nanos - 1);
                let place = ((j - first) / i64::from(SUBSTREAMS)) as u64;
                buffer.push((at, self.request_id(slice, substream, place)));
            }
        }
    }
}

/// The requests of one segment in a window, in order of due times. Ties go by id.
#[derive(Debug)]
pub struct Segment<'a> {
    plan: &'a Plan,
    segment: (u32, u32),
    /// The window on the timeline.
    from: i64,
    to: i64,
    lanes: Vec<Lane>,
}

/// The current slice of one traffic.
#[derive(Debug)]
struct Lane {
    next_slice: i64,
    buffer: Vec<(i64, RequestId)>,
    next: usize,
}

impl<'a> Segment<'a> {
    pub(super) fn new(plan: &'a Plan, from: SimTime, to: SimTime, index: u32, of: u32) -> Self {
        let (from, to) = (plan.run.timeline_nanos(from), plan.run.timeline_nanos(to));
        let lane = |source: &Source| Lane {
            next_slice: from.div_euclid(source.slice_nanos),
            buffer: Vec::new(),
            next: 0,
        };
        let mut segment =
            Self { plan, segment: (index, of), from, to, lanes: plan.traffic.iter().map(lane).collect() };
        for traffic in 0..segment.lanes.len() {
            segment.refill(traffic);
            // Only the window's first slice reaches to before it.
            let lane = &mut segment.lanes[traffic];
            lane.next = lane.buffer.partition_point(|(at, _)| *at < segment.from);
            if lane.next == lane.buffer.len() {
                segment.refill(traffic);
            }
        }
        segment
    }

    /// Moves a lane on to its next slice that is not empty; past the window its buffer stays empty.
    fn refill(&mut self, traffic: usize) {
        let source = &self.plan.traffic[traffic];
        let lane = &mut self.lanes[traffic];
        (lane.next, _) = (0, lane.buffer.clear());
        while lane.buffer.is_empty() && lane.next_slice * source.slice_nanos < self.to {
            source.generate(self.plan.seed, lane.next_slice, self.segment, &mut lane.buffer);
            lane.next_slice += 1;
        }
    }
}

impl Iterator for Segment<'_> {
    type Item = Planned;

    #[inline]
    fn next(&mut self) -> Option<Planned> {
        let mut first: Option<(i64, RequestId, usize)> = None;
        for (traffic, lane) in self.lanes.iter().enumerate() {
            if let Some(&(at, id)) = lane.buffer.get(lane.next)
                && first.is_none_or(|(best, best_id, _)| (at, id) < (best, best_id))
            {
                first = Some((at, id, traffic));
            }
        }
        let (at, id, traffic) = first.filter(|(at, ..)| *at < self.to)?;
        let lane = &mut self.lanes[traffic];
        lane.next += 1;
        if lane.next == lane.buffer.len() {
            self.refill(traffic);
        }
        let source = &self.plan.traffic[traffic];
        let start = self.plan.run.timeline_nanos(SimTime::ZERO);
        Some(Planned {
            due: SimTime::from_nanos((at - start) as u64),
            id,
            traffic: source.id,
            class: source.class(self.plan.seed, id),
        })
    }
}
