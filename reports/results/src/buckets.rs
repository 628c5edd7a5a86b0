//! Log-linear histograms in HdrHistogram's bucket layout, made for a hot `add` and a small footprint.
//!
//! The layout (Gil Tene's HdrHistogram) is linear up to 2^(BITS+1) units and then has 2^BITS buckets per doubling, so
//! every bucket of a coarse histogram is a union of buckets of a finer one. What differs from the `hdrhistogram` crate
//! is storage: only the touched octaves are allocated, and a histogram that is done with can be packed. Encoding goes through that crate, so that its tools read what is
//! written here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer as _, V2DeflateSerializer};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::hdr_log::payload::{self, Decoder};

/// The unit of values is 2^6 = 64 ns: three digits hold from 65 µs up, and 64 ns below.
const UNIT_SHIFT: u32 = 6;
/// The greatest value that is told apart, about 9.8 hours; later ones count as this.
pub const GREATEST_NANOS: u64 = (1 << 45) - 1;

/// A counter of buckets.
pub trait Counter: Copy + Default + PartialEq + std::fmt::Debug {
    /// One more, held at the greatest.
    fn increment(&mut self);
    /// `n` more, held at the greatest.
    fn raise(&mut self, n: u64);
    /// The count.
    fn get(self) -> u64;
}

macro_rules! counter {
    ($type:ty) => {
        impl Counter for $type {
            #[inline]
            fn increment(&mut self) {
                *self = self.saturating_add(1);
            }
            #[inline]
            fn raise(&mut self, n: u64) {
                *self = self.saturating_add(<$type>::try_from(n).unwrap_or(<$type>::MAX));
            }
            #[inline]
            fn get(self) -> u64 {
                u64::from(self)
            }
        }
    };
}
counter!(u32);
counter!(u64);

/// A histogram of durations with 2^`BITS` buckets per doubling.
#[derive(Clone, Debug)]
pub struct Buckets<C, const BITS: u32> {
    /// The index of the first bucket held; a multiple of an octave.
    base: usize,
    counts: Vec<C>,
    /// The same without empty buckets, where nothing is counted any more; `counts` is then empty.
    packed: Option<Box<Packed<C>>>,
}

/// Occupied buckets, in ascending order.
#[derive(Clone, Debug)]
struct Packed<C> {
    /// There are fewer buckets than 2^16, whatever the digits.
    indices: Box<[u16]>,
    counts: Box<[C]>,
}

/// Two significant digits, for one interval.
pub type Coarse = Buckets<u32, 7>;
/// Three significant digits, for one window.
pub type Fine = Buckets<u64, 10>;

impl<C, const BITS: u32> Default for Buckets<C, BITS> {
    fn default() -> Self {
        Self { base: 0, counts: Vec::new(), packed: None }
    }
}

#[inline]
fn index<const BITS: u32>(nanos: u64) -> usize {
    let units = nanos.min(GREATEST_NANOS) >> UNIT_SHIFT;
    // The lower bits set cannot raise the bucket number above zero, so small values need no branch.
    let octave = 63 - BITS - (units | (1 << BITS)).leading_zeros();
    ((octave as usize) << BITS) + (units >> octave) as usize
}

/// The least and the greatest value of a bucket, in nanoseconds.
fn bounds<const BITS: u32>(index: usize) -> (u64, u64) {
    let octave = (index >> BITS).saturating_sub(1);
    let low = ((index - (octave << BITS)) as u64) << octave;
    (low << UNIT_SHIFT, ((low + (1 << octave)) << UNIT_SHIFT) - 1)
}

impl<C: Counter, const BITS: u32> Buckets<C, BITS> {
    const OCTAVE: usize = 1 << BITS;

    /// Counts a value.
    #[inline]
    pub fn add(&mut self, nanos: u64) {
        let index = index::<BITS>(nanos);
        match self.counts.get_mut(index.wrapping_sub(self.base)) {
            Some(count) => count.increment(),
            None => self.grow(index).increment(),
        }
    }

    /// Counts a value `n` times.
    pub fn add_n(&mut self, nanos: u64, n: u64) {
        if n > 0 {
            self.grow(index::<BITS>(nanos)).raise(n);
        }
    }

    /// The counter at an index, allocated where it is missing.
    #[cold]
    #[inline(never)]
    fn grow(&mut self, index: usize) -> &mut C {
        if let Some(packed) = self.packed.take() {
            for (at, count) in packed.indices.iter().zip(&packed.counts) {
                *self.grow(usize::from(*at)) = *count;
            }
        }
        let octave = index / Self::OCTAVE * Self::OCTAVE;
        if self.counts.is_empty() {
            self.base = octave;
        }
        if octave < self.base {
            let more = self.base - octave;
            self.counts.splice(0..0, std::iter::repeat_n(C::default(), more));
            self.base = octave;
        }
        let needed = octave + Self::OCTAVE - self.base;
        if self.counts.len() < needed {
            self.counts.reserve_exact(needed - self.counts.len());
            self.counts.resize(needed, C::default());
        }
        &mut self.counts[index - self.base]
    }

    /// Leaves the empty buckets out, where that saves memory: what is counted later puts them back.
    pub(crate) fn pack(&mut self) {
        let occupied = self.occupied().count();
        if self.counts.is_empty() || occupied * (size_of::<C>() + 2) > self.counts.len() * size_of::<C>() {
            return;
        }
        let indices = self.occupied().map(|(index, _)| index as u16).collect();
        let counts = self.counts.iter().copied().filter(|count| count.get() > 0).collect();
        *self = Self { packed: Some(Box::new(Packed { indices, counts })), ..Self::default() };
    }

    /// Adds another histogram's counts.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() && self.packed.is_none() {
            self.clone_from(other);
            return;
        }
        for (index, n) in other.occupied() {
            self.grow(index).raise(n);
        }
    }

    fn occupied(&self) -> impl DoubleEndedIterator<Item = (usize, u64)> + '_ {
        let packed = self.packed.iter().flat_map(|packed| {
            let indices = packed.indices.iter().map(|index| usize::from(*index));
            indices.zip(packed.counts.iter().map(|c| c.get()))
        });
        let counted = self.counts.iter().enumerate();
        packed.chain(counted.filter(|(_, c)| c.get() > 0).map(|(i, c)| (self.base + i, c.get())))
    }

    /// The occupied buckets in ascending order: their least and greatest value in nanoseconds, and their count.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, u64, u64)> + '_ {
        self.occupied().map(|(index, n)| {
            let (low, high) = bounds::<BITS>(index);
            (low, high, n)
        })
    }

    /// How many values lie in buckets wholly beyond a value.
    pub fn beyond(&self, nanos: u64) -> u64 {
        let last = index::<BITS>(nanos);
        self.occupied().rev().take_while(|(index, _)| *index > last).map(|(_, n)| n).sum()
    }

    /// How many values were counted.
    pub fn total(&self) -> u64 {
        self.occupied().map(|(_, n)| n).sum()
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.occupied().next().is_none()
    }

    /// The same counts in the `hdrhistogram` crate's type, in nanoseconds.
    pub fn to_hdr(&self) -> Histogram<u64> {
        let digits = if BITS >= 10 { 3 } else { 2 };
        let mut hdr = Histogram::new_with_bounds(1 << UNIT_SHIFT, GREATEST_NANOS, digits)
            .expect("the bounds are constants in range");
        for (low, _, n) in self.iter() {
            hdr.record_n(low, n).expect("every bucket lies below the greatest value");
        }
        hdr
    }

    /// HdrHistogram's compressed V2 encoding in base64; empty for an empty histogram.
    pub fn encode(&self) -> String {
        if self.is_empty() {
            return String::new();
        }
        let mut bytes = Vec::new();
        V2DeflateSerializer::new()
            .serialize(&self.to_hdr(), &mut bytes)
            .expect("writing to memory does not fail, and every count fits");
        STANDARD.encode(bytes)
    }

    /// Reads what [`Buckets::encode`] wrote.
    ///
    /// # Errors
    /// The problem, where the text is not that encoding.
    pub fn decode(text: &str) -> Result<Self, String> {
        let mut buckets = Self::default();
        if text.is_empty() {
            return Ok(buckets);
        }
        let mut decoder = Decoder::default();
        let (layout, encoded) = decoder.open(text.as_bytes())?;
        payload::counts(encoded, |index, n| buckets.add_n(layout.greatest(index), n))?;
        Ok(buckets)
    }
}

/// The occupied buckets, each with its position and its count: the same histogram on another machine, without loss.
impl<C: Counter, const BITS: u32> Serialize for Buckets<C, BITS> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.occupied())
    }
}

impl<'de, C: Counter, const BITS: u32> Deserialize<'de> for Buckets<C, BITS> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut buckets = Self::default();
        let most = index::<BITS>(GREATEST_NANOS);
        for (index, count) in Vec::<(usize, u64)>::deserialize(from)? {
            if index > most {
                return Err(D::Error::custom(format!(
                    "bucket {index} lies beyond the last, which is {most}"
                )));
            }
            buckets.grow(index).raise(count);
        }
        Ok(buckets)
    }
}

/// Two histograms are equal where their counts are, however they are stored.
impl<C: Counter, const BITS: u32> PartialEq for Buckets<C, BITS> {
    fn eq(&self, other: &Self) -> bool {
        self.occupied().eq(other.occupied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bounds_tile_the_axis_and_agree_with_index() {
        let mut next = 0;
        for i in 0..4000 {
            let (low, high) = bounds::<7>(i);
            assert_eq!(low, next, "bucket {i}");
            assert_eq!(index::<7>(low), i);
            assert_eq!(index::<7>(high), i);
            next = high + 1;
        }
    }

    #[test]
    fn a_bucket_beyond_the_last_is_refused() {
        let last = index::<7>(GREATEST_NANOS);
        assert!(serde_json::from_str::<Coarse>(&format!("[[{last},1]]")).is_ok());
        assert!(serde_json::from_str::<Coarse>(&format!("[[{},1]]", last + 1)).is_err());
    }

    proptest! {
        #[test]
        fn encoding_keeps_every_bucket(values in proptest::collection::vec(0u64..GREATEST_NANOS, 0..200)) {
            let mut fine = Fine::default();
            let mut coarse = Coarse::default();
            for &value in &values {
                fine.add(value);
                coarse.add(value);
            }
            prop_assert_eq!(&Fine::decode(&fine.encode()).expect("own encoding"), &fine);
            prop_assert_eq!(&Coarse::decode(&coarse.encode()).expect("own encoding"), &coarse);
            prop_assert_eq!(fine.total(), values.len() as u64);
        }

        #[test]
        fn a_packed_histogram_is_the_same_and_goes_on(
            before in proptest::collection::vec(0u64..GREATEST_NANOS, 0..200),
            after in proptest::collection::vec(0u64..GREATEST_NANOS, 0..200),
        ) {
            let (mut packed, mut plain) = (Coarse::default(), Coarse::default());
            for &value in &before {
                packed.add(value);
                plain.add(value);
            }
            packed.pack();
            prop_assert!(before.is_empty() || packed.counts.is_empty());
            prop_assert_eq!(&packed, &plain);
            prop_assert_eq!(packed.total(), before.len() as u64);
            for &value in &after {
                prop_assert_eq!(packed.beyond(value), plain.beyond(value));
            }
            let mut merged = Coarse::default();
            merged.merge(&packed);
            prop_assert_eq!(&merged, &plain);
            for &value in &after {
                packed.add(value);
                plain.add(value);
            }
            prop_assert_eq!(&packed, &plain);
            merged.merge(&packed);
            packed.pack();
            prop_assert_eq!(merged.total(), (2 * before.len() + after.len()) as u64);
            prop_assert_eq!(packed.encode(), plain.encode());
        }

        #[test]
        fn a_histogram_is_the_same_on_another_machine(values in proptest::collection::vec(0u64..GREATEST_NANOS, 0..200)) {
            let mut fine = Fine::default();
            values.iter().for_each(|value| fine.add(*value));
            let sent = serde_json::to_vec(&fine).expect("it can be written");
            prop_assert_eq!(&serde_json::from_slice::<Fine>(&sent).expect("own encoding"), &fine);
            fine.pack();
            prop_assert_eq!(serde_json::to_vec(&fine).expect("it can be written"), sent);
        }

        #[test]
        fn buckets_are_those_of_hdrhistogram(value in 0u64..GREATEST_NANOS) {
            let (low, high) = bounds::<10>(index::<10>(value));
            let hdr = Histogram::<u64>::new_with_bounds(64, GREATEST_NANOS, 3).expect("constants");
            prop_assert_eq!((low, high), (hdr.lowest_equivalent(value), hdr.highest_equivalent(value)));
        }
    }
}
