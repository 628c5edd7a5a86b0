//! Hosts, components, keyspaces: what runs where, and whether it fits.

use super::Validator;
use crate::law::{DurationLaw, Law};
use crate::quantity::selector;
use crate::scenario::{
    Component, ComponentId, ComponentKind, HealthCheck, Host, HostId, Keyspace, KvStore, LoadBalancer,
    Service, SqlStore, Ttl,
};
use crate::units::{Bytes, Ratio, SimTime};
use crate::wire;
use crate::wire::decode::Count;

/// What a record takes in a store beside its key and value, in bytes.
pub(crate) const RECORD_OVERHEAD: u64 = 96;

impl Validator<'_> {
    pub(super) fn hosts(&mut self) -> Vec<Host> {
        let host = |(name, host): &(String, wire::Host)| Host {
            name: name.clone(),
            count: host.count.0 as u32,
            cores: host.cores.0 as u32,
            memory: host.memory,
            price: host.price.clone(),
        };
        let hosts: Vec<Host> = self.file.hosts.iter().flat_map(|h| &h.0).map(host).collect();
        if hosts.is_empty() && self.file.hosts.is_some() {
            self.problem("hosts", "at least one host", Some("add [hosts.app]".to_owned()));
        }
        hosts
    }

    /// The components, one for each in the file whatever is wrong with it, so that indices hold.
    pub(super) fn components(&mut self, hosts: &[Host]) -> Vec<Component> {
        let files: Vec<(String, wire::Component)> =
            self.file.components.iter().flat_map(|c| &c.0).cloned().collect();
        if files.is_empty() && self.file.components.is_some() {
            self.problem("components", "at least one component", Some("add [components.shop]".to_owned()));
        }
        let mut components = Vec::new();
        for (name, file) in &files {
            let at = format!("components.{name}");
            let host = file.common.host.as_ref();
            let host = host.and_then(|h| self.resolve(|v| &v.hosts, &format!("{at}.host"), h));
            let kind = match &file.kind {
                Some(wire::ComponentKind::LoadBalancer(b)) => {
                    ComponentKind::LoadBalancer(self.balancer(&at, b, &files))
                }
                Some(wire::ComponentKind::KvStore(s)) => {
                    self.single(&at, "kv-store", host, hosts);
                    ComponentKind::KvStore(KvStore {
                        max_memory: s.max_memory,
                        eviction: s.eviction,
                        samples: s.samples.0 as u32,
                    })
                }
                Some(wire::ComponentKind::SqlStore(s)) => {
                    self.single(&at, "sql-store", host, hosts);
                    let read = s.read.unwrap_or(DurationLaw::from_nanos(Law::Constant(0.0)));
                    ComponentKind::SqlStore(SqlStore {
                        connections: s.connections.0 as u32,
                        read,
                        write: s.write.unwrap_or(read),
                    })
                }
                Some(wire::ComponentKind::Service(s)) => ComponentKind::Service(service(s)),
                // What it would be is unknown and was reported; a service is what most references want.
                None => ComponentKind::Service(Service {
                    workers: 1,
                    backlog: 0,
                    worker_holds: crate::scenario::WorkerHolds::Request,
                }),
            };
            components.push(Component { name: name.clone(), host: HostId(host.unwrap_or(0)), kind });
        }
        self.cycles(&files, &components);
        components
    }

    fn single(&mut self, at: &str, kind: &str, host: Option<u16>, hosts: &[Host]) {
        let Some(host) = host.map(|h| &hosts[usize::from(h)]).filter(|h| h.count != 1) else { return };
        let expected =
            format!("a host of count 1 for {} (\"{}\" has {})", super::article(kind), host.name, host.count);
        self.problem(&format!("{at}.host"), expected, Some("give the store a host of its own".to_owned()));
    }

    fn balancer(
        &mut self,
        at: &str,
        file: &wire::LoadBalancer,
        components: &[(String, wire::Component)],
    ) -> LoadBalancer {
        let to_at = format!("{at}.to");
        let to = file.to.as_ref().and_then(|to| self.resolve(|v| &v.components, &to_at, to));
        if let Some(to) = to {
            self.takes_requests(&to_at, &components[usize::from(to)].1);
        }
        let health_check = file.health_check.as_ref().map(|check| {
            let at = format!("{at}.health_check");
            if let Some(path) = &check.http {
                let path_at = format!("{at}.http");
                let pieces = self.d.read(path, &path_at, selector::path);
                if pieces.is_some_and(|p| p.iter().any(|p| matches!(p, selector::Piece::Key(_)))) {
                    self.problem(&path_at, "a path without keys", None);
                }
            }
            let interval = self.positive(&format!("{at}.interval"), check.interval);
            let timeout_at = format!("{at}.timeout");
            let timeout = check.timeout.map(|t| self.positive(&timeout_at, t));
            // Checks of a server never overlap, so one that lasts longer would change the interval.
            if timeout.is_some_and(|timeout| timeout > interval) {
                let hint = "a check has to end before the next one starts".to_owned();
                self.problem(&timeout_at, format!("at most the interval, {interval}"), Some(hint));
            }
            HealthCheck {
                http: check.http.clone().unwrap_or_default(),
                interval,
                timeout: timeout.unwrap_or(interval),
                fall: check.fall.0 as u32,
                rise: check.rise.0 as u32,
            }
        });
        LoadBalancer {
            to: ComponentId(to.unwrap_or(0)),
            balance: file.balance,
            health_check,
            retries: file.retries.0 as u32,
            redispatch: file.redispatch,
            connect_timeout: self.positive(&format!("{at}.connect_timeout"), file.connect_timeout),
            server_timeout: self.positive(&format!("{at}.server_timeout"), file.server_timeout),
        }
    }

    /// Whether requests can be sent to a component; reports where not.
    fn takes_requests(&mut self, at: &str, component: &wire::Component) {
        let kind = match component.kind {
            Some(wire::ComponentKind::KvStore(_)) => "kv-store",
            Some(wire::ComponentKind::SqlStore(_)) => "sql-store",
            _ => return,
        };
        let expected = format!("a service or a load-balancer, not {}", super::article(kind));
        self.problem(at, expected, None);
    }

    /// As `takes_requests`, once the components are made.
    pub(super) fn entry(&mut self, at: &str, to: u16, components: &[Component]) {
        let fits =
            |k: &ComponentKind| matches!(k, ComponentKind::Service(_) | ComponentKind::LoadBalancer(_));
        self.expect_kind(at, to, components, "a service or a load-balancer", fits);
    }

    /// Reports each balancer from which requests come back to itself.
    fn cycles(&mut self, files: &[(String, wire::Component)], components: &[Component]) {
        for start in 0..components.len() {
            let mut path = vec![start];
            while let ComponentKind::LoadBalancer(b) = &components[path[path.len() - 1]].kind {
                // An unresolved target stands at 0; it was reported, and must not look like a cycle.
                let written = match &files[path[path.len() - 1]].1.kind {
                    Some(wire::ComponentKind::LoadBalancer(file)) => file.to.as_ref(),
                    _ => None,
                };
                if written.is_none_or(|to| *to != components[b.to.index()].name) {
                    break;
                }
                if b.to.index() == start {
                    let names: Vec<&str> =
                        path.iter().chain([&start]).map(|i| components[*i].name.as_str()).collect();
                    let expected = format!("no way back to itself ({})", names.join(" -> "));
                    self.problem(&format!("components.{}.to", components[start].name), expected, None);
                    break;
                }
                if path.contains(&b.to.index()) {
                    break;
                }
                path.push(b.to.index());
            }
        }
    }

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

fn service(file: &wire::Service) -> Service {
    Service {
        workers: file.workers.0 as u32,
        backlog: file.backlog.0 as u32,
        worker_holds: file.worker_holds,
    }
}

/// The mean memory of a record: its key, its value and the overhead.
pub(crate) fn record_bytes(keyspace: &Keyspace) -> f64 {
    // A key is the keyspace's name, a colon and a number of about as many digits as the last one has.
    let key = keyspace.name.len() as f64 + 1.0 + (keyspace.keys as f64).log10().ceil().max(1.0);
    key + keyspace.value.mean() + RECORD_OVERHEAD as f64
}
