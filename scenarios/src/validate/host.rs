//! Machines, and whether what runs on them fits.

use super::Validator;
use super::record_bytes;
use crate::scenario::{Component, ComponentKind, Host, Keyspace, KvStore};
use crate::units::Bytes;
use crate::wire;

impl Validator<'_> {
    pub(super) fn hosts(&mut self) -> Vec<Host> {
        let host = |(name, host): &(String, wire::Host)| Host {
            name: name.clone(),
            count: host.count.0 as u32,
            cores: host.cores.0 as u32,
            memory: host.memory,
            zone: host.zone.clone(),
            price: host.price.clone(),
        };
        let hosts: Vec<Host> = self.file.hosts.iter().flat_map(|h| &h.0).map(host).collect();
        if hosts.is_empty() && self.file.hosts.is_some() {
            self.problem("hosts", "at least one host", Some("add [hosts.app]".to_owned()));
        }
        hosts
    }

    /// Stores must fit their hosts, and persistent keys their store.
    pub(super) fn memory(&mut self, hosts: &[Host], components: &[Component], keyspaces: &[Keyspace]) {
        for (i, host) in hosts.iter().enumerate() {
            let Some(memory) = host.memory else { continue };
            let mut sum = 0_u64;
            for component in components.iter().filter(|c| c.host.index() == i) {
                let ComponentKind::KvStore(KvStore { max_memory: Some(limit), .. }) = component.kind else {
                    continue;
                };
                sum = sum.saturating_add(limit.get());
                if sum > memory.get() {
                    let all = if sum > limit.get() { " for all stores on it" } else { "" };
                    let expected = format!("at most the {memory} of host \"{}\"{all}", host.name);
                    self.problem(&format!("components.{}.max_memory", component.name), expected, None);
                }
            }
        }
        for (i, component) in components.iter().enumerate() {
            let ComponentKind::KvStore(KvStore { max_memory: Some(limit), .. }) = component.kind else {
                continue;
            };
            let persistent = keyspaces.iter().filter(|k| k.persistent && k.store.index() == i);
            let need: f64 = persistent.map(|k| record_bytes(k) * k.keys as f64).sum();
            if need > limit.get() as f64 {
                let need = Bytes::new((need / 1e6).ceil() as u64 * 1_000_000);
                let expected = format!("at least the {need} or so that its persistent keys take");
                self.problem(&format!("components.{}.max_memory", component.name), expected, None);
            }
        }
    }
}
