//! How far a figure may lie from what a very long run would show: 95% intervals.
//!
//! All of them assume that requests are *independent*. Under load they are not: a queue delays its requests together,
//! and an interval is then too narrow, for a percentile in the tail by a factor of a few. Replications with other seeds
//! are the remedy. Rates are taken as Poisson counts, which overstates the noise where two runs share the planned
//! arrivals.

/// Two-sided 95% of the normal distribution.
const Z: f64 = 1.959_963_985;

/// The ranks, from 1, of the order statistics that bracket a percentile with at least 95% (David and Nagaraja, *Order
/// Statistics*, 7.1). 0 and `n + 1` mean that the sample has no such bound.
pub fn percentile_ranks(n: u64, percent: f64) -> (u64, u64) {
    let share = (percent / 100.0).clamp(0.0, 1.0);
    // The rarer side is counted, so that the sum below is short.
    if share > 0.5 {
        let (low, high) = ranks_below(n, 1.0 - share);
        (n + 1 - high, n + 1 - low)
    } else {
        ranks_below(n, share)
    }
}

fn ranks_below(n: u64, share: f64) -> (u64, u64) {
    let (count, mean) = (n as f64, n as f64 * share);
    let spread = (mean * (1.0 - share)).sqrt();
    if spread > 12.0 {
        let low = (mean - Z * spread).floor().max(0.0) as u64;
        let high = (mean + Z * spread).ceil() as u64 + 1;
        return (low, high.min(n + 1));
    }
    // Quantiles of the binomial distribution, term by term.
    let mut term = ((1.0 - share).ln() * count).exp();
    let (mut below, mut low) = (0.0, None);
    for k in 0..=n {
        below += term;
        if low.is_none() && below > 0.025 {
            low = Some(k);
        }
        if below >= 0.975 {
            return (low.unwrap_or(k), k + 1);
        }
        term *= (n - k) as f64 / (k + 1) as f64 * share / (1.0 - share);
    }
    (low.unwrap_or(0), n + 1)
}

/// The interval of a Poisson count's mean, by the square root that makes its variance constant.
pub fn count(events: u64) -> (f64, f64) {
    let low = ((events as f64).sqrt() - Z / 2.0).max(0.0).powi(2);
    let high = ((events as f64 + 1.0).sqrt() + Z / 2.0).powi(2);
    (if events == 0 { 0.0 } else { low }, high)
}

/// Wilson's interval of a share: `part` of `whole`, which is not 0.
pub fn share(part: u64, whole: u64) -> (f64, f64) {
    let (n, p) = (whole as f64, part as f64 / whole as f64);
    let denominator = 1.0 + Z * Z / n;
    let middle = (p + Z * Z / (2.0 * n)) / denominator;
    let half = Z / denominator * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let low = if part == 0 { 0.0 } else { (middle - half).max(0.0) };
    let high = if part == whole { 1.0 } else { (middle + half).min(1.0) };
    (low, high)
}

/// The interval of a mean of `n` values with this standard deviation.
pub fn mean(mean: f64, deviation: f64, n: u64) -> (f64, f64) {
    let half = Z * deviation / (n.max(1) as f64).sqrt();
    ((mean - half).max(0.0), mean + half)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_ranks_are_those_of_the_tables() {
        // Conover, Practical Nonparametric Statistics, table of the sign test: n = 20 gives the 6th and the 15th.
        assert_eq!(percentile_ranks(20, 50.0), (6, 15));
    }

    #[test]
    fn few_requests_do_not_bound_a_high_percentile() {
        assert_eq!(percentile_ranks(100, 99.0).1, 101);
        assert_eq!(percentile_ranks(0, 99.0), (0, 1));
        let (low, high) = percentile_ranks(1_000, 99.0);
        assert!((983..=985).contains(&low) && (996..=998).contains(&high), "{low} {high}");
    }

    #[test]
    fn exact_and_normal_ranks_meet() {
        let (low, high) = percentile_ranks(14_600, 99.0);
        let (low_next, high_next) = percentile_ranks(14_500, 99.0);
        assert!(14_600 - low <= 175 && 14_600 - high >= 120, "{low} {high}");
        assert!(low - low_next <= 105 && high - high_next <= 105);
    }

    #[test]
    fn shares_and_counts_contain_their_estimate() {
        for (part, whole) in [(0, 1), (1, 1), (3, 1_000), (500, 1_000)] {
            let (low, high) = share(part, whole);
            let p = part as f64 / whole as f64;
            assert!(low <= p && p <= high, "{part} of {whole}: {low} {high}");
        }
        // Wilson, Probable inference, JASA 22, 1927: none of 20, and all but one.
        assert!(share(0, 20).0 == 0.0 && (share(0, 20).1 - 0.161).abs() < 1e-3);
        assert!((share(19, 20).0 - 0.764).abs() < 1e-3 && (share(19, 20).1 - 0.991).abs() < 1e-3);
        let (low, high) = count(100);
        assert!((low - 81.4).abs() < 0.5 && (high - 121.6).abs() < 0.5, "{low} {high}");
    }
}
