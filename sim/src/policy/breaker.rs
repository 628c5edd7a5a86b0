//! Stops calling what fails: closed, open, half open.
//!
//! resilience4j's rules: closed, it counts the calls of a sliding window and opens when at least `min_calls` are known
//! and the failed share reaches the threshold; open, it refuses for a fixed time; half open, it lets a number of probes
//! through and closes or opens again by the same threshold once all of them are known.

use scenarios::scenario::CircuitBreaker;

use super::window::Window;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    /// Refuses until this time.
    Open(u64),
    /// Probes let through, known, and failed among these.
    HalfOpen {
        sent: u32,
        known: u32,
        failed: u32,
    },
}

/// One caller's breaker for one thing that it calls.
#[derive(Clone, Debug)]
pub(crate) struct Breaker {
    threshold: f64,
    min_calls: u64,
    open_nanos: u64,
    probes: u32,
    state: State,
    /// How often it opened or went half open or closed: an answer to a call of an earlier time says nothing.
    era: u32,
    /// Calls, and failed ones.
    seen: Window,
}

impl Breaker {
    pub(crate) fn new(rules: &CircuitBreaker) -> Self {
        Self {
            threshold: rules.failures.get(),
            min_calls: u64::from(rules.min_calls),
            open_nanos: rules.open.as_nanos(),
            probes: rules.probes,
            state: State::Closed,
            era: 0,
            seen: Window::new(rules.window.as_nanos()),
        }
    }

    /// Whether a call may be made now: its era, to be told with its outcome.
    #[inline]
    pub(crate) fn admit(&mut self, now: u64) -> Option<u32> {
        match &mut self.state {
            State::Closed => Some(self.era),
            State::Open(until) if now < *until => None,
            State::Open(_) => {
                self.state = State::HalfOpen { sent: 1, known: 0, failed: 0 };
                self.era = self.era.wrapping_add(1);
                Some(self.era)
            }
            State::HalfOpen { sent, .. } if *sent < self.probes => {
                *sent += 1;
                Some(self.era)
            }
            State::HalfOpen { .. } => None,
        }
    }

    /// A call that was admitted in `era` came back.
    #[inline]
    pub(crate) fn note(&mut self, now: u64, era: u32, good: bool) {
        if era != self.era {
            return;
        }
        match &mut self.state {
            State::Closed => {
                self.seen.add(now, [1, u64::from(!good)]);
                let [calls, failed] = self.seen.sums(now);
                if !good && calls >= self.min_calls && failed as f64 >= self.threshold * calls as f64 {
                    self.open(now);
                }
            }
            State::Open(_) => {}
            State::HalfOpen { known, failed, .. } => {
                *known += 1;
                *failed += u32::from(!good);
                if *known == self.probes {
                    if f64::from(*failed) >= self.threshold * f64::from(*known) {
                        self.open(now);
                    } else {
                        self.state = State::Closed;
                        self.era = self.era.wrapping_add(1);
                        self.seen.clear();
                    }
                }
            }
        }
    }

    fn open(&mut self, now: u64) {
        self.state = State::Open(now.saturating_add(self.open_nanos));
        self.era = self.era.wrapping_add(1);
        self.seen.clear();
    }

    /// A call that was admitted in `era` was given up before anything was known of it: its place as a probe is free.
    pub(crate) fn forget(&mut self, era: u32) {
        if let State::HalfOpen { sent, .. } = &mut self.state
            && era == self.era
        {
            *sent = sent.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::units::{Ratio, SimTime};

    fn breaker() -> Breaker {
        let (window, open) = (SimTime::from_secs(10), SimTime::from_secs(5));
        Breaker::new(&CircuitBreaker::new(Ratio::new(0.5), 10, window, open, 3))
    }

    fn play(breaker: &mut Breaker, now: u64, outcomes: impl IntoIterator<Item = bool>) -> usize {
        let play = |good: bool| breaker.admit(now).map(|era| breaker.note(now, era, good));
        outcomes.into_iter().filter_map(play).count()
    }

    #[test]
    fn it_opens_at_the_threshold_and_not_before_enough_calls_are_known() {
        let mut breaker = breaker();
        assert_eq!(play(&mut breaker, 0, [false; 9]), 9, "nine calls are too few to judge");
        assert_eq!(play(&mut breaker, 1, [false; 5]), 1, "the tenth opens it");
        let mut healthy = self::breaker();
        let mostly_good = (0..1000).map(|i| i % 5 != 0);
        assert_eq!(play(&mut healthy, 0, mostly_good), 1000, "20% are below the threshold");
    }

    #[test]
    fn after_its_time_it_lets_probes_through_and_closes_on_good_ones() {
        let mut breaker = breaker();
        play(&mut breaker, 0, [false; 10]);
        assert_eq!(breaker.admit(4_999_999_999), None);
        let eras: Vec<u32> = (0..9).filter_map(|_| breaker.admit(5_000_000_000)).collect();
        assert_eq!(eras.len(), 3, "as many as there are probes");
        eras.iter().for_each(|&era| breaker.note(6_000_000_000, era, true));
        assert_eq!(play(&mut breaker, 6_000_000_001, [true; 20]), 20);
    }

    #[test]
    fn bad_probes_open_it_again_and_late_answers_of_earlier_times_do_not_count() {
        let mut breaker = breaker();
        let old = breaker.admit(0).expect("it is closed");
        play(&mut breaker, 0, [false; 10]);
        let now = 5_000_000_000;
        let eras: Vec<u32> = (0..3).filter_map(|_| breaker.admit(now)).collect();
        (0..5).for_each(|_| breaker.note(now, old, true));
        eras.iter().for_each(|&era| breaker.note(now, era, false));
        assert_eq!(breaker.admit(now + 1), None);
        assert!(breaker.admit(now + 5_000_000_000).is_some());
    }

    #[test]
    fn a_probe_that_was_given_up_makes_room_for_another() {
        let mut breaker = breaker();
        play(&mut breaker, 0, [false; 10]);
        let eras: Vec<u32> = (0..3).filter_map(|_| breaker.admit(5_000_000_000)).collect();
        assert_eq!(breaker.admit(5_000_000_000), None);
        breaker.forget(eras[0]);
        assert!(breaker.admit(5_000_000_000).is_some());
    }
}
