//! Any key: the one that a random bucket's chain yields (evict.c: `performEvictions`, with `dictGetRandomKey`).

use scenarios::rng::Stream;

use crate::kv_store::dict::Dict;

#[inline]
pub(super) fn victim(keys: &mut Dict, stream: &mut Stream) -> Option<u32> {
    keys.random_key(stream)
}
