//! How many instances a component should have: target tracking, by the rules of Kubernetes' horizontal autoscaler.
//!
//! Each interval: wanted = ceil(running × utilisation / target); nothing within 10% of the target; up at once, by at most
//! `step` instances; down to the most that was wanted within `down_after` (the stabilisation window, 300 s there), so
//! that a dip does not end what the next minute needs. Instances that boot count as running, but their utilisation is
//! not known, so it counts as zero when more are wanted ("not yet ready pods"). Source: kubernetes.io, "Horizontal Pod
//! Autoscaling", algorithm details.

use std::collections::VecDeque;

use scenarios::scenario::Autoscale;

/// Utilisation this close to the target changes nothing.
const TOLERANCE: f64 = 0.1;

/// Decides for one component.
#[derive(Clone, Debug)]
pub(crate) struct Autoscaler {
    rules: Autoscale,
    /// What was wanted and when, the latest last.
    wanted: VecDeque<(u64, u32)>,
}

impl Autoscaler {
    pub(crate) fn new(rules: &Autoscale) -> Self {
        Self { rules: *rules, wanted: VecDeque::new() }
    }

    pub(crate) fn interval_nanos(&self) -> u64 {
        self.rules.interval.as_nanos()
    }

    pub(crate) fn boot_nanos(&self) -> u64 {
        self.rules.boot.as_nanos()
    }

    /// How many instances there should be, with so many serving at this mean utilisation and so many booting.
    pub(crate) fn decide(&mut self, now: u64, serving: u32, booting: u32, utilisation: f64) -> u32 {
        let rules = &self.rules;
        let present = serving + booting;
        let ratio = utilisation / rules.target.get();
        let mut wanted = present;
        if (ratio - 1.0).abs() > TOLERANCE {
            // Those that boot are taken to be idle, which dampens growth but never turns it into shrinking.
            let counted = if ratio > 1.0 { ratio * f64::from(serving) } else { ratio * f64::from(present) };
            wanted = counted.ceil().min(f64::from(rules.most)) as u32;
            if ratio > 1.0 {
                wanted = wanted.max(present);
            }
        }
        let wanted = wanted.clamp(rules.least, rules.most);
        let horizon = now.saturating_sub(rules.down_after.as_nanos());
        while self.wanted.front().is_some_and(|&(at, _)| at < horizon) {
            self.wanted.pop_front();
        }
        self.wanted.push_back((now, wanted));
        let lately = self.wanted.iter().map(|&(_, wanted)| wanted).max().unwrap_or(wanted);
        if wanted > present {
            wanted.min(present + rules.step)
        } else {
            lately.min(present).max(present.saturating_sub(rules.step))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::scenario::ScaleMetric;
    use scenarios::units::{Ratio, SimTime};

    const SECOND: u64 = 1_000_000_000;

    fn scaler(step: u32) -> Autoscaler {
        let seconds = SimTime::from_secs;
        let target = Ratio::new(0.5);
        Autoscaler::new(&Autoscale::new(
            [2, 10],
            ScaleMetric::Cpu,
            target,
            [seconds(15), seconds(60), seconds(30), seconds(300)],
            step,
        ))
    }

    #[test]
    fn it_grows_in_proportion_to_the_excess_and_at_most_by_its_step() {
        assert_eq!(scaler(10).decide(0, 4, 0, 0.9), 8, "4 × 0.9 / 0.5 = 7.2");
        assert_eq!(scaler(2).decide(0, 4, 0, 0.9), 6);
        assert_eq!(scaler(10).decide(0, 8, 0, 1.0), 10, "the most there can be");
    }

    #[test]
    fn near_the_target_nothing_changes() {
        assert_eq!(scaler(10).decide(0, 4, 0, 0.54), 4);
        assert_eq!(scaler(10).decide(0, 4, 0, 0.46), 4);
    }

    #[test]
    fn what_boots_is_not_ordered_again() {
        let mut scaler = scaler(10);
        assert_eq!(scaler.decide(0, 4, 0, 0.9), 8);
        assert_eq!(scaler.decide(15 * SECOND, 4, 4, 0.9), 8);
    }

    #[test]
    fn it_shrinks_only_after_the_load_was_low_for_the_whole_window() {
        let mut scaler = scaler(10);
        assert_eq!(scaler.decide(0, 8, 0, 0.5), 8);
        let steps: Vec<u32> = (1..=21).map(|i| scaler.decide(i * 15 * SECOND, 8, 0, 0.1)).collect();
        assert!(steps[..20].iter().all(|&n| n == 8), "{steps:?}");
        assert_eq!(steps[20], 2, "the eight wanted at zero is 315 s old");
    }
}
