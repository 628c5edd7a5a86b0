//! The threads that carry goose's users.

use std::time::Duration;

use tokio::runtime::{Handle, RuntimeMetrics};

use crate::clock::monotonic_nanos;

/// How much of their time tokio's workers, which carry all users, did not sleep. One that waits for a processor does not.
pub(super) struct Workers {
    metrics: RuntimeMetrics,
    at_nanos: u64,
    busy: Vec<Duration>,
}

impl Workers {
    pub(super) fn of(runtime: &Handle) -> Self {
        let metrics = runtime.metrics();
        let busy = vec![Duration::ZERO; metrics.num_workers()];
        let mut workers = Self { metrics, at_nanos: 0, busy };
        workers.read(|_, _| {});
        workers
    }

    /// Tells for each worker how much time is over since this was asked last, and how much of that it was busy, in nanoseconds.
    pub(super) fn read(&mut self, mut each: impl FnMut(u64, u64)) {
        let now = monotonic_nanos();
        let elapsed_nanos = now - std::mem::replace(&mut self.at_nanos, now);
        for (worker, before) in self.busy.iter_mut().enumerate() {
            let busy = self.metrics.worker_total_busy_duration(worker);
            each(elapsed_nanos, busy.saturating_sub(std::mem::replace(before, busy)).as_nanos() as u64);
        }
    }
}
