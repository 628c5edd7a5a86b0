//! A service's workers: at most so many requests are worked on at once, the others wait in order of arrival. At the
//! limit of those who wait, no connection is accepted, and the kernel drops what asks for one; or what comes is rejected.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use scenarios::scenario::{Service as Settings, WhenFull};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use super::manager::{Change, MAINTENANCE, Manager};
use crate::emulated::Level;
use crate::emulated::clock::now_nanos;
use crate::emulated::level::Held;
use crate::socket::Listener;

/// The workers.
#[derive(Debug)]
pub(super) struct Workers {
    /// The most there can be.
    limit: u32,
    /// How many can work now.
    ready: Cell<u32>,
    backlog: u32,
    rejects: bool,
    permits: Semaphore,
    manager: Option<RefCell<Manager>>,
    freed: Notify,
    listener: Rc<Listener>,
    pub(super) busy: Level,
    pub(super) waiting: Level,
    /// Those that wait on an idle connection.
    pub(super) held: Level,
    most_busy: Cell<i64>,
    /// Connections that were just accepted, whose first request is probably on its way.
    fresh: Cell<i64>,
}

impl Workers {
    /// As the scenario says, all idle. What starts and ends them runs as a task of its own.
    pub(super) fn new(settings: &Settings, listener: Rc<Listener>) -> Rc<Self> {
        let manager = settings.pool.map(Manager::new);
        let ready = manager.as_ref().map_or(settings.workers, Manager::ready);
        let workers = Rc::new(Self {
            limit: settings.workers,
            ready: Cell::new(ready),
            backlog: settings.backlog,
            rejects: settings.when_full == WhenFull::Reject,
            permits: Semaphore::new(ready as usize),
            manager: manager.map(RefCell::new),
            freed: Notify::new(),
            listener,
            busy: Level::default(),
            waiting: Level::default(),
            held: Level::default(),
            most_busy: Cell::new(0),
            fresh: Cell::new(0),
        });
        if workers.manager.is_some() {
            tokio::task::spawn_local(Rc::clone(&workers).look_after());
        }
        workers
    }

    /// How many there can be.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// How many there are, those that start included.
    pub(super) fn alive(&self) -> u32 {
        self.manager.as_ref().map_or(self.limit, |manager| manager.borrow().alive())
    }

    /// The most that ever worked at once.
    pub(super) fn most_busy(&self) -> i64 {
        self.most_busy.get()
    }

    /// Takes a worker, in order of arrival; none where all are busy, nobody more may wait, and such are rejected.
    pub(super) async fn enter(self: &Rc<Self>) -> Option<Permit<'_>> {
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) if self.rejects && self.is_full() => return None,
            Err(_) => {
                self.start_on_demand();
                let waiting = self.waiting.hold();
                if self.is_full() && !self.rejects {
                    self.listener.set_closed(true);
                }
                let permit = self.permits.acquire().await.expect("the semaphore is never closed");
                drop(waiting);
                permit
            }
        };
        if let Some(manager) = &self.manager {
            manager.borrow_mut().busy();
        }
        let mut entered = Permit { workers: self, busy: None, held: None, _permit: permit };
        entered.work();
        Some(entered)
    }

    /// Counts a connection as about to bring a request, so that a burst of them is not accepted beyond the limit.
    pub(super) fn expect(&self) {
        self.fresh.set(self.fresh.get() + 1);
    }

    /// Its request came, or did not come soon.
    pub(super) fn expect_no_more(&self) {
        self.fresh.set(self.fresh.get() - 1);
        self.freed.notify_one();
    }

    /// Waits until another connection may be accepted.
    pub(super) async fn room(&self) {
        loop {
            if self.rejects {
                return;
            }
            let full = self.is_full();
            self.listener.set_closed(full);
            if !full && self.inside() + self.fresh.get() < self.most() {
                return;
            }
            self.freed.notified().await;
        }
    }

    /// Waiting and working together, above which connections are not accepted.
    fn most(&self) -> i64 {
        i64::from(self.ready.get()) + i64::from(self.backlog)
    }

    fn is_full(&self) -> bool {
        self.inside() >= self.most()
    }

    fn inside(&self) -> i64 {
        self.busy.get() + self.held.get() + self.waiting.get()
    }

    async fn look_after(self: Rc<Self>) {
        let mut seconds = tokio::time::interval(MAINTENANCE);
        seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let _at_the_start = seconds.tick().await;
        loop {
            let _ = seconds.tick().await;
            let Some(manager) = &self.manager else { return };
            // All that are not free to be taken.
            let occupied = self.ready.get().saturating_sub(self.permits.available_permits() as u32);
            let change = manager.borrow_mut().maintain(now_nanos(), occupied);
            match change {
                Change::Start(count) => self.start(count),
                Change::End => {
                    let ended = self.permits.forget_permits(1) as u32;
                    debug_assert_eq!(ended, 1, "a manager ends an idle worker");
                    self.ready.set(self.ready.get() - ended);
                }
                Change::Keep => {}
            }
        }
    }

    fn start_on_demand(self: &Rc<Self>) {
        if self.manager.as_ref().is_some_and(|manager| manager.borrow_mut().starts_one()) {
            self.start(1);
        }
    }

    /// So many workers begin to boot.
    fn start(self: &Rc<Self>, count: u32) {
        let Some(manager) = &self.manager else { return };
        let boot = manager.borrow().boot();
        let workers = Rc::clone(self);
        let ready = move || {
            if let Some(manager) = &workers.manager {
                manager.borrow_mut().started(now_nanos(), count);
            }
            workers.ready.set(workers.ready.get() + count);
            workers.permits.add_permits(count as usize);
            workers.freed.notify_one();
        };
        if boot.is_zero() {
            return ready();
        }
        tokio::task::spawn_local(async move {
            tokio::time::sleep(boot).await;
            ready();
        });
    }
}

/// A worker that is taken.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    workers: &'a Workers,
    busy: Option<Held<'a>>,
    held: Option<Held<'a>>,
    _permit: SemaphorePermit<'a>,
}

impl Permit<'_> {
    /// The worker has something to do.
    pub(super) fn work(&mut self) {
        let workers = self.workers;
        self.held = None;
        self.busy = Some(workers.busy.hold());
        workers.most_busy.set(workers.most_busy.get().max(workers.busy.get()));
    }

    /// The worker waits on its connection.
    pub(super) fn rest(&mut self) {
        self.busy = None;
        self.held = Some(self.workers.held.hold());
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let workers = self.workers;
        if let Some(manager) = &workers.manager {
            manager.borrow_mut().idle(now_nanos());
        }
        if !workers.rejects {
            // Whoever accepts may be waiting for a connection by now, so the kernel is told here; this one still counts.
            workers.listener.set_closed(workers.inside() > workers.most());
        }
        workers.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use scenarios::Scenario;
    use scenarios::scenario::ComponentKind;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    /// The workers of a service with these lines.
    fn workers(lines: &str) -> (Rc<Workers>, Rc<Listener>) {
        let text = format!(
            r#"
title = "Workers"
[run]
duration = "10s"
[hosts.app]
[components.shop]
kind = "service"
host = "app"
{lines}
[requests.page]
path = "/"
steps = [{{ work = "1ms" }}]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ page = 1 }}
"#
        );
        let scenario = Scenario::parse("workers.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let ComponentKind::Service(settings) = &scenario.components[0].kind else { panic!("a service") };
        let listener = Rc::new(Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).expect("a free port"));
        (Workers::new(settings, Rc::clone(&listener)), listener)
    }

    fn run(test: impl Future<Output = ()>) {
        let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(test);
    }

    fn now<F: Future>(future: F) -> Poll<F::Output> {
        pin!(future).poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn the_backlog_opens_again_when_a_worker_is_freed_not_at_the_next_connection() {
        run(async {
            let (workers, listener) = workers("workers = 1\nbacklog = 1");
            let working = workers.enter().await;
            assert!(!listener.is_closed());
            let mut waiting = pin!(workers.enter());
            assert!(now(waiting.as_mut()).is_pending());
            let mut third = pin!(workers.enter());
            assert!(now(third.as_mut()).is_pending());
            assert!(listener.is_closed(), "one works, two wait where one may");
            drop(working);
            let working = waiting.await;
            assert!(listener.is_closed(), "one works, one waits");
            drop(working);
            assert!(!listener.is_closed(), "one is left");
            let Poll::Ready(Some(_last)) = now(third.as_mut()) else { panic!("a worker is free") };
        });
    }

    #[test]
    fn what_finds_workers_and_backlog_full_is_rejected_where_the_file_says_so() {
        run(async {
            let (workers, listener) = workers("workers = 1\nbacklog = 1\nwhen_full = \"reject\"");
            let _working = workers.enter().await.expect("a worker is free");
            let mut waiting = pin!(workers.enter());
            assert!(now(waiting.as_mut()).is_pending(), "one may wait");
            assert!(matches!(now(workers.enter()), Poll::Ready(None)));
            assert!(!listener.is_closed());
        });
    }

    #[test]
    fn on_demand_a_worker_starts_for_whoever_finds_none_up_to_the_most() {
        run(async {
            let lines = "workers = { manager = \"ondemand\", max = 2, idle_timeout = \"10s\" }";
            let (workers, _listener) = workers(lines);
            assert_eq!(workers.alive(), 0);
            let _first = workers.enter().await.expect("it waits for one");
            let _second = workers.enter().await.expect("it waits for one");
            assert!(now(workers.enter()).is_pending(), "there are two");
            assert_eq!((workers.alive(), workers.busy.get()), (2, 2));
        });
    }
}
