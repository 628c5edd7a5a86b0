//! Populations of keys.

use super::Validator;
use crate::law::Law;
use crate::memory;
use crate::rng::{Purpose, Stream};
use crate::scenario::{Churn, Component, ComponentId, ComponentKind, Keyspace, Ttl};
use crate::units::{Ratio, Seed, SimTime};
use crate::wire;
use crate::wire::decode::Count;

impl Validator<'_> {
    pub(super) fn keyspaces(&mut self, components: &[Component]) -> Vec<Keyspace> {
        let files = self.file.keyspaces.0.clone();
        let mut keyspaces = Vec::new();
        for (name, file) in &files {
            let at = format!("keyspaces.{name}");
            let in_at = format!("{at}.in");
            let store = file.store.as_ref().and_then(|s| self.resolve(|v| &v.components, &in_at, s));
            if let Some(store) = store {
                self.expect_kind(&in_at, store, components, "a kv-store or an sql-store", |k| {
                    matches!(k, ComponentKind::KvStore(_) | ComponentKind::SqlStore(_))
                });
                if components
                    .get(usize::from(store))
                    .is_some_and(|c| matches!(c.kind, ComponentKind::SqlStore(_)))
                {
                    self.table_only(&at, file);
                }
            }
            let keys = file.keys.map_or(1, |Count(keys)| keys);
            if let Some(ComponentKind::KvStore(kv)) =
                store.and_then(|s| components.get(usize::from(s))).map(|c| &c.kind)
                && file.persistent
                && kv.eviction.takes_all_keys()
            {
                let policy = kv.eviction.name();
                let hint = format!("write eviction = \"{}\"", policy.replace("allkeys", "volatile"));
                let expected =
                    format!("no persistent keyspace in a store with {policy}, which evicts any key");
                self.problem(&format!("{at}.persistent"), expected, Some(hint));
            }
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
                number: keyspaces.len() as u16,
                store: ComponentId(store.unwrap_or(0)),
                keys,
                persistent: file.persistent,
                ttl,
                popularity: file.popularity,
                churn: self.churn(&at, file),
                value: file.value.unwrap_or(crate::law::SizeLaw::from_bytes(Law::Constant(1.0))),
                prefill: file.prefill.0,
                has_sessions: false,
            });
        }
        keyspaces
    }
}

impl Validator<'_> {
    /// A table has all its rows, for good.
    fn table_only(&mut self, at: &str, file: &wire::Keyspace) {
        let written =
            [("persistent", file.persistent), ("ttl", file.ttl.is_some()), ("prefill", file.prefill.0 > 0)];
        for (key, _) in written.into_iter().filter(|(_, written)| *written) {
            let hint = format!("leave {key} out: an sql-store has all rows of a table");
            self.problem(&format!("{at}.{key}"), format!("no {key} in an sql-store"), Some(hint));
        }
    }

    /// Which keys are popular depends on when a request is due, which nobody knows beforehand in a closed loop.
    fn churn(&mut self, at: &str, file: &wire::Keyspace) -> Option<Churn> {
        let churn = file.churn?;
        let traffic = self.file.traffic.iter().flat_map(|t| &t.0);
        let closed = traffic.filter(|(_, t)| t.is_closed_loop()).map(|(name, _)| name.clone()).next();
        if let Some(name) = closed {
            let expected = format!("no churn beside a closed loop (traffic.{name})");
            let hint =
                "give the traffic a rate: its requests are then due at times that are known".to_owned();
            self.problem(&format!("{at}.churn"), expected, Some(hint));
        }
        Some(churn)
    }
}

/// The mean memory of a record, its part of a table included: by a few thousand draws of its value, as what the allocator
/// adds depends on the size.
pub(crate) fn record_bytes(keyspace: &Keyspace) -> f64 {
    const DRAWS: u64 = 4_096;
    let mut stream = Stream::new(Seed(0), Purpose::named("record-bytes"), 0);
    // A key is the keyspace's name, a colon and a number of about as many digits as the last one has.
    let name = keyspace.name.len() as u64 + 1 + (keyspace.keys as f64).log10().ceil().max(1.0) as u64;
    let mut record =
        || memory::record_bytes(name, keyspace.value.sample(&mut stream, u64::MAX), keyspace.ttl.is_some());
    let records: u64 = (0..DRAWS).map(|_| record()).sum();
    records as f64 / DRAWS as f64 + memory::table_bytes(keyspace.keys) as f64 / keyspace.keys as f64
}
