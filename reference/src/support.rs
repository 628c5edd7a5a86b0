//! What of a scenario this stack can run. Everything else is an error before anything is started.

use scenarios::scenario::{Action, ComponentKind, Eviction, WorkerHolds};
use scenarios::{Diagnostic, Diagnostics, Scenario};

use crate::addresses::{HOSTS_LIMIT, INSTANCES_LIMIT};

const WORLD: &str = "the reference stack";

/// Checks that the reference stack can run a scenario as it is meant.
///
/// # Errors
/// Everything that it cannot, in one pass.
pub fn check(scenario: &Scenario) -> Result<(), Diagnostics> {
    let mut problems = Vec::new();
    let mut refuse = |place: String, hint: &str| problems.push(scenario.unsupported(&place, WORLD, hint));
    hosts(scenario, &mut refuse);
    components(scenario, &mut refuse);
    steps(scenario, &mut refuse);
    for traffic in scenario.traffic.iter().filter(|t| t.retries.is_some()) {
        refuse(format!("traffic.{}.retries", traffic.name), "leave it out");
    }
    let problems: Vec<Diagnostic> = problems;
    if problems.is_empty() { Ok(()) } else { Err(Diagnostics::new(problems)) }
}

fn hosts(scenario: &Scenario, refuse: &mut impl FnMut(String, &str)) {
    for (id, host) in scenario.host_ids().zip(&scenario.hosts) {
        if host.count > INSTANCES_LIMIT {
            refuse(format!("hosts.{}.count", host.name), "a host can have at most 250 machines here");
        }
        if id.index() >= HOSTS_LIMIT {
            refuse(format!("hosts.{}", host.name), "there can be at most 250 hosts here");
        }
        let on_it = scenario.components.iter().filter(|c| c.host == id);
        let mut working =
            on_it.filter(|c| matches!(c.kind, ComponentKind::Service(_) | ComponentKind::SqlStore(_)));
        let _first = working.next();
        for other in working {
            refuse(
                format!("components.{}.host", other.name),
                "two components that use the cores of one host are not implemented; give each a host of its own",
            );
        }
    }
}

fn components(scenario: &Scenario, refuse: &mut impl FnMut(String, &str)) {
    for component in &scenario.components {
        for field in ["workers.max", "keep_alive", "when_full", "autoscale"] {
            let place = format!("components.{}.{field}", component.name);
            if scenario.locations.has(&place) {
                refuse(place, "leave it out");
            }
        }
        match &component.kind {
            ComponentKind::Service(service) if service.worker_holds != WorkerHolds::Request => refuse(
                format!("components.{}.worker_holds", component.name),
                "write \"request\", or leave it out",
            ),
            ComponentKind::LoadBalancer(balancer) => {
                let to = scenario.component(balancer.to);
                if matches!(to.kind, ComponentKind::KvStore(_) | ComponentKind::SqlStore(_)) {
                    refuse(format!("components.{}.to", component.name), "name a service or a load balancer");
                }
            }
            ComponentKind::KvStore(store)
                if !matches!(store.eviction, Eviction::NoEviction | Eviction::VolatileLru) =>
            {
                refuse(
                    format!("components.{}.eviction", component.name),
                    "this stack's own store has \"noeviction\" and \"volatile-lru\"",
                );
            }
            ComponentKind::Service(_) | ComponentKind::KvStore(_) | ComponentKind::SqlStore(_) => {}
            other => refuse(
                format!("components.{}.kind", component.name),
                &format!("the kind \"{}\" is not implemented", other.name()),
            ),
        }
    }
}

fn steps(scenario: &Scenario, refuse: &mut impl FnMut(String, &str)) {
    for class in &scenario.requests {
        for (index, step) in class.steps.iter().enumerate() {
            let place = |field: &str| format!("requests.{}.steps[{}].{field}", class.name, index + 1);
            let known = matches!(
                step.action,
                Action::Work(_)
                    | Action::Wait(_)
                    | Action::Get { .. }
                    | Action::Set { .. }
                    | Action::Select { .. }
                    | Action::Update { .. }
            );
            if !known {
                refuse(place("").trim_end_matches('.').to_owned(), "this kind of step is not implemented");
            }
            for field in ["share", "repeat", "policy"] {
                if scenario.locations.has(&place(field)) {
                    refuse(place(field), "leave it out");
                }
            }
            let at_service = |id| matches!(scenario.component(id).kind, ComponentKind::Service(_));
            if step.at.is_some_and(|at| !at_service(at)) {
                refuse(place("at"), "name a service");
            }
        }
    }
}
