//! Named random streams from one seed.
//!
//! A stream is a pure function of (seed, purpose, coordinates): two runs, two worlds or two threads that ask for the
//! same stream see the same numbers, whatever else they drew before. The generator is SplitMix64
//! (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): a counter through a
//! finaliser. To open a stream costs two finalisers and to draw costs one, of two multiplications each, so that a request can
//! have several streams of its own. Streams are told apart by hashing, so two may overlap by chance; with 2^64 states that
//! takes billions of streams, and is then a matter of a few draws.

use std::convert::Infallible;

use rand::rand_core::TryRng;

use crate::units::Seed;

/// What a stream is for. Streams of different purposes start at unrelated places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purpose(u64);

impl Purpose {
    /// The purpose with this name; the name alone decides, so adding a purpose moves no other.
    pub const fn named(name: &str) -> Self {
        // FNV-1a over the name: evaluated at compile time, and mixed again before use.
        let bytes = name.as_bytes();
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        let mut i = 0;
        while i < bytes.len() {
            hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            i += 1;
        }
        Self(hash)
    }

    /// This purpose for one of several things that have a number: the `index`-th keyspace, step, component.
    #[inline]
    pub const fn of(self, index: u64) -> Self {
        Self(mix(self.0 ^ index.wrapping_mul(GOLDEN)))
    }
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// SplitMix64's finaliser (variant 13 of Stafford).
#[inline]
const fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The streams of one seed and purpose, by their coordinate: who opens many has half the work done once.
#[derive(Clone, Copy, Debug)]
pub struct Streams(u64);

impl Streams {
    /// The streams of this seed and purpose.
    #[inline]
    pub const fn new(seed: Seed, purpose: Purpose) -> Self {
        Self(mix(seed.0.wrapping_add(GOLDEN) ^ purpose.0))
    }

    /// Opens one, as [`Stream::new`] does.
    #[inline]
    pub const fn open(self, coordinate: u64) -> Stream {
        Stream { counter: mix(self.0 ^ coordinate.wrapping_mul(GOLDEN)) }
    }
}

/// A stream of random numbers. Implements `rand`'s `Rng`, so every law of `rand_distr` draws from it.
#[derive(Clone, Debug)]
pub struct Stream {
    counter: u64,
}

impl Stream {
    /// Opens the stream of this seed, purpose and coordinate (a request's id, a cell's number).
    #[inline]
    pub const fn new(seed: Seed, purpose: Purpose, coordinate: u64) -> Self {
        Streams::new(seed, purpose).open(coordinate)
    }

    /// The next 64 random bits.
    #[inline]
    pub const fn next_bits(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(GOLDEN);
        mix(self.counter)
    }

    /// Uniform on [0, 1), with 53 random bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        (self.next_bits() >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform on (0, 1]: safe to take the logarithm of.
    #[inline]
    pub fn unit_open(&mut self) -> f64 {
        ((self.next_bits() >> 11) + 1) as f64 * (1.0 / (1_u64 << 53) as f64)
    }

    /// Uniform on 0..`bound` (Lemire's multiplication without the rejection step: the bias is below `bound` / 2^64).
    ///
    /// # Panics
    /// In debug builds, where `bound` is zero.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        debug_assert!(bound > 0, "a draw below zero has no outcome");
        ((u128::from(self.next_bits()) * u128::from(bound)) >> 64) as u64
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok((self.next_bits() >> 32) as u32)
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(self.next_bits())
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_bits().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_different_purposes_differ() {
        let seed = Seed(1);
        let a = Stream::new(seed, Purpose::named("arrivals"), 7).next_bits();
        let b = Stream::new(seed, Purpose::named("work"), 7).next_bits();
        let c = Stream::new(seed, Purpose::named("work").of(1), 7).next_bits();
        assert!(a != b && b != c && a != c);
    }

    #[test]
    fn unit_has_the_mean_and_variance_of_the_uniform_law() {
        let mut stream = Stream::new(Seed(3), Purpose::named("test"), 0);
        let n = 1_000_000;
        let (mut sum, mut squares) = (0.0, 0.0);
        for _ in 0..n {
            let u = stream.unit();
            sum += u;
            squares += u * u;
        }
        let mean = sum / f64::from(n);
        let variance = squares / f64::from(n) - mean * mean;
        // Five standard errors of each.
        assert!((mean - 0.5).abs() < 5.0 * (1.0_f64 / 12.0 / f64::from(n)).sqrt(), "mean {mean}");
        assert!(
            (variance - 1.0 / 12.0).abs() < 5.0 * (1.0 / 180.0 / f64::from(n)).sqrt(),
            "variance {variance}"
        );
    }

    #[test]
    fn neighbouring_coordinates_are_uncorrelated() {
        let n = 200_000_u64;
        let draw = |i| Stream::new(Seed(9), Purpose::named("test"), i).unit() - 0.5;
        let product: f64 = (0..n).map(|i| draw(i) * draw(i + 1)).sum::<f64>() / n as f64;
        assert!(product.abs() < 5.0 / 12.0 / (n as f64).sqrt(), "lag-one covariance {product}");
    }
}
