//! HAProxy in the place of a load-balancer. What each line means stands in the configuration manual of version 2.6, by the keyword.

use std::fmt::Write as _;

use scenarios::scenario::{
    Balance, ComponentKind, HealthCheck, LoadBalancer, ObservedLayer, OnErrors, Probe, ProxyVersion,
};

use super::plan::Plan;
use super::site::{Site, millis};

/// The backend that holds the servers.
pub(super) const BACKEND: &str = "servers";
/// The socket on which it is asked and told, in its directory.
pub(super) const SOCKET: &str = "admin.sock";

/// Its plan; none for another kind of component.
pub(super) fn plan(site: &Site<'_>) -> Option<Plan> {
    let ComponentKind::LoadBalancer(balancer) = &site.description().kind else { return None };
    let file = "haproxy.cfg";
    Some(Plan::of_file(file, configuration(site, balancer), &["haproxy", "-db", "-f", &site.path(file)]))
}

fn configuration(site: &Site<'_>, balancer: &LoadBalancer) -> String {
    let mut lines = vec!["global".to_owned()];
    let mut add = |line: String| lines.push(format!("    {line}"));
    // As many threads as the scenario's balancer has: health, queues and limits are then counted in one place.
    add("nbthread 1".to_owned());
    add(format!("stats socket {} mode 600 level admin", site.path(SOCKET)));
    add("stats timeout 1m".to_owned());
    lines.push("defaults".to_owned());
    let mut add = |line: String| lines.push(format!("    {line}"));
    add("mode http".to_owned());
    add(format!("timeout connect {}ms", millis(balancer.connect_timeout)));
    match balancer.client_timeout {
        Some(timeout) => add(format!("timeout client {}ms", millis(timeout))),
        // Without the line it warns; as good as never.
        None => add("timeout client 24d".to_owned()),
    }
    add(format!("timeout server {}ms", millis(balancer.server_timeout)));
    add(format!("timeout queue {}ms", millis(balancer.queue_timeout)));
    add(format!("retries {}", balancer.retries));
    // Of connections only, which is its default as well.
    add("retry-on conn-failure".to_owned());
    add(if balancer.redispatch { "option redispatch 1" } else { "no option redispatch" }.to_owned());
    lines.push(format!("frontend {}", site.name()));
    let mut add = |line: String| lines.push(format!("    {line}"));
    let announced = if site.is_announced() { " accept-proxy" } else { "" };
    add(format!("bind {}{announced}", site.listen));
    if let Some(most) = balancer.max_connections {
        add(format!("maxconn {most}"));
    }
    add(format!("default_backend {BACKEND}"));
    lines.push(format!("backend {BACKEND}"));
    let mut add = |line: String| lines.push(format!("    {line}"));
    add(format!("balance {}", balance(balancer.balance)));
    if balancer.consistent {
        add("hash-type consistent".to_owned());
    }
    if let Some(cookie) = &balancer.cookie {
        add(format!("cookie {cookie} insert indirect nocache"));
    }
    if let Some(check) = &balancer.health_check {
        if let Probe::Http(path) = &check.probe {
            add("option httpchk".to_owned());
            add(format!("http-check send meth GET uri {path} ver HTTP/1.1 hdr host {}", site.name()));
            add("http-check expect status 200-399".to_owned());
        }
        add(format!("timeout check {}ms", millis(check.timeout)));
    }
    for (number, address) in site.instances(balancer.to).iter().enumerate() {
        add(server(balancer, number, &address.to_string()));
    }
    lines.push(String::new());
    lines.join("\n")
}

/// The name of a server, from zero.
pub(super) fn server_name(number: usize) -> String {
    format!("s{}", number + 1)
}

fn balance(balance: Balance) -> &'static str {
    match balance {
        Balance::RoundRobin => "roundrobin",
        Balance::LeastConnections => "leastconn",
        Balance::Random => "random(2)",
        Balance::Source => "source",
        Balance::Uri => "uri",
        // It refuses a word that it does not know.
        other => other.name(),
    }
}

fn server(balancer: &LoadBalancer, number: usize, address: &str) -> String {
    let name = server_name(number);
    let mut line = format!("server {name} {address}");
    let mut add = |word: &str, value: String| {
        let space = if value.is_empty() { "" } else { " " };
        write!(line, " {word}{space}{value}").expect("writing to a string cannot fail");
    };
    if let Some(weight) = balancer.weights.get(number) {
        add("weight", weight.to_string());
    }
    if let Some(most) = balancer.server_max_connections {
        add("maxconn", most.to_string());
    }
    if balancer.cookie.is_some() {
        add("cookie", name.clone());
    }
    if let Some(span) = balancer.slow_start {
        add("slowstart", format!("{}ms", millis(span)));
    }
    if let Some(version) = balancer.send_proxy {
        add(if version == ProxyVersion::V1 { "send-proxy" } else { "send-proxy-v2" }, String::new());
    }
    if let Some(check) = &balancer.health_check {
        add("check", String::new());
        if balancer.send_proxy.is_some() {
            add("check-send-proxy", String::new());
        }
        add("inter", format!("{}ms", millis(check.interval)));
        add("fall", check.fall.to_string());
        add("rise", check.rise.to_string());
        observe(check, &mut add);
    }
    line
}

fn observe(check: &HealthCheck, add: &mut impl FnMut(&str, String)) {
    let Some(observed) = &check.observe else { return };
    let layer = if observed.layer == ObservedLayer::Connection { "layer4" } else { "layer7" };
    add("observe", layer.to_owned());
    add("error-limit", observed.error_limit.to_string());
    let on_error = match observed.on_error {
        OnErrors::FailCheck => "fail-check",
        OnErrors::SuddenDeath => "sudden-death",
        OnErrors::MarkDown => "mark-down",
    };
    add("on-error", on_error.to_owned());
}
