//! Load balancers.

use super::Validator;
use crate::quantity::selector;
use crate::scenario::{
    Balance, Component, ComponentId, HealthCheck, Host, LoadBalancer, Observe, OnErrors, Probe, Tls, Vip,
};
use crate::wire;

impl Validator<'_> {
    pub(super) fn balancer(
        &mut self,
        at: &str,
        file: &wire::LoadBalancer,
        hosts: &[Host],
        components: &[(String, wire::Component)],
    ) -> LoadBalancer {
        let to_at = format!("{at}.to");
        let to = file.to.as_ref().and_then(|to| self.resolve(|v| &v.components, &to_at, to));
        if let Some(to) = to {
            self.takes_requests(&to_at, &components[usize::from(to)].1);
            self.takes_connections(at, &components[usize::from(to)], file.send_proxy.is_some());
        }
        let health_check = file.health_check.as_ref().map(|check| {
            let at = format!("{at}.health_check");
            if let Some(path) = &check.http {
                self.path_without_keys(&format!("{at}.http"), path);
            }
            if check.http.is_some() == check.tcp {
                let found = if check.tcp { "both" } else { "neither" };
                let expected = "either http = \"/path\" or tcp = true";
                self.d.problem(&at, found, expected, Some("write http = \"/health\"".to_owned()));
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
                probe: check.http.clone().map_or(Probe::Tcp, Probe::Http),
                interval,
                timeout: timeout.unwrap_or(interval),
                fall: check.fall.0 as u32,
                rise: check.rise.0 as u32,
                observe: self.observe(&at, check),
            }
        });
        let servers = to.and_then(|to| components[usize::from(to)].1.common.host.as_ref());
        let servers = servers.and_then(|name| hosts.iter().find(|host| host.name == *name));
        let weights = file.weights.as_ref().map(|list| self.weights(at, list, servers)).unwrap_or_default();
        if file.consistent && !matches!(file.balance, Balance::Source | Balance::Uri) {
            let expected = "consistent only with balance = \"source\" or \"uri\"";
            self.problem(&format!("{at}.consistent"), expected, None);
        }
        if let (Some(_), None) = (file.queue_timeout, file.server_max_connections) {
            let hint = "add server_max_connections = 100: without it nothing waits in the queue".to_owned();
            self.problem(&format!("{at}.queue_timeout"), "no queue_timeout without a queue", Some(hint));
        }
        let connect_timeout = self.positive(&format!("{at}.connect_timeout"), file.connect_timeout);
        let count = |count: Option<wire::Some1M>| count.map(|c| c.0 as u32);
        let vip = file.vip.as_ref().map(|vip| self.vip(at, vip));
        LoadBalancer {
            to: ComponentId(to.unwrap_or(0)),
            balance: file.balance,
            consistent: file.consistent,
            weights,
            accept_proxy: file.accept_proxy.0.iter().map(|(_, network)| *network).collect(),
            send_proxy: file.send_proxy,
            tls: file.tls.as_ref().map(|tls| self.tls(at, tls)),
            http2: file.http2,
            max_connections: count(file.max_connections),
            server_max_connections: count(file.server_max_connections),
            queue_timeout: file
                .queue_timeout
                .map_or(connect_timeout, |t| self.positive(&format!("{at}.queue_timeout"), t)),
            slow_start: file.slow_start.map(|t| self.positive(&format!("{at}.slow_start"), t)),
            cookie: file.cookie.clone(),
            vip,
            health_check,
            retries: file.retries.0 as u32,
            redispatch: file.redispatch,
            connect_timeout,
            client_timeout: file.client_timeout.map(|t| self.positive(&format!("{at}.client_timeout"), t)),
            server_timeout: self.positive(&format!("{at}.server_timeout"), file.server_timeout),
        }
    }

    /// Whether the connections that a balancer opens are such as the component takes whose instances are its servers.
    fn takes_connections(&mut self, at: &str, (name, to): &(String, wire::Component), announces: bool) {
        let (accepts, ends_tls) = match &to.kind {
            Some(wire::ComponentKind::LoadBalancer(to)) => (!to.accept_proxy.0.is_empty(), to.tls.is_some()),
            Some(wire::ComponentKind::HttpCache(to)) => (!to.accept_proxy.0.is_empty(), false),
            // Services take what whoever stands before them sends.
            _ => (true, false),
        };
        if announces && !accepts {
            let hint = format!("add accept_proxy = [\"127.0.0.0/8\"] to components.{name}");
            let expected = "servers that accept the PROXY protocol";
            self.problem(&format!("{at}.send_proxy"), expected, Some(hint));
        }
        if ends_tls {
            let expected = "a component that takes plain HTTP";
            self.problem(&format!("{at}.to"), expected, Some(format!("{name} ends TLS, and is sent none")));
        }
    }

    /// What ends TLS in the component at a path.
    fn tls(&mut self, at: &str, tls: &wire::Tls) -> Tls {
        if tls.certificate.is_some() != tls.key.is_some() {
            let missing = if tls.key.is_none() { "key" } else { "certificate" };
            let hint = "a certificate is of no use without its key, nor a key without its certificate";
            self.problem(&format!("{at}.tls"), format!("a {missing} too, or neither"), Some(hint.to_owned()));
        }
        Tls { files: tls.certificate.clone().zip(tls.key.clone()) }
    }

    /// The weights of the servers, machines of this host; none where all are alike.
    fn weights(&mut self, at: &str, list: &wire::Weights, servers: Option<&Host>) -> Vec<u32> {
        let at = format!("{at}.weights");
        let weights: Vec<u32> = list.0.iter().map(|(_, weight)| weight.0 as u32).collect();
        if let Some(host) = servers.filter(|host| host.count as usize != weights.len()) {
            let (found, expected) = (weights.len(), host.count);
            let expected = format!("{expected} of them, one for each machine of \"{}\"", host.name);
            self.d.problem(&at, format!("{found} weights"), expected, None);
        } else if weights.iter().all(|weight| *weight == 0) {
            let hint = "write 1 for one that is to be sent requests".to_owned();
            self.problem(&at, "at least one weight above 0", Some(hint));
        }
        if weights.windows(2).all(|pair| pair[0] == pair[1]) { Vec::new() } else { weights }
    }

    /// What a health check concludes from real requests.
    fn observe(&mut self, at: &str, check: &wire::HealthCheck) -> Option<Observe> {
        let limit = check.error_limit.as_ref().map(|limit| limit.0 as u32);
        if let Some(layer) = check.observe {
            let on_error = check.on_error.unwrap_or(OnErrors::FailCheck);
            return Some(Observe { layer, error_limit: limit.unwrap_or(10), on_error });
        }
        for (key, written) in [("error_limit", limit.is_some()), ("on_error", check.on_error.is_some())] {
            if written {
                let hint = "add observe = \"layer7\"".to_owned();
                self.problem(
                    &format!("{at}.{key}"),
                    format!("no {key} where nothing is observed"),
                    Some(hint),
                );
            }
        }
        None
    }

    /// Looks at the path of a health check.
    pub(super) fn path_without_keys(&mut self, at: &str, path: &str) {
        let pieces = self.d.read(path, at, selector::path);
        if pieces.is_some_and(|p| p.iter().any(|p| matches!(p, selector::Piece::Key(_)))) {
            self.problem(at, "a path without keys", None);
        }
    }

    /// Reports each balancer and each cache from which requests come back to itself.
    pub(super) fn cycles(&mut self, files: &[(String, wire::Component)], components: &[Component]) {
        for start in 0..components.len() {
            let mut path = vec![start];
            while let Some(to) = components[path[path.len() - 1]].kind.forwards_to() {
                // An unresolved target stands at 0; it was reported, and must not look like a cycle.
                let written = match &files[path[path.len() - 1]].1.kind {
                    Some(wire::ComponentKind::LoadBalancer(file)) => file.to.as_deref(),
                    Some(wire::ComponentKind::Cdn(file)) => file.to.as_deref(),
                    Some(wire::ComponentKind::HttpCache(file)) => {
                        file.to.as_deref().map(|to| to.split('@').next().unwrap_or(to))
                    }
                    _ => None,
                };
                if written.is_none_or(|name| *name != components[to.index()].name) {
                    break;
                }
                if to.index() == start {
                    let names: Vec<&str> =
                        path.iter().chain([&start]).map(|i| components[*i].name.as_str()).collect();
                    let expected = format!("no way back to itself ({})", names.join(" -> "));
                    self.problem(&format!("components.{}.to", components[start].name), expected, None);
                    break;
                }
                if path.contains(&to.index()) {
                    break;
                }
                path.push(to.index());
            }
        }
    }

    /// A virtual address of the component at a path.
    pub(super) fn vip(&mut self, at: &str, vip: &wire::Vip) -> Vip {
        Vip {
            advertise: self.positive(&format!("{at}.vip.advertise"), vip.advertise),
            check: self.positive(&format!("{at}.vip.check"), vip.check),
            preempt: vip.preempt,
        }
    }
}
