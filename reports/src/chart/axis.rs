//! An axis: where a value stands, and which ticks it has.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::format::{self, Unit};

/// An axis between two values, linear or logarithmic, with ticks and their texts.
#[derive(Clone, Debug)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<(f64, String)>,
}

/// Steps of a time axis, in seconds, up to thirty days.
const TIME_STEPS: [f64; 22] = [
    0.5,
    1.0,
    2.0,
    5.0,
    10.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    900.0,
    1_800.0,
    3_600.0,
    7_200.0,
    10_800.0,
    21_600.0,
    43_200.0,
    86_400.0,
    172_800.0,
    604_800.0,
    2_592_000.0,
];

impl Axis {
    /// From 0 to a little above `most`.
    pub(super) fn linear(most: f64, unit: Unit) -> Self {
        let most = if most > 0.0 { most } else { 1.0 };
        // A share is at most 1, and there is no room above that.
        let high = if unit == Unit::Share && most <= 1.0 && most > 0.6 { 1.0 } else { most * 1.08 };
        let step = match unit {
            // Ticks in the binary multiple in which they are shown.
            Unit::Bytes if high >= 1024.0 => {
                let multiple = 1024f64.powf((high.log2() / 10.0).floor());
                nice_step(high / multiple / 5.0) * multiple
            }
            _ => nice_step(high / 5.0),
        };
        let ticks = (0..=20).map(|i| f64::from(i) * step).take_while(|t| *t <= high * 1.000_1);
        Self { low: 0.0, high, log: false, ticks: ticks.map(|t| (t, unit.show_round(t))).collect() }
    }

    /// From a little below `least` to a little above `most`; at least a factor of ten.
    pub(super) fn log(least: f64, most: f64, unit: Unit) -> Self {
        let (low, high) = (least / 1.15, most * 1.15);
        let more = (10.0 / (high / low)).sqrt().max(1.0);
        let (low, high) = (low / more, high * more);
        let each: &[f64] = if high / low < 1.5e3 { &[1.0, 2.0, 5.0] } else { &[1.0] };
        let decades = low.log10().floor() as i32..=high.log10().ceil() as i32;
        let ticks = decades.flat_map(|d| each.iter().map(move |m| m * 10f64.powi(d)));
        let ticks = ticks.filter(|t| (low..=high).contains(t)).map(|t| (t, unit.show_round(t)));
        Self { low, high, log: true, ticks: ticks.collect() }
    }

    /// Time since the measured part began.
    pub(super) fn time(from: f64, until: f64) -> Self {
        let span = until - from;
        let step = TIME_STEPS.into_iter().find(|s| span / s <= 12.0).unwrap_or(span / 10.0);
        let (scale, unit) = match step {
            s if s < 60.0 => (1.0, "s"),
            s if s < 3_600.0 => (60.0, "min"),
            s if s < 86_400.0 => (3_600.0, "h"),
            _ => (86_400.0, "d"),
        };
        let (first, last) = ((from / step - 1e-4).ceil() as i64, (until / step + 1e-4).floor() as i64);
        let text = |t: f64| format!("{} {unit}", format::short(t / scale));
        let ticks = (first..=last).map(|i| i as f64 * step).map(|t| (t, text(t)));
        Self { low: from, high: until, log: false, ticks: ticks.collect() }
    }

    /// Percentiles by their number of nines: 0, 50%, 90%, 95%, 99% …
    pub(super) fn nines(most: f64) -> Self {
        let half = 2f64.log10();
        // Beyond 99.99% there is room for whole nines alone.
        let crowded = most > 4.5;
        let steps = (0..=12).map(f64::from).flat_map(|n| [n, n + half]);
        let steps = steps.filter(|n| !crowded || n.fract() == 0.0 || *n < 2.0);
        // A long text at the very edge would run out of the picture.
        let steps = steps.filter(|n| *n < 5.0 || *n < most - 0.3);
        let text = |nines: f64| {
            let percent = format!("{:.9}", 100.0 * (1.0 - 10f64.powf(-nines)));
            format!("{}%", percent.trim_end_matches('0').trim_end_matches('.'))
        };
        let ticks =
            steps.filter(|n| *n <= most).map(|n| (n, if n == 0.0 { "0%".to_owned() } else { text(n) }));
        Self { low: 0.0, high: most, log: false, ticks: ticks.collect() }
    }

    /// The lower end.
    pub(super) fn low(&self) -> f64 {
        self.low
    }

    /// The upper end.
    pub(super) fn high(&self) -> f64 {
        self.high
    }
}

/// The next of 1, 2, 5, 10 times a power of ten.
pub(super) fn nice_step(rough: f64) -> f64 {
    let power = 10f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0, 10.0].into_iter().find(|f| f * power >= rough * 0.999);
    factor.unwrap_or(10.0) * power
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    /// What lies outside stands at the edge.
    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        let value = value.clamp(self.low, self.high);
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        limit.0 + (f64::from(limit.1 - limit.0) * share).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|t| t.0).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|t| t.0 == *value).map_or_else(String::new, |t| t.1.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|t| t.1.as_str()).collect()
    }

    #[test]
    fn time_axes_take_the_unit_that_fits() {
        for (until, unit) in
            [(0.3, "s"), (5.0, "s"), (33.0, "s"), (900.0, "min"), (86_400.0, "h"), (2e6, "d")]
        {
            let axis = Axis::time(0.0, until);
            assert!((1..=13).contains(&axis.ticks.len()), "{until}");
            assert!(texts(&axis).iter().all(|t| t.ends_with(unit)), "{:?}", texts(&axis));
        }
        assert_eq!(texts(&Axis::time(-3_600.0, 604_800.0))[..3], ["0 d", "1 d", "2 d"]);
        assert_eq!(texts(&Axis::time(-5.0, 30.0))[..3], ["−5 s", "0 s", "5 s"]);
    }

    #[test]
    fn nines_are_told_as_percentiles() {
        let expected = ["0%", "50%", "90%", "95%", "99%", "99.5%", "99.9%", "99.95%"];
        assert_eq!(texts(&Axis::nines(3.6)), expected);
    }

    #[test]
    fn log_axes_hold_at_least_a_decade() {
        let axis = Axis::log(0.010, 0.011, Unit::Seconds);
        assert!(axis.high / axis.low >= 9.99 && axis.ticks.len() >= 3, "{axis:?}");
        assert_eq!(axis.map(&1e9, (100, 0)), 0, "what is beyond stands at the edge");
    }
}
