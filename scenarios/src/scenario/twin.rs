//! What is held against a measurement: cases in both worlds.

use super::Variant;

/// The name of the file as it is among the cases.
pub const BASE_CASE: &str = "base";

/// The file's section `[twin]`; without one, its defaults.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Twin {
    /// The cases, in the file's order.
    pub cases: Vec<TwinCase>,
    /// With how many seeds each is run.
    pub repetitions: u32,
    /// How far off is still good.
    pub targets: TwinTargets,
}

/// A case that is run in both worlds.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TwinCase {
    /// Its name.
    pub name: String,
    /// The variant that it is; none for the file as it is.
    pub variant: Option<String>,
    /// What is different, in words.
    pub what: String,
    /// Which share of the capacity its load is, where it belongs to the curve of latency against load.
    pub load: Option<f64>,
}

/// How far a prediction may be off: relative, or as a fraction (points) of shares.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct TwinTargets {
    /// Good answers a second, relative.
    pub goodput: f64,
    /// The median response time, relative.
    pub p50: f64,
    /// The 99th percentile up to 70% of the capacity, relative.
    pub p99: f64,
    /// The load at which the 99th percentiles are equal, relative.
    pub load: f64,
    /// Hit ratios, as a fraction.
    pub hit_ratio: f64,
    /// Depth and duration of a dip, relative.
    pub dip: f64,
    /// Utilisations, as a fraction.
    pub utilisation: f64,
}

impl TwinCase {
    /// The file as it is.
    pub(crate) fn base() -> Self {
        Self { name: BASE_CASE.to_owned(), variant: None, what: "the file as it is".to_owned(), load: None }
    }

    /// A variant of the file.
    pub(crate) fn of_variant(variant: &Variant) -> Self {
        let name = variant.name.clone();
        Self { variant: Some(name.clone()), name, what: variant.what.clone(), load: None }
    }
}
