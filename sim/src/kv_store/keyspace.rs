//! A keyspace as its store sees it: numbers of keys, and what each takes of memory.
//!
//! Keys of cache keyspaces are followed one by one. Persistent keyspaces are always complete while the store is up, so
//! they need no identity: they hold a fixed amount of memory, summed exactly up to a million keys and beyond that estimated
//! from a million of them.

use scenarios::memory;
use scenarios::plan::Draws;
use scenarios::scenario::{Keyspace, KeyspaceId};

use super::contents::Contents;

/// Persistent keyspaces up to this size have their memory summed key by key; of larger ones, so many keys are looked at.
const SUMMED_KEYS: u64 = 1_000_000;

/// A keyspace.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    pub(crate) id: KeyspaceId,
    pub(crate) keyspace: Keyspace,
}

impl Keys {
    /// The number by which a store knows a key.
    #[inline]
    pub(crate) fn name(&self, key: u64) -> u64 {
        (self.id.index() as u64 + 1) << 48 | key
    }

    /// The length of `name:key`.
    fn name_bytes(&self, key: u64) -> u64 {
        self.keyspace.name.len() as u64 + 2 + u64::from(key.checked_ilog10().unwrap_or(0))
    }

    pub(crate) fn record_bytes(&self, draws: &Draws, key: u64) -> u64 {
        let value = draws.value_size(self.id, key, &self.keyspace.value);
        memory::record_bytes(self.name_bytes(key), value, self.keyspace.ttl.is_some())
    }

    /// Memory of the whole keyspace.
    fn total_bytes(&self, draws: &Draws) -> u64 {
        let keys = self.keyspace.keys;
        let looked_at = keys.min(SUMMED_KEYS);
        // Evenly spread over the numbers, so that names of each length have their share.
        let spread = |i: u64| (u128::from(i) * u128::from(keys) / u128::from(looked_at)) as u64;
        let sum: u64 = (0..looked_at).map(|i| self.record_bytes(draws, spread(i))).sum();
        (u128::from(sum) * u128::from(keys) / u128::from(looked_at)) as u64
    }

    /// Puts a keyspace's persistent keys, or its prefilled ones, in place before the run.
    pub(crate) fn prefill(&self, contents: &mut Contents, draws: &Draws) {
        if self.keyspace.persistent {
            contents.stand(self.keyspace.keys, self.total_bytes(draws));
            return;
        }
        for key in (0..self.keyspace.prefill).rev() {
            let expires = draws.prefill_ttl(self.id, &self.keyspace, key).map(|ttl| ttl.as_nanos());
            // A store that is full before it has a key to evict keeps what it has.
            contents.write(self.name(key), self.record_bytes(draws, key), expires, 0);
        }
    }
}
