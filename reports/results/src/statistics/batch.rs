//! Ratios over a single run, with the noise that correlated requests really have: batch means.
//!
//! Requests under load are delayed together, so that a thousand of them say less than a thousand independent ones. The
//! run is cut into batches that are long against these delays, and the batches are compared (Law and Kelton, 9.5.3;
//! Schmeiser, *Batch size effects in the analysis of simulation output*, Operations Research 30, 1982, for 10 to 30
//! batches). Batches hold different numbers of requests, so the figure is a ratio and its batches' residuals
//! `y - ratio × n` carry the noise (Cochran, *Sampling Techniques*, 6.3). Batches are compared within their stratum only
//! (5.2): before, during and after a fault differ for a reason that is no noise.
//!
//! Where the load itself rises and falls, neighbours are compared instead: half the mean square of successive
//! differences is the variance of the noise, whatever slow trend lies under it (von Neumann, *Distribution of the ratio
//! of the mean square successive difference to the variance*, Annals of Mathematical Statistics 12, 1941).

use super::student;

/// The fewest batches that are believed.
pub const FEWEST: usize = 10;

/// What a batch adds to a ratio.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Batch {
    /// Only batches of the same stratum are compared. Strata are contiguous.
    pub stratum: usize,
    /// What is above the line: a sum of times, a count of failures.
    pub above: f64,
    /// What is below it: requests, seconds.
    pub below: f64,
}

/// A ratio with its noise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The total above over the total below.
    pub value: f64,
    /// The standard error.
    pub error: f64,
    /// The degrees of freedom of the error.
    pub degrees: f64,
    /// How many batches there are.
    pub batches: usize,
    /// The correlation of neighbouring batches' noise; the error is too small by about its share where it is positive.
    pub lag_one: f64,
}

impl Ratio {
    /// From batches in order of time; `trend` says that the load rises and falls. None with fewer than [`FEWEST`]
    /// batches that can be compared, or nothing below the line.
    pub fn new(batches: &[Batch], trend: bool) -> Option<Self> {
        let below: f64 = batches.iter().map(|b| b.below).sum();
        if below <= 0.0 {
            return None;
        }
        let value = batches.iter().map(|b| b.above).sum::<f64>() / below;
        let (mut variance, mut degrees, mut compared) = (0.0, 0.0, 0);
        let (mut products, mut squares) = (0.0, 0.0);
        for stratum in batches.chunk_by(|a, b| a.stratum == b.stratum) {
            let count = stratum.len() as f64;
            if stratum.len() < 2 {
                continue;
            }
            compared += stratum.len();
            let residuals: Vec<f64> = stratum.iter().map(|b| b.above - value * b.below).collect();
            let noise: Vec<f64> = if trend {
                residuals.windows(2).map(|pair| pair[1] - pair[0]).collect()
            } else {
                let mean = residuals.iter().sum::<f64>() / count;
                residuals.iter().map(|r| r - mean).collect()
            };
            let sum: f64 = noise.iter().map(|r| r * r).sum();
            squares += sum;
            products += noise.windows(2).map(|pair| pair[0] * pair[1]).sum::<f64>();
            variance += count * sum / (count - 1.0) / if trend { 2.0 } else { 1.0 };
            degrees += count - 1.0;
        }
        if compared < FEWEST {
            return None;
        }
        let correlation = if squares > 0.0 { products / squares } else { 0.0 };
        // Differences of independent values are correlated by -1/2; of a first-order process with coefficient c by
        // -(1 - c)/2. The mean square difference is worth two thirds of the degrees of freedom of the variance.
        let lag_one = if trend && squares > 0.0 { 1.0 + 2.0 * correlation } else { correlation };
        let degrees = if trend { degrees * 2.0 / 3.0 } else { degrees };
        Some(Self { value, error: variance.sqrt() / below, degrees, batches: compared, lag_one })
    }

    /// Half the width of the interval with this confidence.
    pub fn half_width(&self, confidence: f64) -> f64 {
        student::two_sided(confidence, self.degrees) * self.error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(seed: u64, i: u64) -> f64 {
        let mut z = (seed << 32 | i).wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 11) as f64 / (1u64 << 53) as f64
    }

    /// About normal, mean 0, variance 1 (the sum of twelve uniforms).
    fn normal(seed: u64, i: u64) -> f64 {
        (0..12).map(|k| unit(seed, i * 12 + k)).sum::<f64>() - 6.0
    }

    /// In how many of 1,000 seeded experiments the 95% interval holds the truth.
    fn coverage(trend: bool, batches: impl Fn(u64) -> (Vec<Batch>, f64)) -> f64 {
        let hits = (0..1_000).filter(|&seed| {
            let (batches, truth) = batches(seed);
            let ratio = Ratio::new(&batches, trend).expect("there are enough batches");
            (ratio.value - truth).abs() <= ratio.half_width(0.95)
        });
        hits.count() as f64 / 1_000.0
    }

    #[test]
    fn intervals_of_steady_batches_cover_the_truth_in_95_of_100() {
        let covered = coverage(false, |seed| {
            let batch = |i: u64| {
                let below = 100.0 + (i % 7) as f64;
                Batch { stratum: 0, above: 3.0 * below + 40.0 * normal(seed, i), below }
            };
            ((0..20).map(batch).collect(), 3.0)
        });
        // Three standard errors of a share of 1,000.
        assert!((covered - 0.95).abs() < 0.021, "{covered}");
    }

    #[test]
    fn intervals_under_a_trend_cover_the_truth_in_95_of_100() {
        let run = |seed: u64| {
            let batch = |i: u64| {
                let wave = (i as f64 / 100.0 * std::f64::consts::TAU).sin();
                let below = 1_000.0 * (1.2 + wave);
                Batch { stratum: 0, above: (3.0 + wave) * below + 20.0 * normal(seed, i), below }
            };
            let batches: Vec<Batch> = (0..100).map(batch).collect();
            let weights: f64 = batches.iter().map(|b| b.below).sum();
            let truth = (0..100)
                .map(|i| {
                    let wave = (f64::from(i) / 100.0 * std::f64::consts::TAU).sin();
                    (3.0 + wave) * 1_000.0 * (1.2 + wave)
                })
                .sum::<f64>();
            (batches, truth / weights)
        };
        // The wave itself adds a little to the differences, so the interval may only be too wide.
        let covered = coverage(true, run);
        assert!((0.929..=1.0).contains(&covered), "{covered}");
        let (batches, _) = run(1);
        let (neighbours, all) = (Ratio::new(&batches, true), Ratio::new(&batches, false));
        let [neighbours, all] = [neighbours, all].map(|r| r.expect("enough batches").error);
        assert!(neighbours < all / 5.0, "{neighbours} {all}");
    }

    #[test]
    fn step_between_strata_is_no_noise() {
        let batch = |i: u64| {
            let stratum = (i / 10) as usize;
            Batch {
                stratum,
                above: 100.0 * (1.0 + 9.0 * (stratum == 1) as u8 as f64) + normal(7, i),
                below: 100.0,
            }
        };
        let stratified: Vec<Batch> = (0..30).map(batch).collect();
        let flat: Vec<Batch> = stratified.iter().map(|b| Batch { stratum: 0, ..*b }).collect();
        let [a, b] = [stratified, flat].map(|b| Ratio::new(&b, false).expect("enough batches").error);
        assert!(a < b / 50.0, "{a} {b}");
    }

    #[test]
    fn correlated_batches_are_told() {
        let mut level = 0.0;
        let batch = |i: u64| {
            level = 0.8 * level + normal(3, i);
            Batch { stratum: 0, above: 100.0 + level, below: 10.0 }
        };
        let ratio = Ratio::new(&(0..300).map(batch).collect::<Vec<_>>(), false).expect("enough batches");
        assert!(ratio.lag_one > 0.6, "{ratio:?}");
    }

    #[test]
    fn few_batches_say_nothing() {
        assert_eq!(Ratio::new(&[Batch { stratum: 0, above: 1.0, below: 1.0 }; 9], false), None);
        assert_eq!(Ratio::new(&[Batch { stratum: 0, above: 0.0, below: 0.0 }; 20], false), None);
    }
}
