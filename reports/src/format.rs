//! Numbers as readers see them: three significant digits, with a unit that fits.

use results::Estimate;
use scenarios::units::SimTime;

/// What a number measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Durations, from seconds.
    Seconds,
    /// Events per second.
    PerSecond,
    /// A fraction, shown in per cent.
    Share,
    /// A plain number.
    Count,
}

impl Unit {
    /// A number of this unit.
    pub(crate) fn show(self, value: f64) -> String {
        match self {
            Self::Seconds => seconds(value),
            Self::PerSecond => format!("{}/s", plain(value)),
            Self::Share => percent(value),
            Self::Count => plain(value),
        }
    }

    /// A difference, with its sign; shares differ by points.
    pub(crate) fn show_difference(self, value: f64) -> String {
        let sign = if value < 0.0 { "−" } else { "+" };
        match self {
            Self::Share => format!("{sign}{} points", significant(value.abs() * 100.0)),
            _ => format!("{sign}{}", self.show(value.abs())),
        }
    }

    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::PerSecond => "per second",
            Self::Share => "fraction",
            Self::Count => "count",
        }
    }
}

/// Three significant digits without an exponent; trailing zeros after the point are kept away.
pub(crate) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return if value > 0.0 { "∞" } else { "–" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = (2 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    let text = format!("{value:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A duration in the unit that fits.
pub(crate) fn seconds(value: f64) -> String {
    let magnitude = value.abs();
    let (scale, unit) = match magnitude {
        _ if !value.is_finite() => return significant(value),
        0.0 => return "0 ms".to_owned(),
        m if m < 0.999_5e-3 => (1e6, "µs"),
        m if m < 0.999_5 => (1e3, "ms"),
        m if m < 180.0 => (1.0, "s"),
        m if m < 10_800.0 => (1.0 / 60.0, "min"),
        m if m < 172_800.0 => (1.0 / 3_600.0, "h"),
        _ => (1.0 / 86_400.0, "d"),
    };
    format!("{} {unit}", significant(value * scale))
}

/// A span of the run's axis.
pub(crate) fn span(time: SimTime) -> String {
    seconds(time.as_secs_f64())
}

/// A fraction in per cent.
pub(crate) fn percent(value: f64) -> String {
    format!("{}%", significant(value * 100.0))
}

/// A number that may be large: 12,345 or 1.23 M.
pub(crate) fn plain(value: f64) -> String {
    match value.abs() {
        m if !m.is_finite() => significant(value),
        m if m >= 1e9 => format!("{} G", significant(value / 1e9)),
        m if m >= 1e6 => format!("{} M", significant(value / 1e6)),
        m if m >= 1e3 => grouped(value.round() as u64),
        _ => significant(value),
    }
}

/// A count with its thousands apart.
pub(crate) fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A figure, or a dash where there is none.
pub(crate) fn figure(estimate: Option<Estimate>, unit: Unit) -> String {
    estimate.map_or_else(|| "–".to_owned(), |e| unit.show(e.value))
}

/// A figure with its 95% interval.
pub(crate) fn with_noise(estimate: Option<Estimate>, unit: Unit) -> String {
    match estimate {
        None => "–".to_owned(),
        Some(e) if e.low == e.high => unit.show(e.value),
        Some(e) => format!("{} [{} … {}]", unit.show(e.value), unit.show(e.low), unit.show(e.high)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_the_number() {
        let shown: Vec<String> =
            [0.0, 4.2e-5, 0.012_34, 0.999_9, 12.0, 75.0, 900.0, 86_400.0, 604_800.0].map(seconds).to_vec();
        assert_eq!(shown, ["0 ms", "42 µs", "12.3 ms", "1 s", "12 s", "75 s", "15 min", "24 h", "7 d"]);
        assert_eq!(seconds(f64::INFINITY), "∞");
        assert_eq!([1.0, 999.4, 1_234.0, 2.5e6, 3e9].map(plain), ["1", "999", "1,234", "2.5 M", "3 G"]);
        assert_eq!([0.0, 0.001_234, 1.0].map(percent), ["0%", "0.123%", "100%"]);
        assert_eq!(Unit::Share.show_difference(-0.001_5), "−0.15 points");
    }
}
