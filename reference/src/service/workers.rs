//! A service's workers: at most so many requests are worked on at once, the others wait in order of arrival. At the
//! limit of those who wait, no connection is accepted, and the kernel drops what asks for one.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::emulated::Level;
use crate::emulated::level::Held;
use crate::socket::Listener;

/// The workers.
#[derive(Debug)]
pub(super) struct Workers {
    limit: u32,
    /// Waiting and working together, above which connections are not accepted.
    most: i64,
    permits: Semaphore,
    freed: Notify,
    listener: Rc<Listener>,
    pub(super) busy: Level,
    pub(super) waiting: Level,
    most_busy: Cell<i64>,
    /// Connections that were just accepted, whose first request is probably on its way.
    fresh: Cell<i64>,
}

impl Workers {
    /// This many workers, all idle.
    pub(super) fn new(workers: u32, backlog: u32, listener: Rc<Listener>) -> Self {
        Self {
            limit: workers,
            most: i64::from(workers) + i64::from(backlog),
            permits: Semaphore::new(workers as usize),
            freed: Notify::new(),
            listener,
            busy: Level::default(),
            waiting: Level::default(),
            most_busy: Cell::new(0),
            fresh: Cell::new(0),
        }
    }

    /// How many there are.
    pub(super) fn limit(&self) -> u32 {
        self.limit
    }

    /// The most that ever worked at once.
    pub(super) fn most_busy(&self) -> i64 {
        self.most_busy.get()
    }

    /// Waits for a worker, in order of arrival.
    pub(super) async fn enter(&self) -> Permit<'_> {
        let waiting = self.waiting.hold();
        if self.is_full() {
            self.listener.set_closed(true);
        }
        let permit = self.permits.acquire().await.expect("the semaphore is never closed");
        drop(waiting);
        let busy = self.busy.hold();
        self.most_busy.set(self.most_busy.get().max(self.busy.get()));
        Permit { workers: self, _busy: busy, _permit: permit }
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
            let full = self.is_full();
            self.listener.set_closed(full);
            if !full && self.inside() + self.fresh.get() < self.most {
                return;
            }
            self.freed.notified().await;
        }
    }

    fn is_full(&self) -> bool {
        self.inside() >= self.most
    }

    fn inside(&self) -> i64 {
        self.busy.get() + self.waiting.get()
    }
}

/// A worker that is taken.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    workers: &'a Workers,
    _busy: Held<'a>,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        // Whoever accepts may be waiting for a connection by now, so the kernel is told here; this one still counts.
        self.workers.listener.set_closed(self.workers.inside() > self.workers.most);
        self.workers.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn the_backlog_opens_again_when_a_worker_is_freed_not_at_the_next_connection() {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = Listener::bind((Ipv4Addr::LOCALHOST, 0).into(), 1).expect("a free port");
            let listener = Rc::new(listener);
            let workers = Workers::new(1, 1, Rc::clone(&listener));
            let working = workers.enter().await;
            assert!(!listener.is_closed());
            let mut waiting = pin!(workers.enter());
            assert!(waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            let mut third = pin!(workers.enter());
            assert!(third.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
            assert!(listener.is_closed(), "one works, two wait where one may");
            drop(working);
            let working = waiting.await;
            assert!(listener.is_closed(), "one works, one waits");
            drop(working);
            assert!(!listener.is_closed(), "one is left");
            let Poll::Ready(_last) = third.poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("a worker is free");
            };
        });
    }
}
