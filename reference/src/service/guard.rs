//! Calls under a policy. From the outside in: retries, the breaker, the timeout, the bulkhead, the pool of connections, in
//! resilience4j's order; so the timeout covers the wait for a connection, and what breaker, bulkhead or pool refuse is not tried
//! again. An attempt that is left closes its connection, and whoever was asked works to the end.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::Policy;
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep_until, timeout};

use super::Service;
use super::policy::backoff;
use super::policy::breaker::Breaker;
use super::policy::budget::Budget;
use super::policy::gate::Gate;
use super::program::{Site, Task};
use super::walk::Errand;
use crate::component::Figures;
use crate::emulated::clock::now_nanos;
use crate::log::{self, Level};
use crate::resp::Failed;

const PAUSE: Purpose = Purpose::named("retry-pause");

/// What an instance knows of all that it calls under policies.
#[derive(Debug)]
pub(super) struct Guards {
    accounts: Vec<Account>,
    /// Attempts after the first.
    retries: Cell<u64>,
    /// Attempts beside slow ones.
    hedges: Cell<u64>,
    /// Attempts that took too long.
    timeouts: Cell<u64>,
    /// Attempts that breaker, bulkhead or pool refused.
    refused: Cell<u64>,
}

/// What it knows of one thing that it calls under one policy.
#[derive(Debug)]
struct Account {
    policy: Policy,
    breaker: Option<RefCell<Breaker>>,
    budget: Option<RefCell<Budget>>,
    bulkhead: Option<Gate>,
    pool: Option<Gate>,
}

/// How an attempt ended.
#[derive(Debug)]
enum Ended {
    Good,
    Bad(Failed),
    /// The policy refused it.
    Refused,
}

/// An attempt under way.
struct Attempt<'a> {
    running: Pin<Box<dyn Future<Output = Ended> + 'a>>,
    /// When another is made beside it.
    hedge_at: Option<Instant>,
}

/// How many attempts a call has made.
#[derive(Debug, Default)]
struct Made {
    all: u16,
    retries: u32,
    hedges: u32,
}

impl Guards {
    /// Nothing was called yet.
    pub(super) fn new(sites: &[Site]) -> Self {
        let count = || Cell::new(0);
        let accounts = sites.iter().map(|site| Account::new(&site.policy)).collect();
        Self { accounts, retries: count(), hedges: count(), timeouts: count(), refused: count() }
    }

    /// How many connections to what is called at a site are kept open while nobody uses them.
    pub(super) fn most_idle(&self, site: Option<usize>) -> usize {
        let pool = site.and_then(|site| self.accounts[site].policy.pool);
        pool.map_or(usize::MAX, |pool| pool.idle as usize)
    }

    /// Says what became of calls, where there are policies.
    pub(super) fn tell(&self, figures: &mut Figures) {
        if self.accounts.is_empty() {
            return;
        }
        let counts = [
            ("retries", &self.retries),
            ("hedges", &self.hedges),
            ("timeouts", &self.timeouts),
            ("refused", &self.refused),
        ];
        counts.iter().for_each(|(name, count)| figures.set(name, count.get() as f64));
    }
}

impl Account {
    fn new(policy: &Policy) -> Self {
        let budget = policy.retries.and_then(|retries| retries.budget);
        Self {
            breaker: policy.circuit_breaker.as_ref().map(|rules| RefCell::new(Breaker::new(rules))),
            budget: budget.as_ref().map(|rules| RefCell::new(Budget::new(rules))),
            bulkhead: policy.bulkhead.map(|rules| Gate::new(rules.calls, rules.queue)),
            pool: policy.pool.map(|rules| Gate::new(rules.connections, rules.queue)),
            policy: policy.clone(),
        }
    }

    /// Whether the load allows an attempt more.
    fn withdraws(&self) -> bool {
        self.budget.as_ref().is_none_or(|budget| budget.borrow_mut().withdraw(now_nanos()))
    }

    fn admit(&self) -> Option<Admitted<'_>> {
        let era = match &self.breaker {
            Some(breaker) => breaker.borrow_mut().admit(now_nanos())?,
            None => 0,
        };
        Some(Admitted { account: self, era, is_told: false })
    }
}

/// An attempt that the breaker let through. Dropped untold, it makes room for another.
#[derive(Debug)]
struct Admitted<'a> {
    account: &'a Account,
    era: u64,
    is_told: bool,
}

impl Admitted<'_> {
    fn tell(mut self, good: bool) {
        self.is_told = true;
        if let Some(breaker) = &self.account.breaker {
            breaker.borrow_mut().note(now_nanos(), self.era, good);
        }
    }
}

impl Drop for Admitted<'_> {
    fn drop(&mut self) {
        if let Some(breaker) = self.account.breaker.as_ref().filter(|_| !self.is_told) {
            breaker.borrow_mut().forget(self.era);
        }
    }
}

impl Service {
    /// Does a task under the policy of its site.
    ///
    /// # Errors
    /// The failure of the last attempt.
    pub(super) async fn guarded(&self, errand: Errand, task: &Task, site: usize) -> Result<(), Failed> {
        let account = &self.guards.accounts[site];
        if let Some(budget) = &account.budget {
            budget.borrow_mut().deposit(now_nanos());
        }
        let mut made = Made::default();
        loop {
            let error = match self.race(errand, task, site, &mut made).await {
                Ended::Good => return Ok(()),
                Ended::Refused => {
                    let class = self.context.scenario.requests[errand.class].name.as_str();
                    let message = "a call was refused by its policy";
                    log::write(Level::Warning, "policy", &self.name, message, &[("class", class)]);
                    return Err(Failed::Server("refused by the policy of the call".to_owned()));
                }
                Ended::Bad(error) => error,
            };
            let retries = account.policy.retries.filter(|retries| made.retries < retries.times);
            let Some(retries) = retries.filter(|_| account.withdraws()) else { return Err(error) };
            made.retries += 1;
            self.guards.retries.set(self.guards.retries.get() + 1);
            let number = (errand.draw(task.draw) as u64) << 16 | u64::from(made.retries);
            let mut stream = Stream::new(self.context.scenario.run.seed, PAUSE.of(number), errand.id.0);
            let pause = backoff::pause(&retries.backoff, made.retries, &mut stream);
            self.context.timer.sleep_nanos(pause.as_nanos() as u64).await;
        }
    }

    /// Makes an attempt, and others beside it where it is slow: the first good one counts.
    async fn race(&self, errand: Errand, task: &Task, site: usize, made: &mut Made) -> Ended {
        let account = &self.guards.accounts[site];
        let most = account.policy.hedge.map_or(0, |hedge| hedge.times);
        let Some(first) = self.begin(errand, task, site, made) else { return Ended::Refused };
        let mut attempts = vec![first];
        loop {
            let hedge_at = attempts.iter().filter_map(|attempt| attempt.hedge_at).min();
            // Without one, whatever is waited for never comes.
            let hedge = sleep_until(hedge_at.unwrap_or_else(Instant::now));
            tokio::select! {
                biased;
                ended = first_of(&mut attempts) => match ended {
                    Ended::Good => return Ended::Good,
                    other if attempts.is_empty() => return other,
                    _ => {}
                },
                () = hedge, if hedge_at.is_some() => {
                    let slow = attempts.iter_mut().find(|attempt| attempt.hedge_at == hedge_at);
                    slow.into_iter().for_each(|slow| slow.hedge_at = None);
                    // It is load on top, as a retry is.
                    if made.hedges < most && account.withdraws() {
                        made.hedges += 1;
                        self.guards.hedges.set(self.guards.hedges.get() + 1);
                        attempts.extend(self.begin(errand, task, site, made));
                    }
                }
            }
        }
    }

    /// Begins an attempt; none where the breaker refuses it.
    fn begin<'a>(
        &'a self,
        errand: Errand,
        task: &'a Task,
        site: usize,
        made: &mut Made,
    ) -> Option<Attempt<'a>> {
        let account = &self.guards.accounts[site];
        let Some(admitted) = account.admit() else {
            self.guards.refused.set(self.guards.refused.get() + 1);
            return None;
        };
        // Each attempt draws anew, but for the first of a first.
        let tries = errand.tries.wrapping_mul(61).wrapping_add(made.all);
        made.all = made.all.saturating_add(1);
        let running = Box::pin(self.attempt(Errand { tries, ..errand }, task, admitted));
        let hedge_at = account.policy.hedge.map(|hedge| Instant::now() + hedge.after.as_duration());
        Some(Attempt { running, hedge_at })
    }

    async fn attempt(&self, errand: Errand, task: &Task, admitted: Admitted<'_>) -> Ended {
        let account = admitted.account;
        let whole = async {
            let Some(_place) = pass(account.bulkhead.as_ref()).await else { return Ended::Refused };
            let Some(_connection) = pass(account.pool.as_ref()).await else { return Ended::Refused };
            match self.perform(errand, task).await {
                Ok(()) => Ended::Good,
                Err(error) => Ended::Bad(error),
            }
        };
        let ended = match account.policy.timeout {
            None => whole.await,
            Some(limit) => timeout(limit.as_duration(), whole).await.unwrap_or_else(|_| {
                self.guards.timeouts.set(self.guards.timeouts.get() + 1);
                Ended::Bad(Failed::Io(std::io::ErrorKind::TimedOut.into()))
            }),
        };
        match &ended {
            Ended::Refused => self.guards.refused.set(self.guards.refused.get() + 1),
            other => admitted.tell(matches!(other, Ended::Good)),
        }
        ended
    }
}

/// Passes a gate, where there is one; none where it refuses.
async fn pass(gate: Option<&Gate>) -> Option<Option<SemaphorePermit<'_>>> {
    match gate {
        Some(gate) => gate.pass().await.map(Some),
        None => Some(None),
    }
}

/// Waits for the attempt that ends first, which is none of them any more.
async fn first_of(attempts: &mut Vec<Attempt<'_>>) -> Ended {
    poll_fn(|cx| {
        for place in 0..attempts.len() {
            if let Poll::Ready(ended) = attempts[place].running.as_mut().poll(cx) {
                attempts.remove(place);
                return Poll::Ready(ended);
            }
        }
        Poll::Pending
    })
    .await
}
