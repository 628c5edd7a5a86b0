//! When a process that died by itself is started again, where the file says so (`restarts`). In the simulator that is one which the
//! kernel killed for want of memory: what faults and breakdowns kill, they start again themselves.
//!
//! After systemd (systemd.service(5), `RestartSec`; systemd.unit(5), `StartLimitIntervalSec`, `StartLimitBurst`), with a pause that
//! doubles, as its `RestartSteps` has it.

use std::collections::VecDeque;

use scenarios::scenario::Restarts;

/// What is known of an instance's own deaths.
#[derive(Clone, Debug)]
pub(crate) struct Restarting {
    rules: Restarts,
    /// When it died lately.
    deaths: VecDeque<u64>,
    /// How long it stays dead the next time, unless it lives for long enough from this start on.
    pause: u64,
    started: u64,
    /// Whether it was left dead.
    pub(crate) left_dead: bool,
}

impl Restarting {
    pub(crate) fn new(rules: Restarts) -> Self {
        Self { rules, deaths: VecDeque::new(), pause: rules.after.as_nanos(), started: 0, left_dead: false }
    }

    /// The process has died: how long it stays dead before it is started, which takes `start`; none where it is left dead.
    pub(crate) fn died(&mut self, now: u64, start: u64) -> Option<u64> {
        let within = self.rules.within.as_nanos();
        self.deaths.retain(|death| death.saturating_add(within) >= now);
        self.deaths.push_back(now);
        if self.rules.times.is_some_and(|times| self.deaths.len() > times as usize) {
            self.left_dead = true;
            return None;
        }
        if now > self.started.saturating_add(within) {
            self.pause = self.rules.after.as_nanos();
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(self.rules.at_most.as_nanos());
        self.started = now.saturating_add(pause).saturating_add(start);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use scenarios::units::SimTime;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn restarting(times: Option<u32>) -> Restarting {
        let mut rules = Restarts::default();
        (rules.after, rules.at_most) = (SimTime::from_secs(1), SimTime::from_secs(3));
        rules.times = times;
        Restarting::new(rules)
    }

    #[test]
    fn the_pause_doubles_up_to_its_limit_and_starts_anew_after_a_steady_while() {
        let mut always = restarting(None);
        let seconds = |pause: Option<u64>| pause.map(|nanos| nanos / SECOND);
        assert_eq!(seconds(always.died(20 * SECOND, SECOND)), Some(1));
        assert_eq!(seconds(always.died(22 * SECOND, SECOND)), Some(2));
        // Ten seconds after its start at 25 s it is not steady yet.
        assert_eq!(seconds(always.died(35 * SECOND, SECOND)), Some(3));
        assert_eq!(seconds(always.died(36 * SECOND, SECOND)), Some(3), "at most");
        assert_eq!(
            seconds(always.died(51 * SECOND, SECOND)),
            Some(1),
            "it was steady for more than ten seconds"
        );
    }

    #[test]
    fn so_many_deaths_within_a_time_are_mended_and_no_more() {
        let mut twice = restarting(Some(2));
        assert!([0, 5].iter().all(|second| twice.died(second * SECOND, 0).is_some()));
        assert!(twice.clone().died(16 * SECOND, 0).is_some(), "the first two are long ago");
        assert!(twice.died(10 * SECOND, 0).is_none() && twice.left_dead);
        assert!(restarting(Some(0)).died(0, 0).is_none(), "never");
    }
}
