//! Services.

use super::Validator;
use crate::scenario::{Host, Service, WorkerHolds};
use crate::units::Bytes;
use crate::wire;

impl Validator<'_> {
    pub(super) fn service(&mut self, at: &str, file: &wire::Service, host: Option<&Host>) -> Service {
        let (workers, pool) = self.workers(&format!("{at}.workers"), &file.workers);
        let keep_alive_at = format!("{at}.keep_alive");
        if file.worker_holds == WorkerHolds::Request && self.written(&keep_alive_at) {
            let hint = "a worker that holds a request is free once it is answered".to_owned();
            self.problem(&keep_alive_at, "keep_alive with worker_holds = \"connection\" only", hint);
        }
        let held = Bytes::new(file.memory.base.get().max(file.memory.per_worker.get()));
        self.counted(&format!("{at}.memory"), held, host);
        let autoscale = file.autoscale.as_ref();
        Service {
            workers,
            pool,
            backlog: file.backlog.0 as u32,
            worker_holds: file.worker_holds,
            keep_alive: self.positive(&keep_alive_at, file.keep_alive),
            when_full: file.when_full,
            memory_base: file.memory.base,
            memory_per_worker: file.memory.per_worker,
            autoscale: autoscale.map(|a| self.autoscale(&format!("{at}.autoscale"), a, host)),
        }
    }
}
