//! Wilcoxon's signed-rank test with the estimate and the bounds that belong to it (Wilcoxon, *Individual comparisons by
//! ranking methods*, Biometrics Bulletin 1, 1945; Hodges and Lehmann, *Estimates of location based on rank tests*, Annals
//! of Mathematical Statistics 34, 1963; Hollander and Wolfe, *Nonparametric Statistical Methods*, 3.1 to 3.3).
//!
//! The centre of a symmetric law from independent values, whatever its tails: a few wild values shift it no more than
//! others do.

use super::student::{beyond, two_sided};

/// Up to so many values the statistic's law is counted out, beyond it is as good as normal.
const EXACT: usize = 50;

/// What is known of the centre of the law that some values come from.
#[derive(Clone, Debug)]
pub struct SignedRank {
    /// The means of all pairs of values, each with itself too, in order.
    means: Vec<f64>,
    law: Law,
}

impl SignedRank {
    /// Of these values. None without any, or where one is not finite.
    ///
    /// ```
    /// use results::statistics::SignedRank;
    /// // Hollander and Wolfe, table 3.1: depression scores before and after, nine patients.
    /// let fall = [0.952, -0.147, 1.022, 0.430, 0.620, 0.590, 0.490, -0.080, 0.010];
    /// let of = SignedRank::of(&fall).expect("there are values");
    /// assert!((of.p_above(0.0) - 0.0195).abs() < 5e-5);
    /// assert!((of.centre() - 0.46).abs() < 1e-9);
    /// ```
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() || values.iter().any(|v| !v.is_finite()) {
            return None;
        }
        let pairs =
            values.iter().enumerate().flat_map(|(i, a)| values[i..].iter().map(move |b| 0.5 * (a + b)));
        let mut means: Vec<f64> = pairs.collect();
        means.sort_unstable_by(f64::total_cmp);
        Some(Self { means, law: Law::new(values.len()) })
    }

    /// The estimate of Hodges and Lehmann: the median of the pairs' means.
    pub fn centre(&self) -> f64 {
        let middle = self.means.len() / 2;
        if self.means.len() % 2 == 1 {
            self.means[middle]
        } else {
            0.5 * (self.means[middle - 1] + self.means[middle])
        }
    }

    /// How probable it is to see as much above `limit`, if the centre is no greater than it: the one-sided test. Pairs
    /// whose mean is the limit itself speak for neither side.
    pub fn p_above(&self, limit: f64) -> f64 {
        self.law.at_least(self.means.len() - self.means.partition_point(|mean| *mean <= limit))
    }

    /// The same for the other side.
    pub fn p_below(&self, limit: f64) -> f64 {
        self.law.at_least(self.means.partition_point(|mean| *mean < limit))
    }

    /// The centre is greater than this, but for an error of probability `alpha`. Minus infinity of too few values.
    pub fn lower_bound(&self, alpha: f64) -> f64 {
        let rank = self.law.critical(alpha);
        self.means.len().checked_sub(rank).map_or(f64::NEG_INFINITY, |below| self.means[below])
    }

    /// The centre is less than this, but for an error of probability `alpha`. Infinity of too few values.
    pub fn upper_bound(&self, alpha: f64) -> f64 {
        self.means.get(self.law.critical(alpha) - 1).copied().unwrap_or(f64::INFINITY)
    }
}

/// The law of the statistic, the sum of the ranks of positive values, where the centre is zero.
#[derive(Clone, Debug)]
enum Law {
    /// The probability of each sum.
    Counted(Vec<f64>),
    Normal {
        mean: f64,
        deviation: f64,
    },
}

impl Law {
    fn new(values: usize) -> Self {
        let n = values as f64;
        if values > EXACT {
            let variance = n * (n + 1.0) * (2.0 * n + 1.0) / 24.0;
            return Self::Normal { mean: n * (n + 1.0) / 4.0, deviation: variance.sqrt() };
        }
        let mut law = vec![0.0; values * (values + 1) / 2 + 1];
        law[0] = 1.0;
        for rank in 1..=values {
            // Each rank is in the sum or not, with the same probability.
            for sum in (0..=rank * (rank + 1) / 2).rev() {
                let without = if sum < rank { 0.0 } else { law[sum - rank] };
                law[sum] = 0.5 * (law[sum] + without);
            }
        }
        Self::Counted(law)
    }

    /// How probable it is that the sum is so great, or greater.
    fn at_least(&self, sum: usize) -> f64 {
        match self {
            Self::Counted(law) => law.get(sum..).unwrap_or_default().iter().sum::<f64>().min(1.0),
            Self::Normal { mean, deviation } => {
                let z = (sum as f64 - 0.5 - mean) / deviation;
                let outside = 0.5 * beyond(z.abs(), f64::INFINITY);
                if z > 0.0 { outside } else { 1.0 - outside }
            }
        }
    }

    /// The least sum that is so improbable, or more than there can be.
    fn critical(&self, alpha: f64) -> usize {
        match self {
            Self::Counted(law) => {
                let mut beyond = 0.0;
                let mut sum = law.len();
                while sum > 0 && beyond + law[sum - 1] <= alpha {
                    sum -= 1;
                    beyond += law[sum];
                }
                sum.max(1)
            }
            Self::Normal { mean, deviation } => {
                (mean + 0.5 + deviation * normal_quantile(alpha)).ceil().max(1.0) as usize
            }
        }
    }
}

/// What a normal value of variance one is greater than with this probability, which is below one half.
pub fn normal_quantile(probability: f64) -> f64 {
    two_sided(1.0 - 2.0 * probability, f64::INFINITY)
}

/// How far values of a law lie apart, as a standard deviation where it is normal: from the median distance of two of
/// them (Shamos, *Geometry and statistics*, 1976; the constant in Rousseeuw and Croux, *Alternatives to the median
/// absolute deviation*, JASA 88, 1993). It does not depend on where the values lie, and half of them may be wild. Zero of
/// fewer than two.
pub fn spread(values: &[f64]) -> f64 {
    let mut distances: Vec<f64> = values
        .iter()
        .enumerate()
        .flat_map(|(i, a)| values[i + 1..].iter().map(move |b| (a - b).abs()))
        .collect();
    if distances.is_empty() {
        return 0.0;
    }
    let middle = distances.len() / 2;
    let (_, median, _) = distances.select_nth_unstable_by(middle, f64::total_cmp);
    1.0483 * *median
}

/// The probabilities of several tests, raised so that a limit on each is one on a false alarm of any (Holm, *A simple
/// sequentially rejective multiple test procedure*, Scandinavian Journal of Statistics 6, 1979).
pub fn holm(probabilities: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..probabilities.len()).collect();
    order.sort_by(|a, b| probabilities[*a].total_cmp(&probabilities[*b]));
    let mut raised = vec![1.0; probabilities.len()];
    let mut greatest = 0.0_f64;
    for (place, test) in order.into_iter().enumerate() {
        let left = (probabilities.len() - place) as f64;
        greatest = greatest.max((left * probabilities[test]).min(1.0));
        raised[test] = greatest;
    }
    raised
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_counted_law_is_that_of_the_tables() {
        // Hollander and Wolfe, table A.4: P(T+ >= 39) = 0.027 of 9 values is 39, P(T+ >= 55) of 10 is 2^-10.
        let of_ten = Law::new(10);
        assert!((of_ten.at_least(55) - 1.0 / 1024.0).abs() < 1e-15);
        assert!((of_ten.at_least(0) - 1.0).abs() < 1e-12);
        assert!((Law::new(9).at_least(39) - 0.027).abs() < 5e-4);
    }

    #[test]
    fn the_normal_law_continues_the_counted_one() {
        let n = EXACT as f64;
        let deviation = (n * (n + 1.0) * (2.0 * n + 1.0) / 24.0).sqrt();
        let (counted, normal) = (Law::new(EXACT), Law::Normal { mean: n * (n + 1.0) / 4.0, deviation });
        assert!(matches!((&counted, Law::new(EXACT + 1)), (Law::Counted(_), Law::Normal { .. })));
        for alpha in [0.2, 0.05, 0.01, 0.001] {
            // In the tails the normal law asks for a little more.
            let (a, b) = (counted.critical(alpha), normal.critical(alpha));
            assert!(a <= b + 1 && b <= a + a / 100, "{alpha}: {a} and {b}");
        }
    }

    #[test]
    fn few_values_bound_nothing() {
        let of = SignedRank::of(&[1.0, 2.0, 3.0]).expect("three values");
        assert_eq!((of.lower_bound(0.01), of.upper_bound(0.01)), (f64::NEG_INFINITY, f64::INFINITY));
        assert!(SignedRank::of(&[]).is_none() && SignedRank::of(&[f64::NAN]).is_none());
    }

    #[test]
    fn holm_raises_the_least_most() {
        assert_eq!(holm(&[0.01, 0.04, 0.03]), [0.03, 0.06, 0.06]);
        assert_eq!(holm(&[0.9, 0.001]), [0.9, 0.002]);
    }

    #[test]
    fn spread_of_normal_values_is_their_deviation() {
        // Quantiles of a normal law at equal steps of probability.
        let values: Vec<f64> = (1..200)
            .map(|i| f64::from(i) / 200.0)
            .map(|p| if p < 0.5 { -normal_quantile(p) } else { normal_quantile(1.0 - p) })
            .collect();
        assert!((spread(&values) - 1.0).abs() < 0.03, "{}", spread(&values));
        let moved: Vec<f64> = values.iter().map(|v| v + 100.0).collect();
        assert!((spread(&values) - spread(&moved)).abs() < 1e-9);
    }

    proptest! {
        /// A bound is where the test turns.
        #[test]
        fn bounds_and_test_are_one(values in proptest::collection::vec(-9.0_f64..9.0, 6..60), alpha in 0.02_f64..0.2) {
            let of = SignedRank::of(&values).expect("they are finite");
            let (low, high) = (of.lower_bound(alpha), of.upper_bound(alpha));
            prop_assert!(low <= of.centre() && of.centre() <= high);
            prop_assert!(of.p_above(low - 1e-9) <= alpha && of.p_above(low + 1e-9) > alpha);
            prop_assert!(of.p_below(high + 1e-9) <= alpha && of.p_below(high - 1e-9) > alpha);
        }
    }
}
