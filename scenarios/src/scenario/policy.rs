//! What a caller does about calls that are slow or fail: timeouts, retries, budgets, breakers, hedges, limits.

use crate::units::{Rate, Ratio, SimTime};

/// Rules for the calls of a step. Each caller's instance keeps its own account for each thing that it calls under it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Policy {
    /// Its name in `[policies]`; none for one that stands in its step.
    pub name: Option<String>,
    /// How long one attempt may take, from the moment it has its connection.
    pub timeout: Option<SimTime>,
    /// What is done about an attempt that failed.
    pub retries: Option<Retries>,
    /// When calls are refused at once because too many failed.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// A second attempt beside a slow first one.
    pub hedge: Option<Hedge>,
    /// How many calls there may be at once.
    pub bulkhead: Option<Bulkhead>,
    /// Connections that the calls share.
    pub pool: Option<ConnectionPool>,
}

/// What is done about failed attempts. Clients and services have the same rules.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Retries {
    /// How often at most.
    pub times: u32,
    /// The pause before each.
    pub backoff: Backoff,
    /// What the load allows; without it every retry is.
    pub budget: Option<RetryBudget>,
}

/// The pause before a retry: the k-th one's ceiling is `min(cap, base * factor^(k-1))`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Backoff {
    /// Before the first retry.
    pub base: SimTime,
    /// By how much each pause is longer than the one before.
    pub factor: f64,
    /// The longest pause.
    pub cap: SimTime,
    /// Which part of the ceiling is drawn.
    pub jitter: Jitter,
}

impl Backoff {
    /// Pauses from `base` on, each `factor` times the one before, at most `cap`.
    pub const fn new(base: SimTime, factor: f64, cap: SimTime, jitter: Jitter) -> Self {
        Self { base, factor, cap, jitter }
    }
}

/// Which part of a pause is random (M. Brooker, "Exponential Backoff and Jitter", AWS Architecture Blog, 2015).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Jitter {
    /// The pause is its ceiling.
    None,
    /// Uniform from zero to the ceiling.
    Full,
    /// Uniform from half the ceiling to the whole.
    Equal,
}

/// How many retries the load allows: a share of the requests of the last window, and a reserve.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryBudget {
    /// Retries per request of the window.
    pub share: Ratio,
    /// Retries allowed however few requests there are.
    pub min_rate: Rate,
    /// How long a request counts.
    pub window: SimTime,
}

impl RetryBudget {
    /// A budget of this share of a window's requests and this reserve.
    pub const fn new(share: Ratio, min_rate: Rate, window: SimTime) -> Self {
        Self { share, min_rate, window }
    }
}

/// When calls are refused at once: closed, open, half open.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct CircuitBreaker {
    /// The failed share of the window's calls at which it opens.
    pub failures: Ratio,
    /// Calls that have to be known before it judges.
    pub min_calls: u32,
    /// How long a call counts.
    pub window: SimTime,
    /// How long it stays open.
    pub open: SimTime,
    /// Calls let through afterwards, whose outcomes decide.
    pub probes: u32,
}

impl CircuitBreaker {
    /// A breaker that opens at this failed share of at least so many calls in the window.
    pub const fn new(failures: Ratio, min_calls: u32, window: SimTime, open: SimTime, probes: u32) -> Self {
        Self { failures, min_calls, window, open, probes }
    }
}

/// Further attempts beside a slow one; the first answer counts, the others are not waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hedge {
    /// After this long without an answer.
    pub after: SimTime,
    /// How many further attempts at most, each `after` later than the one before.
    pub times: u32,
}

/// How many calls there may be at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bulkhead {
    /// Calls at once, per calling instance.
    pub calls: u32,
    /// Calls that may wait for their turn; one more fails at once.
    pub queue: u32,
}

/// Connections that the calls of one instance share: a call takes one, or waits for one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionPool {
    /// How many there may be.
    pub connections: u32,
    /// How many are kept open while nobody uses them.
    pub idle: u32,
    /// Calls that may wait for one; one more fails at once.
    pub queue: u32,
}
