//! The scenario as meant, in words and numbers: topology, traffic, what the means say about load, faults, memory.
//!
//! The figures follow from means alone: no queueing, no simulation. They say where to look, not what will happen.

mod cost;
mod load;
mod machines;
mod topology;

use std::fmt::Write as _;

use crate::rate::RateCurve;
use crate::scenario::{Action, ComponentKind, Executor, HostId, Scenario, Step, Traffic, Users, serializing};
use crate::units::{Bytes, SimTime};
use crate::validate::record_bytes;
pub use load::{Offered, offered};

/// What the means say cannot be served, each in a sentence: no error, for overload is a question that people ask.
pub fn warnings(scenario: &Scenario) -> Vec<String> {
    let mut warnings = load::overloads(scenario);
    warnings.extend(machines::shortages(scenario));
    warnings.extend(scenario.calibration_warning());
    warnings
}

/// What the scenario costs in a month, by currency; none where it states no prices. `machines` is how many of a host's
/// machines there were on average; where it does not say, there were all of them.
pub fn monthly_cost(
    scenario: &Scenario,
    machines: &dyn Fn(HostId) -> Option<f64>,
) -> Vec<crate::units::Price> {
    cost::totals(scenario, machines)
}

/// How many requests the means expect in a part of the timeline; of closed loops, as if nothing ever queued.
pub fn expected(scenario: &Scenario, from: SimTime, until: SimTime) -> f64 {
    let (from, until) = (from.as_secs_f64(), until.as_secs_f64());
    let of = |traffic: &Traffic| {
        let (curve, factor) = Numbers::curve(scenario, traffic);
        curve.expected(from, until) * factor
    };
    scenario.traffic.iter().map(of).sum()
}

/// Whom a component asks, each once.
pub fn asked_by(scenario: &Scenario, id: crate::scenario::ComponentId) -> Vec<crate::scenario::ComponentId> {
    topology::children(scenario, id)
}

/// Explains a scenario.
pub fn explain(scenario: &Scenario) -> String {
    let mut out = String::new();
    writing(&mut out, scenario).expect("writing to a string does not fail");
    out
}

fn writing(out: &mut String, scenario: &Scenario) -> std::fmt::Result {
    writeln!(out, "{}", scenario.title)?;
    if let Some(question) = &scenario.question {
        writeln!(out, "{question}")?;
    }
    if let Some(answer) = &scenario.answer {
        writeln!(out, "{answer}")?;
    }
    let run = &scenario.run;
    write!(out, "\nRun: {} measured", run.duration)?;
    if run.finds_warmup {
        write!(out, " after a warm-up that is found out")?;
    } else if run.warmup > SimTime::ZERO {
        write!(out, " after {} of warm-up", run.warmup)?;
    }
    if run.from > SimTime::ZERO {
        write!(out, ", from {} on the timeline", run.from)?;
    }
    writeln!(out, ", seed {}", run.seed)?;
    writeln!(out, "\nTopology")?;
    topology::write(out, scenario)?;
    writeln!(out, "\nTraffic (measured part)")?;
    traffic(out, scenario)?;
    writeln!(out, "\nLoad predicted from means, without queueing")?;
    load::write(out, scenario)?;
    memory(out, scenario)?;
    machines::write(out, scenario)?;
    let costs = cost::per_month(scenario);
    if !costs.is_empty() {
        writeln!(out, "\nCost per month")?;
        for (what, price) in &costs {
            writeln!(out, "  {what:24}{:>18}", format!("{:.2} {}", price.per_month, price.currency))?;
        }
    }
    if !scenario.faults.is_empty() {
        writeln!(out, "\nFaults (in time after the warm-up)")?;
        for fault in &scenario.faults {
            let at = match fault.from >= run.warmup {
                true => fault.from.saturating_sub(run.warmup).to_string(),
                false => format!("{} before", run.warmup.saturating_sub(fault.from)),
            };
            writeln!(out, "  at {at}  {}  for {}", fault.name, fault.until.saturating_sub(fault.from))?;
        }
    }
    if !scenario.thresholds.is_empty() {
        writeln!(out, "\nGood means")?;
        for threshold in &scenario.thresholds {
            writeln!(out, "  {}: {}", threshold.selector, threshold.condition)?;
        }
    }
    Ok(())
}

/// Mean and peak of a traffic's rate over the measured part, and the requests expected in it.
struct Numbers {
    mean: f64,
    peak: f64,
    expected: f64,
}

impl Numbers {
    fn of(scenario: &Scenario, traffic: &Traffic) -> Self {
        let run = &scenario.run;
        let (from, length) = (run.from.as_secs_f64(), run.duration.as_secs_f64());
        let (curve, factor) = Self::curve(scenario, traffic);
        let expected = curve.expected(from, from + length) * factor;
        let peak = curve.peak_between(from, from + length) * factor;
        Self { mean: expected / length, peak, expected }
    }

    /// What arrives or asks over time, and how many requests each makes, a second where they are users.
    fn curve<'s>(scenario: &Scenario, traffic: &'s Traffic) -> (&'s RateCurve, f64) {
        match &traffic.executor {
            // A user cannot ask again before having thought and been worked for.
            Executor::Users(users) => (&users.level, 1.0 / least_cycle_s(scenario, traffic, users).max(1e-9)),
            _ => (&traffic.rate, traffic.requests_per_arrival()),
        }
    }
}

/// The mean time of a cycle of a closed loop's user without any queueing, in seconds: what bounds a closed loop's rate from above. See
/// E. D. Lazowska et al., "Quantitative System Performance", 1984, chapter 5.
pub fn least_cycle_s(scenario: &Scenario, traffic: &Traffic, users: &Users) -> f64 {
    let step = |step: &Step| match &step.action {
        Action::Work(law) | Action::Wait(law) => law.mean().as_secs_f64(),
        Action::Serialize { per_kb, response } => serializing(*per_kb, response.mean()),
        _ => 0.0,
    };
    let class = |class| scenario.class(class).steps.iter().map(step).sum::<f64>();
    let work: f64 = traffic.mix.iter().map(|(id, share)| share.get() * class(*id)).sum();
    users.think.mean().as_secs_f64() + work
}

fn traffic(out: &mut String, scenario: &Scenario) -> std::fmt::Result {
    writeln!(out, "  {:24}{:>12}{:>12}{:>18}", "", "mean", "peak", "expected")?;
    let mut sum = Numbers { mean: 0.0, peak: 0.0, expected: 0.0 };
    for traffic in &scenario.traffic {
        let n = Numbers::of(scenario, traffic);
        row(out, &traffic.name, &n)?;
        match &traffic.executor {
            Executor::Users(users) => {
                let most = users.level.peak().round();
                writeln!(out, "    a closed loop of {most} users at most: rates as if nothing ever queued")?;
            }
            Executor::Sessions(session) => {
                let (all, visit) = (session.mean_requests(), session.requests);
                writeln!(out, "    sessions of {visit} requests a visit, {all:.1} a user on average")?;
            }
            _ => {}
        }
        for (class, share) in &traffic.mix {
            let part = |x| x * share.get();
            let class_numbers =
                Numbers { mean: part(n.mean), peak: part(n.peak), expected: part(n.expected) };
            row(
                out,
                &format!("  {} {:.1}%", scenario.class(*class).name, share.get() * 100.0),
                &class_numbers,
            )?;
        }
        sum =
            Numbers { mean: sum.mean + n.mean, peak: sum.peak + n.peak, expected: sum.expected + n.expected };
    }
    if scenario.traffic.len() > 1 {
        row(out, "all (peaks added)", &sum)?;
    }
    Ok(())
}

fn row(out: &mut String, name: &str, n: &Numbers) -> std::fmt::Result {
    let rate = |r: f64| format!("{r:.1}/s");
    writeln!(out, "  {name:24}{:>12}{:>12}{:>18.0}", rate(n.mean), rate(n.peak), n.expected)
}

/// What the records of each store would take.
fn memory(out: &mut String, scenario: &Scenario) -> std::fmt::Result {
    let stores: Vec<_> = scenario
        .component_ids()
        .filter_map(|id| match &scenario.component(id).kind {
            ComponentKind::KvStore(store) => Some((id, store)),
            _ => None,
        })
        .collect();
    if stores.is_empty() {
        return Ok(());
    }
    writeln!(out, "\nMemory of records (means)")?;
    for (id, store) in stores {
        let mut limit = store.max_memory.map_or("unlimited".to_owned(), |m| format!("limit {m}"));
        if store.shards.is_some() {
            limit += &format!(" for each of {} shards", scenario.instances(id));
        }
        writeln!(out, "  {}: {limit}", scenario.component(id).name)?;
        for keyspace in scenario.keyspaces.iter().filter(|k| k.store == id) {
            let bytes = |keys: u64| rounded(record_bytes(keyspace) * keys as f64);
            write!(out, "    {}: {} keys take {}", keyspace.name, keyspace.keys, bytes(keyspace.keys))?;
            match keyspace.persistent {
                true => writeln!(out, ", persistent")?,
                false => writeln!(out, ", prefilled {} take {}", keyspace.prefill, bytes(keyspace.prefill))?,
            }
        }
    }
    Ok(())
}

/// Bytes to three digits.
fn rounded(bytes: f64) -> String {
    let bytes = Bytes::new(bytes.round() as u64).get() as f64;
    for (unit, size) in [("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)] {
        if bytes >= size {
            let digits = if bytes >= 100.0 * size {
                0
            } else if bytes >= 10.0 * size {
                1
            } else {
                2
            };
            return format!("{:.digits$} {unit}", bytes / size);
        }
    }
    format!("{bytes:.0} B")
}
