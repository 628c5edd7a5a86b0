//! Zipf's exponent, and how many keys there are, from how often each key was asked for.
//!
//! Ranking keys by their counts and fitting a line biases the exponent: noise orders the tail, and keys that nobody asked
//! for are missing. What is fitted is the number of keys that were asked for once, twice, three times, ...: for a population
//! of n keys with probabilities in proportion to i^-s and N requests, the number of keys with k requests is nearly a Poisson
//! variable with the mean Σᵢ P(Poisson(N pᵢ) = k), so s and n have a likelihood, whose curvature gives the error. (Counts of
//! counts as the sufficient statistic of a random partition: I. J. Good, "The population frequencies of species", Biometrika
//! 40, 1953.)

/// A fitted popularity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Popularity {
    pub(super) exponent: f64,
    /// The standard error of the exponent.
    pub(super) error: f64,
    /// The keys in the population, those never asked for included.
    pub(super) keys: f64,
    /// The share of the requests that ask for the ten keys that were asked for most, as counted and as fitted.
    pub(super) top: (f64, f64),
}

/// Fewer keys or requests than these say nothing.
const LEAST_KEYS: usize = 20;
const LEAST_REQUESTS: u64 = 1000;
/// How many times as many keys there may be as were seen.
const UNSEEN_LIMIT: f64 = 1000.0;
const EXPONENT_LIMIT: f64 = 3.0;

/// Fits the law to the counts of keys, of which this share of all was counted, out of this many requests for any.
pub(super) fn fit(counts: &[u64], sampled: f64, requests: u64) -> Option<Popularity> {
    if counts.len() < LEAST_KEYS || counts.iter().sum::<u64>() < LEAST_REQUESTS {
        return None;
    }
    let bins = Bins::of(counts);
    let seen = (counts.len() as f64 / sampled).ln();
    let requests = requests as f64;
    // The best population for an exponent, and its likelihood.
    let profile = |exponent: f64| {
        greatest(seen, seen + UNSEEN_LIMIT.ln(), 24, |log_keys| {
            bins.likelihood(&Law::new(exponent, log_keys.exp()), requests, sampled)
        })
    };
    let (exponent, likelihood) = greatest(0.0, EXPONENT_LIMIT, 22, |exponent| profile(exponent).1);
    let (log_keys, _) = profile(exponent);
    let step = 0.01_f64.max(0.05 * exponent);
    let curvature = (profile(exponent + step).1 - 2.0 * likelihood + profile((exponent - step).max(0.0)).1)
        / step.powi(2);
    let law = Law::new(exponent, log_keys.exp());
    let mut largest = counts.to_vec();
    largest.sort_unstable_by(|a, b| b.cmp(a));
    let counted: u64 = largest.iter().take(10).sum();
    let fitted: f64 = (1..=10.min(counts.len())).map(|rank| law.probability(rank as f64)).sum();
    Some(Popularity {
        exponent,
        error: if curvature < 0.0 { (-1.0 / curvature).sqrt() } else { f64::INFINITY },
        keys: log_keys.exp().round(),
        top: (counted as f64 / requests, fitted),
    })
}

/// Where a function with one peak is greatest, by golden sections; and how great.
fn greatest(mut low: f64, mut high: f64, rounds: u32, f: impl Fn(f64) -> f64) -> (f64, f64) {
    const GOLDEN: f64 = 0.618_033_988_749_895;
    let (mut a, mut b) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_a, mut at_b) = (f(a), f(b));
    for _ in 0..rounds {
        if at_a > at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - GOLDEN * (high - low);
            at_a = f(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + GOLDEN * (high - low);
            at_b = f(b);
        }
    }
    if at_a > at_b { (a, at_a) } else { (b, at_b) }
}

/// Zipf's law on ranks in blocks: single ones first, then blocks that grow.
struct Law {
    exponent: f64,
    /// The middle rank and the number of ranks of each block.
    blocks: Vec<(f64, f64)>,
    total: f64,
}

impl Law {
    fn new(exponent: f64, keys: f64) -> Self {
        let mut blocks = Vec::new();
        let mut first = 1.0;
        while first <= keys {
            let width = (first * 0.03_f64).floor().max(1.0).min(keys - first + 1.0).max(1.0);
            // The block's geometric middle, where its mean density nearly is.
            let middle = if width > 1.0 { ((first - 0.5) * (first + width - 0.5)).sqrt() } else { first };
            blocks.push((middle, width));
            first += width;
        }
        let total = blocks.iter().map(|(rank, width)| width * rank.powf(-exponent)).sum();
        Self { exponent, blocks, total }
    }

    fn probability(&self, rank: f64) -> f64 {
        rank.powf(-self.exponent) / self.total
    }
}

/// How many keys were asked for how often: the bounds of each bin, the upper one not included, and the keys in it.
struct Bins(Vec<(u64, u64, f64)>);

impl Bins {
    fn of(counts: &[u64]) -> Self {
        let most = counts.iter().copied().max().unwrap_or(1);
        let (mut bins, mut low) = (Vec::new(), 1);
        while low <= most {
            let high = (low as f64 * 1.2).ceil().max(low as f64 + 1.0) as u64;
            bins.push((low, high, 0.0));
            low = high;
        }
        // Nothing was seen more often than that, which tells as much.
        bins.push((low, u64::MAX, 0.0));
        for count in counts.iter().filter(|c| **c > 0) {
            let bin = bins.partition_point(|(low, ..)| low <= count) - 1;
            bins[bin].2 += 1.0;
        }
        Self(bins)
    }

    fn likelihood(&self, law: &Law, requests: f64, sampled: f64) -> f64 {
        let mut means = vec![0.0; self.0.len()];
        for (rank, width) in &law.blocks {
            let mean = requests * law.probability(*rank);
            // From the bin below six deviations to that above: elsewhere there is nothing.
            let reach = 6.0 * mean.sqrt() + 10.0;
            let start = self.0.partition_point(|(_, high, _)| (*high as f64) < mean - reach);
            let mut below = at_most(mean, self.0[start].0 - 1);
            for (bin, (low, high, _)) in self.0.iter().enumerate().skip(start) {
                if *low as f64 > mean + reach {
                    break;
                }
                let up_to = if *high == u64::MAX { 1.0 } else { at_most(mean, high - 1) };
                means[bin] += sampled * width * (up_to - below).max(0.0);
                below = up_to;
            }
        }
        let term = |(mean, (_, _, keys)): (&f64, &(u64, u64, f64))| keys * mean.max(1e-12).ln() - mean;
        means.iter().zip(&self.0).map(term).sum()
    }
}

/// P(Poisson(mean) <= count): by its sum where the mean is small, else by the cube-root transform of Wilson and Hilferty.
fn at_most(mean: f64, count: u64) -> f64 {
    if mean < 30.0 {
        if count > 200 {
            return 1.0;
        }
        let mut term = (-mean).exp();
        let mut sum = term;
        for k in 1..=count {
            term *= mean / k as f64;
            sum += term;
        }
        return sum.min(1.0);
    }
    // P(X <= k) = P(Gamma(k + 1) > mean), and the cube root of a Gamma variable over its shape is nearly normal.
    let shape = count as f64 + 1.0;
    let z = ((mean / shape).cbrt() - (1.0 - 1.0 / (9.0 * shape))) * 3.0 * shape.sqrt();
    1.0 - normal(z)
}

/// The standard normal distribution function (Abramowitz and Stegun 26.2.17: to 1e-7).
fn normal(z: f64) -> f64 {
    let t = 1.0 / (1.0 + 0.231_641_9 * z.abs());
    let series = t
        * (0.319_381_530
            + t * (-0.356_563_782 + t * (1.781_477_937 + t * (-1.821_255_978 + t * 1.330_274_429))));
    let tail = (-z * z / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt() * series;
    if z > 0.0 { 1.0 - tail } else { tail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::zipf::Zipf;
    use crate::rng::{Purpose, Stream};
    use crate::units::Seed;

    fn counts(keys: u64, exponent: f64, requests: u64, seed: u64) -> Vec<u64> {
        let zipf = Zipf::new(keys, exponent);
        let mut stream = Stream::new(Seed(seed), Purpose::named("popularity-test"), 0);
        let mut counts = vec![0; keys as usize];
        (0..requests).for_each(|_| counts[zipf.sample(&mut stream) as usize] += 1);
        counts.retain(|c| *c > 0);
        counts
    }

    #[test]
    fn the_poisson_law_is_summed_and_approximated_alike() {
        for (mean, count) in [(29.9, 25), (29.9, 35), (29.9, 50)] {
            let (sum, near) = (at_most(mean, count), at_most(30.0, count));
            // d/dm P(X <= k) = -P(X = k), below 0.08 here.
            assert!((sum - near).abs() < 0.009, "{mean}, {count}: {sum} against {near}");
        }
        assert!(
            (at_most(100.0, 100) - 0.5266).abs() < 1e-3
                && (at_most(2.0, 1) - 3.0 * (-2.0_f64).exp()).abs() < 1e-12
        );
    }

    #[test]
    fn exponent_and_population_are_found_again() {
        for (keys, exponent, requests) in
            [(2000, 0.9, 50_000), (50_000, 0.7, 100_000), (20_000, 1.2, 200_000), (5000, 0.0001, 50_000)]
        {
            let fitted = fit(&counts(keys, exponent, requests, 5), 1.0, requests).expect("enough keys");
            let off = (fitted.exponent - exponent).abs();
            assert!(off < 4.0 * fitted.error + 0.005, "seed 5: {fitted:?}, drawn with {exponent} of {keys}");
            assert!(fitted.error < 0.1, "{fitted:?}");
            if exponent < 1.0 {
                assert!((fitted.keys / keys as f64 - 1.0).abs() < 0.1, "{fitted:?}: {keys} keys");
            }
            assert!((fitted.top.0 - fitted.top.1).abs() < 0.02, "{fitted:?}");
        }
    }

    #[test]
    fn a_sample_of_the_keys_gives_the_same_law() {
        let all = counts(50_000, 0.8, 400_000, 9);
        let quarter: Vec<u64> = all.iter().copied().skip(1).step_by(4).collect();
        let fitted = fit(&quarter, 0.25, 400_000).expect("enough keys");
        assert!((fitted.exponent - 0.8).abs() < 4.0 * fitted.error + 0.01, "seed 9: {fitted:?}");
    }

    #[test]
    fn too_little_says_nothing() {
        assert!(fit(&[500; 19], 1.0, 9500).is_none());
        assert!(fit(&[1; 900], 1.0, 900).is_none());
    }
}
