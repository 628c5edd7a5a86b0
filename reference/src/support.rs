//! What of a scenario this stack can run. Everything else is an error before anything is started.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use scenarios::scenario::{
    Action, ComponentId, ComponentKind, Engine, FaultKind, FaultTarget, Language, Peers, Server, Step,
};
use scenarios::{Diagnostic, Diagnostics, Scenario};

use crate::addresses::{HOSTS_LIMIT, INSTANCES_LIMIT};
use crate::engines;
use crate::service::program::Program;
use crate::supervisor::network::{DOORS_LIMIT, ways};

const WORLD: &str = "the reference stack";
/// How a build speaks AMQP.
pub(crate) const WITH_AMQP: &str = "build with `--features reference/rabbitmq`";

/// What of the file is implemented, or is no matter of the stack's (traffic); see `scenarios::supports`.
const SUPPORTS: &[&str] = &[
    "hosts.*.{count, cores, cpu, memory, nic, zone, speed}",
    "hosts.*.steal.{share, bursts, gaps}",
    "hosts.*.breakdowns.{up, down}",
    "components.*.{restart, engine}",
    "components.*.breakdowns.{up, down}",
    "components.*.restarts.{after, at_most, times, within}",
    "jobs.*.{host, at, every, work, cores, memory}",
    "network[*].{latency, bandwidth, loss}",
    "network[*].between.**",
    "components(kind=load-balancer).{host, to, balance, consistent, cookie, slow_start}",
    "components(kind=load-balancer).{weights[*], accept_proxy[*], send_proxy, http2}",
    "components(kind=load-balancer).tls.{certificate, key}",
    "components(kind=load-balancer).health_check.{http, tcp, interval, timeout, fall, rise}",
    "components(kind=load-balancer).health_check.{observe, error_limit, on_error}",
    "components(kind=load-balancer).{retries, redispatch, connect_timeout, client_timeout, server_timeout}",
    "components(kind=load-balancer).vip.{advertise, check, preempt}",
    "components(kind=load-balancer).{max_connections, server_max_connections, queue_timeout}",
    "components(kind=http-cache).{host, to, memory, grace, keep, coalesce, hit_for_miss, headers, normalise}",
    "components(kind=http-cache).{connect_timeout, first_byte_timeout, hit_for_pass}",
    "components(kind=http-cache).prefill.*",
    "components(kind=http-cache).accept_proxy[*]",
    "components(kind=http-cache).threads.{pools, min, max, queue}",
    "components(kind=http-cache).probe.{http, interval, timeout, window, threshold, initial}",
    "components(kind=service).{host, workers, backlog, when_full}",
    "components(kind=service).workers.{manager, max, start, min_spare, max_spare, idle_timeout, boot}",
    "components(kind=service).{worker_holds, keep_alive}",
    "components(kind=service).memory.{base, per_worker}",
    "policies.**",
    "components(kind=service).autoscale.{min, metric, target, interval, boot, drain, down_after, step}",
    "components(kind=kv-store).{host, max_memory, eviction, samples}",
    "components(kind=kv-store).{replicas, replication_lag}",
    "components(kind=kv-store).failover.{detect, switch}",
    "components(kind=kv-store).snapshot.{every, fork_per_gb}",
    "components(kind=sql-store).{host, connections, read, write, lock_wait, statement_timeout}",
    "components(kind=sql-store).hibernation.{after, wake}",
    "components(kind=sql-store).vip.{advertise, check, preempt}",
    "components(kind=queue).{host, to, class, prefetch, max_length, overflow, durable, deliveries}",
    "components(kind=queue).{dead_letters, heartbeat}",
    "requests.*.steps[*].publish.to",
    "keyspaces.*.{in, keys, persistent, ttl, popularity, churn, value, prefill}",
    "keyspaces.*.ttl.{base, jitter}",
    "requests.*.{method, path, response}",
    "requests.*.cache.{ttl, grace, keep}",
    "requests.*.cache.tags.**",
    "requests.*.cache.vary.**",
    "requests.*.esi.{include, count}",
    "requests.*.steps[*].purge.{in, soft, delay}",
    "requests.*.steps[*].purge.tags.**",
    "requests.*.steps[*].{work, wait, at, share, repeat, policy}",
    "requests.*.steps[*].serialize.per_kb",
    "requests.*.steps[*].policy.**",
    "requests.*.steps[*].call.{to, class, work, wait}",
    "requests.*.steps[*].third_party.{latency, error, timeout, required}",
    "requests.*.steps[*].parallel.**",
    "requests.*.steps[*].get.{keyspace, count}",
    "requests.*.steps[*].get.on_miss.{from, fill}",
    "requests.*.steps[*].mget.{keyspace, count}",
    "requests.*.steps[*].mget.on_miss.{from, fill}",
    "requests.*.steps[*].set.{keyspace, count}",
    "requests.*.steps[*].select.{from, keyspace, rows}",
    "requests.*.steps[*].update.{in, keyspace, rows}",
    "traffic.**",
    "curves.**",
    "faults[*].{at, for, kill, hang, unplug, serve_500, flush, disk_full}",
    "faults[*].slow.{target, times}",
    "faults[*].error_rate.{target, share}",
    "faults[*].cpu_steal.{target, share}",
    "faults[*].partition.**",
    "faults[*].delay.added",
    "faults[*].delay.between.**",
    "faults[*].loss.share",
    "faults[*].loss.between.**",
    "faults[*].deploy.{component, drain, down, warm_up, slower}",
    // Costs that the real stack has by itself.
    "calibration.**",
];

/// Checks that the reference stack can run a scenario as it is meant.
///
/// # Errors
/// Everything that it cannot, in one pass.
pub fn check(scenario: &Scenario) -> Result<(), Diagnostics> {
    let mut problems = check_components(scenario);
    announcements(scenario, &mut problems);
    if problems.is_empty() { Ok(()) } else { Err(Diagnostics::new(problems)) }
}

/// What of a scenario the components cannot do, wherever those stand who connect to them.
pub(crate) fn check_components(scenario: &Scenario) -> Vec<Diagnostic> {
    let mut problems = scenario.refuse_unless_supported(WORLD, SUPPORTS);
    hosts(scenario, &mut problems);
    network(scenario, &mut problems);
    deployments(scenario, &mut problems);
    fleets(scenario, &mut problems);
    caching(scenario, &mut problems);
    flushes(scenario, &mut problems);
    steps(scenario, &mut problems);
    engines(scenario, &mut problems);
    memory(scenario, &mut problems);
    features(scenario, &mut problems);
    engines::support::check(scenario, WORLD, &mut problems);
    problems
}

fn hosts(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    let mut refuse = |place: String, hint: &str| problems.push(scenario.unsupported(&place, WORLD, hint));
    for (id, host) in scenario.host_ids().zip(&scenario.hosts) {
        if host.count > INSTANCES_LIMIT {
            refuse(format!("hosts.{}.count", host.name), "a host can have at most 250 machines here");
        }
        if id.index() >= HOSTS_LIMIT {
            refuse(format!("hosts.{}", host.name), "there can be at most 250 hosts here");
        }
    }
}

/// Only balancers can be told which instances are there.
fn fleets(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    let mut refuse = |place: String, hint: &str| problems.push(scenario.unsupported(&place, WORLD, hint));
    for id in scenario.component_ids() {
        let component = scenario.component(id);
        let ComponentKind::Service(service) = &component.kind else { continue };
        if service.autoscale.is_none() {
            continue;
        }
        let calls = |other: &ComponentKind| match other {
            ComponentKind::LoadBalancer(_) => false,
            ComponentKind::Queue(queue) => queue.to == id,
            kind => kind.forwards_to() == Some(id),
        };
        let is_called = scenario.components.iter().any(|other| calls(&other.kind))
            || scenario.requests.iter().any(|class| asks(&class.steps, id));
        if is_called {
            let hint = "such a component can only be reached by a load-balancer here";
            refuse(format!("components.{}.autoscale", component.name), hint);
        }
        let is_it = |target: &FaultTarget| matches!(*target, FaultTarget::Component(hit, _) if hit == id);
        for (index, fault) in scenario.faults.iter().enumerate() {
            if matches!(fault.kind, FaultKind::Deploy(_)) && fault.targets.iter().any(is_it) {
                let hint = "a component that grows and shrinks cannot be deployed here";
                refuse(format!("faults[{index}].deploy.component"), hint);
            }
        }
    }
}

/// Whether any of these steps is another component's to ask of this one.
fn asks(steps: &[Step], id: ComponentId) -> bool {
    steps.iter().any(|step| match &step.action {
        Action::Parallel(branches) => asks(branches, id),
        _ => step.at == Some(id),
    })
}

fn network(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    if ways(scenario).len() > DOORS_LIMIT {
        let hint = "so many ways between machines do not fit here: at most 4,000";
        problems.push(scenario.unsupported("hosts", WORLD, hint));
    }
}

fn flushes(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    let is_cache = |target: &FaultTarget| match *target {
        FaultTarget::Component(id, _) => {
            matches!(scenario.component(id).kind, ComponentKind::HttpCache(_) | ComponentKind::KvStore(_))
        }
        _ => false,
    };
    for (number, fault) in scenario.faults.iter().enumerate() {
        if fault.kind == FaultKind::Flush && !fault.targets.iter().all(is_cache) {
            let hint = "only an http-cache and a kv-store can be flushed here";
            problems.push(scenario.unsupported(&format!("faults[{number}].flush"), WORLD, hint));
        }
    }
}

fn steps(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    if let Err(class) = Program::new(scenario) {
        let place = format!("requests.{}.steps", scenario.class(class).name);
        let hint = "at most 60,000 steps in all, repeats and calls spelled out: lower repeat";
        problems.push(scenario.unsupported(&place, WORLD, hint));
    }
}

/// Some servers are spoken to where that was built in.
fn engines(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    for component in &scenario.components {
        let (is_there, hint) = match &component.kind {
            ComponentKind::SqlStore(_) => {
                (cfg!(feature = "mysql"), "build with `--features reference/mysql`")
            }
            ComponentKind::Queue(_) => (cfg!(feature = "rabbitmq"), WITH_AMQP),
            _ => continue,
        };
        let is_wanted = matches!(component.engine, Engine::Url(_) | Engine::Server(Server::Rabbitmq));
        if is_wanted && !is_there {
            problems.push(scenario.unsupported(
                &format!("components.{}.engine", component.name),
                WORLD,
                hint,
            ));
        }
    }
}

/// Nobody is killed here for want of memory, so that there has to be enough of it.
fn memory(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    for (id, host) in scenario.host_ids().zip(&scenario.hosts) {
        let Some(memory) = host.memory else { continue };
        let most = |kind: &ComponentKind| match kind {
            ComponentKind::Service(service) => {
                let workers = service.memory_per_worker.get().saturating_mul(u64::from(service.workers));
                service.memory_base.get().saturating_add(workers)
            }
            _ => 0,
        };
        let on_it = scenario.components.iter().filter(|component| component.host == id);
        let jobs = scenario.jobs.iter().filter(|job| job.host == id).map(|job| job.memory.get());
        let needed = on_it.map(|component| most(&component.kind)).chain(jobs).fold(0, u64::saturating_add);
        if needed > memory.get() {
            let hint = "its services and jobs can need more: nobody is killed for want of memory here";
            problems.push(scenario.unsupported(&format!("hosts.{}.memory", host.name), WORLD, hint));
        }
    }
}

/// Whether whoever connects to a component on this machine must say first, by the PROXY protocol, whose connection it is. A
/// service takes that on every connection or on none.
pub(crate) fn is_announced(scenario: &Scenario, id: ComponentId) -> bool {
    let on_this_machine =
        |accepted: &[Peers]| accepted.iter().any(|n| n.contains(Ipv4Addr::LOCALHOST.into()));
    match &scenario.component(id).kind {
        ComponentKind::LoadBalancer(balancer) => on_this_machine(&balancer.accept_proxy),
        ComponentKind::HttpCache(cache) => on_this_machine(&cache.accept_proxy),
        ComponentKind::Service(_) => {
            scenario.components.iter().any(|c| c.kind.forwards_to() == Some(id) && announces(&c.kind))
        }
        _ => false,
    }
}

/// Whether a component says to those behind it whose connections it passes on.
fn announces(kind: &ComponentKind) -> bool {
    matches!(kind, ComponentKind::LoadBalancer(balancer) if balancer.send_proxy.is_some())
}

/// Who connects to a component that wants to be told whose connections these are, and does not tell it.
fn announcements(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    let hint = "it takes connections here only with the PROXY protocol, which is not spoken by this one";
    let mut refuse = |place: String| problems.push(scenario.unsupported(&place, WORLD, hint));
    let wants = |id| is_announced(scenario, id);
    for component in &scenario.components {
        if component.kind.forwards_to().is_some_and(wants) && !announces(&component.kind) {
            refuse(format!("components.{}.to", component.name));
        }
    }
    let mut steps: Vec<&Step> = scenario.requests.iter().flat_map(|class| &class.steps).collect();
    while let Some(step) = steps.pop() {
        if let Action::Parallel(branches) = &step.action {
            steps.extend(branches);
        }
        if step.at.is_some_and(wants) {
            refuse(format!("{}.at", step.place));
        }
    }
    for traffic in scenario.traffic.iter().filter(|traffic| wants(traffic.to)) {
        refuse(format!("traffic.{}.to", traffic.name));
    }
}

/// What only some builds have.
fn features(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    if cfg!(feature = "tls") {
        return;
    }
    for component in &scenario.components {
        let ComponentKind::LoadBalancer(balancer) = &component.kind else { continue };
        for (key, is_wanted) in [("tls", balancer.tls.is_some()), ("http2", balancer.http2)] {
            if is_wanted {
                let place = format!("components.{}.{key}", component.name);
                let hint = "this build has neither TLS nor HTTP/2: build it with --features reference/tls";
                problems.push(scenario.unsupported(&place, WORLD, hint));
            }
        }
    }
}

/// What HTTP has no way to say.
fn caching(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    let mut refuse = |place: String, hint: &str| problems.push(scenario.unsupported(&place, WORLD, hint));
    let mut seen: BTreeMap<String, (u32, u32, &[Language])> = BTreeMap::new();
    for class in &scenario.requests {
        let Some(rule) = &class.cache else { continue };
        let at = format!("requests.{}.cache", class.name);
        for (key, time) in [("ttl", Some(rule.ttl)), ("grace", rule.grace), ("keep", rule.keep)] {
            if time.is_some_and(|time| time.as_nanos() % 1_000_000_000 != 0) {
                refuse(format!("{at}.{key}"), "HTTP tells lifetimes in whole seconds");
            }
        }
        for vary in &rule.vary {
            let place = format!("{at}.vary.{}", vary.name);
            let is_token =
                |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
            if vary.languages.is_empty() && !is_token(&vary.name) {
                refuse(place.clone(), "it becomes the name of a header: letters, digits, - and _ only");
            }
            let values = (vary.values, vary.raw, vary.languages.as_slice());
            if *seen.entry(vary.header()).or_insert(values) != values {
                refuse(place, "a header is made alike by one rule: give it the same values in every class");
            }
        }
    }
}

fn deployments(scenario: &Scenario, problems: &mut Vec<Diagnostic>) {
    for (index, fault) in scenario.faults.iter().enumerate() {
        let is_service = |target: &FaultTarget| match *target {
            FaultTarget::Component(id, _) => matches!(scenario.component(id).kind, ComponentKind::Service(_)),
            _ => false,
        };
        if matches!(fault.kind, FaultKind::Deploy(_)) && !fault.targets.iter().all(is_service) {
            let hint = "only services are deployed here";
            problems.push(scenario.unsupported(&format!("faults[{index}].deploy.component"), WORLD, hint));
        }
    }
}

#[cfg(test)]
mod tests {
    use scenarios::Scenario;

    /// What is refused of a scenario with two classes whose caching is this.
    fn refused(first: &str, second: &str) -> String {
        let class = |name: &str, cache: &str| {
            format!(
                "[requests.{name}]\npath = \"/{name}\"\ncache = {cache}\n[[requests.{name}.steps]]\nwork = \"1ms\"\n"
            )
        };
        let text = format!(
            r#"
title = "A cache"
[run]
duration = "10s"
[hosts.edge]
[hosts.app]
[components.cache]
kind = "http-cache"
host = "edge"
to = "shop"
memory = "8MiB"
[components.shop]
kind = "service"
host = "app"
workers = 4
{}{}[traffic.people]
to = "cache"
executor = "constant-arrival-rate"
rate = "10/s"
mix = {{ a = 1, b = 1 }}
"#,
            class("a", first),
            class("b", second)
        );
        let scenario = Scenario::parse("cache.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        super::check(&scenario).err().map_or_else(String::new, |problems| problems.to_string())
    }

    #[test]
    fn what_http_has_no_way_to_say_is_refused_with_its_place() {
        let vary = |values| format!("{{ ttl = \"5s\", vary = {{ groups = {values} }} }}");
        assert_eq!(refused(&vary("3"), &vary("3")), "");
        let other = refused(&vary("3"), &vary("4"));
        assert!(other.contains("requests.b.cache.vary.groups") && !other.contains("requests.a"), "{other}");
        let languages = |list: &str| {
            let rule = format!("{{ accept_language = {list}, raw = 9 }}");
            format!("{{ ttl = \"5s\", vary = {{ language = {rule} }} }}")
        };
        assert_eq!(refused(&languages("[\"en\", \"de\"]"), &languages("[\"en\", \"DE\"]")), "");
        let other = refused(&languages("[\"en\", \"de\"]"), &languages("[\"de\", \"en\"]"));
        assert!(other.contains("requests.b.cache.vary.language"), "{other}");
        let short = refused("{ ttl = \"1500ms\" }", "{ ttl = \"5s\", grace = \"5ms\" }");
        assert!(
            short.contains("requests.a.cache.ttl") && short.contains("requests.b.cache.grace"),
            "{short}"
        );
        let name = refused("{ ttl = \"5s\", vary = { \"a b\" = 3 } }", "{ ttl = \"5s\" }");
        assert!(name.contains("name of a header"), "{name}");
    }

    #[test]
    fn what_speaks_amqp_is_refused_of_a_build_that_does_not() {
        let text = r#"
title = "A queue"
[run]
duration = "10s"
[hosts.app]
[hosts.bus]
[components.shop]
kind = "service"
host = "app"
[components.mail]
kind = "queue"
host = "bus"
to = "shop"
class = "letter"
engine = "ENGINE"
[requests.letter]
path = "/letter"
steps = [{ work = "1ms" }]
[requests.page]
path = "/"
steps = [{ publish = { to = "mail" } }]
[traffic.people]
to = "shop"
executor = "constant-arrival-rate"
rate = "10/s"
mix = { page = 1 }
"#;
        for engine in ["rabbitmq", "amqp://guest:guest@127.0.0.1:5672/"] {
            let text = text.replace("ENGINE", engine);
            let scenario =
                Scenario::parse("queue.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
            let refused = super::check(&scenario).err().map_or_else(String::new, |p| p.to_string());
            let is_told = refused.contains("components.mail.engine") && refused.contains(super::WITH_AMQP);
            assert_eq!(
                (refused.is_empty(), is_told),
                (cfg!(feature = "rabbitmq"), !cfg!(feature = "rabbitmq"))
            );
        }
    }

    #[test]
    fn every_pattern_names_something_in_the_format() {
        assert_eq!(scenarios::supports::patterns_of_nothing(super::SUPPORTS), [""; 0]);
    }
}
