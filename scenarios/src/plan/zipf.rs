//! Zipf's law over a finite population, by rejection-inversion: constant time whatever the population, no tables.
//!
//! W. Hörmann and G. Derflinger, "Rejection-inversion to generate variates from monotone discrete distributions", ACM
//! TOMACS 6(3), 1996.

use crate::rng::Stream;

/// Draws ranks 0..n with probability in proportion to (rank + 1)^-exponent.
#[derive(Clone, Debug)]
pub struct Zipf {
    n: f64,
    exponent: f64,
    /// H(3/2) - h(1): where the inversion's interval ends on the side of the most popular rank.
    high: f64,
    /// H(n + 1/2), the other end.
    low: f64,
    /// Ranks this close below the inverted point are accepted without a test.
    squeeze: f64,
}

impl Zipf {
    /// The law over `n` ranks.
    ///
    /// # Panics
    /// Where `n` is zero or `exponent` is not above zero: validation rules it out.
    pub fn new(n: u64, exponent: f64) -> Self {
        assert!(n > 0 && exponent > 0.0, "Zipf over {n} ranks with exponent {exponent}");
        let mut zipf = Self { n: n as f64, exponent, high: 0.0, low: 0.0, squeeze: 0.0 };
        zipf.high = zipf.integral(1.5) - 1.0;
        zipf.low = zipf.integral(zipf.n + 0.5);
        zipf.squeeze = 2.0 - zipf.inverse(zipf.integral(2.5) - zipf.density(2.0));
        zipf
    }

    /// Draws a rank, 0 being the most popular.
    #[inline]
    pub fn sample(&self, stream: &mut Stream) -> u64 {
        loop {
            let u = self.low + stream.unit() * (self.high - self.low);
            let x = self.inverse(u);
            let k = (x + 0.5).floor().clamp(1.0, self.n);
            if k - x <= self.squeeze || u >= self.integral(k + 0.5) - self.density(k) {
                return k as u64 - 1;
            }
        }
    }

    /// The probability of a rank (from 0): by summing the law, so slow for large populations.
    pub fn probability(&self, rank: u64) -> f64 {
        let total: f64 = (1..=self.n as u64).map(|k| self.density(k as f64)).sum();
        self.density(rank as f64 + 1.0) / total
    }

    fn density(&self, x: f64) -> f64 {
        (-self.exponent * x.ln()).exp()
    }

    /// An antiderivative of the density: (x^(1-s) - 1) / (1-s), which tends to ln x as s tends to 1.
    fn integral(&self, x: f64) -> f64 {
        let log = x.ln();
        expm1_over((1.0 - self.exponent) * log) * log
    }

    /// The antiderivative's inverse.
    fn inverse(&self, y: f64) -> f64 {
        let t = (y * (1.0 - self.exponent)).max(-1.0);
        (ln1p_over(t) * y).exp()
    }
}

/// (e^x - 1) / x, also where x is near zero.
fn expm1_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.exp_m1() / x } else { 1.0 + x * 0.5 * (1.0 + x / 3.0 * (1.0 + 0.25 * x)) }
}

/// ln(1 + x) / x, also where x is near zero.
fn ln1p_over(x: f64) -> f64 {
    if x.abs() > 1e-8 { x.ln_1p() / x } else { 1.0 - x * (0.5 - x * (1.0 / 3.0 - 0.25 * x)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Purpose;
    use crate::units::Seed;

    #[test]
    fn frequencies_follow_the_law() {
        for (n, exponent) in [(1, 0.9), (2, 1.0), (50, 0.6), (50, 1.0), (50, 1.7), (1000, 0.9)] {
            let zipf = Zipf::new(n, exponent);
            let mut stream = Stream::new(Seed(11), Purpose::named("zipf-test"), n);
            let draws = 400_000;
            let mut counts = vec![0_u32; n as usize];
            for _ in 0..draws {
                counts[zipf.sample(&mut stream) as usize] += 1;
            }
            // Pearson's chi-squared; its mean is n - 1 and its variance 2(n - 1): five standard deviations.
            let chi: f64 = counts
                .iter()
                .enumerate()
                .map(|(rank, &count)| {
                    let expected = zipf.probability(rank as u64) * f64::from(draws);
                    (f64::from(count) - expected).powi(2) / expected
                })
                .sum();
            let freedom = n as f64 - 1.0;
            assert!(
                chi <= freedom + 5.0 * (2.0 * freedom).sqrt() + 1e-9,
                "n {n}, exponent {exponent}: chi² {chi}"
            );
        }
    }

    #[test]
    fn ranks_stay_inside_a_large_population() {
        let zipf = Zipf::new(300_000_000, 0.9);
        let mut stream = Stream::new(Seed(12), Purpose::named("zipf-test"), 0);
        assert!((0..100_000).all(|_| zipf.sample(&mut stream) < 300_000_000));
    }
}
