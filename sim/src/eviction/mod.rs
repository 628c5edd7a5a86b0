//! What a store does when a write would pass its memory limit: one file per policy.

pub(crate) mod pool;
pub(crate) mod volatile_lru;
