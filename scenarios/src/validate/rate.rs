//! Rates over time: stages, curves, flash crowds, growth.

use super::Validator;
use crate::curve::{self, Shape};
use crate::diagnostic;
use crate::plan::REQUESTS_LIMIT;
use crate::quantity::amount::RATE_LIMIT;
use crate::rate::{Flash, Modulation, RateCurve};
use crate::scenario::Run;
use crate::units::SimTime;
use crate::wire::{self, Open};

/// A request's id has 36 bits for its slice of time, half of them before the timeline's zero, and a slice is of 1024
/// requests at the peak. A bit is kept free.
const PLAN_LIMIT: f64 = 1024.0 * (1_u64 << 34) as f64;
/// The corners of a rate that grows.
const CORNERS_LIMIT: f64 = 1e6;

/// The shape of one of the file's own curves.
pub(super) type CurveShape = Shape;

impl Validator<'_> {
    /// The file's own curves; none in the place of one that is wrong.
    pub(super) fn curves(&mut self) -> Vec<(String, Option<CurveShape>)> {
        let files = self.file.curves.0.clone();
        files
            .into_iter()
            .map(|(name, file)| {
                let shape = self.own_curve(&name, &file);
                (name, shape)
            })
            .collect()
    }

    fn own_curve(&mut self, name: &str, file: &wire::OwnCurve) -> Option<Shape> {
        let at = format!("curves.{name}");
        if curve::NAMES.contains(&name) {
            self.problem(&at, "another name than that of a built-in curve", None);
        }
        let period = self.positive(&format!("{at}.period"), file.period?);
        let shape = match (file.values.0.is_empty(), file.points.0.is_empty()) {
            (false, true) => {
                let values: Vec<f64> = file.values.0.iter().map(|(_, value)| value.0).collect();
                Shape::of_parts(&values, period.as_secs_f64())
            }
            (true, false) => {
                let mut points: Vec<(f64, f64)> = Vec::new();
                for (i, point) in &file.points.0 {
                    let (Some(when), Some(level)) = (point.at, point.level) else { return None };
                    let late = points.last().is_some_and(|last| when.as_secs_f64() < last.0 + 0.001);
                    if late || when >= period {
                        let expected = "a time within the period, at least 1ms after the point before";
                        self.problem(&format!("{at}.points[{i}].at"), expected, None);
                        return None;
                    }
                    points.push((when.as_secs_f64(), level.0));
                }
                Shape::of_points(points, period.as_secs_f64())
            }
            (empty, _) => {
                let found = if empty { "neither" } else { "both" };
                self.d.problem(&at, found, "exactly one of values and points", None);
                return None;
            }
        };
        if !shape.is_above_zero() {
            self.problem(&at, "a value above zero somewhere", None);
            return None;
        }
        Some(shape)
    }

    /// The rate of a traffic that follows a curve.
    pub(super) fn curve_rate(
        &mut self,
        at: &str,
        file: &wire::Curve,
        own: &[(String, Option<CurveShape>)],
    ) -> Option<RateCurve> {
        let (name, expected) = (file.curve.as_ref()?, file.expected?.0 as f64);
        if let Some((_, shape)) = own.iter().find(|(own, _)| own == name) {
            return shape.as_ref().map(|shape| shape.rate(expected));
        }
        let rate = curve::named(name, expected);
        if rate.is_none() {
            let names = || curve::NAMES.into_iter().chain(own.iter().map(|(name, _)| name.as_str()));
            let near = diagnostic::nearest(name, names()).map(|n| format!("write \"{n}\""));
            let expected = format!("the name of a curve: {}", diagnostic::one_of(names()));
            self.problem(&format!("{at}.curve"), expected, near);
        }
        rate
    }

    /// The corners of stages: their number in the file, how long each takes, and what it leads to.
    pub(super) fn ramps(
        &mut self,
        at: &str,
        start: f64,
        stages: Vec<(usize, Option<SimTime>, Option<f64>)>,
    ) -> Vec<(f64, f64)> {
        let mut corners = vec![(0.0, start)];
        for (i, length, to) in stages {
            let length = length.unwrap_or(SimTime::from_secs(1));
            if length < SimTime::from_millis(1) {
                let hint = Some("write \"1ms\" for a jump".to_owned());
                self.problem(&format!("{at}.stages[{i}].for"), "a duration of at least 1ms", hint);
                continue;
            }
            let from = corners[corners.len() - 1].0;
            corners.push((from + length.as_secs_f64(), to.unwrap_or(1.0)));
        }
        corners
    }

    /// The flash crowds and the growth of a traffic.
    pub(super) fn modulation(&mut self, at: &str, open: &Open, run: &Run) -> Modulation {
        let mut modulation = Modulation { growth: open.growth, flashes: Vec::new() };
        for (i, file) in &open.flash.0 {
            let at = format!("{at}.flash[{i}]");
            let rise = self.positive(&format!("{at}.rise"), file.rise);
            let fall = self.positive(&format!("{at}.fall"), file.fall);
            let hold = file.hold.map(|hold| self.positive(&format!("{at}.hold"), hold));
            if file.times.is_some_and(|times| times.0 > 1000.0) {
                self.problem(&format!("{at}.times"), "a factor from 0 to 1000", None);
            }
            if let (Some(start), Some(hold), Some(times)) = (file.at, hold, file.times) {
                modulation.flashes.push(Flash {
                    at: start.as_secs_f64(),
                    rise: rise.as_secs_f64(),
                    hold: hold.as_secs_f64(),
                    fall: fall.as_secs_f64(),
                    times: times.0,
                });
            }
        }
        let end = run.timeline_nanos(run.total()) as f64 / 1e9;
        if modulation.growth_corners(end) > CORNERS_LIMIT {
            self.problem(&format!("{at}.growth"), "growth in a run of at most 100 years", None);
            modulation.growth = None;
        }
        modulation
    }

    /// A rate with its flash crowds and growth, within the limits of the plan.
    pub(super) fn modulated(
        &mut self,
        at: &str,
        rate: &RateCurve,
        modulation: &Modulation,
        sessions: bool,
        run: &Run,
    ) -> RateCurve {
        let start = run.timeline_nanos(SimTime::ZERO) as f64 / 1e9;
        let end = run.timeline_nanos(run.total()) as f64 / 1e9;
        let rate = rate.modulated(modulation, start, end);
        // In a session's name, the places of its requests take the room of slices.
        let limit = PLAN_LIMIT / if sessions { REQUESTS_LIMIT as f64 } else { 1.0 };
        // How many slices there are follows from the rate without growth, how full they are from the rate with it.
        let growth = rate.peak() / rate.nominal_peak().max(f64::MIN_POSITIVE);
        if rate.peak() > RATE_LIMIT {
            self.problem(at, "a peak of at most 10_000_000/s", None);
        } else if rate.peak() <= 0.0 || (end > start && rate.expected(start, end) <= 0.0) {
            let expected = "a rate above zero somewhere in the run";
            self.problem(at, expected, Some("leave the traffic out instead".to_owned()));
        } else if rate.nominal_peak() * end.max(-start) > limit {
            let expected = if sessions {
                "at most 17 thousand million sessions from the timeline's zero on"
            } else {
                "at most 17 million million requests from the timeline's zero on"
            };
            self.problem(at, expected, None);
        } else if growth > 1000.0 {
            self.problem(at, "growth to at most 1000 times the rate at the timeline's zero", None);
        }
        rate
    }
}
