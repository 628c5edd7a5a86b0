//! The topology as a tree, from each traffic's entry.

use std::fmt::Write as _;

use crate::scenario::{Action, ClassId, ComponentId, ComponentKind, EdgeRule, Probe, Scenario};

pub(super) fn write(out: &mut String, scenario: &Scenario) -> std::fmt::Result {
    let mut seen = Vec::new();
    for traffic in &scenario.traffic {
        writeln!(
            out,
            "  {} ({} connections, timeout {})",
            traffic.name, traffic.connections, traffic.timeout
        )?;
        node(out, scenario, traffic.to, "  ", true, &mut seen)?;
    }
    let unused: Vec<&str> = scenario
        .component_ids()
        .filter(|id| !seen.contains(id))
        .map(|id| scenario.component(id).name.as_str())
        .collect();
    if !unused.is_empty() {
        writeln!(out, "  never reached: {}", unused.join(", "))?;
    }
    Ok(())
}

fn node(
    out: &mut String,
    scenario: &Scenario,
    id: ComponentId,
    indent: &str,
    last: bool,
    seen: &mut Vec<ComponentId>,
) -> std::fmt::Result {
    let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    writeln!(out, "{indent}{branch}{}", describe(scenario, id))?;
    if seen.contains(&id) {
        return Ok(());
    }
    seen.push(id);
    let below = format!("{indent}{below}");
    let children = children(scenario, id);
    for (i, child) in children.iter().enumerate() {
        node(out, scenario, *child, &below, i + 1 == children.len(), seen)?;
    }
    Ok(())
}

/// Whom a component asks, in the file's order. A service asks what the steps of any class name.
pub(super) fn children(scenario: &Scenario, id: ComponentId) -> Vec<ComponentId> {
    match &scenario.component(id).kind {
        ComponentKind::LoadBalancer(balancer) => vec![balancer.to],
        ComponentKind::HttpCache(cache) => vec![cache.to],
        ComponentKind::Cdn(cdn) => vec![cdn.to],
        ComponentKind::Service(_) => {
            let mut asked = Vec::new();
            let classes = super::load::classes_of(scenario, id);
            for step in classes.iter().flat_map(|class| scenario.class(*class).all_steps()) {
                asked.extend(step.at);
                match &step.action {
                    Action::Work(_)
                    | Action::Serialize { .. }
                    | Action::Wait(_)
                    | Action::Call(_)
                    | Action::ThirdParty(_)
                    | Action::Publish
                    | Action::Parallel(_) => {}
                    Action::Get { keyspace, on_miss, .. } => {
                        asked.push(scenario.keyspace(*keyspace).store);
                        asked.extend(on_miss.map(|miss| miss.from));
                    }
                    Action::Purge(purge) => asked.push(purge.cache),
                    Action::Set { keyspace, .. } => asked.push(scenario.keyspace(*keyspace).store),
                    Action::Select { database, .. } | Action::Update { database, .. } => {
                        asked.push(*database)
                    }
                }
            }
            asked.sort_unstable();
            asked.dedup();
            asked
        }
        ComponentKind::Queue(queue) => vec![queue.to],
        ComponentKind::KvStore(_) | ComponentKind::SqlStore(_) => Vec::new(),
    }
}

fn describe(scenario: &Scenario, id: ComponentId) -> String {
    let component = scenario.component(id);
    let host = scenario.host(component.host);
    let count = if host.count > 1 { format!(" × {}", host.count) } else { String::new() };
    let details = match &component.kind {
        ComponentKind::LoadBalancer(b) => {
            let checks = b.health_check.as_ref().map_or("no health check".to_owned(), |c| {
                let probe = match &c.probe {
                    Probe::Http(path) => path,
                    Probe::Tcp => "the port",
                };
                format!("checks {probe} every {}, fall {}, rise {}", c.interval, c.fall, c.rise)
            });
            format!("{}, {checks}", b.balance.name())
        }
        ComponentKind::HttpCache(c) => {
            let own = if c.same_host { ", each to its own machine" } else { "" };
            format!("{}, grace {}{own}", c.memory, c.grace)
        }
        ComponentKind::Cdn(c) => {
            let class = |(class, rule): &(ClassId, EdgeRule)| match rule {
                EdgeRule::Share(share) => format!("{share} of {}", scenario.class(*class).name),
                EdgeRule::Kept(ttl) => format!("{} for {ttl}", scenario.class(*class).name),
            };
            let served: Vec<String> = c.serves.iter().map(class).collect();
            format!("answers {}", if served.is_empty() { "nothing".to_owned() } else { served.join(", ") })
        }
        ComponentKind::Service(s) => {
            let scaled = s.autoscale.map(|a| format!(", autoscaled from {} to {}", a.least, a.most));
            format!("{} workers, backlog {}{}", s.workers, s.backlog, scaled.unwrap_or_default())
        }
        ComponentKind::KvStore(s) => {
            let memory = s.max_memory.map_or("unlimited".to_owned(), |m| format!("at most {m}"));
            match s.shards {
                None => memory,
                Some(by) => format!("{memory} a shard, keys by {}", by.name()),
            }
        }
        ComponentKind::SqlStore(s) => format!("{} statements at once", s.connections),
        ComponentKind::Queue(q) => format!("{} unacknowledged at each consumer", q.prefetch),
    };
    let cores = if host.cores == 1 { "1 core".to_owned() } else { format!("{} cores", host.cores) };
    format!("{}{count}: {} on {} ({cores}), {details}", component.name, component.kind.name(), host.name)
}
