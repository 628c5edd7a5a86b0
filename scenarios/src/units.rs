//! Quantities as types: a number never travels without its unit.
//!
//! This module owns the types and their arithmetic; reading them from text and writing them back is
//! `quantity`'s task.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

/// A point on a run's time axis, in nanoseconds since the run's start (the start of its warm-up).
///
/// Also used for spans of that axis: the difference of two points has the same resolution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SimTime(u64);

impl SimTime {
    /// The start of the run.
    pub const ZERO: Self = Self(0);
    /// Later than anything that happens.
    pub const MAX: Self = Self(u64::MAX);

    /// From nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis * 1_000_000)
    }

    /// From whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs * 1_000_000_000)
    }

    /// From seconds, rounded to the nearest nanosecond; negative values become zero.
    pub fn from_secs_f64(secs: f64) -> Self {
        Self((secs * 1e9).round().max(0.0) as u64)
    }

    /// In nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// In seconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// As the standard library's duration.
    pub const fn as_duration(self) -> Duration {
        Duration::from_nanos(self.0)
    }

    /// The span from `earlier` to here, or zero where `earlier` is later.
    pub const fn saturating_sub(self, earlier: Self) -> Self {
        Self(self.0.saturating_sub(earlier.0))
    }

    /// The sum, held at [`SimTime::MAX`].
    pub const fn saturating_add(self, span: Self) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Add for SimTime {
    type Output = Self;
    fn add(self, span: Self) -> Self {
        Self(self.0 + span.0)
    }
}

impl AddAssign for SimTime {
    fn add_assign(&mut self, span: Self) {
        self.0 += span.0;
    }
}

impl Sub for SimTime {
    type Output = Self;
    fn sub(self, earlier: Self) -> Self {
        Self(self.0 - earlier.0)
    }
}

impl Sum for SimTime {
    fn sum<I: Iterator<Item = Self>>(spans: I) -> Self {
        spans.fold(Self::ZERO, Add::add)
    }
}

impl From<Duration> for SimTime {
    fn from(duration: Duration) -> Self {
        Self(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A number of events per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Rate(f64);

impl Rate {
    /// From events per second.
    pub const fn per_second(events: f64) -> Self {
        Self(events)
    }

    /// In events per second.
    pub const fn as_per_second(self) -> f64 {
        self.0
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

impl Bytes {
    /// From a count of bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }

    /// The count of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// A number of bits per second, as networks count.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Bandwidth(f64);

impl Bandwidth {
    /// From bits per second.
    pub const fn bits_per_second(bits: f64) -> Self {
        Self(bits)
    }

    /// In bits per second.
    pub const fn as_bits_per_second(self) -> f64 {
        self.0
    }

    /// In bytes per second.
    pub const fn as_bytes_per_second(self) -> f64 {
        self.0 / 8.0
    }
}

/// A share of a whole: `0.25` is 25%.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Ratio(f64);

impl Ratio {
    /// From a fraction, where 1 is the whole.
    pub const fn new(fraction: f64) -> Self {
        Self(fraction)
    }

    /// The fraction, where 1 is the whole.
    pub const fn get(self) -> f64 {
        self.0
    }
}

/// Money per month, with its currency as the file wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct Price {
    /// Units of the currency per month.
    pub per_month: f64,
    /// The currency's name as written, for example `USD`.
    pub currency: String,
}

/// Money per gigabyte, with its currency as the file wrote it.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficPrice {
    /// Units of the currency per 10^9 bytes.
    pub per_gigabyte: f64,
    /// The currency's name as written, for example `USD`.
    pub currency: String,
}

/// The number from which all of a run's randomness follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seed(pub u64);

impl fmt::Display for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
