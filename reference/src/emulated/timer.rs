//! A timer on `timerfd`, one per process: the kernel's high-resolution timer wakes the loop, one heap holds who sleeps.
//!
//! A wake-up takes the kernel tens of microseconds, which every drawn duration would be longer by. So the descriptor is
//! armed for somewhat earlier, and whoever is woken before time looks on until it is: see [`Lead`].
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
    lead: Lead,
    /// For when the descriptor is armed.
    armed: Cell<u64>,
}

/// How much earlier than needed the kernel is asked to wake: as late as its faster wake-ups are, a quarter of them,
/// learnt from each. So little time is spent on looking on, and none of it keeps other tasks from running.
#[derive(Debug, Default)]
struct Lead(Cell<u64>);

impl Lead {
    const STEP_NANOS: u64 = 500;
    /// A machine that wakes later than this has other troubles.
    const MOST_NANOS: u64 = 50_000;

    fn nanos(&self) -> u64 {
        self.0.get()
    }

    /// Moves towards the lower quartile: there, three small steps up balance one of three times the size down.
    fn learn(&self, late_nanos: u64) {
        let lead = self.0.get();
        self.0.set(if late_nanos > lead {
            (lead + Self::STEP_NANOS).min(Self::MOST_NANOS)
        } else {
            lead.saturating_sub(3 * Self::STEP_NANOS)
        });
    }
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
        let inner = Rc::new(Inner {
            fd,
            sleepers: RefCell::default(),
            arrivals: Cell::new(0),
            lead: Lead::default(),
            armed: Cell::new(0),
        });
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

    /// Wakes all who are due and arms the descriptor for the next; false where the next is due so soon that it is not
    /// worth it.
    fn wake_due(&self) -> bool {
        let now = now_nanos();
        let mut sleepers = self.sleepers.borrow_mut();
        while let Some(Reverse(first)) = sleepers.peek() {
            if first.deadline > now {
                if first.deadline - now <= self.lead.nanos() {
                    return false;
                }
                self.arm(first.deadline);
                return true;
            }
            if let Some(Reverse(due)) = sleepers.pop() {
                due.waker.borrow().wake_by_ref();
            }
        }
        true
    }

    fn arm(&self, deadline: u64) {
        // A zero would disarm the timer; zero is long past anyway.
        let deadline = deadline.saturating_sub(self.lead.nanos()).max(1);
        self.armed.set(deadline.max(now_nanos()));
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
        inner.lead.learn(now_nanos().saturating_sub(inner.armed.get()));
        while !inner.wake_due() {
            // Everything else goes on meanwhile.
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    #[test]
    fn the_lead_settles_at_the_faster_wake_ups_and_has_a_limit() {
        let lead = Lead::default();
        // Every lateness from 20 to 60 µs in turn, in steps that visit all of them evenly.
        let mut sum = 0;
        for i in 0..20_000_u64 {
            lead.learn(20_000 + i * 7919 % 40_000);
            sum += if i >= 10_000 { lead.nanos() } else { 0 };
        }
        let mean = sum / 10_000;
        assert!((28_000..32_000).contains(&mean), "the lower quartile is 30,000, the mean lead {mean}");
        for _ in 0..1000 {
            lead.learn(1_000_000_000);
        }
        assert_eq!(lead.nanos(), Lead::MOST_NANOS);
    }

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
