//! Key-value stores.

use super::Validator;
use crate::scenario::KvStore;
use crate::wire;

impl Validator<'_> {
    pub(super) fn kv_store(&mut self, _at: &str, file: &wire::KvStore) -> KvStore {
        KvStore { max_memory: file.max_memory, eviction: file.eviction, samples: file.samples.0 as u32 }
    }
}
