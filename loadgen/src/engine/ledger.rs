//! What a lane can say about itself: whether it did what the plan asked, window by window, and how it felt.

use results::Frame;
use scenarios::units::SimTime;

use crate::evidence::{Spent, ThreadMeter};

/// Above this a request that found a free connection was handed over late.
pub(crate) const LATE: SimTime = SimTime::from_millis(10);

/// A stretch of which a thread was busy for more than this share left it no time to spare: what it did, it did late.
pub(crate) const SATURATED: f64 = 0.95;

/// What was done of the plan in one window of the run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Account {
    /// Requests that the plan made due, and those that followed upon answers.
    pub(crate) planned: u64,
    /// Those that followed upon answers: how many there are is no matter of the plan's.
    pub(crate) followed: u64,
    /// Those handed to a connection.
    pub(crate) sent: u64,
    /// Those dropped at `max_in_flight`, or still unsent at the end.
    pub(crate) dropped: u64,
    /// Those that the generator took up later than [`LATE`], which no server can cause.
    pub(crate) late: u64,
    /// How long the threads' time was looked at, and how much of that was in stretches without time to spare, in nanoseconds.
    pub(crate) watched_nanos: u64,
    pub(crate) saturated_nanos: u64,
}

impl Account {
    /// Adds another lane's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.planned += other.planned;
        self.followed += other.followed;
        self.sent += other.sent;
        self.dropped += other.dropped;
        self.late += other.late;
        self.watched_nanos += other.watched_nanos;
        self.saturated_nanos += other.saturated_nanos;
    }
}

/// How a lane stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pulse {
    /// Requests that became due so far.
    pub planned: u64,
    /// Good answers so far.
    pub ok: u64,
    /// Failed requests so far, dropped ones included.
    pub failed: u64,
    /// Requests that were sent again so far, as often as they were.
    pub retries: u64,
    /// Requests under way.
    pub under_way: u64,
    /// Requests that wait for a connection.
    pub queue: u64,
    /// Open connections.
    pub connections: u64,
    /// The greatest lateness of a wake-up since the last pulse, in nanoseconds.
    pub wakeup_lag_nanos: u64,
    /// How long threads waited for a processor since the last pulse, in nanoseconds.
    pub delayed_nanos: u64,
}

impl Pulse {
    /// Adds another lane's.
    pub(crate) fn add(&mut self, other: &Self) {
        self.planned += other.planned;
        self.ok += other.ok;
        self.failed += other.failed;
        self.retries += other.retries;
        self.under_way += other.under_way;
        self.queue += other.queue;
        self.connections += other.connections;
        self.wakeup_lag_nanos = self.wakeup_lag_nanos.max(other.wakeup_lag_nanos);
        self.delayed_nanos += other.delayed_nanos;
    }
}

/// A lane's account in the making.
#[derive(Debug)]
pub(super) struct Ledger {
    /// The windows' ends and what happened in them.
    windows: Vec<(SimTime, Account)>,
    /// The window of the request that was planned last: due times only grow.
    current: usize,
    planned: u64,
    ok: u64,
    failed: u64,
    retries: u64,
    pub(super) open_slots: u32,
    pub(super) wakeup_lag_nanos: u64,
    meter: ThreadMeter,
    delayed_nanos: u64,
    /// Whether answers decide what is due next: then requests cannot be late, and a wait for a processor shows in nothing else.
    closed_loop: bool,
}

impl Ledger {
    pub(super) fn new(frame: &Frame, closed_loop: bool) -> Self {
        let windows = frame.windows.iter().map(|window| (window.until, Account::default())).collect();
        Self {
            windows,
            current: 0,
            planned: 0,
            ok: 0,
            failed: 0,
            retries: 0,
            open_slots: 0,
            wakeup_lag_nanos: 0,
            meter: ThreadMeter::new(),
            delayed_nanos: 0,
            closed_loop,
        }
    }

    /// The run begins: how the thread spent its time before does not count.
    pub(super) fn begin(&mut self) {
        self.meter = ThreadMeter::new();
    }

    /// Looks at how the thread spent the time since it was asked last.
    pub(super) fn watch(&mut self, now: SimTime) {
        let spent = self.meter.read();
        self.delayed_nanos += spent.delayed_nanos;
        self.note(now, spent.elapsed_nanos, busy_nanos(spent, self.closed_loop));
    }

    /// Notes that of the time up to now a thread had no choice about so much.
    pub(super) fn note(&mut self, now: SimTime, elapsed_nanos: u64, busy_nanos: u64) {
        let middle = SimTime::from_nanos(now.as_nanos().saturating_sub(elapsed_nanos / 2));
        let window = self.windows.partition_point(|(until, _)| *until <= middle);
        // What is left after the run's end is waiting for the last answers.
        if let Some((_, account)) = self.windows.get_mut(window) {
            account.watched_nanos += elapsed_nanos;
            if busy_nanos as f64 > SATURATED * elapsed_nanos as f64 {
                account.saturated_nanos += elapsed_nanos;
            }
        }
    }

    #[inline]
    pub(super) fn planned(&mut self, due: SimTime, lag_nanos: u64, follows: bool) {
        while due >= self.windows[self.current].0 && self.current + 1 < self.windows.len() {
            self.current += 1;
        }
        let account = self.account(due);
        account.planned += 1;
        account.followed += u64::from(follows);
        account.late += u64::from(lag_nanos > LATE.as_nanos());
        self.planned += 1;
    }

    /// The account of a request that was planned some time ago.
    #[inline]
    fn account(&mut self, due: SimTime) -> &mut Account {
        let mut window = self.current;
        while window > 0 && due < self.windows[window - 1].0 {
            window -= 1;
        }
        &mut self.windows[window].1
    }

    #[inline]
    pub(super) fn sent(&mut self, due: SimTime) {
        self.account(due).sent += 1;
    }

    /// A request that failed will be sent again, and is no other for that.
    pub(super) fn repeated(&mut self) {
        self.retries += 1;
    }

    /// One of those was taken up so late after its pause.
    pub(super) fn taken_up_again(&mut self, due: SimTime, lag_nanos: u64) {
        self.account(due).late += u64::from(lag_nanos > LATE.as_nanos());
    }

    pub(super) fn dropped(&mut self, due: SimTime) {
        self.account(due).dropped += 1;
        self.failed += 1;
    }

    #[inline]
    pub(super) fn finished(&mut self, ok: bool) {
        self.ok += u64::from(ok);
        self.failed += u64::from(!ok);
    }

    /// How the lane stands, with so many connections; starts a new second.
    pub(super) fn pulse(&mut self, (under_way, queue): (u64, u64), connections: u32) -> Pulse {
        Pulse {
            planned: self.planned,
            ok: self.ok,
            failed: self.failed,
            retries: self.retries,
            under_way,
            queue,
            connections: u64::from(connections),
            wakeup_lag_nanos: std::mem::take(&mut self.wakeup_lag_nanos),
            delayed_nanos: std::mem::take(&mut self.delayed_nanos),
        }
    }

    pub(super) fn accounts(&self) -> Vec<Account> {
        self.windows.iter().map(|(_, account)| *account).collect()
    }
}

/// How much of its time a thread had no choice about. An open loop's wait for a processor makes requests late, and is judged by that.
fn busy_nanos(spent: Spent, closed_loop: bool) -> u64 {
    spent.running_nanos + if closed_loop { spent.delayed_nanos } else { 0 }
}
