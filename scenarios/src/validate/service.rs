//! Services.

use super::Validator;
use crate::scenario::Service;
use crate::wire;

impl Validator<'_> {
    pub(super) fn service(&mut self, _at: &str, file: &wire::Service) -> Service {
        Service {
            workers: file.workers.0 as u32,
            backlog: file.backlog.0 as u32,
            worker_holds: file.worker_holds,
        }
    }
}
