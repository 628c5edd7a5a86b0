//! How sure the gate is to be, how long it may take, and how many rounds that makes.

use std::time::Duration;

use results::statistics::signed_rank::{normal_quantile, spread};

use super::quantity::{Metric, Rules};
use super::rounds::Rounds;

/// What the gate is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// A worsening up to this is none: a share, such as 0.01.
    pub margin: f64,
    /// A worsening from this on must be noticed: a share, such as 0.05.
    pub detect: f64,
    /// The same for the 99th percentile, which is noisier.
    pub p99_margin: f64,
    /// From this on it must be noticed.
    pub p99_detect: f64,
    /// The same for the share of requests that fail, as a difference.
    pub failed_margin: f64,
    /// From this on it must be noticed.
    pub failed_detect: f64,
    /// How probable a session may be to suspect a candidate that is worse by the margin. Whom it suspects, it looks at again.
    pub alarm: f64,
    /// How probable the second look may be to confirm such a suspicion.
    pub confirmation: f64,
    /// How probable a session may be to miss what must be noticed.
    pub miss: f64,
    /// How long a session may take, both looks together.
    pub budget: Duration,
    /// Rounds that tell how many it takes. They count.
    pub pilot: usize,
    /// The most rounds of a look, whatever time is left.
    pub most: usize,
    /// Decides the order of the blocks.
    pub seed: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            margin: 0.01,
            detect: 0.05,
            p99_margin: 0.10,
            p99_detect: 0.30,
            failed_margin: 0.001,
            failed_detect: 0.005,
            alarm: 0.01,
            confirmation: 0.05,
            miss: 0.05,
            budget: Duration::from_secs(720),
            pilot: 36,
            most: 200,
            seed: 1,
        }
    }
}

/// The variance of the estimate over that of a mean, for normal values (Hodges and Lehmann): π/3.
const INEFFICIENCY: f64 = std::f64::consts::FRAC_PI_3;
/// A pilot of 36 rounds may find the noise too small by a fifth, wild values more; rounds go with its square.
const CAUTION: f64 = 2.0;

impl Settings {
    /// What a difference of a metric means.
    pub fn rules(&self, metric: Metric) -> Rules {
        let (margin, detect) = match metric {
            Metric::P99 => (self.p99_margin, self.p99_detect),
            Metric::Failed => (self.failed_margin, self.failed_detect),
            _ => (self.margin, self.detect),
        };
        let scale = |share: f64| if metric.is_relative() { share.ln_1p() } else { share };
        Rules { margin: scale(margin), detect: scale(detect), gated: !matches!(metric, Metric::P99) }
    }

    /// How many rounds a look takes, by the noise of some rounds. Only differences between rounds are looked at, so that
    /// the number says nothing of which side is slower, and choosing it does not favour any.
    pub fn rounds_needed(&self, pilot: &Rounds) -> usize {
        let tests = pilot.quantities.len().max(1) as f64;
        // Both looks have to notice it; the stricter test is the first one's, by the strictest of Holm's steps.
        let sure = normal_quantile(self.alarm / tests) + normal_quantile(0.5 * self.miss);
        let needed = |quantity: usize| {
            let rules = self.rules(pilot.quantities[quantity].metric);
            if !rules.gated {
                return 0.0;
            }
            let noise = spread(&pilot.of_candidate(quantity));
            INEFFICIENCY * CAUTION * (noise * sure / (rules.detect - rules.margin)).powi(2)
        };
        let most = (0..pilot.quantities.len()).map(needed).fold(0.0, f64::max);
        (most.ceil() as usize).clamp(self.pilot, self.most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::quantity::Quantity;
    use crate::gate::rounds::{Arm, Round};

    fn pilot(shift: f64) -> Rounds {
        let quantities = vec![Quantity { scenario: "steady".to_owned(), metric: Metric::P50 }];
        let round = |i: u32| {
            let noise = 0.02 * (f64::from(i % 7) - 3.0);
            Round {
                order: Arm::ORDERS[0],
                values: [vec![1.0], vec![1.0], vec![(noise + shift).exp()]],
                seconds: 1.0,
            }
        };
        Rounds { quantities, rounds: (0..21).map(round).collect() }
    }

    #[test]
    fn how_many_rounds_does_not_depend_on_who_is_slower() {
        let settings = Settings::default();
        let needed = settings.rounds_needed(&pilot(0.0));
        assert!(needed > settings.pilot, "{needed}");
        assert_eq!(needed, settings.rounds_needed(&pilot(0.08)));
        assert_eq!(needed, settings.rounds_needed(&pilot(-0.08)));
    }

    #[test]
    fn twice_the_noise_takes_four_times_the_rounds() {
        let settings = Settings { most: 10_000, pilot: 1, ..Settings::default() };
        let mut wide = pilot(0.0);
        wide.rounds.iter_mut().for_each(|r| r.values[2][0] = r.values[2][0].powi(2));
        let (one, four) = (settings.rounds_needed(&pilot(0.0)), settings.rounds_needed(&wide));
        assert!(four.abs_diff(4 * one) <= 4, "{one} and {four}");
    }
}
