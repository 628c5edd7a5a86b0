//! Key-value stores.

use super::Validator;
use crate::scenario::{KvStore, Snapshot};
use crate::units::SimTime;
use crate::wire;

impl Validator<'_> {
    pub(super) fn kv_store(&mut self, at: &str, file: &wire::KvStore) -> KvStore {
        let replicas = file.replicas.0 as u32;
        let times =
            |f: &wire::KvFailover| (f.detect.unwrap_or(SimTime::ZERO), f.switch.unwrap_or(SimTime::ZERO));
        let failover = file.failover.as_ref().map(times).map(|(detect, switch)| detect + switch);
        if failover.is_some() && replicas == 0 {
            let hint = "write replicas = 1, or leave failover out".to_owned();
            self.problem(&format!("{at}.failover"), "a failover where there are replicas", Some(hint));
        }
        let lag_at = format!("{at}.replication_lag");
        if replicas == 0 && self.written(&lag_at) {
            let hint = "write replicas = 1, or leave replication_lag out".to_owned();
            self.problem(&lag_at, "a lag where there are replicas", Some(hint));
        }
        let snapshot = file.snapshot.as_ref().map(|snapshot| Snapshot {
            every: snapshot.every.unwrap_or(SimTime::from_secs(1)),
            fork_per_gb: snapshot.fork_per_gb.unwrap_or(SimTime::ZERO),
        });
        if let Some(snapshot) = &snapshot {
            self.positive(&format!("{at}.snapshot.every"), snapshot.every);
        }
        KvStore {
            max_memory: file.max_memory,
            eviction: file.eviction,
            samples: file.samples.0 as u32,
            replicas,
            replication_lag: file.replication_lag,
            failover,
            snapshot,
            shards: file.shards.as_ref().and_then(|shards| shards.by),
        }
    }
}
