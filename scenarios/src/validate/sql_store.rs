//! SQL stores.

use super::Validator;
use crate::law::{DurationLaw, Law};
use crate::scenario::SqlStore;
use crate::wire;

impl Validator<'_> {
    pub(super) fn sql_store(&mut self, _at: &str, file: &wire::SqlStore) -> SqlStore {
        let read = file.read.unwrap_or(DurationLaw::from_nanos(Law::Constant(0.0)));
        SqlStore { connections: file.connections.0 as u32, read, write: file.write.unwrap_or(read) }
    }
}
