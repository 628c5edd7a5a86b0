//! MSER-5: where the warm-up of a steady run ends.
//!
//! White's marginal standard error rule (*An effective truncation heuristic for bias reduction in simulation output*,
//! Simulation 69, 1997) cuts where the standard error of what remains is least; MSER-5 applies it to means of five
//! observations, which White, Cobb and Spratt found best (*A comparison of five steady-state truncation heuristics for
//! simulation*, Winter Simulation Conference 2000). The cut is looked for in the first half, since a few means at the end
//! may be alike by chance (Hoad, Robinson and Davies, *Automating warm-up length estimation*, Journal of the Operational
//! Research Society 61, 2010); a least error at that half's very end says that the run was too short.

/// Observations in a mean.
const FIVE: usize = 5;

/// How many of the observations, in order of time, belong to the warm-up. None where there are too few (fewer than
/// fifty), or the run did not settle within its first half.
pub fn truncation(observations: &[f64]) -> Option<usize> {
    let means: Vec<f64> =
        observations.chunks_exact(FIVE).map(|five| five.iter().sum::<f64>() / FIVE as f64).collect();
    let n = means.len();
    if n < 10 {
        return None;
    }
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut best = (f64::INFINITY, 0);
    // From the end, so that each remainder is one more mean; centred, so that squares do not cancel.
    let centre = means[n - 1];
    for d in (0..n).rev() {
        let value = means[d] - centre;
        sum += value;
        squares += value * value;
        let left = (n - d) as f64;
        if d > n / 2 {
            continue;
        }
        let error = (squares - sum * sum / left).max(0.0) / (left * left);
        // Among equals the earliest cut wins, which loses the least.
        if error <= best.0 {
            best = (error, d);
        }
    }
    (best.1 < n / 2).then_some(best.1 * FIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in [-1, 1) that follow from the seed alone.
    fn noise(seed: u64, i: u64) -> f64 {
        let mut z = (seed << 32 | i).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }

    #[test]
    fn decaying_start_is_cut_off() {
        for seed in 0..20 {
            let values: Vec<f64> = (0..1_000)
                .map(|i| 10.0 + 8.0 * (-f64::from(i) / 50.0).exp() + noise(seed, i as u64))
                .collect();
            let cut = truncation(&values).expect("it settles");
            assert!((80..400).contains(&cut), "seed {seed}: {cut}");
        }
    }

    #[test]
    fn steady_run_loses_little() {
        let cuts: Vec<usize> = (0..20)
            .map(|seed| {
                let values: Vec<f64> = (0..1_000).map(|i| 10.0 + noise(seed, i)).collect();
                truncation(&values).expect("it is settled")
            })
            .collect();
        assert!(cuts.iter().filter(|&&cut| cut <= 100).count() >= 14, "{cuts:?}");
        assert_eq!(truncation(&[3.0; 100]), Some(0));
    }

    #[test]
    fn run_that_never_settles_has_no_cut() {
        let rising: Vec<f64> = (0..1_000).map(f64::from).collect();
        assert_eq!(truncation(&rising), None);
        assert_eq!(truncation(&[1.0; 20]), None);
    }
}
