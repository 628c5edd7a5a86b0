//! The rate of arrivals over the timeline, and its integral, both ways.
//!
//! Every executor's rate is piecewise linear, so the cumulative rate is piecewise quadratic and is inverted exactly.
//! Flash crowds and growth multiply a rate; see [`Modulation`].

mod modulation;

pub use modulation::{Flash, Growth, Modulation};

/// A piecewise linear rate over the timeline, in arrivals per second at seconds of the timeline; constant outside its
/// corners, or repeating with a period.
#[derive(Clone, Debug, PartialEq)]
pub struct RateCurve {
    /// Corners in strictly increasing time: seconds on the timeline, arrivals per second there.
    corners: Vec<(f64, f64)>,
    /// The cumulative number of arrivals at each corner. It is zero at the timeline's zero, where there is a corner, and
    /// summed up outwards from it, so that it does not depend on how far the corners reach.
    cumulative: Vec<f64>,
    /// Seconds after which the curve repeats; the corners then span exactly one period from 0.
    period: Option<f64>,
    /// The greatest rate, growth apart: what the plan's slices are cut by, as it does not depend on the run's length.
    nominal_peak: f64,
}

impl RateCurve {
    /// The same rate always.
    pub fn constant(per_second: f64) -> Self {
        Self::new(vec![(0.0, per_second)], None)
    }

    /// Straight lines between corners (seconds, arrivals per second), constant before the first and after the last.
    ///
    /// # Panics
    /// Where there is no corner, times do not increase, or a rate is negative or not finite: validation rules it out.
    pub fn ramps(corners: Vec<(f64, f64)>) -> Self {
        Self::new(corners, None)
    }

    /// Straight lines between corners, repeated; the first corner is at 0, the last at the period.
    ///
    /// # Panics
    /// As [`RateCurve::ramps`], and where the first corner is not at zero.
    pub fn periodic(corners: Vec<(f64, f64)>) -> Self {
        assert!(corners.first().is_some_and(|c| c.0 == 0.0), "a periodic curve starts at zero");
        let period = corners.last().map(|c| c.0).filter(|p| *p > 0.0);
        assert!(period.is_some(), "a periodic curve has a period");
        Self::new(corners, period)
    }

    fn new(corners: Vec<(f64, f64)>, period: Option<f64>) -> Self {
        assert!(!corners.is_empty(), "a rate curve has a corner");
        assert!(corners.windows(2).all(|w| w[0].0 < w[1].0), "corners are in increasing time");
        assert!(corners.iter().all(|c| c.1.is_finite() && c.1 >= 0.0), "rates are finite and not negative");
        let zero = corners.partition_point(|c| c.0 < 0.0).min(corners.len() - 1);
        let area = |i: usize| {
            let (left, right): ((f64, f64), (f64, f64)) = (corners[i], corners[i + 1]);
            (right.0 - left.0) * f64::midpoint(left.1, right.1)
        };
        let mut cumulative = vec![0.0; corners.len()];
        for i in zero + 1..corners.len() {
            cumulative[i] = cumulative[i - 1] + area(i - 1);
        }
        for i in (0..zero).rev() {
            cumulative[i] = cumulative[i + 1] - area(i);
        }
        let nominal_peak = corners.iter().map(|c| c.1).fold(0.0, f64::max);
        Self { corners, cumulative, period, nominal_peak }
    }

    /// The rate at a point of the timeline (seconds), in arrivals per second.
    pub fn at(&self, seconds: f64) -> f64 {
        let t = self.period.map_or(seconds, |p| seconds.rem_euclid(p));
        let next = self.corners.partition_point(|c| c.0 <= t);
        if next == 0 {
            return self.corners[0].1;
        }
        let Some(right) = self.corners.get(next) else { return self.corners[next - 1].1 };
        let left = self.corners[next - 1];
        left.1 + (right.1 - left.1) * (t - left.0) / (right.0 - left.0)
    }

    /// The straight line that the rate follows all through `from..to`; none where a corner lies between.
    pub fn straight(&self, from: f64, to: f64) -> Option<Straight> {
        (self.next_corner(from) >= to).then(|| {
            let (start, end) = (self.at(from), self.before(to));
            Straight { start, slope: (end - start) / (to - from) }
        })
    }

    /// The greatest rate anywhere.
    pub fn peak(&self) -> f64 {
        self.corners.iter().map(|c| c.1).fold(0.0, f64::max)
    }

    /// The greatest rate in `from..=to` (seconds of the timeline): at its ends or at a corner between them.
    pub fn peak_between(&self, from: f64, to: f64) -> f64 {
        let mut peak = self.at(from).max(self.before(to));
        let mut at = self.next_corner(from);
        // A whole period holds every corner.
        let end = self.period.map_or(to, |p| to.min(from + p));
        while at < end {
            peak = peak.max(self.at(at)).max(self.before(at));
            at = self.next_corner(at);
        }
        peak
    }

    /// The greatest rate, growth apart.
    pub(crate) fn nominal_peak(&self) -> f64 {
        self.nominal_peak
    }

    /// The cumulative rate: expected arrivals from the timeline's zero to here; negative before zero.
    pub fn cumulative(&self, seconds: f64) -> f64 {
        match self.period {
            Some(period) => {
                let whole = (seconds / period).floor();
                whole * self.cumulative[self.cumulative.len() - 1] + self.within(seconds - whole * period)
            }
            None => self.within(seconds) - self.within(0.0),
        }
    }

    /// Cumulative from the corner at zero, without regard to the period.
    fn within(&self, t: f64) -> f64 {
        let next = self.corners.partition_point(|c| c.0 <= t);
        if next == 0 {
            return self.cumulative[0] + (t - self.corners[0].0) * self.corners[0].1;
        }
        let left = self.corners[next - 1];
        let run = t - left.0;
        let slope = self.corners.get(next).map_or(0.0, |right| (right.1 - left.1) / (right.0 - left.0));
        self.cumulative[next - 1] + run * (left.1 + slope * run / 2.0)
    }

    /// Expected arrivals between two points of the timeline (seconds).
    pub fn expected(&self, from: f64, to: f64) -> f64 {
        self.cumulative(to) - self.cumulative(from)
    }

    /// As [`RateCurve::expected`], summed over the straight pieces of a short span: the result follows from the rate in the
    /// span alone, to the last bit.
    pub(crate) fn area(&self, from: f64, to: f64) -> f64 {
        let (mut left, mut sum) = (from, 0.0);
        while left < to {
            let right = self.next_corner(left).min(to);
            sum += (right - left) * f64::midpoint(self.at(left), self.before(right));
            left = right;
        }
        sum
    }

    /// The moment in `from..=to` by which `arrivals` are expected after `from`.
    pub fn moment(&self, from: f64, to: f64, arrivals: f64) -> f64 {
        // On one straight piece the answer is a root of a quadratic; over corners the pieces are walked.
        let mut left = from;
        let mut remaining = arrivals;
        while left < to {
            let right = self.next_corner(left).min(to);
            let (start, end) = (self.at(left), self.before(right));
            let area = (right - left) * f64::midpoint(start, end);
            if remaining <= area || right >= to {
                let line = Straight { start, slope: (end - start) / (right - left) };
                return (left + line.span(remaining)).clamp(left, right);
            }
            remaining -= area;
            left = right;
        }
        to
    }

    /// The first moment in `from..to` at which the rate is as `wanted`, which changes where the rate crosses `level`.
    pub(crate) fn crossing(
        &self,
        from: f64,
        to: f64,
        wanted: fn(f64, f64) -> bool,
        level: f64,
    ) -> Option<f64> {
        let mut left = from;
        while left < to {
            if wanted(self.at(left), level) {
                return Some(left);
            }
            let right = self.next_corner(left).min(to);
            let (start, end) = (self.at(left), self.before(right));
            if wanted(end, level) && start != end {
                let moment = left + (right - left) * ((level - start) / (end - start)).clamp(0.0, 1.0);
                return Some(moment).filter(|m| *m < to);
            }
            left = right;
        }
        None
    }

    /// The first corner strictly after `t`.
    fn next_corner(&self, t: f64) -> f64 {
        let (base, local) = match self.period {
            Some(p) => ((t / p).floor() * p, t.rem_euclid(p)),
            None => (0.0, t),
        };
        let next = self.corners.partition_point(|c| c.0 <= local);
        let corner = self.corners.get(next).map(|c| base + c.0);
        match (corner, self.period) {
            // Rounding can put the corner at or before `t`; a step of one period's last bit keeps the walk moving.
            (Some(c), _) if c > t => c,
            (_, Some(p)) => base + p + if base + p > t { 0.0 } else { p },
            (Some(c), None) => c.max(t + 1e-9),
            (None, None) => f64::INFINITY,
        }
    }

    /// The limit of the rate from the left: a periodic curve may jump where it repeats.
    fn before(&self, t: f64) -> f64 {
        match self.period {
            Some(p) if t.rem_euclid(p) == 0.0 => self.corners[self.corners.len() - 1].1,
            _ => self.at(t),
        }
    }
}

/// A rate that changes linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Straight {
    /// Arrivals per second at the start.
    start: f64,
    /// Its change per second.
    slope: f64,
}

impl Straight {
    /// The seconds from the start until this many arrivals are expected: the least x >= 0 with
    /// start·x + slope·x²/2 = arrivals, in the form of the quadratic's root that does not cancel.
    #[inline]
    pub fn span(&self, arrivals: f64) -> f64 {
        let discriminant = (self.start * self.start + 2.0 * self.slope * arrivals).max(0.0);
        let denominator = self.start + discriminant.sqrt();
        if denominator > 0.0 { 2.0 * arrivals / denominator } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curves() -> Vec<RateCurve> {
        vec![
            RateCurve::constant(300.0),
            RateCurve::ramps(vec![(0.0, 0.0), (10.0, 500.0), (20.0, 500.0), (21.0, 0.0)]),
            RateCurve::periodic(vec![(0.0, 10.0), (3.0, 0.0), (7.0, 40.0), (10.0, 10.0)]),
        ]
    }

    #[test]
    fn the_integral_is_the_sum_of_its_parts() {
        for curve in curves() {
            let parts: f64 =
                (-70..200).map(|i| f64::from(i) * 0.13).map(|t| curve.expected(t, t + 0.13)).sum();
            let whole = curve.expected(-70.0 * 0.13, 200.0 * 0.13);
            assert!(
                (parts - whole).abs() < 1e-9 * whole.abs().max(1.0),
                "{curve:?}: {parts} against {whole}"
            );
        }
    }

    #[test]
    fn the_inverse_undoes_the_integral() {
        for curve in curves() {
            for (from, to) in [(0.0, 1.0), (2.5, 18.0), (-4.0, 12.5), (8.0, 33.0)] {
                let all = curve.expected(from, to);
                for i in 1..20 {
                    let wanted = all * f64::from(i) / 20.0;
                    let t = curve.moment(from, to, wanted);
                    let got = curve.expected(from, t);
                    assert!(
                        (got - wanted).abs() < 1e-6 * all.max(1.0),
                        "{curve:?} {from}..{to}: {got} != {wanted}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_rate_is_the_slope_of_the_integral() {
        for curve in curves() {
            for i in -30..150 {
                let t = f64::from(i) * 0.17 + 0.011;
                let slope = curve.expected(t - 1e-5, t + 1e-5) / 2e-5;
                assert!((slope - curve.at(t)).abs() < 1e-2 * curve.peak(), "{curve:?} at {t}");
            }
        }
    }
}
