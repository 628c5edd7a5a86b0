//! What a run says of each probe and of the components' processor time, and whether it may be used.

use std::collections::BTreeMap;

use reports::twin::judge::MOST_BUSY;
use results::provenance::Machine;
use results::statistics::Moments;
use results::{RunRecord, Scope, Status, World, observed_series, sample};
use scenarios::Scenario;
use scenarios::derive::measuring::{Cost, CostKind, Measuring, Probe, busiest_station};
use scenarios::threshold::Aggregate;

use super::fit::{Equation, Of};

/// Above half load what waits is no fixed cost.
const HALF: f64 = 0.5;
/// What is known of a probe needs so many requests at least, and so few failures.
const FEWEST_REQUESTS: u64 = 30;
const MOST_FAILED: f64 = 0.01;
/// The distance between a normal law's quartiles, in standard deviations.
const QUARTILES: f64 = 1.348_979_5;
/// What is wider above its median is not a component's: the machine had others to serve.
const MOST_SIGMA: f64 = 1.0;
/// What the processor time of a store's command or a cache's or balancer's request is trusted with: less than probes, and less than what is assumed of
/// the client's end, as some of it is spent when the answer is on its way already.
const WEIGHT_OF_CPU: f64 = 1e-4;

/// What a run says of a probe: the mean and the variance of its service times, as a log-normal law with their quartiles has them. A
/// machine that is shared gives up to a quarter of all requests some milliseconds that belong to no component; they decide neither.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Seen {
    pub(super) requests: u64,
    pub(super) mean_s: f64,
    pub(super) variance: f64,
}

impl Seen {
    /// Of a histogram: values in seconds, in ascending order, and how many of each.
    pub(super) fn of(values: &[(f64, u64)]) -> Self {
        let requests: u64 = values.iter().map(|(_, n)| n).sum();
        let at_rank = |share: f64| {
            let rank = ((share * requests as f64).ceil() as u64).max(1);
            let mut so_far = 0;
            let found = values.iter().find(|(_, n)| {
                so_far += n;
                so_far >= rank
            });
            found.map_or(0.0, |(value, _)| *value)
        };
        let [lower, median, upper] = [0.25, 0.5, 0.75].map(at_rank);
        let (mean_s, variance) = shifted_lognormal(lower, median, upper);
        Self { requests, mean_s, variance }
    }
}

/// The mean and the variance of a log-normal law that begins at some least time and has these quartiles (A. C. Cohen and B. J. Whitten,
/// *Estimation in the three-parameter lognormal distribution*, Journal of the American Statistical Association 75, 1980, by quantiles).
fn shifted_lognormal(lower: f64, median: f64, upper: f64) -> (f64, f64) {
    let (below, above) = (median - lower, upper - median);
    if below <= 0.0 || above <= below {
        // No longer above than below: the limit of a law without skew.
        return (median, ((upper - lower) / QUARTILES).powi(2));
    }
    let sigma = ((above / below).ln() / (QUARTILES / 2.0)).min(MOST_SIGMA);
    let scale = below / -(-sigma * QUARTILES / 2.0).exp_m1();
    let growth = (sigma * sigma / 2.0).exp();
    (median + scale * (growth - 1.0), scale * scale * growth * growth * (sigma * sigma).exp_m1())
}

/// What a run says.
#[derive(Clone, Debug)]
pub(super) struct Run {
    /// Of each probe.
    pub(super) seen: Vec<Seen>,
    /// Processor time of a request, command or statement, by component.
    pub(super) cpu_s: BTreeMap<String, f64>,
    /// Memory of stores beside their records, in bytes, of those that tell it.
    pub(super) overhead_bytes: BTreeMap<String, f64>,
    pub(super) seed: u64,
    pub(super) length_s: f64,
    pub(super) machine: Machine,
    /// The share of the machine's processors that was busy, whoever used them; none where the record does not say.
    pub(super) busy: Option<f64>,
}

impl Run {
    /// What a record says.
    ///
    /// # Errors
    /// Why it may not be used.
    pub(super) fn of(record: &RunRecord, scenario: &Scenario, measuring: &Measuring) -> Result<Self, String> {
        if record.world != World::Loadgen {
            return Err("it was simulated".to_owned());
        }
        if record.status != Status::Complete {
            return Err("it did not go to its end".to_owned());
        }
        if let Some(reason) = record.validity.reasons.first() {
            return Err(format!("it is invalid: {reason}"));
        }
        let facts = &record.scenario;
        let run = Scenario::parse(&facts.path, facts.text.clone())
            .map_err(|_| "its scenario is of another version".to_owned())?;
        if run.stack() != scenario.stack() {
            let short = |stack: String| stack.chars().take(12).collect::<String>();
            let (found, own) = (short(run.stack()), short(scenario.stack()));
            return Err(format!("it is of another stack ({found}…) than this file's ({own}…)"));
        }
        let class = |probe: &Probe| facts.classes.iter().position(|class| *class == probe.class);
        let classes: Option<Vec<usize>> = measuring.probes.iter().map(class).collect();
        let Some(classes) = classes else {
            return Err("it has not this file's probes; \"loadgen measure\" makes such runs".to_owned());
        };
        load(record, &run)?;
        let seen = classes.into_iter().map(|class| seen(record, class)).collect::<Result<_, String>>()?;
        Ok(Self {
            seen,
            cpu_s: cpu(record),
            overhead_bytes: overhead(record),
            seed: facts.seed,
            length_s: facts.duration.as_secs_f64(),
            machine: record.provenance.machine.clone(),
            busy: average(record, sample::GENERATOR, sample::MACHINE_BUSY),
        })
    }

    /// The run, where its machine had room, or where that does not matter.
    ///
    /// # Errors
    /// That it had none.
    pub(super) fn on_idle_machine(self, allow_busy: bool) -> Result<Self, String> {
        match self.busy {
            _ if allow_busy => Ok(self),
            Some(busy) if busy <= MOST_BUSY => Ok(self),
            Some(busy) => {
                let (busy, most) = (percent(busy), percent(MOST_BUSY));
                Err(format!(
                    "the machine was busy {busy} of the time, whoever used it, expected at most {most} (--allow-busy takes it)"
                ))
            }
            None => Err("it does not say how busy the machine was (--allow-busy takes it)".to_owned()),
        }
    }
}

pub(super) fn percent(share: f64) -> String {
    format!("{:.0}%", share * 100.0)
}

/// Refuses a run in which something was more than half busy, by means or by what was observed.
fn load(record: &RunRecord, scenario: &Scenario) -> Result<(), String> {
    let stated = busiest_station(scenario);
    if stated > HALF {
        let stated = percent(stated);
        return Err(format!("a station is asked for {stated} of what it can do, expected at most half"));
    }
    for component in &scenario.components {
        let busy = average(record, &component.name, sample::UTILISATION).unwrap_or(0.0);
        if busy > HALF {
            let busy = percent(busy);
            return Err(format!("{} was busy {busy} of the time, expected at most half", component.name));
        }
    }
    Ok(())
}

fn average(record: &RunRecord, of: &str, metric: &str) -> Option<f64> {
    observed_series(record, of, metric, Aggregate::Average)
}

fn seen(record: &RunRecord, class: usize) -> Result<Seen, String> {
    let tally = record.tally(Scope::Run, Some(class));
    let name = &record.scenario.classes[class];
    let failed = tally.failed() as f64 / tally.due().max(1) as f64;
    if failed > MOST_FAILED {
        return Err(format!("{:.1}% of the requests of {name} failed", failed * 100.0));
    }
    let middle = |(low, high, n): (u64, u64, u64)| ((low as f64 + high as f64) / 2e9, n);
    let values: Vec<(f64, u64)> = tally.service.iter().map(middle).collect();
    let seen = Seen::of(&values);
    if seen.requests < FEWEST_REQUESTS {
        let least = format!("expected at least {FEWEST_REQUESTS}: measure longer");
        return Err(format!("{name} has {} requests, {least}", seen.requests));
    }
    Ok(seen)
}

/// The processor time that components took for each request, by the scheduler's account.
fn cpu(record: &RunRecord) -> BTreeMap<String, f64> {
    let of = |name: &String| {
        let instances = record.series(name, sample::CPU).count() as f64;
        let cores = average(record, name, sample::CPU)? * instances;
        let rate =
            observed_series(record, name, sample::REQUESTS, Aggregate::Rate).filter(|rate| *rate > 0.0)?;
        Some((name.clone(), cores / rate))
    };
    record.scenario.components.iter().filter_map(|component| of(&component.name)).collect()
}

/// The memory of stores beside their records.
fn overhead(record: &RunRecord) -> BTreeMap<String, f64> {
    let of = |name: &String| Some((name.clone(), average(record, name, sample::OVERHEAD_BYTES)?));
    record.scenario.components.iter().filter_map(|component| of(&component.name)).collect()
}

/// The processor time of a component's requests, run by run; none where one of the runs does not tell it.
fn spent(runs: &[Run], component: &str) -> Option<Vec<f64>> {
    runs.iter().map(|run| run.cpu_s.get(component).copied()).collect()
}

/// What is to be solved: that each probe takes the sum of its costs, and what the processor time of stores and caches says.
pub(super) fn equations(probes: &[Probe], runs: &[Run]) -> Vec<Equation> {
    // Where nobody knows what a database's processors did, all that its statements take is taken for theirs.
    let is_known = |(cost, _): &&(Cost, f64)| match (cost.kind, &cost.component) {
        (CostKind::ReadLatency | CostKind::WriteLatency, Some(name)) => spent(runs, name).is_some(),
        _ => true,
    };
    let of_probe = |(number, probe): (usize, &Probe)| Equation {
        of: Of::Probe(probe.class.clone()),
        terms: probe.terms.iter().filter(is_known).cloned().collect(),
        weight: 1.0,
        means_s: runs.iter().map(|run| run.seen[number].mean_s - probe.known.as_secs_f64()).collect(),
        variances: Some(runs.iter().map(|run| run.seen[number].variance).collect()),
        wakings: 0.0,
    };
    let mut equations: Vec<Equation> = probes.iter().enumerate().map(of_probe).collect();
    let mut occupying: Vec<(&str, CostKind)> = Vec::new();
    for (cost, _) in probes.iter().flat_map(|probe| &probe.terms) {
        let Some(component) = cost.component.as_deref() else { continue };
        let is_new = !occupying.iter().any(|(name, kind)| *name == component && *kind == cost.kind);
        if matches!(cost.kind, CostKind::Command | CostKind::Request) && is_new {
            occupying.push((component, cost.kind));
        }
    }
    for (component, kind) in occupying {
        let Some(means_s) = spent(runs, component) else { continue };
        let mut terms = vec![(Cost::of(component, kind), 1.0)];
        let each = |of| per(probes, runs, component, of, kind);
        let fetch = Cost::of(component, CostKind::Fetch);
        let fetches = probes.iter().flat_map(|probe| &probe.terms).any(|(cost, _)| *cost == fetch);
        let wakings = match kind {
            // A cache is woken by who asks it, and by who answers what it asks.
            CostKind::Request if fetches => 1.0 + each(CostKind::Fetch),
            CostKind::Request => 0.0,
            _ => {
                terms.push((Cost::of(component, CostKind::Key), each(CostKind::Key)));
                0.0
            }
        };
        let of = Of::Processor(component.to_owned());
        equations.push(Equation { of, terms, weight: WEIGHT_OF_CPU, means_s, variances: None, wakings });
    }
    equations.extend(databases(probes, runs));
    equations
}

/// What the processor time of databases of another make says: of a read and a write together, as they came. That nothing tells how
/// it is divided between them is settled by an assumption: it is the same share of the time that each takes.
fn databases(probes: &[Probe], runs: &[Run]) -> Vec<Equation> {
    let mut equations = Vec::new();
    for (number, probe) in probes.iter().enumerate() {
        let is_read = |(cost, _): &&(Cost, f64)| cost.kind == CostKind::Read;
        let Some((read, _)) = probe.terms.iter().find(is_read) else { continue };
        let Some(component) = read.component.as_deref() else { continue };
        let Some(means_s) = spent(runs, component) else { continue };
        let write = Cost::of(component, CostKind::Write);
        let writes = probes.iter().position(|probe| probe.terms.iter().any(|(cost, _)| *cost == write));
        let Some(writes) = writes else { continue };
        let both = [number, writes];
        let asked = both.map(|probe| runs.iter().map(|run| run.seen[probe].requests).sum::<u64>() as f64);
        let all = (asked[0] + asked[1]).max(1.0);
        let equation = |of, terms, means_s| Equation {
            of,
            terms,
            weight: WEIGHT_OF_CPU,
            means_s,
            variances: None,
            wakings: 0.0,
        };
        let shares = vec![(read.clone(), asked[0] / all), (write.clone(), asked[1] / all)];
        equations.push(equation(Of::Processor(component.to_owned()), shares, means_s));
        // Of two that take no time at all nobody can say more than that they are alike.
        let [reading, writing] = both.map(|probe| beyond(probes, runs, probe, component));
        let times = if reading > 0.0 && writing > 0.0 { reading / writing } else { 1.0 };
        let alike = vec![(read.clone(), 1.0), (write, -times)];
        equations.push(equation(Of::Assumption, alike, vec![0.0; runs.len()]));
    }
    equations
}

/// What a probe takes beyond one that takes all the same but for a component, on average; all of it where there is none.
fn beyond(probes: &[Probe], runs: &[Run], probe: usize, component: &str) -> f64 {
    let is_other = |(cost, _): &&(Cost, f64)| cost.component.as_deref() != Some(component);
    let rest: Vec<&(Cost, f64)> = probes[probe].terms.iter().filter(is_other).collect();
    let base = probes.iter().position(|probe| probe.terms.iter().collect::<Vec<_>>() == rest);
    let mean = |number: usize| {
        let known = probes[number].known.as_secs_f64();
        runs.iter().map(|run| run.seen[number].mean_s - known).sum::<f64>() / runs.len().max(1) as f64
    };
    mean(probe) - base.map_or(0.0, mean)
}

/// How many of one cost of a component came on each of another, on average.
fn per(probes: &[Probe], runs: &[Run], component: &str, of: CostKind, on: CostKind) -> f64 {
    let count = |kind: CostKind| -> f64 {
        let cost = Cost::of(component, kind);
        let times =
            |probe: &Probe| probe.terms.iter().filter(|(c, _)| *c == cost).map(|(_, n)| n).sum::<f64>();
        let asked = |number: usize| runs.iter().map(|run| run.seen[number].requests).sum::<u64>() as f64;
        probes.iter().enumerate().map(|(number, probe)| times(probe) * asked(number)).sum()
    };
    count(of) / count(on).max(1.0)
}

/// The mean processor time of a component's requests over all runs, and half the width of its interval.
pub(super) fn processor_times(runs: &[Run]) -> Vec<(String, Moments)> {
    let Some(first) = runs.first() else { return Vec::new() };
    let of = |name: &String| {
        let values: Vec<f64> = runs.iter().filter_map(|run| run.cpu_s.get(name).copied()).collect();
        (name.clone(), Moments::of(&values))
    };
    first.cpu_s.keys().map(of).collect()
}

/// The mean memory of stores beside their records over all runs, in bytes.
pub(super) fn overheads(runs: &[Run]) -> Vec<(String, f64)> {
    let Some(first) = runs.first() else { return Vec::new() };
    let of = |name: &String| {
        let values: Vec<f64> = runs.iter().filter_map(|run| run.overhead_bytes.get(name).copied()).collect();
        (name.clone(), Moments::of(&values).mean)
    };
    first.overhead_bytes.keys().map(of).filter(|(_, bytes)| *bytes > 0.0).collect()
}
