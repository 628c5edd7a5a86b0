//! How many retries the load allows, by Finagle's rule (`finagle-core`, `service/RetryBudget.scala`): a share of the requests of
//! the last window, and a reserve that is there however few they are.

use scenarios::scenario::RetryBudget;

use super::window::Window;

/// A caller's budget for one thing that it calls.
#[derive(Debug)]
pub(crate) struct Budget {
    share: f64,
    /// Retries that a window allows without any request.
    reserve: f64,
    /// Requests and retries.
    seen: Window,
}

impl Budget {
    /// Nothing was asked yet.
    pub(crate) fn new(rules: &RetryBudget) -> Self {
        Self {
            share: rules.share.get(),
            reserve: rules.min_rate.as_per_second() * rules.window.as_secs_f64(),
            seen: Window::new(rules.window.as_nanos()),
        }
    }

    /// A request is made for the first time.
    pub(crate) fn deposit(&mut self, now: u64) {
        self.seen.add(now, [1, 0]);
    }

    /// Takes one retry out, if there is one.
    pub(crate) fn withdraw(&mut self, now: u64) -> bool {
        let [requests, retries] = self.seen.sums(now);
        // A billionth more, so that ten requests at 10% are not short of a retry by rounding.
        let is_allowed = (retries + 1) as f64 <= requests as f64 * self.share + self.reserve + 1e-9;
        if is_allowed {
            self.seen.add(now, [0, 1]);
        }
        is_allowed
    }
}

#[cfg(test)]
mod tests {
    use scenarios::units::{Rate, Ratio, SimTime};

    use super::*;

    #[test]
    fn a_fifth_of_the_requests_may_be_retried_and_a_reserve_comes_back_with_time() {
        let window = SimTime::from_secs(10);
        let budget =
            |share, rate| Budget::new(&RetryBudget::new(Ratio::new(share), Rate::per_second(rate), window));
        let mut fifth = budget(0.2, 0.0);
        assert!(!fifth.withdraw(0), "nothing was asked");
        (0..1000).for_each(|now| fifth.deposit(now));
        assert_eq!((0..1000).filter(|_| fifth.withdraw(1000)).count(), 200);
        let mut reserve = budget(0.0, 1.0);
        let mut taken = |now| (0..100).filter(|_| reserve.withdraw(now)).count();
        assert_eq!([taken(0), taken(9_999_999_999), taken(10_000_000_000)], [10, 0, 10]);
    }
}
