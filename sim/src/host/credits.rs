//! Burst credits: a machine that may use more than its baseline for as long as it has saved up.
//!
//! The rules of AWS's T2 Standard instances (EC2 user guide, "Key concepts for burstable performance instances" and
//! "Standard mode for burstable performance instances"): a credit is one core at 100% for one minute; credits are earned at
//! a constant rate, whatever the use, and spent with a resolution of a millisecond or better; what is earned beyond the
//! limit is lost; launch credits are spent first, are not earned again and do not count against the limit; at zero the
//! machine gets its baseline, which is what it earns. Not in the model: the gradual descent to the baseline over some 15
//! minutes, surplus credits (unlimited mode) and the loss of credits on a stop.

/// A credit in nanoseconds of a core.
const CREDIT_NANOS: f64 = 60e9;
/// How much must be saved before full speed comes back, and how often at most a dwindling balance is looked at.
const GRAIN_NANOS: f64 = 1e6;

/// What a machine has saved up.
#[derive(Clone, Debug)]
pub(crate) struct Credits {
    /// Cores that what is earned would keep busy: the baseline.
    baseline: f64,
    /// In nanoseconds of a core, as the balances.
    limit: f64,
    launch: f64,
    earned: f64,
    at: u64,
    /// The processor's use up to then.
    used: f64,
    throttled: bool,
    /// When the balance could be gone at the earliest: an event is pending for then.
    pub(crate) look_at: u64,
}

impl Credits {
    /// With credits earned an hour, the limit on what is saved of them, and credits at the start.
    pub(crate) fn new(per_hour: f64, limit: f64, launch: f64) -> Self {
        Self {
            baseline: per_hour / 60.0,
            limit: limit * CREDIT_NANOS,
            launch: launch * CREDIT_NANOS,
            earned: 0.0,
            at: 0,
            used: 0.0,
            throttled: false,
            look_at: u64::MAX,
        }
    }

    /// The balance in credits, when last brought up to date.
    pub(crate) fn balance(&self) -> f64 {
        (self.launch + self.earned) / CREDIT_NANOS
    }

    /// Brings the balance up to date with all core time used so far; the cores that may be used now, if that is limited.
    pub(crate) fn update(&mut self, now: u64, used: f64) -> Option<f64> {
        let income = (now - self.at) as f64 * self.baseline;
        let spent = used - self.used;
        (self.at, self.used) = (now, used);
        let from_launch = spent.min(self.launch);
        self.launch -= from_launch;
        self.earned = (self.earned + income - (spent - from_launch)).clamp(0.0, self.limit);
        let balance = self.launch + self.earned;
        if self.throttled {
            self.throttled = balance <= GRAIN_NANOS;
        } else {
            self.throttled = balance <= 0.0;
        }
        self.throttled.then_some(self.baseline)
    }

    /// When the balance could be gone at the earliest with `cores` in use; never where it cannot or is.
    pub(crate) fn gone_at(&self, cores: f64) -> u64 {
        let drain = cores - self.baseline;
        if self.throttled || drain <= 0.0 {
            return u64::MAX;
        }
        let nanos = ((self.launch + self.earned) / drain).max(GRAIN_NANOS);
        self.at.saturating_add(nanos.ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000_000_000;

    #[test]
    fn a_micro_bursts_as_long_as_its_launch_credits_and_what_it_earns_meanwhile_last() {
        let mut credits = Credits::new(6.0, 144.0, 30.0);
        // 30 credits at a net cost of 0.9 a minute.
        assert_eq!(credits.gone_at(1.0), (MINUTE as f64 * 30.0 / 0.9).ceil() as u64);
        let gone = credits.gone_at(1.0);
        assert_eq!(credits.update(gone, gone as f64), Some(0.1));
        assert!(credits.balance().abs() < 1e-9);
    }

    #[test]
    fn an_idle_day_fills_the_account_and_no_more_is_saved() {
        let mut credits = Credits::new(6.0, 144.0, 30.0);
        assert_eq!(credits.update(24 * 60 * MINUTE, 0.0), None);
        assert!((credits.balance() - 174.0).abs() < 1e-9);
        credits.update(48 * 60 * MINUTE, 0.0);
        assert!((credits.balance() - 174.0).abs() < 1e-9);
    }

    #[test]
    fn the_baseline_for_ever_costs_nothing() {
        let mut credits = Credits::new(6.0, 144.0, 0.0);
        credits.update(60 * MINUTE, 0.0);
        credits.update(120 * MINUTE, 6.0 * MINUTE as f64);
        assert!((credits.balance() - 6.0).abs() < 1e-9);
    }
}
