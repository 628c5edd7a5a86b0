//! Probability laws of durations and sizes, as a scenario states them.
//!
//! A law is unitless here: durations are in nanoseconds, sizes in bytes. [`DurationLaw`] and [`SizeLaw`] keep the two apart.

use rand_distr::{Distribution, StandardNormal};

use crate::rng::Stream;
use crate::units::SimTime;

/// A law of non-negative quantities.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Law {
    /// Always this value.
    Constant(f64),
    /// Exponential with this mean.
    Exponential {
        /// The mean.
        mean: f64,
    },
    /// Log-normal: the logarithm is normal with mean ln(`median`) and standard deviation `sigma`.
    Lognormal {
        /// The median, e^mu.
        median: f64,
        /// The standard deviation of the logarithm.
        sigma: f64,
    },
    /// Uniform between two values.
    Uniform {
        /// The least value.
        low: f64,
        /// The greatest value.
        high: f64,
    },
}

/// The standard normal law's 99% quantile.
const NORMAL_P99: f64 = 2.326_347_874_040_841;

impl Law {
    /// The log-normal law with this median and 99th percentile.
    pub fn lognormal_from_p99(median: f64, p99: f64) -> Self {
        Self::Lognormal { median, sigma: (p99 / median).ln() / NORMAL_P99 }
    }

    /// The log-normal law with this mean and coefficient of variation (standard deviation over mean).
    pub fn lognormal_from_cv(mean: f64, cv: f64) -> Self {
        let variance = (cv * cv).ln_1p();
        Self::Lognormal { median: mean * (-variance / 2.0).exp(), sigma: variance.sqrt() }
    }

    /// The expected value.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Exponential { mean } => mean,
            Self::Lognormal { median, sigma } => median * (sigma * sigma / 2.0).exp(),
            Self::Uniform { low, high } => f64::midpoint(low, high),
        }
    }

    /// Draws a value.
    #[inline]
    pub fn sample(&self, stream: &mut Stream) -> f64 {
        match *self {
            Self::Constant(value) => value,
            Self::Exponential { mean } => -mean * stream.unit_open().ln(),
            Self::Lognormal { median, sigma } => {
                let normal: f64 = StandardNormal.sample(stream);
                median * (sigma * normal).exp()
            }
            Self::Uniform { low, high } => low + (high - low) * stream.unit(),
        }
    }
}

/// No drawn duration is longer than a year, however wide its law.
const LONGEST_DRAW_NANOS: f64 = 365.0 * 86_400.0 * 1e9;

/// A law of durations.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DurationLaw(pub(crate) Law);

impl DurationLaw {
    /// No time at all.
    pub const ZERO: Self = Self(Law::Constant(0.0));

    /// From a law in nanoseconds.
    pub const fn from_nanos(law: Law) -> Self {
        Self(law)
    }

    /// The underlying law, in nanoseconds.
    pub const fn law(&self) -> &Law {
        &self.0
    }

    /// The expected duration.
    pub fn mean(&self) -> SimTime {
        SimTime::from_nanos(self.0.mean().round() as u64)
    }

    /// Draws a duration, rounded to the nearest nanosecond.
    #[inline]
    pub fn sample(&self, stream: &mut Stream) -> SimTime {
        // Adding a half rounds what is never negative. The limit keeps sums of many draws from overflowing.
        SimTime::from_nanos((self.0.sample(stream) + 0.5).min(LONGEST_DRAW_NANOS) as u64)
    }
}

/// A law of sizes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SizeLaw(pub(crate) Law);

impl SizeLaw {
    /// From a law in bytes.
    pub const fn from_bytes(law: Law) -> Self {
        Self(law)
    }

    /// The underlying law, in bytes.
    pub const fn law(&self) -> &Law {
        &self.0
    }

    /// The expected size in bytes.
    pub fn mean(&self) -> f64 {
        self.0.mean()
    }

    /// Draws a size in bytes, at least 1 and at most `limit`.
    #[inline]
    pub fn sample(&self, stream: &mut Stream, limit: u64) -> u64 {
        ((self.0.sample(stream) + 0.5) as u64).clamp(1, limit)
    }
}

/// A law of counts from 1 on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum CountLaw {
    /// Always this many.
    Constant(u32),
    /// Geometric on 1, 2, 3, ...: after each one the same chance that it was the last.
    Geometric {
        /// The mean, from 1 on.
        mean: f64,
    },
}

impl CountLaw {
    /// The expected count.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Constant(count) => f64::from(count),
            Self::Geometric { mean } => mean,
        }
    }

    /// Draws a count.
    pub fn sample(&self, stream: &mut Stream) -> u64 {
        match *self {
            Self::Constant(count) => u64::from(count),
            // By inversion: P(more than n) = (1 - 1/mean)^n.
            Self::Geometric { mean } if mean > 1.0 => {
                1 + (stream.unit_open().ln() / (-1.0 / mean).ln_1p()) as u64
            }
            Self::Geometric { .. } => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use crate::units::Seed;

    #[test]
    fn sampled_means_agree_with_the_stated_ones() {
        let laws = [
            Law::Constant(4.0),
            Law::Exponential { mean: 3.0 },
            Law::lognormal_from_p99(3.0, 15.0),
            Law::lognormal_from_cv(2.0, 2.0),
            Law::Uniform { low: 1.0, high: 2.0 },
        ];
        for (i, law) in laws.iter().enumerate() {
            let mut stream = Stream::new(Seed(1), Purpose::named("law-test"), i as u64);
            let n = 400_000;
            let draws: Vec<f64> = (0..n).map(|_| law.sample(&mut stream)).collect();
            let mean = draws.iter().sum::<f64>() / f64::from(n);
            let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
            let error = 5.0 * (variance / f64::from(n)).sqrt() + 1e-9;
            assert!(
                (mean - law.mean()).abs() < error,
                "{law:?}: mean {mean}, expected {} ± {error}",
                law.mean()
            );
        }
    }

    #[test]
    fn geometric_counts_have_the_mean_and_variance_of_the_law() {
        for mean in [1.0, 1.5, 6.0, 40.0] {
            let law = CountLaw::Geometric { mean };
            let mut stream = Stream::new(Seed(6), Purpose::named("law-test"), mean as u64);
            let n = 200_000.0;
            let draws: Vec<f64> = (0..n as u32).map(|_| law.sample(&mut stream) as f64).collect();
            let found = draws.iter().sum::<f64>() / n;
            let variance = mean * (mean - 1.0);
            assert!((found - mean).abs() <= 5.0 * (variance / n).sqrt(), "mean {found}, expected {mean}");
            let spread = draws.iter().map(|x| (x - found).powi(2)).sum::<f64>() / n;
            // The fourth central moment of a geometric law is below 10 times its variance squared plus its variance.
            let error = 5.0 * ((10.0 * variance * variance + variance) / n).sqrt();
            assert!((spread - variance).abs() <= error, "variance {spread}, expected {variance}");
        }
    }

    #[test]
    fn the_p99_given_is_the_p99_drawn() {
        let law = Law::lognormal_from_p99(3.0, 15.0);
        let mut stream = Stream::new(Seed(5), Purpose::named("law-test"), 0);
        let n = 200_000;
        let above = (0..n).filter(|_| law.sample(&mut stream) > 15.0).count() as f64;
        let expected = 0.01 * f64::from(n);
        assert!((above - expected).abs() < 5.0 * expected.sqrt(), "{above} draws above the p99");
    }
}
