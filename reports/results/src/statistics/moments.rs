//! Mean, variance and the t interval of independent values: replications, or batches that are as good as independent.

use super::student;

/// What is known of a mean from some values of it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many values there are.
    pub n: u64,
    /// Their mean; not a number without any.
    pub mean: f64,
    /// Their unbiased variance; zero of fewer than two.
    pub variance: f64,
}

impl Moments {
    /// Of these values.
    ///
    /// ```
    /// let m = results::statistics::Moments::of(&[1.0, 2.0, 3.0, 4.0]);
    /// assert_eq!((m.n, m.mean), (4, 2.5));
    /// assert!((m.variance - 5.0 / 3.0).abs() < 1e-12);
    /// ```
    pub fn of(values: &[f64]) -> Self {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
        let variance = if values.len() < 2 { 0.0 } else { squares / (n - 1.0) };
        Self { n: values.len() as u64, mean, variance }
    }

    /// Half the width of the interval that holds the true mean with probability `confidence`, if the values are
    /// independent and about normal (Law and Kelton, *Simulation Modeling and Analysis*, 4.5). Infinite of fewer than
    /// two.
    pub fn half_width(&self, confidence: f64) -> f64 {
        if self.n < 2 {
            return f64::INFINITY;
        }
        student::two_sided(confidence, self.n as f64 - 1.0) * (self.variance / self.n as f64).sqrt()
    }

    /// The half-width over the mean; infinite where the mean is zero and the half-width is not.
    pub fn relative_half_width(&self, confidence: f64) -> f64 {
        let half = self.half_width(confidence);
        if half == 0.0 { 0.0 } else { half / self.mean.abs() }
    }
}

/// The correlation of each value with the next one; zero of fewer than three, or of equal ones.
pub fn lag_one(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    let squares: f64 = values.iter().map(|v| (v - mean).powi(2)).sum();
    if values.len() < 3 || squares <= 0.0 {
        return 0.0;
    }
    values.windows(2).map(|pair| (pair[0] - mean) * (pair[1] - mean)).sum::<f64>() / squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interval_of_a_textbook_sample() {
        // Law and Kelton, example 4.26: ten values, mean 1.34, variance 0.17, 90% interval ± 0.24.
        let values = [1.20, 1.50, 1.68, 1.89, 0.95, 1.49, 1.58, 1.55, 0.50, 1.09];
        let moments = Moments::of(&values);
        assert!((moments.mean - 1.34).abs() < 0.005 && (moments.variance - 0.17).abs() < 0.005);
        assert!((moments.half_width(0.90) - 0.24).abs() < 0.005);
    }

    #[test]
    fn single_value_has_no_interval() {
        assert_eq!(Moments::of(&[3.0]).half_width(0.95), f64::INFINITY);
        assert!(Moments::of(&[]).mean.is_nan());
    }

    #[test]
    fn alternating_values_are_anticorrelated() {
        let values: Vec<f64> = (0..100).map(|i| f64::from(i % 2)).collect();
        assert!(lag_one(&values) < -0.95);
        let rising: Vec<f64> = (0..100).map(f64::from).collect();
        assert!(lag_one(&rising) > 0.9);
        assert_eq!(lag_one(&[1.0; 50]), 0.0);
    }
}
