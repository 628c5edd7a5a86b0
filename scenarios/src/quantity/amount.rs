//! Durations, rates, bytes, ratios and prices as text.

use std::fmt;
use std::str::FromStr;

use super::{Misread, shifted, split_number};
use crate::units::{Bandwidth, Bytes, Price, Rate, Ratio, SimTime, TrafficPrice};

/// No duration is as long as this: sums of several stay far from overflow.
pub const DURATION_LIMIT: SimTime = SimTime::from_secs(100 * 365 * 86_400);
/// No rate is above this many per second.
pub const RATE_LIMIT: f64 = 1e7;
/// No size in bytes is above this (2^50, a pebibyte).
pub const BYTES_LIMIT: u64 = 1 << 50;
/// No ratio is above this (10,000%).
pub const RATIO_LIMIT: f64 = 100.0;

/// Units of time with their nanoseconds, the longest first.
const TIMES: [(&str, u64); 8] = [
    ("w", 604_800_000_000_000),
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

fn duration_misread(text: &str) -> Misread {
    let misread = Misread::new("a duration with a unit (ns, us, ms, s, m, h, d, w)");
    let trimmed = text.trim();
    match split_number(trimmed) {
        Some((number, "")) => misread.hint(format!("write \"{number}s\" or \"{number}ms\"")),
        Some((number, rest)) => match rest.trim().to_lowercase().as_str() {
            "sec" | "secs" | "second" | "seconds" => misread.hint(format!("write \"{number}s\"")),
            "min" | "mins" | "minute" | "minutes" => misread.hint(format!("write \"{number}m\"")),
            "hour" | "hours" | "hr" => misread.hint(format!("write \"{number}h\"")),
            "day" | "days" => misread.hint(format!("write \"{number}d\"")),
            "msec" | "millis" | "milliseconds" => misread.hint(format!("write \"{number}ms\"")),
            _ => misread.hint("write \"250ms\" or \"2d 20h\""),
        },
        None => misread.hint("write \"250ms\" or \"2d 20h\""),
    }
}

impl FromStr for SimTime {
    type Err = Misread;

    /// Reads `250ms`, `2d 20h`, `0.2us`; a fraction of a nanosecond is refused.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let mut rest = text.trim();
        let mut nanos = 0_u128;
        if rest.is_empty() {
            return Err(duration_misread(text));
        }
        while !rest.is_empty() {
            let (number, after) = split_number(rest).ok_or_else(|| duration_misread(text))?;
            let after = after.trim_start();
            let end = after.find(|c: char| c.is_ascii_digit() || c.is_whitespace()).unwrap_or(after.len());
            let unit = if &after[..end] == "µs" { "us" } else { &after[..end] };
            let (_, size) =
                TIMES.iter().find(|(name, _)| *name == unit).ok_or_else(|| duration_misread(text))?;
            nanos += exact(&number, *size).ok_or_else(|| {
                Misread::new("a duration in whole nanoseconds")
                    .hint("leave the digits below a nanosecond out")
            })?;
            rest = after[end..].trim_start();
        }
        if nanos >= u128::from(DURATION_LIMIT.as_nanos()) {
            return Err(Misread::new("a duration below 100 years"));
        }
        Ok(Self::from_nanos(nanos as u64))
    }
}

/// `number` × `size`, where that is whole.
fn exact(number: &str, size: u64) -> Option<u128> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let fraction = fraction.trim_end_matches('0');
    if whole.len() > 20 || fraction.len() > 16 {
        return None;
    }
    let scale = 10_u128.pow(fraction.len() as u32);
    let part = fraction.parse::<u128>().unwrap_or(0) * u128::from(size);
    (part % scale == 0).then_some(whole.parse::<u128>().ok()? * u128::from(size) + part / scale)
}

impl fmt::Display for SimTime {
    /// As a file would say it: `250ms`, `2d 20h`, `1m 30s`, `1.5s`; exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.as_nanos();
        if nanos < 1_000_000_000 {
            let text = match nanos {
                0 => "0s".to_owned(),
                1_000_000.. => format!("{}ms", decimal(nanos, 1_000_000)),
                1_000.. => format!("{}us", decimal(nanos, 1_000)),
                _ => format!("{nanos}ns"),
            };
            return f.pad(&text);
        }
        let mut parts = Vec::new();
        let mut rest = nanos;
        for (unit, size) in &TIMES[1..4] {
            if rest >= *size {
                parts.push(format!("{}{unit}", rest / size));
                rest %= size;
            }
        }
        if rest > 0 {
            parts.push(format!("{}s", decimal(rest, 1_000_000_000)));
        }
        f.pad(&parts.join(" "))
    }
}

/// `amount` / `unit` in plain decimals; `unit` is a power of ten.
fn decimal(amount: u64, unit: u64) -> String {
    let (whole, part) = (amount / unit, amount % unit);
    if part == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    format!("{whole}.{}", format!("{part:0width$}").trim_end_matches('0'))
}

impl FromStr for Rate {
    type Err = Misread;

    /// Reads `550/s`, `100/min`, `2000/h`, `200_000/d`, `1/w`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || {
            let misread = Misread::new("a rate with its unit of time (/s, /min, /h, /d, /w)");
            match split_number(text.trim()) {
                Some((number, _)) => misread.hint(format!("write \"{number}/s\"")),
                None => misread.hint("write \"300/s\""),
            }
        };
        let (number, rest) = split_number(text.trim()).ok_or_else(misread)?;
        let seconds = match rest.trim().strip_prefix('/').map(str::trim) {
            Some("s" | "second") => 1.0,
            Some("m" | "min" | "minute") => 60.0,
            Some("h" | "hour") => 3_600.0,
            Some("d" | "day") => 86_400.0,
            Some("w" | "week") => 604_800.0,
            _ => return Err(misread()),
        };
        let events: f64 = number.parse().map_err(|_| misread())?;
        let rate = events / seconds;
        if rate > RATE_LIMIT {
            return Err(Misread::new("a rate of at most 10_000_000/s"));
        }
        Ok(Self::per_second(rate))
    }
}

impl fmt::Display for Rate {
    /// Per second, exact: `550/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}/s", self.as_per_second()))
    }
}

const SIZES: [(&str, u64); 11] = [
    ("PB", 1_000_000_000_000_000),
    ("TiB", 1 << 40),
    ("TB", 1_000_000_000_000),
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("kB", 1_000),
    ("PiB", 1 << 50),
    ("B", 1),
];

impl FromStr for Bytes {
    type Err = Misread;

    /// Reads `64GiB`, `100GB`, `400B`, `1.5kB`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || {
            let misread = Misread::new("bytes with a unit (B, kB, KiB, MB, MiB, GB, GiB, TB, TiB)");
            match split_number(text.trim()) {
                Some((number, "")) => misread.hint(format!("write \"{number}MiB\"")),
                Some((number, unit)) => match unit.trim().to_lowercase().as_str() {
                    "k" | "kb" => misread
                        .hint(format!("write \"{number}kB\" for thousands or \"{number}KiB\" for 1024s")),
                    "m" | "mb" => {
                        misread.hint(format!("write \"{number}MB\" for millions or \"{number}MiB\""))
                    }
                    "g" | "gb" => misread.hint(format!("write \"{number}GB\" or \"{number}GiB\"")),
                    _ => misread.hint("write \"64MiB\" or \"400B\""),
                },
                None => misread.hint("write \"64MiB\" or \"400B\""),
            }
        };
        let (number, rest) = split_number(text.trim()).ok_or_else(misread)?;
        let (_, size) = SIZES.iter().find(|(name, _)| *name == rest.trim()).ok_or_else(misread)?;
        let bytes = exact(&number, *size).ok_or_else(|| Misread::new("a whole number of bytes"))?;
        match u64::try_from(bytes) {
            Ok(bytes) if bytes <= BYTES_LIMIT => Ok(Self::new(bytes)),
            _ => Err(Misread::new("at most 1024TiB")),
        }
    }
}

impl fmt::Display for Bytes {
    /// In the largest unit that divides it: `64GiB`, `1500B`; exact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = self.get();
        let unit =
            SIZES.iter().find(|(name, size)| *name == "B" || (bytes > 0 && bytes.is_multiple_of(*size)));
        let (name, size) = unit.expect("a byte divides every size");
        f.pad(&format!("{}{name}", bytes / size))
    }
}

/// Units of bandwidth with their bits per second; networks count in powers of ten.
const BANDWIDTHS: [(&str, f64); 4] = [("Gbit/s", 1e9), ("Mbit/s", 1e6), ("kbit/s", 1e3), ("bit/s", 1.0)];

impl FromStr for Bandwidth {
    type Err = Misread;

    /// Reads `1Gbit/s`, `100 Mbit/s`; from 1 kbit/s to 1,000 Gbit/s.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || {
            let misread = Misread::new("a bandwidth with its unit (bit/s, kbit/s, Mbit/s, Gbit/s)");
            match split_number(text.trim()) {
                Some((number, _)) => misread.hint(format!("write \"{number}Gbit/s\"")),
                None => misread.hint("write \"1Gbit/s\""),
            }
        };
        let (number, rest) = split_number(text.trim()).ok_or_else(misread)?;
        let (_, size) = BANDWIDTHS.iter().find(|(name, _)| *name == rest.trim()).ok_or_else(misread)?;
        let bits = number.parse::<f64>().map_err(|_| misread())? * size;
        if !(1e3..=1e12).contains(&bits) {
            return Err(Misread::new("a bandwidth from 1kbit/s to 1000Gbit/s"));
        }
        Ok(Self::bits_per_second(bits))
    }
}

impl fmt::Display for Bandwidth {
    /// In the largest unit that leaves at least one: `1Gbit/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = self.as_bits_per_second();
        let unit = BANDWIDTHS.iter().find(|(_, size)| bits >= *size).unwrap_or(&BANDWIDTHS[3]);
        f.pad(&format!("{}{}", bits / unit.1, unit.0))
    }
}

impl FromStr for Ratio {
    type Err = Misread;

    /// Reads `0.1%`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || {
            let misread = Misread::new("a share in percent");
            match split_number(text.trim()) {
                Some((number, _)) => misread.hint(format!("write \"{number}%\"")),
                None => misread.hint("write \"0.1%\""),
            }
        };
        let (number, rest) = split_number(text.trim()).ok_or_else(misread)?;
        if rest.trim() != "%" {
            return Err(misread());
        }
        // Through the decimal exponent, so that what is written reads back exactly.
        let fraction: f64 = format!("{number}e-2").parse().map_err(|_| misread())?;
        if fraction > RATIO_LIMIT {
            return Err(Misread::new("at most 10_000%"));
        }
        Ok(Self::new(fraction))
    }
}

impl fmt::Display for Ratio {
    /// In percent, exact: `0.1%`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{}%", shifted(self.get(), 2)))
    }
}

impl FromStr for Price {
    type Err = Misread;

    /// Reads `120 USD/month`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || Misread::new("a price per month with its currency").hint("write \"120 USD/month\"");
        let (number, rest) = split_number(text.trim()).ok_or_else(misread)?;
        let currency = rest.trim().strip_suffix("/month").map(str::trim).ok_or_else(misread)?;
        let per_month: f64 = number.parse().map_err(|_| misread())?;
        if currency.is_empty()
            || currency.len() > 8
            || !currency.chars().all(|c| c.is_ascii_alphabetic())
            || per_month > 1e12
        {
            return Err(misread());
        }
        Ok(Self { per_month, currency: currency.to_owned() })
    }
}

impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}/month", self.per_month, self.currency))
    }
}

impl FromStr for TrafficPrice {
    type Err = Misread;

    /// Reads `0.085 USD/GB`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread =
            || Misread::new("a price per gigabyte with its currency").hint("write \"0.085 USD/GB\"");
        let (number, rest) = split_number(text.trim()).ok_or_else(misread)?;
        let currency = rest.trim().strip_suffix("/GB").map(str::trim).ok_or_else(misread)?;
        let per_gigabyte: f64 = number.parse().map_err(|_| misread())?;
        let plain = currency.chars().all(|c| c.is_ascii_alphabetic());
        if currency.is_empty() || currency.len() > 8 || !plain || per_gigabyte > 1e6 {
            return Err(misread());
        }
        Ok(Self { per_gigabyte, currency: currency.to_owned() })
    }
}

impl fmt::Display for TrafficPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} {}/GB", self.per_gigabyte, self.currency))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: FromStr<Err = Misread>>(text: &str) -> T {
        text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    #[test]
    fn durations_add_up_their_parts() {
        assert_eq!(read::<SimTime>("2d 20h"), SimTime::from_secs(68 * 3600));
        assert_eq!(read::<SimTime>("2d20h"), SimTime::from_secs(68 * 3600));
        assert_eq!(read::<SimTime>("0.2us"), SimTime::from_nanos(200));
        assert_eq!(read::<SimTime>("1.5s").to_string(), "1.5s");
        assert_eq!(read::<SimTime>("7d").to_string(), "7d");
        assert_eq!(read::<SimTime>("250 us").to_string(), "250us");
    }

    #[test]
    fn a_number_without_its_unit_is_refused_with_a_hint() {
        assert_eq!("4".parse::<Bytes>().expect_err("no unit").hint.as_deref(), Some("write \"4MiB\""));
        assert!("250".parse::<SimTime>().is_err());
        assert!("300".parse::<Rate>().is_err());
        assert!("0.1".parse::<Ratio>().is_err());
        assert!("101y".parse::<SimTime>().is_err());
        assert!("36500d".parse::<SimTime>().is_err());
        assert!("0.1ns".parse::<SimTime>().is_err());
    }

    #[test]
    fn sizes_rates_and_ratios_read_in_their_units() {
        assert_eq!(read::<Bytes>("64GiB").get(), 64 << 30);
        assert_eq!(read::<Bytes>("1.5kB").get(), 1500);
        assert_eq!(read::<Rate>("120/min"), Rate::per_second(2.0));
        assert_eq!(read::<Bandwidth>("1Gbit/s").as_bytes_per_second(), 125e6);
        assert_eq!(read::<Bandwidth>("2500 Mbit/s").to_string(), "2.5Gbit/s");
        assert!("1Gb".parse::<Bandwidth>().is_err() && "0bit/s".parse::<Bandwidth>().is_err());
        assert_eq!(read::<Ratio>("0.1%"), Ratio::new(0.001));
        assert_eq!(read::<Price>("120 USD/month").per_month, 120.0);
    }
}
