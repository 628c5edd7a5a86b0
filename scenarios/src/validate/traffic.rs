//! Traffic, faults, thresholds, published figures, calibration.

use super::Validator;
use crate::quantity::amount::RATE_LIMIT;
use crate::quantity::selector::{self, Condition, Selector, Target};
use crate::rate::RateCurve;
use crate::scenario::{
    Calibration, ClassId, Component, ComponentCalibration, ComponentId, ComponentKind, Fault, FaultKind,
    FaultTarget, Host, HostId, Published, RequestClass, Run, Traffic,
};
use crate::threshold::{Aggregate, Figure, Threshold};
use crate::units::{Ratio, SimTime};
use crate::wire::{self, Executor};
use crate::{curve, diagnostic};

/// A request's id has six bits for its traffic.
const TRAFFIC_LIMIT: usize = 64;
/// A request's id has 35 bits for its slice of time, and a slice is of 1024 requests at the peak.
const PLAN_LIMIT: f64 = 1024.0 * (1_u64 << 34) as f64;

impl Validator<'_> {
    pub(super) fn traffic(
        &mut self,
        run: &Run,
        components: &[Component],
        requests: &[RequestClass],
    ) -> Vec<Traffic> {
        let files: Vec<(String, wire::Traffic)> =
            self.file.traffic.iter().flat_map(|t| &t.0).cloned().collect();
        if self.file.traffic.is_some() && !(1..=TRAFFIC_LIMIT).contains(&files.len()) {
            self.problem("traffic", format!("from 1 to {TRAFFIC_LIMIT} kinds of traffic"), None);
        }
        let mut all = Vec::new();
        for (name, file) in &files {
            let at = format!("traffic.{name}");
            let to_at = format!("{at}.to");
            let to = file.common.to.as_ref().and_then(|to| self.resolve(|v| &v.components, &to_at, to));
            if let Some(to) = to {
                self.entry(&to_at, to, components);
            }
            let mix = self.mix(&at, file);
            if let Some(service) = to.and_then(|to| self.served_by(to, components)) {
                for (class, _) in &mix {
                    self.no_self_call(*class, service, requests);
                }
            }
            let rate = self.rate(&at, file, run);
            all.push(Traffic {
                name: name.clone(),
                to: ComponentId(to.unwrap_or(0)),
                arrivals: file.common.arrivals,
                rate,
                mix,
                connections: file.common.connections.0 as u32,
                max_in_flight: file.common.max_in_flight.0 as u32,
                timeout: self.positive(&format!("{at}.timeout"), file.common.timeout),
            });
        }
        all
    }

    fn mix(&mut self, at: &str, file: &wire::Traffic) -> Vec<(ClassId, Ratio)> {
        let Some(shares) = &file.common.mix else { return Vec::new() };
        let sum: f64 = shares.0.iter().map(|(_, share)| share.0).sum();
        if sum <= 0.0 {
            let hint = Some("write mix = { product = 1 }".to_owned());
            self.problem(&format!("{at}.mix"), "at least one class with a share above zero", hint);
        }
        let mut mix = Vec::new();
        for (class, share) in &shares.0 {
            let found = self.resolve_key(|v| &v.classes, &format!("{at}.mix.{class}"), class);
            if let Some(class) = found.filter(|_| share.0 > 0.0) {
                mix.push((ClassId(class), Ratio::new(share.0 / sum)));
            }
        }
        mix
    }

    fn rate(&mut self, at: &str, file: &wire::Traffic, run: &Run) -> RateCurve {
        let (rate, rate_at) = match &file.kind {
            None => return RateCurve::constant(1.0),
            Some(Executor::Constant(c)) => {
                let Some(rate) = c.rate else { return RateCurve::constant(1.0) };
                (RateCurve::constant(rate.as_per_second()), format!("{at}.rate"))
            }
            Some(Executor::Ramping(r)) => {
                let mut corners = vec![(0.0, r.start_rate.map_or(1.0, |r| r.as_per_second()))];
                for (i, stage) in r.stages.iter().flat_map(|s| &s.0) {
                    let length = stage.length.unwrap_or(SimTime::from_secs(1));
                    if length < SimTime::from_millis(1) {
                        let hint = Some("write \"1ms\" for a jump".to_owned());
                        self.problem(&format!("{at}.stages[{i}].for"), "a duration of at least 1ms", hint);
                        continue;
                    }
                    let from = corners[corners.len() - 1].0;
                    let to = stage.to.map_or(1.0, |r| r.as_per_second());
                    corners.push((from + length.as_secs_f64(), to));
                }
                if r.start_rate.is_none() {
                    return RateCurve::constant(1.0);
                }
                (RateCurve::ramps(corners), format!("{at}.start_rate"))
            }
            Some(Executor::Curve(c)) => {
                let (Some(name), Some(expected)) = (&c.curve, c.expected) else {
                    return RateCurve::constant(1.0);
                };
                let Some(rate) = curve::named(name, expected.0 as f64) else {
                    let near = diagnostic::nearest(name, curve::NAMES).map(|n| format!("write \"{n}\""));
                    let expected = format!("the name of a curve: {}", diagnostic::one_of(curve::NAMES));
                    self.problem(&format!("{at}.curve"), expected, near);
                    return RateCurve::constant(1.0);
                };
                (rate, format!("{at}.expected"))
            }
        };
        let start = run.timeline_nanos(SimTime::ZERO) as f64 / 1e9;
        let end = run.timeline_nanos(run.total()) as f64 / 1e9;
        if rate.peak() > RATE_LIMIT {
            self.problem(&rate_at, "a peak of at most 10_000_000/s", None);
        } else if rate.peak() <= 0.0 || (end > start && rate.expected(start, end) <= 0.0) {
            let expected = "a rate above zero somewhere in the run";
            self.problem(&rate_at, expected, Some("leave the traffic out instead".to_owned()));
        } else if rate.peak() * end.max(-start) > PLAN_LIMIT {
            self.problem(&rate_at, "at most 17 million million requests from the timeline's zero on", None);
        }
        rate
    }

    pub(super) fn faults(&mut self, run: &Run, hosts: &[Host], components: &[Component]) -> Vec<Fault> {
        let files = self.file.faults.0.clone();
        let mut faults = Vec::new();
        for (i, file) in &files {
            let at = format!("faults[{i}]");
            let kinds = [
                ("kill", FaultKind::Kill, &file.kill),
                ("hang", FaultKind::Hang, &file.hang),
                ("unplug", FaultKind::Unplug, &file.unplug),
                ("serve_500", FaultKind::Serve500, &file.serve_500),
            ];
            let written: Vec<&str> = kinds
                .iter()
                .map(|(key, ..)| *key)
                .filter(|key| self.d.locations.get(&format!("{at}.{key}")).is_some())
                .collect();
            if written.len() != 1 {
                let found = if written.is_empty() { "none".to_owned() } else { written.join(" and ") };
                self.d.problem(&at, found, "exactly one of kill, hang, unplug, serve_500 in a fault", None);
                continue;
            }
            let length = file.length.map(|l| self.positive(&format!("{at}.for"), l));
            let Some((key, kind, Some(text))) = kinds.into_iter().find(|(.., text)| text.is_some()) else {
                continue;
            };
            let target_at = format!("{at}.{key}");
            let Some(target) = self.d.read(text, &target_at, Target::read) else { continue };
            let Some((target, name)) = self.target(&target_at, &target, kind, hosts, components) else {
                continue;
            };
            let (Some(start), Some(length)) = (file.at, length) else { continue };
            // On the run's axis the timeline's `from` comes at the end of the warm-up.
            let shift = run.timeline_nanos(SimTime::ZERO);
            let from = (start.as_nanos() as i64).saturating_sub(shift);
            let until = from.saturating_add(length.as_nanos() as i64);
            if until <= 0 || from >= run.total().as_nanos() as i64 {
                continue;
            }
            faults.push(Fault {
                name: format!("{} {name}", kind.name()),
                place: at,
                from: SimTime::from_nanos(from.max(0) as u64),
                until: SimTime::from_nanos(until as u64),
                kind,
                target,
            });
        }
        // Stable: faults of the same moment stay in the file's order.
        faults.sort_by_key(|f| f.from);
        faults
    }

    fn target(
        &mut self,
        at: &str,
        target: &Target,
        kind: FaultKind,
        hosts: &[Host],
        components: &[Component],
    ) -> Option<(FaultTarget, String)> {
        let whole = |name: &str| Target { name: name.to_owned(), ..target.clone() }.to_string();
        let (id, count) = if target.component {
            let id = self.resolve_in(|v| &v.components, at, &target.name, whole)?;
            let component = &components[usize::from(id)];
            (id, hosts.get(component.host.index())?.count)
        } else {
            let id = self.resolve_in(|v| &v.hosts, at, &target.name, whole)?;
            (id, hosts[usize::from(id)].count)
        };
        let instance = match target.instance {
            Some(n) if n <= count => n,
            Some(_) => {
                let hint = Some(format!("there are {count}, counted from 1"));
                self.problem(at, format!("a number from 1 to {count}"), hint);
                return None;
            }
            None if count == 1 => 1,
            None => {
                self.problem(at, "which one", Some(format!("write \"{target}[1]\"")));
                return None;
            }
        };
        if kind == FaultKind::Serve500 {
            let http =
                |c: &Component| matches!(c.kind, ComponentKind::Service(_) | ComponentKind::LoadBalancer(_));
            let speaks = match target.component {
                true => http(&components[usize::from(id)]),
                false => components.iter().any(|c| c.host.index() == usize::from(id) && http(c)),
            };
            if !speaks {
                let expected = "a target that answers HTTP requests";
                self.problem(at, expected, Some("name a service or a load-balancer".to_owned()));
            }
        }
        let name = Target { instance: Some(instance), ..target.clone() }.to_string();
        let target = match target.component {
            true => FaultTarget::Component(ComponentId(id), instance - 1),
            false => FaultTarget::Host(HostId(id), instance - 1),
        };
        Some((target, name))
    }

    /// Reads a selector and resolves its class.
    fn selector(&mut self, at: &str, text: &str) -> Option<(Selector, Option<ClassId>)> {
        let selector = self.d.read(text, at, Selector::read)?;
        let class = match &selector.class {
            None => None,
            Some(name) => Some(ClassId(self.resolve(|v| &v.classes, at, name)?)),
        };
        Some((selector, class))
    }

    pub(super) fn thresholds(&mut self) -> Vec<Threshold> {
        let files = self.file.thresholds.0.clone();
        let mut thresholds = Vec::new();
        for (text, conditions) in &files {
            let at = wire::decode::join("thresholds", text);
            let selector = match Selector::read(text) {
                Ok(selector) => selector,
                Err(misread) => {
                    self.d.key_problem(&at, text, misread.expected, misread.hint);
                    continue;
                }
            };
            let class = match &selector.class {
                None => None,
                Some(name) => match self.classes.find(name) {
                    Some(class) => Some(ClassId(class)),
                    None => {
                        let (expected, hint) = self.classes.unknown(name);
                        self.d.key_problem(&at, text, expected, hint);
                        continue;
                    }
                },
            };
            if selector.aggregate.is_some() {
                let hint = Some(format!("{} = [\"p(99)<250ms\"]", selector.metric.name()));
                self.d.key_problem(&at, text, "the aggregate in the condition", hint);
                continue;
            }
            for (i, condition_text) in &conditions.0 {
                let at = format!("{at}[{i}]");
                let read = |t: &str| Condition::read(selector.metric, t);
                let Some(condition) = self.d.read(condition_text, &at, read) else { continue };
                let figure = Figure {
                    metric: selector.metric,
                    class,
                    during: selector.during,
                    aggregate: condition.aggregate,
                };
                thresholds.push(Threshold {
                    figure,
                    comparison: condition.comparison,
                    limit: condition.limit,
                    selector: text.clone(),
                    condition: condition_text.clone(),
                });
            }
        }
        thresholds
    }

    pub(super) fn published(&mut self) -> Vec<Published> {
        let files = self.file.published.0.clone();
        let mut all = Vec::new();
        for (i, file) in &files {
            let at = format!("published[{i}]");
            let metric_at = format!("{at}.metric");
            let selected = file.metric.as_ref().and_then(|m| self.selector(&metric_at, m));
            let Some((selector, class)) = selected else { continue };
            let Some(aggregate) = selector.aggregate else {
                let example =
                    if matches!(selector.metric.name(), "failed" | "rate") { "rate" } else { "avg" };
                let hint = Some(format!("write \"{}{{{example}}}\"", selector.metric.name()));
                self.problem(&metric_at, "a metric with an aggregate", hint);
                continue;
            };
            let read = |t: &str| selector::limit(selector.metric, aggregate, t);
            let value = file.value.as_ref().and_then(|v| self.d.read(v, &format!("{at}.value"), read));
            let (Some(what), Some(value), Some(tolerance)) = (file.what.clone(), value, file.tolerance)
            else {
                continue;
            };
            let metric = Figure { metric: selector.metric, class, during: selector.during, aggregate };
            all.push(Published { what, metric, value, tolerance });
        }
        all
    }

    pub(super) fn calibration(&mut self, components: &[Component]) -> Calibration {
        let mut calibration = Calibration {
            source: None,
            client: None,
            components: vec![ComponentCalibration::default(); components.len()],
        };
        let Some(file) = self.file.calibration.clone() else { return calibration };
        for (name, costs) in &file.components.0 {
            let at = format!("calibration.components.{name}");
            let Some(id) = self.resolve_key(|v| &v.components, &at, name) else { continue };
            let store = matches!(components[usize::from(id)].kind, ComponentKind::KvStore(_));
            for (key, present) in [("command", costs.command.is_some()), ("key", costs.key.is_some())] {
                if present && !store {
                    self.problem(&format!("{at}.{key}"), "this cost for a kv-store only", None);
                }
            }
            calibration.components[usize::from(id)] =
                ComponentCalibration { latency: costs.latency, command: costs.command, key: costs.key };
        }
        calibration.source = file.source;
        calibration.client = file.client;
        calibration
    }
}

/// Only to say in one place what an aggregate is called where a figure is printed.
impl std::fmt::Display for Aggregate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Average => f.pad("avg"),
            Self::Minimum => f.pad("min"),
            Self::Maximum => f.pad("max"),
            Self::Percentile(p) => f.pad(&format!("p({p})")),
            Self::Rate => f.pad("rate"),
            Self::Count => f.pad("count"),
        }
    }
}
