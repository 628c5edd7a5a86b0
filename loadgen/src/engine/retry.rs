//! Clients that send again what failed: what of it, after which pause, and how much of it the load allows.
//!
//! The rules are the scenario's, `traffic.*.retries`; the simulator follows them by code of its own, and draws the same pauses.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use results::Failure;
use scenarios::Scenario;
use scenarios::plan::{RequestId, reload};
use scenarios::rng::Stream;
use scenarios::scenario::{Backoff, Jitter, Retries, RetryBudget, Traffic};
use scenarios::units::{Seed, SimTime};

use super::Share;

/// Parts of a budget's window: requests are forgotten a part at a time.
const PARTS: u64 = 10;

/// Whether a request that failed so is sent again: nobody answered it, or only with an error. What was answered in earnest, by whatever
/// answer, is not asked for again, and what was dropped was never sent.
pub(super) fn is_repeated(failure: Failure) -> bool {
    match failure {
        Failure::Refused
        | Failure::Reset
        | Failure::Truncated
        | Failure::Timeout
        | Failure::Stalled
        | Failure::Status => true,
        Failure::Malformed | Failure::Dropped | Failure::LostSession | Failure::TooLarge | Failure::Check => {
            false
        }
    }
}

/// The pause before a request is sent again for the `attempt`-th time, from 1, in nanoseconds.
fn pause_nanos(rules: &Backoff, attempt: u16, stream: &mut Stream) -> u64 {
    let grown = rules.base.as_nanos() as f64 * rules.factor.powi(i32::from(attempt) - 1);
    let longest = grown.min(rules.cap.as_nanos() as f64);
    let pause = match rules.jitter {
        Jitter::Full => longest * stream.unit(),
        Jitter::Equal => longest * (1.0 + stream.unit()) / 2.0,
        _ => longest,
    };
    pause.round() as u64
}

/// How long the last answer to a request can be waited for: each of its attempts times out, after the longest pause.
pub(crate) fn longest_wait(traffic: &Traffic) -> SimTime {
    let (times, cap) = traffic.retries.map_or((0, SimTime::ZERO), |rules| (rules.times, rules.backoff.cap));
    (0..times).fold(traffic.timeout, |wait, _| wait.saturating_add(traffic.timeout).saturating_add(cap))
}

/// How a traffic's requests are sent again.
#[derive(Clone, Debug)]
pub(super) struct Retrying {
    rules: Retries,
    budget: Option<Arc<Mutex<Budget>>>,
    seed: Seed,
}

impl Retrying {
    /// A request is taken up for the first time.
    #[inline]
    pub(super) fn deposit(&self, now_nanos: u64) {
        if let Some(budget) = &self.budget {
            budget.lock().expect("nobody panics with the lock").add(now_nanos, (1, 0));
        }
    }

    /// Whether a request that was sent again `attempt` times may be once more; if so, that is counted.
    pub(super) fn withdraw(&self, attempt: u16, now_nanos: u64) -> bool {
        let allows = |budget: &Arc<Mutex<Budget>>| {
            budget.lock().expect("nobody panics with the lock").withdraw(now_nanos)
        };
        u32::from(attempt) < self.rules.times && self.budget.as_ref().is_none_or(allows)
    }

    /// The pause before a request is sent again for the `attempt`-th time, in nanoseconds.
    pub(super) fn pause_nanos(&self, id: RequestId, attempt: u16) -> u64 {
        pause_nanos(&self.rules.backoff, attempt, &mut reload(self.seed, id, attempt))
    }
}

/// How each traffic's requests are sent again; the threads of a run draw on the same budgets.
#[derive(Debug)]
pub(crate) struct Retryings(Vec<Option<Retrying>>);

impl Retryings {
    /// Nothing has failed yet. Who plays a share of the plan has the same share of a budget's reserve.
    pub(crate) fn new(scenario: &Scenario, share: Share) -> Self {
        let budget = |rules: &RetryBudget| Arc::new(Mutex::new(Budget::new(rules, share.of())));
        let seed = scenario.run.seed;
        let retrying =
            |rules: &Retries| Retrying { rules: *rules, budget: rules.budget.as_ref().map(budget), seed };
        Self(scenario.traffic.iter().map(|traffic| traffic.retries.as_ref().map(retrying)).collect())
    }

    /// Those of a traffic, by its number.
    pub(super) fn of(&self, traffic: usize) -> Option<Retrying> {
        self.0[traffic].clone()
    }
}

/// What requests allow: each of the last window a share of a retry, and the window a reserve (Finagle's `RetryBudget`).
#[derive(Debug)]
struct Budget {
    share: f64,
    reserve: f64,
    part_nanos: u64,
    /// Requests and retries of each part in which there were any, by its number since the run's start, and their sums.
    parts: VecDeque<(u64, (u64, u64))>,
    sums: (u64, u64),
}

impl Budget {
    fn new(rules: &RetryBudget, machines: u32) -> Self {
        Self {
            share: rules.share.get(),
            reserve: rules.min_rate.as_per_second() * rules.window.as_secs_f64() / f64::from(machines),
            part_nanos: (rules.window.as_nanos() / PARTS).max(1),
            parts: VecDeque::new(),
            sums: (0, 0),
        }
    }

    /// Counts so many requests and retries.
    fn add(&mut self, now_nanos: u64, (requests, retries): (u64, u64)) {
        let part = self.forget(now_nanos);
        self.sums = (self.sums.0 + requests, self.sums.1 + retries);
        match self.parts.back_mut() {
            Some((newest, counts)) if *newest == part => *counts = (counts.0 + requests, counts.1 + retries),
            _ => self.parts.push_back((part, (requests, retries))),
        }
    }

    /// Whether there is enough for one retry more; if so, it is taken.
    fn withdraw(&mut self, now_nanos: u64) -> bool {
        self.forget(now_nanos);
        let (requests, retries) = self.sums;
        // Ten requests at a share of 10% are enough for one, however these numbers are rounded.
        let enough = (retries + 1) as f64 <= requests as f64 * self.share + self.reserve + 1e-9;
        if enough {
            self.add(now_nanos, (0, 1));
        }
        enough
    }

    /// Forgets the parts that are past; the number of the present one.
    fn forget(&mut self, now_nanos: u64) -> u64 {
        // Another thread may have read the clock later and been here before.
        let newest = self.parts.back().map_or(0, |(part, _)| *part);
        let part = (now_nanos / self.part_nanos).max(newest);
        while let Some((_, (requests, retries))) = self.parts.front().filter(|(old, _)| old + PARTS <= part) {
            self.sums = (self.sums.0 - requests, self.sums.1 - retries);
            self.parts.pop_front();
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::units::{Rate, Ratio};

    const SECOND: u64 = 1_000_000_000;

    fn pauses(jitter: Jitter, attempt: u16) -> Vec<u64> {
        let rules = Backoff::new(SimTime::from_millis(100), 2.0, SimTime::from_secs(1), jitter);
        let pause =
            |id| pause_nanos(&rules, attempt, &mut reload(Seed(7), RequestId(id), attempt)) / 1_000_000;
        (0..1_000).map(pause).collect()
    }

    #[test]
    fn pauses_grow_up_to_their_cap() {
        let found: Vec<u64> = (1..=6).map(|attempt| pauses(Jitter::None, attempt)[0]).collect();
        assert_eq!(found, [100, 200, 400, 800, 1000, 1000]);
        assert_eq!(pauses(Jitter::None, u16::MAX)[0], 1000);
    }

    #[test]
    fn jitter_takes_all_of_a_pause_or_half_of_it() {
        for (jitter, least) in [(Jitter::Full, 0), (Jitter::Equal, 200)] {
            let found = pauses(jitter, 3);
            let (low, high) = (found.iter().min().expect("some"), found.iter().max().expect("some"));
            // A thousand draws leave less than a fiftieth of the range empty at each end.
            let edge = (400 - least) / 50;
            assert!(
                (least..least + edge).contains(low) && (400 - edge..=400).contains(high),
                "{low} to {high}"
            );
        }
    }

    #[test]
    fn a_budget_is_a_share_of_the_last_window_and_a_reserve() {
        let rules = RetryBudget::new(Ratio::new(0.1), Rate::per_second(0.5), SimTime::from_secs(10));
        let mut budget = Budget::new(&rules, 1);
        let take = |budget: &mut Budget, now| (0..100).filter(|_| budget.withdraw(now)).count();
        assert_eq!(take(&mut budget, 0), 5, "the reserve");
        (0..30).for_each(|_| budget.add(3 * SECOND, (1, 0)));
        assert_eq!(take(&mut budget, 3 * SECOND), 3, "a tenth of thirty");
        assert_eq!(take(&mut budget, 10 * SECOND), 5, "the first five are forgotten");
        assert_eq!(take(&mut budget, 13 * SECOND), 0, "so are the thirty requests and what they paid for");
        // A clock that was read before another thread's.
        budget.add(13 * SECOND, (0, 0));
        budget.add(12 * SECOND, (10, 0));
        assert_eq!(take(&mut budget, 13 * SECOND), 1);
        assert_eq!(Budget::new(&rules, 5).reserve, 1.0, "one of five machines");
    }
}
