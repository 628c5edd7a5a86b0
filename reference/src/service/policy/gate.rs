//! So many at once: others wait in order of arrival, up to a limit, and beyond it are refused. A bulkhead is one with a short
//! queue, a pool of connections one with a long queue.

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::emulated::Level;

/// A gate.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Semaphore,
    waiting: Level,
    most_waiting: u32,
}

impl Gate {
    /// For so many, and a queue of so many.
    pub(crate) fn new(limit: u32, most_waiting: u32) -> Self {
        Self { permits: Semaphore::new(limit as usize), waiting: Level::default(), most_waiting }
    }

    /// Passes, at once or in turn; none where the queue is full. Who passed leaves by dropping the permit.
    pub(crate) async fn pass(&self) -> Option<SemaphorePermit<'_>> {
        if let Ok(permit) = self.permits.try_acquire() {
            return Some(permit);
        }
        if self.waiting.get() >= i64::from(self.most_waiting) {
            return None;
        }
        let _waiting = self.waiting.hold();
        self.permits.acquire().await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    #[test]
    fn so_many_pass_so_many_wait_the_others_are_refused_and_who_gives_up_makes_room() {
        let gate = Gate::new(1, 1);
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(first)) = pin!(gate.pass()).poll(&mut cx) else { panic!("it is free") };
        {
            let mut second = pin!(gate.pass());
            assert!(second.as_mut().poll(&mut cx).is_pending());
            assert!(matches!(pin!(gate.pass()).poll(&mut cx), Poll::Ready(None)));
        }
        let mut third = pin!(gate.pass());
        assert!(third.as_mut().poll(&mut cx).is_pending(), "the second has given up");
        drop(first);
        assert!(matches!(third.poll(&mut cx), Poll::Ready(Some(_))));
    }
}
