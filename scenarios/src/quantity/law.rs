//! Probability laws and popularities as text: `lognormal(median=3ms, p99=15ms)`, `zipf(0.9)`.

use std::fmt;
use std::str::FromStr;

use super::amount::BYTES_LIMIT;
use super::{Misread, plain_number, split_number};
use crate::law::{DurationLaw, Law, SizeLaw};
use crate::scenario::Popularity;
use crate::units::{Bytes, SimTime};

/// An argument's name, if it has one, and its text.
pub(super) type Argument<'a> = (Option<&'a str>, &'a str);

/// Splits `name(a, b=c)` into its name and arguments; a text without parentheses has none.
pub(super) fn call(text: &str) -> Option<(&str, Vec<Argument<'_>>)> {
    let (name, rest) = text.trim().split_once('(')?;
    let inside = rest.trim_end().strip_suffix(')')?;
    let arguments = inside.split(',').map(|a| match a.split_once('=') {
        Some((name, value)) => (Some(name.trim()), value.trim()),
        None => (None, a.trim()),
    });
    Some((name.trim(), arguments.collect()))
}

/// Reads a law whose quantities `unit` reads into a float, at most `limit`.
fn law(
    text: &str,
    what: &str,
    example: [&str; 2],
    unit: fn(&str) -> Result<f64, Misread>,
    limit: f64,
    most: &str,
) -> Result<Law, Misread> {
    let [low, high] = example;
    let forms = || {
        Misread::new(format!(
            "{what} or a law of it: lognormal(median=.., p99=..), lognormal(mean=.., cv=..), exponential(mean=..), uniform(.., ..)"
        ))
        .hint(format!("write \"{low}\" or \"lognormal(median={low}, p99={high})\""))
    };
    let Some((name, arguments)) = call(text) else {
        return if text.contains(['(', ')', '=', ',']) {
            Err(forms())
        } else {
            unit(text).map(Law::Constant)
        };
    };
    let law = match (name, arguments.as_slice()) {
        ("exponential", [(Some("mean"), mean)]) => Law::Exponential { mean: unit(mean)? },
        ("lognormal", [(Some("median"), median), (Some("p99"), p99)]) => {
            let (median, p99) = (unit(median)?, unit(p99)?);
            if median <= 0.0 || p99 < median || p99 > median * 1e4 {
                return Err(Misread::new("a median above zero and a p99 from it to 10_000 times as much"));
            }
            Law::lognormal_from_p99(median, p99)
        }
        ("lognormal", [(Some("mean"), mean), (Some("cv"), cv)]) => {
            let mean = unit(mean)?;
            let cv = plain_number(cv).filter(|cv| (0.0..=100.0).contains(cv) && mean > 0.0);
            let cv = cv.ok_or_else(|| {
                Misread::new("a mean above zero and a coefficient of variation from 0 to 100")
            })?;
            Law::lognormal_from_cv(mean, cv)
        }
        ("uniform", [(None, low), (None, high)]) => {
            let (low, high) = (unit(low)?, unit(high)?);
            if low > high {
                return Err(Misread::new("the lesser bound first").hint("swap the bounds of uniform(..)"));
            }
            Law::Uniform { low, high }
        }
        _ => return Err(forms()),
    };
    if law.mean() > limit {
        return Err(Misread::new(format!("{what} with a mean of at most {most}")));
    }
    Ok(law)
}

impl FromStr for DurationLaw {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        let unit = |t: &str| t.parse::<SimTime>().map(|t| t.as_nanos() as f64);
        let limit = SimTime::from_secs(86_400).as_nanos() as f64;
        law(text, "a duration", ["3ms", "15ms"], unit, limit, "a day").map(Self::from_nanos)
    }
}

impl FromStr for SizeLaw {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        let unit = |t: &str| t.parse::<Bytes>().map(|b| b.get() as f64);
        law(text, "a size", ["400B", "3kB"], unit, BYTES_LIMIT as f64, "1024TiB").map(Self::from_bytes)
    }
}

/// The standard normal law's 99% quantile, as in [`Law::lognormal_from_p99`].
const NORMAL_P99: f64 = 2.326_347_874_040_841;

fn write_law(f: &mut fmt::Formatter<'_>, law: &Law, unit: fn(f64) -> String) -> fmt::Result {
    let text = match *law {
        Law::Constant(value) => unit(value),
        Law::Exponential { mean } => format!("exponential(mean={})", unit(mean)),
        Law::Lognormal { median, sigma } => {
            format!("lognormal(median={}, p99={})", unit(median), unit(median * (sigma * NORMAL_P99).exp()))
        }
        Law::Uniform { low, high } => format!("uniform({}, {})", unit(low), unit(high)),
    };
    f.pad(&text)
}

impl fmt::Display for DurationLaw {
    /// As a file would say it, to the nanosecond; a log-normal law by its median and p99.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_law(f, self.law(), |nanos| SimTime::from_nanos(nanos.round() as u64).to_string())
    }
}

impl fmt::Display for SizeLaw {
    /// As a file would say it, to the byte; a log-normal law by its median and p99.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_law(f, self.law(), |bytes| Bytes::new(bytes.round() as u64).to_string())
    }
}

impl FromStr for Popularity {
    type Err = Misread;

    /// Reads `uniform` or `zipf(0.9)`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || {
            Misread::new("\"uniform\" or \"zipf(EXPONENT)\" with an exponent above 0 and up to 5")
                .hint("write \"zipf(0.9)\"")
        };
        if text.trim() == "uniform" {
            return Ok(Self::Uniform);
        }
        match call(text) {
            Some(("zipf", arguments)) => match arguments.as_slice() {
                [(None, exponent)] => {
                    let exponent = split_number(exponent).filter(|(_, rest)| rest.is_empty());
                    let exponent = exponent.and_then(|(digits, _)| digits.parse::<f64>().ok());
                    let exponent = exponent.filter(|e| *e >= 1e-6 && *e <= 5.0).ok_or_else(misread)?;
                    Ok(Self::Zipf { exponent })
                }
                _ => Err(misread()),
            },
            _ => Err(misread()),
        }
    }
}

impl fmt::Display for Popularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.pad("uniform"),
            Self::Zipf { exponent } => f.pad(&format!("zipf({exponent})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn laws_read_as_they_are_written() {
        for text in ["3ms", "exponential(mean=8ms)", "uniform(1ms, 5ms)", "lognormal(median=3ms, p99=15ms)"] {
            let law: DurationLaw = text.parse().unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(law.to_string(), text);
        }
        let law: SizeLaw = "lognormal(mean=400B, cv=1.5)".parse().expect("a law by its mean");
        assert!((law.mean() - 400.0).abs() < 1e-9);
        assert_eq!("zipf(0.9)".parse(), Ok(Popularity::Zipf { exponent: 0.9 }));
    }

    #[test]
    fn laws_that_are_none_are_refused() {
        for text in [
            "lognormal(3ms)",
            "exponential(8ms)",
            "uniform(5ms, 1ms)",
            "lognormal(median=3ms, p99=1ms)",
            "3",
            "(",
        ] {
            assert!(text.parse::<DurationLaw>().is_err(), "{text}");
        }
        assert!("zipf(0)".parse::<Popularity>().is_err());
    }
}
