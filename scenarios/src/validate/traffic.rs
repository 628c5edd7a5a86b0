//! Who asks, and how fast.

use super::Validator;
use crate::quantity::amount::RATE_LIMIT;
use crate::rate::RateCurve;
use crate::scenario::{ClassId, Component, ComponentId, RequestClass, Run, Traffic};
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
                    self.no_cycle_of_calls(*class, service, components, requests);
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
                retries: file.common.retries.as_ref().map(|r| self.retries(&format!("{at}.retries"), r)),
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
}
