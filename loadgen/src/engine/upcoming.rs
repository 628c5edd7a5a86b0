//! What of a thread's segment is due next, and what goes with it: requests so close together that they share a wake-up.

use std::collections::VecDeque;
use std::iter::Fuse;

use scenarios::plan::Planned;

use super::lane::BURST;
use crate::clock::Clock;

/// What is due so soon after a request may be waited for before that is sent: half of what a request may be late at all. Waking up,
/// and waking the server, are most of what a request costs at some thousands a second.
const TOGETHER_NANOS: u64 = 25_000;

/// The requests of a plan in order, with a look ahead.
#[derive(Debug)]
pub(super) struct Upcoming<I> {
    plan: Fuse<I>,
    clock: Clock,
    /// The next ones, with their due times on CLOCK_MONOTONIC in nanoseconds.
    ahead: VecDeque<(Planned, u64)>,
}

impl<I: Iterator<Item = Planned>> Upcoming<I> {
    pub(super) fn new(plan: I, clock: Clock) -> Self {
        Self { plan: plan.fuse(), clock, ahead: VecDeque::new() }
    }

    /// When the request is due that comes after so many others.
    #[inline]
    fn due_nanos(&mut self, after: usize) -> Option<u64> {
        if self.ahead.len() <= after {
            let planned = self.plan.next()?;
            self.ahead.push_back((planned, self.clock.absolute_nanos(planned.due)));
        }
        self.ahead.get(after).map(|(_, due_nanos)| *due_nanos)
    }

    /// Whether no request is left.
    pub(super) fn is_over(&mut self) -> bool {
        self.due_nanos(0).is_none()
    }

    /// When the next one is due; never, where there is none.
    #[inline]
    pub(super) fn next_nanos(&mut self) -> u64 {
        self.due_nanos(0).unwrap_or(u64::MAX)
    }

    /// When the last is due of those that can share a wake-up with the next one.
    pub(super) fn together_nanos(&mut self) -> u64 {
        let first = self.next_nanos();
        let limit = first.saturating_add(TOGETHER_NANOS);
        let mut last = first;
        for after in 1..BURST as usize {
            match self.due_nanos(after) {
                Some(due_nanos) if due_nanos <= limit => last = due_nanos,
                _ => break,
            }
        }
        last
    }

    /// Takes the next one, where it is due.
    #[inline]
    pub(super) fn take(&mut self, now: u64) -> Option<Planned> {
        if self.next_nanos() > now {
            return None;
        }
        self.ahead.pop_front().map(|(planned, _)| planned)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scenarios::Scenario;
    use scenarios::plan::Plan;
    use scenarios::units::SimTime;

    use super::*;

    const SCENARIO: &str = r#"
title = "Any request"
[run]
duration = "1s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
[requests.page]
path = "/"
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
arrivals = "uniform"
rate = "10/s"
mix = { page = 1 }
"#;

    /// Requests due at these times, in nanoseconds after the zero that is returned.
    fn upcoming(dues: Vec<u64>) -> (Upcoming<impl Iterator<Item = Planned>>, u64) {
        let scenario = Scenario::parse("t.toml", SCENARIO).unwrap_or_else(|problems| panic!("{problems}"));
        let any = Plan::new(&scenario).requests().next().expect("ten are planned");
        let clock = Clock::starting_in(Duration::ZERO);
        let planned = dues.into_iter().map(move |due| Planned { due: SimTime::from_nanos(due), ..any });
        (Upcoming::new(planned, clock), clock.absolute_nanos(SimTime::ZERO))
    }

    #[test]
    fn requests_within_twenty_five_microseconds_of_the_first_go_together_and_none_before_it_is_due() {
        let (mut upcoming, zero) = upcoming(vec![10_000, 20_000, 35_000, 35_001, 100_000]);
        assert_eq!((upcoming.next_nanos(), upcoming.together_nanos()), (zero + 10_000, zero + 35_000));
        assert!(upcoming.take(zero + 9_999).is_none());
        let mut taken = Vec::new();
        while let Some(planned) = upcoming.take(zero + 35_000) {
            taken.push(planned.due.as_nanos());
        }
        assert_eq!(taken, [10_000, 20_000, 35_000]);
        assert_eq!((upcoming.next_nanos(), upcoming.together_nanos()), (zero + 35_001, zero + 35_001));
        assert!(upcoming.take(zero + 35_001).is_some() && !upcoming.is_over());
        assert_eq!(upcoming.together_nanos(), zero + 100_000);
        assert!(upcoming.take(zero + 100_000).is_some() && upcoming.is_over());
        assert_eq!((upcoming.next_nanos(), upcoming.together_nanos()), (u64::MAX, u64::MAX));
        assert!(upcoming.take(u64::MAX - 1).is_none());
    }

    #[test]
    fn a_look_ahead_has_an_end_however_many_are_due_at_once() {
        let (mut upcoming, zero) = upcoming(vec![7; 100_000]);
        assert_eq!(upcoming.together_nanos(), zero + 7);
        assert!(upcoming.ahead.len() <= BURST as usize, "{}", upcoming.ahead.len());
        assert_eq!((0..).map_while(|_: u32| upcoming.take(zero + 7)).count(), 100_000);
    }
}
