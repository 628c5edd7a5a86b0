//! The key that expires soonest, in milliseconds (evict.c: `evictionPoolPopulate`, `volatile-ttl`).

use crate::kv_store::dict::Entry;

#[inline]
pub(super) fn score(entry: &Entry) -> u64 {
    u64::MAX - entry.expires / 1_000_000
}
