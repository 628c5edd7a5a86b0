//! Curves of traffic that repeat: the shape alone, its integral being the caller's.

use crate::rate::RateCurve;

/// The names of the built-in curves.
pub const NAMES: [&str; 2] = ["retail-week", "retail-day"];

/// Seconds of a week.
const WEEK: f64 = 604_800.0;

/// A shop's day, hour by hour from midnight, in arbitrary units: low at night, a plateau by day, a peak in the evening.
/// The shape is our assumption; only the ratio of its peak to its mean is tied to a published figure, a server's
/// 700 requests/s at most against 550 on an average day (1.27).
const DAY: [f64; 24] = [
    66.0, 60.0, 56.0, 55.0, 57.0, 63.0, 76.0, 90.0, 100.0, 108.0, 113.0, 115.0, 115.0, 114.0, 114.0, 115.0,
    116.0, 117.0, 118.0, 119.0, 118.0, 115.0, 104.0, 86.0,
];
/// Monday to Sunday: a weekend of shopping at home, a quiet Friday.
const DAYS: [f64; 7] = [1.0, 0.99, 0.99, 1.0, 0.97, 1.02, 1.03];

/// The built-in curve of this name, scaled so that a period has `expected` arrivals.
pub fn named(name: &str, expected: f64) -> Option<RateCurve> {
    match name {
        "retail-week" => {
            let hours: Vec<f64> = DAYS.iter().flat_map(|day| DAY.map(|hour| hour * day)).collect();
            Some(Shape::of_parts(&hours, WEEK).rate(expected))
        }
        "retail-day" => Some(Shape::of_parts(&DAY, WEEK / 7.0).rate(expected)),
        _ => None,
    }
}

/// A curve without its scale: straight lines between corners over one period, its end as high as its start.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    corners: Vec<(f64, f64)>,
}

impl Shape {
    /// From the rates in equal parts of the period (seconds): straight lines between the middles of the parts, also from
    /// the last to the first, so that the curve has no jump.
    pub(crate) fn of_parts(values: &[f64], period: f64) -> Self {
        let part = period / values.len() as f64;
        let middles = values.iter().enumerate().map(|(i, value)| ((i as f64 + 0.5) * part, *value));
        Self::of_points(middles.collect(), period)
    }

    /// From points in increasing time within the period (seconds), joined by straight lines, also across its end.
    pub(crate) fn of_points(points: Vec<(f64, f64)>, period: f64) -> Self {
        let (first, last) = (points[0], points[points.len() - 1]);
        let gap = period - last.0 + first.0;
        let edge = last.1 + (first.1 - last.1) * (period - last.0) / gap;
        let mut corners = Vec::with_capacity(points.len() + 2);
        if first.0 > 0.0 {
            corners.push((0.0, edge));
        }
        corners.extend(points);
        corners.push((period, edge));
        Self { corners }
    }

    /// Whether there is anything under the curve.
    pub(crate) fn is_above_zero(&self) -> bool {
        self.corners.iter().any(|(_, level)| *level > 0.0)
    }

    /// The curve, scaled so that a period has `expected` arrivals.
    pub(crate) fn rate(&self, expected: f64) -> RateCurve {
        let mut corners = self.corners.clone();
        let whole = RateCurve::periodic(corners.clone()).expected(0.0, corners[corners.len() - 1].0);
        corners.iter_mut().for_each(|(_, rate)| *rate *= expected / whole);
        RateCurve::periodic(corners)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_week_has_as_many_arrivals_as_expected() {
        let curve = named("retail-week", 1e9).expect("the curve is known");
        assert!((curve.expected(0.0, WEEK) - 1e9).abs() < 1.0);
        assert!((curve.expected(3.0 * WEEK + 77.0, 4.0 * WEEK + 77.0) - 1e9).abs() < 1.0);
    }

    #[test]
    fn each_hour_has_its_share_of_the_week() {
        let curve = named("retail-week", 1e6).expect("the curve is known");
        let all: f64 = DAYS.iter().map(|day| day * DAY.iter().sum::<f64>()).sum();
        for (i, (day, hour)) in
            DAYS.iter().flat_map(|day| DAY.iter().map(move |hour| (day, hour))).enumerate()
        {
            let from = i as f64 * 3600.0;
            let (share, stated) = (curve.expected(from, from + 3600.0) / 1e6, day * hour / all);
            // Straight lines between the middles of hours cut corners: 3% where Sunday night meets Monday.
            assert!((share / stated - 1.0).abs() < 0.04, "hour {i}: {share}, stated {stated}");
        }
    }

    #[test]
    fn points_are_joined_across_the_end_of_the_period() {
        let curve = Shape::of_points(vec![(10.0, 4.0), (70.0, 1.0)], 100.0).rate(100.0);
        // From 1 at 70 over the period's end to 4 at 110: 3.25 at 100. The area is 60·2.5 + 40·2.5 = 250.
        for (at, level) in [
            (10.0, 4.0),
            (40.0, 2.5),
            (70.0, 1.0),
            (90.0, 2.5),
            (99.999, 3.25),
            (100.001, 3.25),
            (105.0, 3.625),
        ] {
            let found = curve.at(at);
            assert!((found - level / 2.5).abs() < 1e-3, "{found} at {at}");
        }
        assert!((curve.expected(-30.0, 70.0) - 100.0).abs() < 1e-9);
    }

    #[test]
    fn the_peak_is_to_the_mean_as_700_to_550() {
        let curve = named("retail-week", 1e9).expect("the curve is known");
        let ratio = curve.peak() / (1e9 / WEEK);
        assert!((ratio - 700.0 / 550.0).abs() < 0.01, "peak over mean is {ratio}");
    }

    #[test]
    fn the_week_repeats_without_a_jump() {
        let curve = named("retail-week", 1e6).expect("the curve is known");
        for i in 0..1000 {
            let t = f64::from(i) * WEEK / 1000.0;
            assert!((curve.at(t) - curve.at(t + 0.5)).abs() < 1e-3 * curve.peak());
        }
        assert!((curve.at(WEEK - 0.1) - curve.at(WEEK + 0.1)).abs() < 1e-3 * curve.peak());
    }
}
