//! Limits on waiting that cost next to nothing as long as nobody reaches them.
//!
//! A timer that is set and cleared for every read costs more than the read's bookkeeping. A limit that is nearly never
//! reached needs no such thing: one timer is set for the first wait, and when it goes off, and the present wait has
//! not lasted so long, it is set again for the rest.

use std::io;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// A limit on each of many waits.
#[derive(Debug)]
pub(crate) struct Patience {
    span: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    /// Each wait may last so long; for ever, where nothing is given.
    pub(crate) fn new(span: Option<Duration>) -> Self {
        Self { span, sleep: None }
    }

    /// Waits for what is to come, no longer than the span.
    ///
    /// # Errors
    /// The future's, or `TimedOut`.
    pub(crate) async fn limit<T>(&mut self, future: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let Some(span) = self.span else { return future.await };
        self.until(|| Instant::now() + span, future).await
    }

    /// Waits for what is to come, no longer than until a moment, which is asked for where there is something to wait
    /// for.
    ///
    /// # Errors
    /// The future's, or `TimedOut`.
    pub(crate) async fn until<T>(
        &mut self,
        moment: impl Fn() -> Instant,
        future: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let mut future = pin!(future);
        let mut deadline = None;
        std::future::poll_fn(|cx| {
            if let Poll::Ready(done) = future.as_mut().poll(cx) {
                return Poll::Ready(done);
            }
            let deadline = *deadline.get_or_insert_with(&moment);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
            if deadline < sleep.deadline() {
                sleep.as_mut().reset(deadline);
            }
            while sleep.as_mut().poll(cx).is_ready() {
                if Instant::now() >= deadline {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                sleep.as_mut().reset(deadline);
            }
            Poll::Pending
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[test]
    fn each_wait_has_the_whole_span_and_no_more() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let span = Duration::from_millis(30);
            let mut patience = Patience::new(Some(span));
            for _ in 0..3 {
                let part = async {
                    tokio::time::sleep(span * 2 / 3).await;
                    Ok(())
                };
                patience.limit(part).await.expect("shorter than the span");
            }
            let start = Instant::now();
            let late = patience.limit(pending::<io::Result<()>>()).await.expect_err("never ready");
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
            assert!(start.elapsed() >= span, "{:?}", start.elapsed());
            assert_eq!(patience.limit(ready(Ok(7))).await.expect("ready at once"), 7);
            let late = patience.until(|| start, pending::<io::Result<()>>()).await.expect_err("long past");
            assert_eq!(late.kind(), io::ErrorKind::TimedOut);
        });
    }
}
