//! Offered load against capacity: the utilisation law, on means.

use std::fmt::Write as _;

use super::Numbers;
use crate::scenario::{Action, ClassId, ComponentId, ComponentKind, Scenario};

/// The service that a component's requests are walked by.
fn served_by(scenario: &Scenario, entry: ComponentId) -> ComponentId {
    let mut at = entry;
    while let ComponentKind::LoadBalancer(balancer) = &scenario.component(at).kind {
        at = balancer.to;
    }
    at
}

/// The classes whose steps a service walks.
pub(super) fn classes_of(scenario: &Scenario, service: ComponentId) -> Vec<ClassId> {
    let mut classes: Vec<ClassId> = scenario
        .traffic
        .iter()
        .filter(|t| served_by(scenario, t.to) == service)
        .flat_map(|t| t.mix.iter().map(|(class, _)| *class))
        .collect();
    classes.sort_unstable();
    classes.dedup();
    classes
}

/// Seconds of something asked for per second: at the mean rate and at the peak; `least` where every read hits, `most`
/// where every read misses.
#[derive(Clone, Copy, Default)]
struct Demand {
    mean: Range,
    peak: Range,
}

#[derive(Clone, Copy, Default)]
struct Range {
    least: f64,
    most: f64,
}

impl Demand {
    fn add(&mut self, numbers: &Numbers, share: f64, seconds: f64, always: bool) {
        for (range, rate) in [(&mut self.mean, numbers.mean), (&mut self.peak, numbers.peak)] {
            range.most += rate * share * seconds;
            range.least += if always { rate * share * seconds } else { 0.0 };
        }
    }
}

pub(super) fn write(out: &mut String, scenario: &Scenario) -> std::fmt::Result {
    let mut cores = vec![Demand::default(); scenario.hosts.len()];
    let mut places = vec![Demand::default(); scenario.components.len()];
    for traffic in &scenario.traffic {
        let numbers = Numbers::of(scenario, traffic);
        let service = served_by(scenario, traffic.to);
        for (class, share) in &traffic.mix {
            let share = share.get();
            for step in &scenario.class(*class).steps {
                // While a service waits for another, its own worker is held as well.
                let mut spend = |by: ComponentId, seconds: f64, core: bool, always: bool| {
                    places[service.index()].add(&numbers, share, seconds, always);
                    if by != service {
                        places[by.index()].add(&numbers, share, seconds, always);
                    }
                    if core {
                        cores[scenario.component(by).host.index()].add(&numbers, share, seconds, always);
                    }
                };
                let statement = |database: ComponentId, write: bool| match &scenario.component(database).kind
                {
                    ComponentKind::SqlStore(s) => if write { s.write } else { s.read }.mean().as_secs_f64(),
                    _ => 0.0,
                };
                match &step.action {
                    Action::Work(law) => {
                        spend(step.at.unwrap_or(service), law.mean().as_secs_f64(), true, true)
                    }
                    Action::Wait(law) => {
                        spend(step.at.unwrap_or(service), law.mean().as_secs_f64(), false, true)
                    }
                    Action::Get { on_miss: Some(miss), .. } => {
                        spend(miss.from, statement(miss.from, false), true, false)
                    }
                    Action::Select { database, .. } => {
                        spend(*database, statement(*database, false), true, true)
                    }
                    Action::Update { database, .. } => {
                        spend(*database, statement(*database, true), true, true)
                    }
                    Action::Get { on_miss: None, .. } | Action::Set { .. } => {}
                }
            }
        }
    }
    for (host, demand) in scenario.hosts.iter().zip(&cores) {
        let capacity = f64::from(host.count) * f64::from(host.cores);
        let cores = host.count * host.cores;
        let what = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
        row(out, &format!("host {}", host.name), &what, demand, capacity)?;
    }
    for (component, demand) in scenario.components.iter().zip(&places) {
        let per_instance = match &component.kind {
            ComponentKind::Service(s) => s.workers,
            ComponentKind::SqlStore(s) => s.connections,
            _ => continue,
        };
        let count = u64::from(per_instance) * u64::from(scenario.host(component.host).count);
        let what =
            if matches!(component.kind, ComponentKind::Service(_)) { "workers" } else { "connections" };
        row(out, &component.name, &format!("{count} {what}"), demand, count as f64)?;
    }
    Ok(())
}

fn row(out: &mut String, name: &str, what: &str, demand: &Demand, capacity: f64) -> std::fmt::Result {
    // The scenario states no processor time for it.
    if demand.peak.most == 0.0 {
        return Ok(());
    }
    let percent = |range: Range| {
        let (least, most) = (100.0 * range.least / capacity, 100.0 * range.most / capacity);
        if most - least < 0.05 { format!("{most:.1}%") } else { format!("{least:.1}% to {most:.1}%") }
    };
    let warning = match demand.peak {
        peak if peak.least >= capacity => "  overloaded",
        peak if peak.most >= capacity => "  overloaded if every read misses",
        _ => "",
    };
    writeln!(
        out,
        "  {name:24}{what:>18}  mean {}, peak {}{warning}",
        percent(demand.mean),
        percent(demand.peak)
    )
}
