//! What callers do about calls that are slow or fail: rules that look at more than one key.

use super::Validator;
use crate::scenario::{
    Backoff, Bulkhead, CircuitBreaker, ConnectionPool, Hedge, Jitter, Policy, Retries, RetryBudget,
};
use crate::units::{Ratio, SimTime};
use crate::wire::policy as wire;

/// The rules of `retries = 3`, as the table's defaults are.
fn backoff() -> Backoff {
    Backoff::new(SimTime::from_millis(100), 2.0, SimTime::from_secs(20), Jitter::Full)
}

impl Validator<'_> {
    /// The named policies, in the file's order.
    pub(super) fn policies(&mut self) -> Vec<Policy> {
        let files = self.file.policies.0.clone();
        files.iter().map(|(name, file)| self.policy(&format!("policies.{name}"), Some(name), file)).collect()
    }

    /// The policy that stands at a path.
    pub(super) fn policy(&mut self, at: &str, name: Option<&String>, file: &wire::Policy) -> Policy {
        let timeout = file.timeout.map(|t| self.positive(&format!("{at}.timeout"), t));
        let hedge = file.hedge.as_ref().map(|hedge| {
            let after_at = format!("{at}.hedge.after");
            let after = hedge.after.map_or(SimTime::from_secs(1), |after| self.positive(&after_at, after));
            if let Some(timeout) = timeout.filter(|timeout| after >= *timeout) {
                let hint = "an attempt that has timed out is not waited for: retries are for that".to_owned();
                self.problem(&after_at, format!("less than the timeout, {timeout}"), hint);
            }
            Hedge { after, times: hedge.times.0 as u32 }
        });
        let policy = Policy {
            name: name.cloned(),
            timeout,
            retries: file.retries.as_ref().map(|r| self.retries(&format!("{at}.retries"), r)),
            circuit_breaker: file
                .circuit_breaker
                .as_ref()
                .map(|b| self.circuit_breaker(&format!("{at}.circuit_breaker"), b)),
            hedge,
            bulkhead: file
                .bulkhead
                .as_ref()
                .map(|b| Bulkhead { calls: b.calls.map_or(1, |c| c.0 as u32), queue: b.queue.0 as u32 }),
            pool: file.pool.as_ref().map(|p| self.connection_pool(&format!("{at}.pool"), p)),
        };
        let says_nothing = policy.timeout.is_none()
            && policy.retries.is_none()
            && policy.circuit_breaker.is_none()
            && policy.hedge.is_none()
            && policy.bulkhead.is_none()
            && policy.pool.is_none();
        if says_nothing {
            let expected = "one or more of timeout, retries, circuit_breaker, hedge, bulkhead, pool";
            self.problem(at, expected, "write timeout = \"1s\"".to_owned());
        }
        policy
    }

    /// How a client or a service repeats what failed.
    pub(super) fn retries(&mut self, at: &str, file: &wire::Retries) -> Retries {
        let file = match file {
            wire::Retries::Times(times) => {
                return Retries { times: times.0 as u32, backoff: backoff(), budget: None };
            }
            wire::Retries::Table(table) => table,
        };
        if file.cap < file.backoff {
            self.problem(
                &format!("{at}.cap"),
                format!("at least the first pause, {}", file.backoff),
                None::<String>,
            );
        }
        let budget = file.budget.as_ref().map(|budget| {
            let at = format!("{at}.budget");
            // Finagle's own limits.
            let limits = SimTime::from_secs(1)..=SimTime::from_secs(60);
            if !limits.contains(&budget.window) {
                self.problem(&format!("{at}.window"), "a duration from 1s to 60s", None::<String>);
            }
            RetryBudget::new(budget.share, budget.min_rate, budget.window)
        });
        Retries {
            times: file.times.map_or(0, |times| times.0 as u32),
            backoff: Backoff::new(file.backoff, file.factor.0, file.cap, file.jitter),
            budget,
        }
    }

    fn circuit_breaker(&mut self, at: &str, file: &wire::CircuitBreaker) -> CircuitBreaker {
        let failures = file.failures.get();
        if failures <= 0.0 || failures > 1.0 {
            self.problem(&format!("{at}.failures"), "a share above 0% and at most 100%", None::<String>);
        }
        let window = self.positive(&format!("{at}.window"), file.window);
        let open = self.positive(&format!("{at}.open"), file.open);
        let (min_calls, probes) = (file.min_calls.0 as u32, file.probes.0 as u32);
        CircuitBreaker::new(Ratio::new(failures), min_calls, window, open, probes)
    }

    fn connection_pool(&mut self, at: &str, file: &wire::Pool) -> ConnectionPool {
        match file {
            wire::Pool::Connections(count) => {
                let connections = count.0 as u32;
                ConnectionPool { connections, idle: connections, queue: u32::MAX }
            }
            wire::Pool::Table(table) => {
                let connections = table.connections.map_or(1, |count| count.0 as u32);
                let idle = table.idle.map_or(connections, |count| count.0 as u32);
                if idle > connections && table.connections.is_some() {
                    let expected = format!("at most connections, which is {connections}");
                    self.problem(&format!("{at}.idle"), expected, None::<String>);
                }
                ConnectionPool { connections, idle, queue: table.queue.0 as u32 }
            }
        }
    }
}
