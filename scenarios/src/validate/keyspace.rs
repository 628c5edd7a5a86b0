//! Populations of keys.

use super::Validator;
use crate::law::Law;
use crate::scenario::{Component, ComponentId, ComponentKind, Keyspace, Ttl};
use crate::units::{Ratio, SimTime};
use crate::wire::decode::Count;

/// What a record takes in a store beside its key and value, in bytes.
pub(crate) const RECORD_OVERHEAD: u64 = 96;

impl Validator<'_> {
    pub(super) fn keyspaces(&mut self, components: &[Component]) -> Vec<Keyspace> {
        let files = self.file.keyspaces.0.clone();
        let mut keyspaces = Vec::new();
        for (name, file) in &files {
            let at = format!("keyspaces.{name}");
            let in_at = format!("{at}.in");
            let store = file.store.as_ref().and_then(|s| self.resolve(|v| &v.components, &in_at, s));
            if let Some(store) = store {
                self.expect_kind(&in_at, store, components, "a kv-store", |k| {
                    matches!(k, ComponentKind::KvStore(_))
                });
            }
            let keys = file.keys.map_or(1, |Count(keys)| keys);
            if file.persistent && file.ttl.is_some() {
                let hint = "leave ttl or persistent = true out".to_owned();
                self.problem(&format!("{at}.ttl"), "no ttl in a persistent keyspace", Some(hint));
            }
            if file.persistent && file.prefill.0 > 0 {
                let hint = "leave prefill out: a persistent keyspace is there entirely".to_owned();
                self.problem(&format!("{at}.prefill"), "no prefill in a persistent keyspace", Some(hint));
            } else if file.prefill.0 > keys && file.keys.is_some() {
                self.problem(&format!("{at}.prefill"), format!("at most keys, which is {keys}"), None);
            }
            let ttl = file.ttl.as_ref().map(|ttl| {
                let base = ttl.base.unwrap_or(SimTime::from_secs(1));
                self.positive(&format!("{at}.ttl"), base);
                if ttl.jitter.get() > 1.0 {
                    self.problem(&format!("{at}.ttl.jitter"), "at most 100%", None);
                }
                Ttl { base, jitter: Ratio::new(ttl.jitter.get().min(1.0)) }
            });
            keyspaces.push(Keyspace {
                name: name.clone(),
                store: ComponentId(store.unwrap_or(0)),
                keys,
                persistent: file.persistent,
                ttl,
                popularity: file.popularity,
                value: file.value.unwrap_or(crate::law::SizeLaw::from_bytes(Law::Constant(1.0))),
                prefill: file.prefill.0,
            });
        }
        keyspaces
    }
}

/// The mean memory of a record: its key, its value and the overhead.
pub(crate) fn record_bytes(keyspace: &Keyspace) -> f64 {
    // A key is the keyspace's name, a colon and a number of about as many digits as the last one has.
    let key = keyspace.name.len() as f64 + 1.0 + (keyspace.keys as f64).log10().ceil().max(1.0);
    key + keyspace.value.mean() + RECORD_OVERHEAD as f64
}
