//! How many retries the load allows: a share of the requests of the last window, and a reserve for those who ask little.
//!
//! Finagle's `RetryBudget` (`finagle-core/.../service/RetryBudget.scala`): every request deposits a token that expires
//! after the window, a retry withdraws 1 / share of them, and the reserve of `min_rate` retries a second, over the window,
//! is there from the start. linkerd's proxy has the same. By default 20%, 10 a second and 10 s.

use scenarios::scenario::RetryBudget;

use super::window::Window;

/// The balance of one caller.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    share: f64,
    /// Retries that the window allows however few requests it saw.
    reserve: f64,
    /// Requests, and retries, of the window.
    seen: Window,
}

impl Budget {
    pub(crate) fn new(budget: &RetryBudget) -> Self {
        let window = budget.window;
        let reserve = budget.min_rate.as_per_second() * window.as_secs_f64();
        Self { share: budget.share.get(), reserve, seen: Window::new(window.as_nanos()) }
    }

    /// A request is made for the first time.
    #[inline]
    pub(crate) fn deposit(&mut self, now: u64) {
        self.seen.add(now, [1, 0]);
    }

    /// Whether one more retry is allowed; if so, it is counted.
    pub(crate) fn withdraw(&mut self, now: u64) -> bool {
        let [requests, retries] = self.seen.sums(now);
        // The slack of a billionth keeps ten requests at 10% from falling short of one retry by rounding.
        let allowed = retries as f64 + 1.0 <= requests as f64 * self.share + self.reserve + 1e-9;
        if allowed {
            self.seen.add(now, [0, 1]);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::units::{Rate, Ratio, SimTime};

    fn budget(share: f64, min_rate: f64) -> Budget {
        let window = SimTime::from_secs(10);
        Budget::new(&RetryBudget::new(Ratio::new(share), Rate::per_second(min_rate), window))
    }

    #[test]
    fn a_fifth_of_the_requests_may_be_retried() {
        let mut budget = budget(0.2, 0.0);
        assert!(!budget.withdraw(0), "nothing was deposited");
        let mut retried = 0;
        for i in 0..1000 {
            budget.deposit(i);
            retried += u32::from(budget.withdraw(i));
        }
        assert_eq!(retried, 200);
    }

    #[test]
    fn the_reserve_is_there_from_the_start_and_comes_back_with_time() {
        let mut budget = budget(0.0, 1.0);
        let at = |budget: &mut Budget, now: u64| (0..100).filter(|_| budget.withdraw(now)).count();
        assert_eq!(at(&mut budget, 0), 10, "one a second over ten seconds");
        assert_eq!(at(&mut budget, 9_999_999_999), 0);
        assert_eq!(at(&mut budget, 10_000_000_000), 10);
    }

    #[test]
    fn deposits_expire() {
        let mut budget = budget(1.0, 0.0);
        (0..50).for_each(|_| budget.deposit(0));
        assert!(!budget.withdraw(11_000_000_000));
    }
}
