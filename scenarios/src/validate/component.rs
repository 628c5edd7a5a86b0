//! Components of every kind: where they run, what may refer to them. Each kind's own rules stand in its file.

use super::Validator;
use crate::scenario::{
    Component, ComponentKind, Engine, Host, HostId, Restarts, Service, WhenFull, WorkerHolds,
};
use crate::units::{Bytes, SimTime};
use crate::wire;

impl Validator<'_> {
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
            let kind = self.component_kind(&at, file, host, hosts, &files);
            let priority = file.common.priority.0 as u8;
            // What a component of no known kind could have is unknown too.
            let engine = file.kind.as_ref().map(|_| self.engine(&at, kind.name(), &file.common.engine));
            components.push(Component {
                name: name.clone(),
                host: HostId(host.unwrap_or(0)),
                priority,
                restart: file.common.restart,
                restarts: file.common.restarts.as_ref().map(|rules| self.restarts(&at, rules)),
                breakdowns: self.breakdowns(&at, file.common.breakdowns.as_ref()),
                engine: engine.unwrap_or_default(),
                kind,
            });
        }
        self.cycles(&files, &components);
        components
    }

    fn restarts(&mut self, at: &str, file: &wire::Restarts) -> Restarts {
        let (after, within) = (format!("{at}.restarts.after"), format!("{at}.restarts.within"));
        let rules = Restarts {
            after: self.positive(&after, file.after),
            at_most: file.at_most,
            times: file.times.map(|times| times.0 as u32),
            within: self.positive(&within, file.within),
        };
        if rules.at_most < rules.after {
            let place = if self.written(&after) { after } else { format!("{at}.restarts.at_most") };
            self.problem(&place, "after no longer than at_most", None);
        }
        rules
    }

    /// What does a component's work in the real world.
    fn engine(&mut self, at: &str, kind: &str, written: &str) -> Engine {
        match Engine::read(kind, written) {
            Ok(engine) => engine,
            Err(expected) => {
                self.problem(&format!("{at}.engine"), expected, None);
                Engine::Embedded
            }
        }
    }

    /// What a component is. A kind's own rules stand in the kind's file.
    fn component_kind(
        &mut self,
        at: &str,
        file: &wire::Component,
        host: Option<u16>,
        hosts: &[Host],
        files: &[(String, wire::Component)],
    ) -> ComponentKind {
        match &file.kind {
            Some(wire::ComponentKind::LoadBalancer(file)) => {
                ComponentKind::LoadBalancer(self.balancer(at, file, hosts, files))
            }
            Some(wire::ComponentKind::HttpCache(cache)) => {
                ComponentKind::HttpCache(self.http_cache(at, cache, file.common.host.as_ref(), files))
            }
            Some(wire::ComponentKind::Cdn(file)) => ComponentKind::Cdn(self.cdn(at, file, files)),
            Some(wire::ComponentKind::Service(file)) => {
                let host = host.map(|host| &hosts[usize::from(host)]);
                ComponentKind::Service(self.service(at, file, host))
            }
            Some(wire::ComponentKind::KvStore(file)) => {
                match file.shards {
                    None => self.single(at, "kv-store", host, hosts),
                    Some(_) => self.shards(at, host, hosts),
                }
                ComponentKind::KvStore(self.kv_store(at, file))
            }
            Some(wire::ComponentKind::SqlStore(file)) => {
                ComponentKind::SqlStore(self.sql_store(at, file, host.map(|host| &hosts[usize::from(host)])))
            }
            Some(wire::ComponentKind::Queue(file)) => {
                self.single(at, "queue", host, hosts);
                ComponentKind::Queue(self.queue(at, file, files))
            }
            // What it would be is unknown and was reported; a service is what most references want.
            None => ComponentKind::Service(Service {
                workers: 1,
                pool: None,
                backlog: 0,
                worker_holds: WorkerHolds::Request,
                keep_alive: SimTime::from_secs(5),
                when_full: WhenFull::Wait,
                memory_base: Bytes::new(0),
                memory_per_worker: Bytes::new(0),
                autoscale: None,
            }),
        }
    }

    /// As many shards as Redis Cluster's documentation advises at most.
    fn shards(&mut self, at: &str, host: Option<u16>, hosts: &[Host]) {
        if let Some(host) = host.map(|h| &hosts[usize::from(h)]).filter(|h| h.count > 1000) {
            let expected = format!("a host of at most 1000 machines (\"{}\" has {})", host.name, host.count);
            self.problem(&format!("{at}.host"), expected, None);
        }
    }

    fn single(&mut self, at: &str, kind: &str, host: Option<u16>, hosts: &[Host]) {
        let Some(host) = host.map(|h| &hosts[usize::from(h)]).filter(|h| h.count != 1) else { return };
        let expected =
            format!("a host of count 1 for {} (\"{}\" has {})", super::article(kind), host.name, host.count);
        self.problem(
            &format!("{at}.host"),
            expected,
            Some(match kind {
                "kv-store" => {
                    "give the store a host of its own, or write shards = { by = \"crc16\" }".to_owned()
                }
                _ => format!("give the {kind} a host of its own"),
            }),
        );
    }

    /// Whether requests can be sent to a component; reports where not.
    pub(super) fn takes_requests(&mut self, at: &str, component: &wire::Component) {
        let kind = match component.kind {
            Some(wire::ComponentKind::KvStore(_)) => "kv-store",
            Some(wire::ComponentKind::SqlStore(_)) => "sql-store",
            Some(wire::ComponentKind::Queue(_)) => "queue",
            _ => return,
        };
        let expected = format!("a service, a load-balancer or an http-cache, not {}", super::article(kind));
        self.problem(at, expected, None);
    }

    /// As `takes_requests`, once the components are made.
    pub(super) fn entry(&mut self, at: &str, to: u16, components: &[Component]) {
        let fits = |k: &ComponentKind| matches!(k, ComponentKind::Service(_)) || k.forwards_to().is_some();
        self.expect_kind(at, to, components, "a service, a load-balancer or an http-cache", fits);
    }
}
