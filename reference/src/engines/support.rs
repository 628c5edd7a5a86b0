//! What each server cannot do of what a scenario asks of its component. A list for each says what it does; whatever else is written
//! is refused with its place, as with the stack's own components.

use scenarios::scenario::{
    Action, Component, ComponentId, ComponentKind, Cpu, FaultKind, FaultTarget, Server, Step, Vary,
};
use scenarios::units::SimTime;
use scenarios::{Diagnostic, Scenario};

/// Keys of every component.
const ALWAYS: &[&str] = &["kind", "host", "engine", "restart", "restarts", "breakdowns"];

const HAPROXY: &[&str] = &[
    "to",
    "balance",
    "consistent",
    "weights",
    "cookie",
    "slow_start",
    "health_check",
    "retries",
    "redispatch",
    "connect_timeout",
    "client_timeout",
    "server_timeout",
    "max_connections",
    "server_max_connections",
    "queue_timeout",
    "accept_proxy",
    "send_proxy",
];
const NGINX_BALANCER: &[&str] = &[
    "to",
    "balance",
    "consistent",
    "weights",
    "retries",
    "connect_timeout",
    "client_timeout",
    "server_timeout",
    "server_max_connections",
    "accept_proxy",
];
const NGINX_CACHE: &[&str] = &[
    "to",
    "memory",
    "grace",
    "coalesce",
    "headers",
    "connect_timeout",
    "first_byte_timeout",
    "accept_proxy",
];
const VARNISH: &[&str] = &[
    "to",
    "memory",
    "grace",
    "keep",
    "coalesce",
    "hit_for_miss",
    "hit_for_pass",
    "probe",
    "threads",
    "headers",
    "normalise",
    "connect_timeout",
    "first_byte_timeout",
    "accept_proxy",
];
const REDIS: &[&str] = &["max_memory", "eviction", "samples", "snapshot"];
const RABBITMQ: &[&str] = &[
    "to",
    "class",
    "prefetch",
    "max_length",
    "overflow",
    "durable",
    "deliveries",
    "dead_letters",
    "heartbeat",
];
const MARIADB: &[&str] = &["connections", "read", "write", "lock_wait", "statement_timeout"];

/// Why a server does not take a key, where there is more to say than that.
const REASONS: &[(Server, &str, &str)] = &[
    (
        Server::Haproxy,
        "vip",
        "a pair needs Keepalived beside HAProxy: leave it out, or take the stack's own balancer",
    ),
    (Server::Haproxy, "tls", "TLS is not set up for HAProxy here: leave it out"),
    (Server::Nginx, "health_check", "nginx asks nobody how they are, but for its commercial edition"),
    (Server::Nginx, "slow_start", "it is part of nginx's commercial edition"),
    (Server::Nginx, "cookie", "it is part of nginx's commercial edition"),
    (Server::Nginx, "queue_timeout", "nginx has no queue before its servers, but for its commercial edition"),
    (Server::Nginx, "redispatch", "nginx always goes on to the next server"),
    (Server::Nginx, "send_proxy", "nginx sends the PROXY protocol in its stream module only"),
    (Server::Nginx, "keep", "nginx does not say for how long what is stale is kept for a conditional fetch"),
    (Server::Varnish, "prefill", "a Varnish starts cold: leave it out, or take the stack's own cache"),
    (Server::Nginx, "prefill", "nginx starts cold: leave it out, or take the stack's own cache"),
    (Server::Nginx, "hit_for_miss", "nginx remembers no answer that cannot be cached"),
    (Server::Nginx, "hit_for_pass", "nginx remembers no answer that cannot be cached"),
    (Server::Nginx, "probe", "nginx asks nobody how they are, but for its commercial edition"),
    (Server::Redis, "replicas", "one Redis is started here: leave it out, or take the stack's own store"),
    (Server::Mariadb, "hibernation", "MariaDB does not go to sleep"),
    (Server::Mariadb, "vip", "one MariaDB is started here: leave it out"),
];

/// What the servers of a scenario cannot be configured to do.
pub(crate) fn problems(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (id, server) in servers(scenario) {
        let component = scenario.component(id);
        let at = format!("components.{}", component.name);
        let mut refuse =
            |place: String, hint: &str| problems.push(scenario.unsupported(&place, server.name(), hint));
        let taken = keys(server, &component.kind);
        for key in scenario.keys_written_in(&at) {
            if !ALWAYS.contains(&key.as_str()) && !taken.contains(&key.as_str()) {
                let reason =
                    REASONS.iter().find(|(s, k, _)| *s == server && *k == key).map(|(_, _, why)| *why);
                let plainly = format!("{} does not do this: leave it out", server.name());
                refuse(format!("{at}.{key}"), reason.unwrap_or(&plainly));
            }
        }
        values(scenario, component, server, &at, &mut refuse);
        classes(scenario, id, server, &mut refuse);
    }
    problems
}

/// As [`problems`], with what `world` cannot do to them where it runs them.
pub(crate) fn check(scenario: &Scenario, world: &str, all: &mut Vec<Diagnostic>) {
    all.extend(problems(scenario));
    let mut refuse = |place: String, hint: &str| all.push(scenario.unsupported(&place, world, hint));
    for (id, server) in servers(scenario) {
        let component = scenario.component(id);
        host(scenario, component, &mut refuse);
        faults(scenario, id, server, &mut refuse);
    }
}

fn servers(scenario: &Scenario) -> impl Iterator<Item = (ComponentId, Server)> {
    scenario.component_ids().filter_map(|id| Some((id, scenario.component(id).server()?)))
}

fn keys(server: Server, kind: &ComponentKind) -> &'static [&'static str] {
    match (server, kind) {
        (Server::Haproxy, _) => HAPROXY,
        (Server::Nginx, ComponentKind::LoadBalancer(_)) => NGINX_BALANCER,
        (Server::Nginx, _) => NGINX_CACHE,
        (Server::Varnish, _) => VARNISH,
        (Server::Redis, _) => REDIS,
        (Server::Mariadb, _) => MARIADB,
        (Server::Rabbitmq, _) => RABBITMQ,
        _ => &[],
    }
}

/// Values that a server cannot be told.
fn values(
    scenario: &Scenario,
    component: &Component,
    server: Server,
    at: &str,
    refuse: &mut impl FnMut(String, &str),
) {
    const SECOND: u64 = 1_000_000_000;
    match (&component.kind, server) {
        (ComponentKind::HttpCache(cache), Server::Nginx) if cache.grace != SimTime::ZERO => {
            let hint = "nginx takes it of answers alone: write grace = \"0s\"";
            refuse(format!("{at}.grace"), hint);
        }
        (ComponentKind::KvStore(store), _) => {
            let is_broken =
                |snapshot: &&scenarios::scenario::Snapshot| !snapshot.every.as_nanos().is_multiple_of(SECOND);
            if store.snapshot.as_ref().filter(is_broken).is_some() {
                refuse(format!("{at}.snapshot.every"), "Redis counts whole seconds");
            }
        }
        (ComponentKind::SqlStore(store), _) => {
            if store.lock_wait.is_some_and(|wait| !wait.as_nanos().is_multiple_of(SECOND)) {
                refuse(format!("{at}.lock_wait"), "MariaDB counts whole seconds");
            }
            let workers = |other: &Component| match &other.kind {
                ComponentKind::Service(service) => {
                    u64::from(service.workers) * u64::from(scenario.host(other.host).count)
                }
                _ => 0,
            };
            if scenario.components.iter().map(workers).sum::<u64>() > u64::from(store.connections) {
                let hint = "MariaDB refuses further connections rather than let them wait: write as many as the services have workers";
                refuse(format!("{at}.connections"), hint);
            }
        }
        (ComponentKind::Queue(queue), _) => {
            let heartbeat = queue.heartbeat.as_nanos();
            let is_whole = heartbeat.is_multiple_of(SECOND) && heartbeat > 0;
            if !is_whole || heartbeat / SECOND > u64::from(u16::MAX) {
                refuse(format!("{at}.heartbeat"), "RabbitMQ counts whole seconds, from 1 to 65,535");
            }
        }
        _ => {}
    }
}

/// What requests ask of a cache.
fn classes(scenario: &Scenario, id: ComponentId, server: Server, refuse: &mut impl FnMut(String, &str)) {
    for class in &scenario.requests {
        for step in class.all_steps() {
            let Action::Purge(purge) = &step.action else { continue };
            let place = |step: &Step| format!("{}.purge", step.place);
            match server {
                _ if purge.cache != id => {}
                Server::Nginx => refuse(place(step), "nginx throws nothing out before its time"),
                Server::Varnish if purge.soft => {
                    refuse(
                        place(step),
                        "Varnish throws out by bans here, which know no soft purge: leave soft out",
                    );
                }
                _ => {}
            }
        }
        let made_alike =
            || class.cache.iter().flat_map(|rule| &rule.vary).filter(|vary| vary.values != vary.raw);
        let place = |vary: &Vary| format!("requests.{}.cache.vary.{}", class.name, vary.name);
        match (server, &scenario.component(id).kind) {
            (Server::Varnish, ComponentKind::HttpCache(cache)) if cache.normalise => {
                for vary in made_alike().filter(|vary| !vary.languages.is_empty()) {
                    let hint = "Varnish chooses among languages with modules of others' only: write normalise = false, or as many raw values as languages";
                    refuse(place(vary), hint);
                }
            }
            (Server::Nginx, ComponentKind::HttpCache(_)) => {
                if class.esi.is_some() {
                    refuse(format!("requests.{}.esi", class.name), "nginx knows no ESI");
                }
                for vary in made_alike() {
                    let hint = "nothing is made alike for nginx here: give as many raw values as values";
                    refuse(place(vary), hint);
                }
            }
            _ => {}
        }
    }
}

/// A server of another make has the processors of this machine, whose speed is what it is.
fn host(scenario: &Scenario, component: &Component, refuse: &mut impl FnMut(String, &str)) {
    let host = scenario.host(component.host);
    for key in ["speed", "steal"] {
        let place = format!("hosts.{}", host.name);
        if scenario.keys_written_in(&place).iter().any(|written| written == key) {
            refuse(format!("{place}.{key}"), "a server of another make takes this machine's time as it is");
        }
    }
    if host.cpu == Cpu::Burn
        && !scenario.components.iter().any(|c| c.host == component.host && c.server().is_none())
    {
        refuse(format!("hosts.{}.cpu", host.name), "nothing of the stack's own runs there, so nothing burns");
    }
}

/// How a server cannot be broken.
fn faults(scenario: &Scenario, id: ComponentId, server: Server, refuse: &mut impl FnMut(String, &str)) {
    let component = scenario.component(id);
    for (index, fault) in scenario.faults.iter().enumerate() {
        let is_hit = fault.targets.iter().any(|target| match *target {
            FaultTarget::Component(hit, _) => hit == id,
            FaultTarget::Host(host, _) => host == component.host,
            FaultTarget::Way(..) => false,
        });
        let place = format!("faults[{index}].{}", fault.kind.name());
        if let FaultKind::Deploy(_) = fault.kind {
            let sends = fault.targets.iter().any(|target| match *target {
                FaultTarget::Component(hit, _) => component.kind.forwards_to() == Some(hit),
                _ => false,
            });
            if sends && server == Server::Nginx {
                refuse(place, "nginx cannot be told to send a server nothing new while it runs");
            }
            continue;
        }
        let is_possible = match fault.kind {
            FaultKind::Kill | FaultKind::Hang | FaultKind::Unplug => true,
            FaultKind::Flush => matches!(server, Server::Varnish | Server::Redis),
            _ => false,
        };
        if is_hit && !is_possible {
            let hint = format!("{} can be killed, hung and unplugged, and caches flushed", component.name);
            refuse(place, &hint);
        }
    }
}
