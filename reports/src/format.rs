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
    /// Bytes, in binary multiples.
    Bytes,
}

impl Unit {
    /// A measured number of this unit, to three significant digits.
    pub(crate) fn show(self, value: f64) -> String {
        self.with(value, significant)
    }

    /// A round number of this unit, such as a tick of an axis.
    pub(crate) fn show_round(self, value: f64) -> String {
        self.with(value, short)
    }

    fn with(self, value: f64, digits: fn(f64) -> String) -> String {
        match self {
            Self::Seconds => seconds_with(value, digits),
            Self::PerSecond => format!("{}/s", plain_with(value, digits)),
            Self::Share if !value.is_finite() => digits(value),
            Self::Share => format!("{}%", digits(value * 100.0)),
            Self::Count => plain_with(value, digits),
            Self::Bytes => bytes_with(value, digits),
        }
    }

    /// A difference, with its sign; shares differ by points.
    pub(crate) fn show_difference(self, value: f64) -> String {
        let sign = match value {
            0.0 => return "0".to_owned(),
            v if v < 0.0 => "−",
            _ => "+",
        };
        match self {
            Self::Share => format!("{sign}{} points", significant(value.abs() * 100.0)),
            _ => format!("{sign}{}", self.show(value.abs())),
        }
    }

    /// Half the width of a difference's interval.
    pub(crate) fn show_noise(self, value: f64) -> String {
        match self {
            Self::Share => format!("{} points", significant(value * 100.0)),
            _ => self.show(value),
        }
    }

    /// The name in JSON.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::PerSecond => "per second",
            Self::Share => "fraction",
            Self::Count => "count",
            Self::Bytes => "bytes",
        }
    }
}

/// Three significant digits without an exponent.
pub(crate) fn significant(value: f64) -> String {
    if !value.is_finite() {
        return if value > 0.0 { "∞" } else { "–" }.to_owned();
    }
    if value == 0.0 {
        return "0".to_owned();
    }
    let decimals = |v: f64| (2 - v.abs().log10().floor() as i32).clamp(0, 9) as usize;
    // Rounding may carry into another digit: 9.996 is 10.0.
    let rounded: f64 = format!("{value:.*}", decimals(value)).parse().unwrap_or(value);
    let text = format!("{value:.*}", decimals(if rounded == 0.0 { value } else { rounded }));
    text.replace('-', "−")
}

/// The same without trailing zeros after the point.
pub(crate) fn short(value: f64) -> String {
    let text = significant(value);
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

/// A round duration, such as the length of a phase, in the unit that fits.
pub(crate) fn seconds(value: f64) -> String {
    seconds_with(value, short)
}

fn seconds_with(value: f64, digits: fn(f64) -> String) -> String {
    let magnitude = value.abs();
    let (scale, unit) = match magnitude {
        _ if !value.is_finite() => return digits(value),
        0.0 => return "0 s".to_owned(),
        m if m < 0.999_5e-3 => (1e6, "µs"),
        m if m < 0.999_5 => (1e3, "ms"),
        m if m < 180.0 => (1.0, "s"),
        m if m < 7_200.0 => (1.0 / 60.0, "min"),
        m if m < 172_800.0 => (1.0 / 3_600.0, "h"),
        _ => (1.0 / 86_400.0, "d"),
    };
    format!("{} {unit}", digits(value * scale))
}

/// A span of the run's axis.
pub(crate) fn span(time: SimTime) -> String {
    seconds(time.as_secs_f64())
}

/// A share to the whole per cent.
pub(crate) fn percent_round(value: f64) -> String {
    format!("{:.0}%", 100.0 * value)
}

/// A round fraction in per cent.
pub(crate) fn percent(value: f64) -> String {
    format!("{}%", short(value * 100.0))
}

/// A relative difference in per cent, with its sign: to a tenth, below 1% to a hundredth.
pub(crate) fn relative(value: f64) -> String {
    let (sign, percent) = (if value < 0.0 { "−" } else { "+" }, value.abs() * 100.0);
    match percent {
        0.0 => "0%".to_owned(),
        p if !p.is_finite() => format!("{sign}∞"),
        p if p >= 0.995 => format!("{sign}{p:.1}%"),
        p => format!("{sign}{p:.2}%"),
    }
}

/// A number that may be large: 12,345 or 1.23 M.
fn plain_with(value: f64, digits: fn(f64) -> String) -> String {
    match value.abs() {
        m if !m.is_finite() => digits(value),
        m if m >= 1e9 => format!("{} G", digits(value / 1e9)),
        m if m >= 1e6 => format!("{} M", digits(value / 1e6)),
        m if m >= 999.5 => grouped(value.round() as u64),
        _ => digits(value),
    }
}

fn bytes_with(value: f64, digits: fn(f64) -> String) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let power = if value >= 1.0 { (value.log2() / 10.0) as usize } else { 0 }.min(UNITS.len() - 1);
    format!("{} {}", digits(value / 1024f64.powi(power as i32)), UNITS[power])
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
        assert_eq!(shown, ["0 s", "42 µs", "12.3 ms", "1 s", "12 s", "75 s", "15 min", "24 h", "7 d"]);
        assert_eq!(seconds(f64::INFINITY), "∞");
        let counts = [1.0, 999.4, 1_234.0, 2.5e6, 3e9].map(|n| Unit::Count.show_round(n));
        assert_eq!(counts, ["1", "999", "1,234", "2.5 M", "3 G"]);
        assert_eq!([0.0, 0.001_234, 1.0].map(percent), ["0%", "0.123%", "100%"]);
    }

    #[test]
    fn measured_numbers_keep_three_digits() {
        let shown = [0.0109996, 0.0110, 0.010_55, 9.996].map(|s| Unit::Seconds.show(s));
        assert_eq!(shown, ["11.0 ms", "11.0 ms", "10.6 ms", "10.0 s"]);
        assert_eq!(Unit::PerSecond.show(0.0), "0/s");
    }

    #[test]
    fn differences_have_a_sign() {
        assert_eq!(Unit::Share.show_difference(-0.001_5), "−0.150 points");
        assert_eq!(Unit::Seconds.show_difference(0.0), "0");
        assert_eq!([0.0, 0.000_247, -0.0467, f64::INFINITY].map(relative), ["0%", "+0.02%", "−4.7%", "+∞"]);
    }
}
