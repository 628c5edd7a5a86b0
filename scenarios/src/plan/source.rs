//! The requests of one traffic that arrive by themselves, slice by slice.
//!
//! A slice's requests are packed into one word each, so that to sort words is to sort requests: the nanosecond in the slice,
//! then what the identity orders by.

use rand_distr::{Distribution, Poisson};

use super::segment::Seat;
use super::session::STEP_BITS;
use super::{ClassId, RequestId, SUBSTREAMS, TrafficId};
use crate::rate::RateCurve;
use crate::rng::{Purpose, Stream};
use crate::scenario::{Arrivals, Burst, Executor, Traffic};
use crate::units::Seed;

const CELL: Purpose = Purpose::named("arrivals");
const CLASS: Purpose = Purpose::named("class");

/// A slice is as long as this many requests take at the traffic's peak, growth apart: enough to spread a cell's fixed
/// cost, few enough to sort in the first-level cache.
const REQUESTS_PER_SLICE: f64 = 1024.0;
/// No slice is longer, so that a window of a quiet scenario is found as quickly; only a burst may ask for more.
const LONGEST_SLICE_NANOS: f64 = 64e9;
/// Bits of a name that hold the slice. Slices before the timeline's zero (a warm-up) have negative numbers; a name holds
/// them with half the range added.
const SLICE_BITS: u32 = 36;
/// Bits of a packed request below its nanosecond: one for the slice it was drawn in, 6 for the substream, 16 for its place.
const NANOS_SHIFT: u32 = 23;
/// Set where a request was drawn in the slice that it is due in, and not in the one before.
const OWN: u64 = 1 << 22;
/// The greatest place in a cell.
const PLACES: u64 = 1 << 16;

/// One traffic, ready to generate.
#[derive(Clone, Debug)]
pub(super) struct Source {
    id: TrafficId,
    pub(super) rate: RateCurve,
    arrivals: Arrivals,
    /// Classes with the cumulative share up to and including each.
    mix: Vec<(ClassId, f64)>,
    slice_nanos: i64,
    /// Bits at the end of a name that are left for the requests of a session.
    step_bits: u32,
}

/// The slice that a traffic is at.
#[derive(Debug, Default)]
pub(super) struct Slice {
    number: i64,
    /// What is due in it, packed, in order.
    packed: Vec<u64>,
    /// What was drawn in it and is due in the next.
    carried: Vec<u64>,
    /// Scratch.
    ends: Vec<u32>,
    dealt: Vec<u64>,
}

/// Fewer requests than this are sorted as any numbers are.
const FEW: usize = 64;
/// And so are they where more of them than this crowd together, as bursts do.
const CROWD: u32 = 24;

impl Slice {
    /// Brings the requests in order: dealt out by their time into about as many heaps as there are requests, over which they
    /// are spread evenly as long as the rate hardly changes, they are nearly there.
    fn sort(&mut self, slice_nanos: i64) {
        if self.packed.len() < FEW {
            return self.packed.sort_unstable();
        }
        let spread = (slice_nanos.max(1) as u64).ilog2().saturating_sub(self.packed.len().ilog2());
        let heap = |packed: u64| (packed >> NANOS_SHIFT >> spread) as usize;
        self.ends.clear();
        self.ends.resize(heap((slice_nanos as u64) << NANOS_SHIFT) + 1, 0);
        self.packed.iter().for_each(|&packed| self.ends[heap(packed)] += 1);
        if self.ends.iter().any(|&held| held > CROWD) {
            return self.packed.sort_unstable();
        }
        let mut before = 0;
        for end in &mut self.ends {
            before += std::mem::replace(end, before);
        }
        self.dealt.clear();
        self.dealt.resize(self.packed.len(), 0);
        for &packed in &self.packed {
            let place = &mut self.ends[heap(packed)];
            self.dealt[*place as usize] = packed;
            *place += 1;
        }
        for at in 1..self.dealt.len() {
            let packed = self.dealt[at];
            let mut hole = at;
            while hole > 0 && self.dealt[hole - 1] > packed {
                self.dealt[hole] = self.dealt[hole - 1];
                hole -= 1;
            }
            self.dealt[hole] = packed;
        }
        std::mem::swap(&mut self.packed, &mut self.dealt);
    }
}

impl Source {
    pub(super) fn new(id: TrafficId, traffic: &Traffic) -> Self {
        let mut slice = (REQUESTS_PER_SLICE / traffic.rate.nominal_peak() * 1e9).min(LONGEST_SLICE_NANOS);
        if let Arrivals::Bursty(burst) = traffic.arrivals {
            // A burst then ends in the next slice at the latest.
            slice = slice.max(burst.within.as_nanos() as f64);
        }
        Self {
            id,
            arrivals: traffic.arrivals,
            mix: cumulative(&traffic.mix),
            slice_nanos: slice.max(1.0) as i64,
            rate: traffic.rate.clone(),
            step_bits: if matches!(traffic.executor, Executor::Sessions(_)) { STEP_BITS } else { 0 },
        }
    }

    pub(super) fn class(&self, seed: Seed, id: RequestId) -> ClassId {
        class(&self.mix, seed, id)
    }

    /// Where the slice starts in which a request was drawn, in nanoseconds of the timeline; in sessions, their first one.
    #[inline]
    pub(super) fn start_of(&self, id: RequestId) -> i64 {
        let cell = (id.0 & ((1 << 58) - 1)) >> self.step_bits;
        let bias = 1_i64 << (SLICE_BITS - self.step_bits - 1);
        ((cell >> 22) as i64 - bias) * self.slice_nanos
    }

    /// The slice that a nanosecond of the timeline lies in, not yet filled; the next one to fill is it.
    pub(super) fn seek(&self, seed: Seed, at: i64, seat: Seat) -> Slice {
        let mut slice = Slice { number: at.div_euclid(self.slice_nanos) - 1, ..Slice::default() };
        if let Arrivals::Bursty(_) = self.arrivals {
            // Bursts of the slice before reach into it.
            slice.number -= 1;
            self.advance(seed, seat, &mut slice);
            slice.packed.clear();
        }
        slice
    }

    /// Where the slice after this one starts, in nanoseconds of the timeline.
    pub(super) fn end(&self, slice: &Slice) -> i64 {
        (slice.number + 1) * self.slice_nanos
    }

    /// The request at a place of the slice: its nanosecond on the timeline and its name.
    #[inline]
    pub(super) fn get(&self, slice: &Slice, place: usize) -> Option<(i64, RequestId)> {
        let packed = *slice.packed.get(place)?;
        let at = slice.number * self.slice_nanos + (packed >> NANOS_SHIFT) as i64;
        let drawn = slice.number - i64::from(packed & OWN == 0);
        // traffic: 6 bits, slice: 36, substream: 6, place in the cell: 16; in sessions, 26 for the slice and 10 for the step.
        let bias = 1_i64 << (SLICE_BITS - self.step_bits - 1);
        let cell = ((drawn + bias) as u64) << 22 | packed & (OWN - 1);
        Some((at, RequestId(u64::from(self.id.0) << 58 | cell << self.step_bits)))
    }

    /// Fills the next slice with the arrivals of the segment, in order.
    pub(super) fn advance(&self, seed: Seed, seat: Seat, slice: &mut Slice) {
        slice.number += 1;
        slice.packed.clear();
        slice.packed.append(&mut slice.carried);
        match self.arrivals {
            Arrivals::Poisson => self.poisson(seed, seat, slice),
            Arrivals::Uniform => self.uniform(seat, slice),
            Arrivals::Bursty(burst) => self.bursts(seed, seat, burst, slice),
        }
        slice.sort(self.slice_nanos);
    }

    /// Start and end of a slice, in seconds.
    fn bounds(&self, slice: &Slice) -> (f64, f64) {
        let start = slice.number * self.slice_nanos;
        (start as f64 / 1e9, (start + self.slice_nanos) as f64 / 1e9)
    }

    /// Calls `each` with a nanosecond of the slice, the substream, its random stream and the place in the cell, for each
    /// point of a Poisson process of the rate divided by `size`.
    #[inline]
    fn points(
        &self,
        seed: Seed,
        seat: Seat,
        slice: &Slice,
        size: f64,
        mut each: impl FnMut(u64, u32, &mut Stream, u64),
    ) {
        let (from, to) = self.bounds(slice);
        let expected = self.rate.area(from, to);
        let Ok(law) = Poisson::new(expected / size / f64::from(SUBSTREAMS)) else { return };
        let line = self.rate.straight(from, to);
        let last = self.slice_nanos as u64 - 1;
        for substream in seat.substreams() {
            let cell = CELL.of(u64::from(self.id.0) << 6 | u64::from(substream));
            let mut stream = Stream::new(seed, cell, slice.number as u64);
            let count: f64 = law.sample(&mut stream);
            for place in 0..(count as u64).min(PLACES) {
                let arrivals = stream.unit() * expected;
                let moment = line
                    .map_or_else(|| self.rate.moment(from, to, arrivals) - from, |line| line.span(arrivals));
                each(((moment * 1e9) as u64).min(last), substream, &mut stream, place);
            }
        }
    }

    fn poisson(&self, seed: Seed, seat: Seat, slice: &mut Slice) {
        let mut packed = std::mem::take(&mut slice.packed);
        self.points(seed, seat, slice, 1.0, |nanos, substream, _, place| {
            if seat.has_whole_substreams() || seat.owns(substream, place, slice.number) {
                packed.push(nanos << NANOS_SHIFT | OWN | u64::from(substream) << 16 | place);
            }
        });
        slice.packed = packed;
    }

    /// A Neyman-Scott cluster process: bursts start as a Poisson process, and each of its requests follows after a time of
    /// its own, uniform over the burst's length. See [`Burst`].
    fn bursts(&self, seed: Seed, seat: Seat, burst: Burst, slice: &mut Slice) {
        let (mut packed, mut carried) =
            (std::mem::take(&mut slice.packed), std::mem::take(&mut slice.carried));
        let length = self.slice_nanos as u64;
        let size = u64::from(burst.size);
        self.points(seed, seat, slice, f64::from(burst.size), |start, substream, stream, place| {
            for member in (place * size..(place + 1) * size).take_while(|m| *m < PLACES) {
                let nanos = start + stream.below(burst.within.as_nanos());
                if !seat.has_whole_substreams() && !seat.owns(substream, member, slice.number) {
                    continue;
                }
                let name = u64::from(substream) << 16 | member;
                match nanos.checked_sub(length) {
                    None => packed.push(nanos << NANOS_SHIFT | OWN | name),
                    Some(nanos) => carried.push(nanos << NANOS_SHIFT | name),
                }
            }
        });
        (slice.packed, slice.carried) = (packed, carried);
    }

    /// Arrival j is due when j + 1/2 arrivals are expected, and belongs to substream j mod 64.
    fn uniform(&self, seat: Seat, slice: &mut Slice) {
        let (from, to) = self.bounds(slice);
        let before = self.rate.cumulative(from);
        let first = (before - 0.5).ceil() as i64;
        let end = (self.rate.cumulative(to) - 0.5).ceil() as i64;
        for j in first..end {
            let substream = j.rem_euclid(i64::from(SUBSTREAMS)) as u64;
            let place = ((j - first) / i64::from(SUBSTREAMS)) as u64;
            if seat.owns(substream as u32, place, slice.number) {
                let moment = self.rate.moment(from, to, j as f64 + 0.5 - before) - from;
                let nanos = ((moment * 1e9) as u64).min(self.slice_nanos as u64 - 1);
                slice.packed.push(nanos << NANOS_SHIFT | OWN | substream << 16 | place);
            }
        }
    }
}

/// A mix with the cumulative share up to and including each class.
pub(super) fn cumulative(mix: &[(ClassId, crate::units::Ratio)]) -> Vec<(ClassId, f64)> {
    let mut sum = 0.0;
    let add = |&(class, share): &(ClassId, crate::units::Ratio)| {
        sum += share.get();
        (class, sum)
    };
    mix.iter().map(add).collect()
}

/// The class that a request draws from a mix.
#[inline]
pub(super) fn class(mix: &[(ClassId, f64)], seed: Seed, id: RequestId) -> ClassId {
    let last = mix[mix.len() - 1].0;
    if mix.len() == 1 {
        return last;
    }
    let unit = Stream::new(seed, CLASS, id.0).unit();
    mix.iter().find(|(_, up_to)| unit < *up_to).map_or(last, |(class, _)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn requests_of_a_slice_come_in_order(
            nanos in proptest::collection::vec(0_u64..5_000_000, 0..600),
            crowds in proptest::collection::vec(0_u64..1_000, 0..100),
            length in 5_000_000_i64..80_000_000,
        ) {
            let times = nanos.into_iter().chain(crowds);
            let packed: Vec<u64> =
                times.enumerate().map(|(i, nanos)| nanos << NANOS_SHIFT | OWN | i as u64).collect();
            let mut slice = Slice { packed: packed.clone(), ..Slice::default() };
            slice.sort(length);
            let mut expected = packed;
            expected.sort_unstable();
            prop_assert_eq!(slice.packed, expected);
        }
    }
}
