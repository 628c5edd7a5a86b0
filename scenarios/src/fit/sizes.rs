//! Sizes of answers, in a histogram of logarithmic bins, and the log-normal law with its quantiles.

use std::collections::BTreeMap;

/// Bins in a factor of e: each is 2% wide.
const BINS: f64 = 50.0;

/// How many answers have which size.
#[derive(Clone, Debug, Default)]
pub(super) struct Sizes {
    bins: BTreeMap<u16, u64>,
    count: u64,
}

impl Sizes {
    pub(super) fn add(&mut self, bytes: u64) {
        *self.bins.entry(((bytes.max(1) as f64).ln() * BINS) as u16).or_default() += 1;
        self.count += 1;
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (bin, count) in &other.bins {
            *self.bins.entry(*bin).or_default() += count;
        }
        self.count += other.count;
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The size that this share of the answers does not exceed, in bytes.
    pub(super) fn quantile(&self, share: f64) -> f64 {
        let wanted = (share * self.count as f64).ceil().max(1.0);
        let mut sum = 0;
        for (bin, count) in &self.bins {
            sum += count;
            if sum as f64 >= wanted {
                return ((f64::from(*bin) + 0.5) / BINS).exp();
            }
        }
        0.0
    }
}
