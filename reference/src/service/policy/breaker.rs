//! Stops asking who keeps failing, by resilience4j's rules (`CircuitBreakerStateMachine`): closed, it opens when the failed share of
//! at least so many calls in the window reaches the threshold; open, it refuses for a while; half open, it lets a few probes
//! through, whose failed share decides.

use scenarios::scenario::CircuitBreaker;

use super::window::Window;

/// A caller's breaker for one thing that it calls.
#[derive(Debug)]
pub(crate) struct Breaker {
    rules: CircuitBreaker,
    state: State,
    /// How often the state changed: what comes back from an earlier state says nothing about this one.
    era: u64,
    /// Calls and failed ones, while it is closed.
    seen: Window,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Closed,
    /// Until this moment.
    Open(u64),
    HalfOpen {
        sent: u32,
        known: u32,
        failed: u32,
    },
}

impl Breaker {
    /// Closed.
    pub(crate) fn new(rules: &CircuitBreaker) -> Self {
        Self { rules: *rules, state: State::Closed, era: 0, seen: Window::new(rules.window.as_nanos()) }
    }

    /// Whether a call may be made: the era to tell with what becomes of it.
    pub(crate) fn admit(&mut self, now: u64) -> Option<u64> {
        if matches!(self.state, State::Open(until) if until <= now) {
            self.enter(State::HalfOpen { sent: 0, known: 0, failed: 0 });
        }
        match &mut self.state {
            State::Closed => Some(self.era),
            State::HalfOpen { sent, .. } if *sent < self.rules.probes => {
                *sent += 1;
                Some(self.era)
            }
            _ => None,
        }
    }

    /// What became of a call.
    pub(crate) fn note(&mut self, now: u64, era: u64, good: bool) {
        if era != self.era {
            return;
        }
        let is_bad = |failed: u64, all: u64| failed as f64 >= self.rules.failures.get() * all as f64;
        match &mut self.state {
            State::Closed => {
                self.seen.add(now, [1, u64::from(!good)]);
                let [all, failed] = self.seen.sums(now);
                if !good && all >= u64::from(self.rules.min_calls) && is_bad(failed, all) {
                    self.open(now);
                }
            }
            State::HalfOpen { known, failed, .. } => {
                *known += 1;
                *failed += u32::from(!good);
                if *known < self.rules.probes {
                    return;
                }
                if is_bad(u64::from(*failed), u64::from(*known)) {
                    self.open(now);
                } else {
                    self.enter(State::Closed);
                }
            }
            State::Open(_) => {}
        }
    }

    /// A call was given up before anything was known of it: another may be made in its place.
    pub(crate) fn forget(&mut self, era: u64) {
        if let State::HalfOpen { sent, .. } = &mut self.state
            && era == self.era
        {
            *sent -= 1;
        }
    }

    fn open(&mut self, now: u64) {
        self.enter(State::Open(now.saturating_add(self.rules.open.as_nanos())));
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.era += 1;
        self.seen.clear();
    }
}

#[cfg(test)]
mod tests {
    use scenarios::units::{Ratio, SimTime};

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Opens at half of ten calls in ten seconds, for five seconds; three probes.
    fn breaker() -> Breaker {
        let (window, open) = (SimTime::from_secs(10), SimTime::from_secs(5));
        Breaker::new(&CircuitBreaker::new(Ratio::new(0.5), 10, window, open, 3))
    }

    /// How many of these calls it lets through.
    fn play(breaker: &mut Breaker, now: u64, outcomes: impl IntoIterator<Item = bool>) -> usize {
        let mut one = |good| breaker.admit(now).map(|era| breaker.note(now, era, good));
        outcomes.into_iter().filter_map(&mut one).count()
    }

    #[test]
    fn it_opens_at_its_threshold_once_enough_calls_are_known() {
        let mut failing = breaker();
        assert_eq!(play(&mut failing, 0, [false; 20]), 10);
        let mut healthy = breaker();
        assert_eq!(play(&mut healthy, 0, (0..1000).map(|i| i % 5 != 0)), 1000, "20% are below 50%");
    }

    #[test]
    fn probes_decide_after_its_time_and_late_answers_do_not() {
        for good in [true, false] {
            let mut breaker = breaker();
            let early = breaker.admit(0).expect("it is closed");
            play(&mut breaker, 0, [false; 10]);
            assert_eq!(breaker.admit(5 * SECOND - 1), None);
            let eras: Vec<u64> = (0..9).filter_map(|_| breaker.admit(5 * SECOND)).collect();
            assert_eq!(eras.len(), 3);
            breaker.forget(eras[0]);
            assert!(breaker.admit(5 * SECOND).is_some(), "one was given up");
            breaker.note(5 * SECOND, early, !good);
            eras.iter().for_each(|&era| breaker.note(5 * SECOND, era, good));
            assert_eq!(breaker.admit(5 * SECOND).is_some(), good);
        }
    }
}
