//! What a cache knows of its back ends from its probes, by Varnish's `cache_backend_probe.c` (`vbp_has_poked`,
//! `VBP_Update_Backend`, `vbp_reset`): a back end is healthy while enough of the latest probes were good.

use scenarios::scenario::BackEndProbe;

use super::instance::Cache;
use crate::world::World;

/// One back end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probed {
    /// The outcomes of the latest probes, the last one in the lowest bit.
    happy: u64,
    window: u32,
    threshold: u32,
    initial: u32,
}

impl Probed {
    /// As it is where all probes were good so far.
    pub(crate) fn new(rules: &BackEndProbe) -> Self {
        let initial = rules.initial.min(rules.threshold);
        Self { happy: u64::MAX, window: rules.window, threshold: rules.threshold, initial }
    }

    /// A probe has ended.
    pub(crate) fn learn(&mut self, good: bool) {
        self.happy = self.happy << 1 | u64::from(good);
    }

    /// The cache starts anew: so many probes are taken for good.
    pub(crate) fn restart(&mut self) {
        // With none the shift is by all bits.
        self.happy = u64::MAX.checked_shr(64 - self.initial).unwrap_or(0);
    }

    pub(crate) fn is_healthy(&self) -> bool {
        let latest = self.happy & (u64::MAX >> (64 - self.window));
        latest.count_ones() >= self.threshold
    }
}

impl World {
    /// The back end whose turn it is; none where all are known to be sick.
    pub(super) fn next_back_end(&mut self, slot: u32) -> Option<u16> {
        let Cache { target, only, mut turn, .. } = *self.cache(slot);
        for _ in 0..target.count {
            let (at, next) = only.map_or_else(|| self.in_turn(target, turn), |at| (at, turn));
            let cache = self.cache(slot);
            cache.turn = next;
            if cache.probed.get(usize::from(at - target.base)).is_none_or(Probed::is_healthy) {
                return Some(at);
            }
            turn = next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probed() -> Probed {
        Probed { happy: u64::MAX, window: 8, threshold: 3, initial: 2 }
    }

    #[test]
    fn six_bad_probes_of_eight_make_it_sick_and_three_good_ones_well_again() {
        let mut probed = probed();
        (0..5).for_each(|_| probed.learn(false));
        assert!(probed.is_healthy());
        probed.learn(false);
        assert!(!probed.is_healthy());
        // Two good ones are left of before, which fall out of the window as new ones come.
        let states = [true; 4].map(|good| {
            probed.learn(good);
            probed.is_healthy()
        });
        assert_eq!(states, [false, false, true, true]);
    }

    #[test]
    fn after_a_restart_as_many_are_taken_for_good_as_is_said() {
        let after = |initial| {
            let mut probed = Probed { happy: 0, window: 64, threshold: 64, initial };
            probed.restart();
            (probed.happy, probed.is_healthy())
        };
        assert_eq!([after(0), after(2), after(64)], [(0, false), (3, false), (u64::MAX, true)]);
    }

    #[test]
    fn after_a_restart_one_good_probe_is_enough() {
        let mut probed = probed();
        probed.restart();
        assert!(!probed.is_healthy());
        probed.learn(true);
        assert!(probed.is_healthy());
    }
}
