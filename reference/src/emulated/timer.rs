//! A timer on `timerfd`, one per process: the kernel's high-resolution timer wakes the loop, one heap holds who sleeps.
//!
//! tokio's own timer counts in milliseconds, which is as long as many a drawn duration; it stays in use for timeouts.

use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::task::{Poll, Waker};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::clock::now_nanos;

/// Sleeps precisely. Cheap to clone; the clones share one descriptor.
#[derive(Clone, Debug)]
pub(crate) struct Timer(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    fd: AsyncFd<OwnedFd>,
    sleepers: RefCell<BinaryHeap<Reverse<Sleeper>>>,
    /// Ties leave in order of arrival.
    arrivals: Cell<u64>,
}

#[derive(Debug)]
struct Sleeper {
    deadline: u64,
    arrival: u64,
    waker: Rc<RefCell<Waker>>,
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Sleeper {}
impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.deadline, self.arrival).cmp(&(other.deadline, other.arrival))
    }
}

impl Timer {
    /// Opens the descriptor and starts the task that serves it on the current local runtime.
    ///
    /// # Errors
    /// Where the kernel refuses a timer descriptor.
    pub(crate) fn start() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        #[allow(
            deprecated,
            reason = "its successor is unsafe because of descriptors that change; an OwnedFd does not"
        )]
        let fd = AsyncFd::with_interest(fd, Interest::READABLE)?;
        let inner = Rc::new(Inner { fd, sleepers: RefCell::default(), arrivals: Cell::new(0) });
        tokio::task::spawn_local(serve(Rc::clone(&inner)));
        Ok(Self(inner))
    }

    /// Returns at `deadline` (as [`now_nanos`] counts) or later, never earlier.
    pub(crate) async fn sleep_until(&self, deadline: u64) {
        let mut entered: Option<Rc<RefCell<Waker>>> = None;
        poll_fn(|cx| {
            if now_nanos() >= deadline {
                return Poll::Ready(());
            }
            match &entered {
                Some(waker) => waker.borrow_mut().clone_from(cx.waker()),
                None => entered = Some(self.0.enter(deadline, cx.waker().clone())),
            }
            Poll::Pending
        })
        .await;
    }

    /// Sleeps for this long.
    pub(crate) async fn sleep_nanos(&self, nanos: u64) {
        self.sleep_until(now_nanos().saturating_add(nanos)).await;
    }
}

impl Inner {
    fn enter(&self, deadline: u64, waker: Waker) -> Rc<RefCell<Waker>> {
        let waker = Rc::new(RefCell::new(waker));
        let arrival = self.arrivals.replace(self.arrivals.get() + 1);
        let mut sleepers = self.sleepers.borrow_mut();
        let first = sleepers.peek().is_none_or(|Reverse(first)| deadline < first.deadline);
        sleepers.push(Reverse(Sleeper { deadline, arrival, waker: Rc::clone(&waker) }));
        if first {
            self.arm(deadline);
        }
        waker
    }

    /// Wakes all who are due and arms the descriptor for the next.
    fn wake_due(&self) {
        let now = now_nanos();
        let mut sleepers = self.sleepers.borrow_mut();
        while let Some(Reverse(first)) = sleepers.peek() {
            if first.deadline > now {
                self.arm(first.deadline);
                return;
            }
            if let Some(Reverse(due)) = sleepers.pop() {
                due.waker.borrow().wake_by_ref();
            }
        }
    }

    fn arm(&self, deadline: u64) {
        // A zero would disarm the timer; zero is long past anyway.
        let deadline = deadline.max(1);
        let at = Timespec {
            tv_sec: (deadline / 1_000_000_000) as i64,
            tv_nsec: (deadline % 1_000_000_000) as i64,
        };
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let spec = Itimerspec { it_interval: zero, it_value: at };
        timerfd_settime(self.fd.get_ref(), TimerfdTimerFlags::ABSTIME, &spec)
            .expect("a valid time is accepted by a timer descriptor that we own");
    }
}

async fn serve(inner: Rc<Inner>) {
    loop {
        let Ok(mut ready) = inner.fd.readable().await else { return };
        // The count of expirations does not matter; reading it makes the descriptor quiet again.
        if rustix::io::read(inner.fd.get_ref(), &mut [0_u8; 8]).is_err() {
            ready.clear_ready();
            continue;
        }
        ready.clear_ready();
        drop(ready);
        inner.wake_due();
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    #[test]
    fn sleepers_are_never_early_and_wake_in_order() {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default())
            .expect("a runtime");
        runtime.block_on(async {
            let timer = Timer::start().expect("a timer");
            let start = now_nanos();
            let order = Rc::new(RefCell::new(Vec::new()));
            let sleeps = [9_u64, 3, 5, 1, 7].map(|half_millis| {
                let (timer, order) = (timer.clone(), Rc::clone(&order));
                tokio::task::spawn_local(async move {
                    let deadline = start + half_millis * 500_000;
                    timer.sleep_until(deadline).await;
                    assert!(now_nanos() >= deadline, "woken early");
                    order.borrow_mut().push(half_millis);
                })
            });
            for sleep in sleeps {
                sleep.await.expect("the sleeper did not panic");
            }
            assert_eq!(*order.borrow(), [1, 3, 5, 7, 9]);
        });
    }
}
