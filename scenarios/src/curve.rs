//! Named curves of traffic over a week: the shape alone, its integral being the caller's.

use crate::rate::RateCurve;

/// The names of all curves.
pub const NAMES: [&str; 1] = ["retail-week"];

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

/// The curve of this name, scaled so that a period has `expected` arrivals.
pub fn named(name: &str, expected: f64) -> Option<RateCurve> {
    (name == "retail-week").then(|| retail_week(expected))
}

/// Straight lines between the middles of hours, so the curve has no jump, not even from Sunday to Monday.
fn retail_week(expected: f64) -> RateCurve {
    let hours: Vec<f64> = DAYS.iter().flat_map(|day| DAY.map(|hour| hour * day)).collect();
    let edge = f64::midpoint(hours[0], hours[hours.len() - 1]);
    let mut corners = vec![(0.0, edge)];
    corners.extend(hours.iter().enumerate().map(|(i, weight)| (i as f64 * 3600.0 + 1800.0, *weight)));
    corners.push((WEEK, edge));
    let whole = RateCurve::periodic(corners.clone()).expected(0.0, WEEK);
    corners.iter_mut().for_each(|(_, rate)| *rate *= expected / whole);
    RateCurve::periodic(corners)
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
