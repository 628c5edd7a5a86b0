//! The difference of two configurations, from replications of both.
//!
//! Where replication *i* of both uses the same random numbers, the differences of the pairs vary less than the values
//! themselves, since what is hard for one is hard for the other (Law and Kelton, 10.2.1 and 11.2). The interval for
//! independent runs (Welch, *The generalization of Student's problem*, Biometrika 34, 1947) says how much that gained.

use super::{Moments, student};

/// The difference of two means, B minus A.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Difference {
    /// A's mean and spread.
    pub a: Moments,
    /// B's.
    pub b: Moments,
    /// Of the differences of the pairs.
    pub pairs: Moments,
    /// Half the width of the interval by the pairs.
    pub half_width: f64,
    /// Half the width of Welch's interval, which knows nothing of the pairs.
    pub unpaired_half_width: f64,
}

impl Difference {
    /// Of values that belong together by their positions; longer lists are cut to the shorter.
    pub fn paired(a: &[f64], b: &[f64], confidence: f64) -> Self {
        let n = a.len().min(b.len());
        let pairs: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
        let (a, b, pairs) = (Moments::of(&a[..n]), Moments::of(&b[..n]), Moments::of(&pairs));
        let half_width = pairs.half_width(confidence);
        Self { a, b, pairs, half_width, unpaired_half_width: welch(&a, &b, confidence) }
    }

    /// Whether the interval leaves zero out: the configurations differ in this figure.
    pub fn is_significant(&self) -> bool {
        self.pairs.mean.abs() > self.half_width
    }

    /// How many times as many independent runs would give as narrow an interval; below 1 where pairing lost.
    pub fn variance_reduction(&self) -> f64 {
        (self.a.variance + self.b.variance) / self.pairs.variance
    }
}

fn welch(a: &Moments, b: &Moments, confidence: f64) -> f64 {
    if a.n < 2 || b.n < 2 {
        return f64::INFINITY;
    }
    let (va, vb) = (a.variance / a.n as f64, b.variance / b.n as f64);
    if va + vb == 0.0 {
        return 0.0;
    }
    let degrees = (va + vb).powi(2) / (va * va / (a.n as f64 - 1.0) + vb * vb / (b.n as f64 - 1.0));
    student::two_sided(confidence, degrees) * (va + vb).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_noise_cancels() {
        let noise = [0.3, -1.2, 2.2, 0.1, -0.8, 1.4, -1.9, 0.6];
        let a: Vec<f64> = noise.iter().map(|n| 10.0 + n).collect();
        let b: Vec<f64> = noise.iter().zip(0..).map(|(n, i)| 10.5 + n + 0.01 * f64::from(i % 3)).collect();
        let difference = Difference::paired(&a, &b, 0.95);
        assert!((difference.pairs.mean - 0.5).abs() < 0.02 && difference.is_significant());
        assert!(difference.half_width < difference.unpaired_half_width / 20.0, "{difference:?}");
        assert!(difference.variance_reduction() > 100.0);
    }

    #[test]
    fn welch_interval_of_a_textbook_sample() {
        // Two samples of equal size and variance: Welch's degrees of freedom are 2(n - 1).
        let a = [1.0, 2.0, 3.0, 4.0, 5.0];
        let b = [2.0, 3.0, 4.0, 5.0, 6.0];
        let expected = student::two_sided(0.95, 8.0) * (2.5f64 / 5.0 * 2.0).sqrt();
        let found = Difference::paired(&a, &b, 0.95).unpaired_half_width;
        assert!((found - expected).abs() < 1e-9, "{found} {expected}");
    }

    #[test]
    fn equal_runs_do_not_differ() {
        let difference = Difference::paired(&[1.0, 2.0], &[1.0, 2.0], 0.95);
        assert_eq!((difference.pairs.mean, difference.half_width), (0.0, 0.0));
        assert!(!difference.is_significant());
    }
}
