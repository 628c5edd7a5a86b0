//! What is planned: which designs are looked through for the cheapest that holds, and in which circumstances it must.

use std::fmt;
use std::str::FromStr;

use crate::quantity::Misread;
use crate::rate::Growth;
use crate::threshold::Threshold;
use crate::units::SimTime;

/// The file's section `[plan]`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Planning {
    /// What may be chosen. A candidate takes one choice of each.
    pub knobs: Vec<Knob>,
    /// In which circumstances the thresholds must hold, beside those of the file.
    pub conditions: Vec<PlanCondition>,
    /// What must hold, where it is not what the file's own thresholds say.
    pub thresholds: Vec<Threshold>,
    /// How the load grows.
    pub growth: Option<Growth>,
    /// The day that the file's load is of.
    pub today: Option<Day>,
    /// Where on the timeline the part starts that candidates are held against; by default where the load is greatest.
    pub from: Option<SimTime>,
    /// How long that part is.
    pub length: Option<SimTime>,
    /// With how many seeds the answer is confirmed.
    pub replications: u32,
}

/// Something that may be chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Knob {
    /// The path of what it changes.
    pub path: String,
    /// What there is to choose from.
    pub choices: Vec<Choice>,
    /// Whether a later choice is at least as good as an earlier one, whatever it costs: those of a range are.
    pub is_monotone: bool,
}

/// One of a knob's choices.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Choice {
    /// What it is called.
    pub name: String,
    /// What it sets.
    pub settings: Vec<Setting>,
}

/// A value at a path of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Setting {
    /// The path, such as `hosts.app.count`.
    pub path: String,
    /// The value in TOML.
    pub value: String,
}

impl Choice {
    pub(crate) fn new(name: String, settings: Vec<Setting>) -> Self {
        Self { name, settings }
    }
}

impl Setting {
    /// A value, as TOML has it, at a path.
    pub fn new(path: impl Into<String>, value: impl Into<String>) -> Self {
        Self { path: path.into(), value: value.into() }
    }
}

impl FromStr for Setting {
    type Err = Misread;

    /// Reads `hosts.app.count=2`. What is no TOML value is taken for a text: `traffic.users.rate=300/s`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || Misread::new("a path of the file and a value").hint("write hosts.app.count=2");
        let (path, value) = text.split_once('=').ok_or_else(misread)?;
        let (path, value) = (path.trim(), value.trim());
        if path.is_empty() || value.is_empty() {
            return Err(misread());
        }
        let value = match value.parse::<toml_edit::Value>() {
            Ok(_) => value.to_owned(),
            Err(_) => toml_edit::Value::from(value).to_string(),
        };
        Ok(Self::new(path, value))
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.path, self.value)
    }
}

/// Circumstances in which the thresholds must hold. What it says applies at once.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PlanCondition {
    /// Its name.
    pub name: String,
    /// Hosts of which one machine is dead, one host after the other; none where all are up.
    pub down: Vec<String>,
    /// How many times the file's load.
    pub load: f64,
    /// Whether caches are emptied as the measured part begins.
    pub cold: bool,
}

/// A day of the Gregorian calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    year: i64,
    month: u32,
    day: u32,
}

impl Day {
    /// So many days later, or earlier.
    #[must_use]
    pub fn plus(self, days: i64) -> Self {
        Self::of_number(self.number() + days)
    }

    /// Days since 1 March of the year 0: with March as the first month, a leap day is the last of its year, and the days before
    /// each month follow from a straight line (E. G. Richards, *Mapping Time*, 1998, chapter 25).
    fn number(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let month = i64::from((self.month + 9) % 12);
        365 * year + year.div_euclid(4) - year.div_euclid(100)
            + year.div_euclid(400)
            + (153 * month + 2) / 5
            + i64::from(self.day)
            - 1
    }

    fn of_number(number: i64) -> Self {
        // The year is that in which the number lies: an estimate that is at most one too great or too small.
        let start = |year| Self { year, month: 3, day: 1 }.number();
        let mut year = (number * 400).div_euclid(146_097);
        while start(year) > number {
            year -= 1;
        }
        while start(year + 1) <= number {
            year += 1;
        }
        let of_year = number - start(year);
        let month = (5 * of_year + 2) / 153;
        let day = (of_year - (153 * month + 2) / 5 + 1) as u32;
        let month = ((month + 2) % 12 + 1) as u32;
        Self { year: year + i64::from(month <= 2), month, day }
    }
}

impl FromStr for Day {
    type Err = Misread;

    /// Reads `2015-03-01`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || Misread::new("a day from 1900-01-01 to 2999-12-31").hint("write \"2015-03-01\"");
        let mut parts = text.trim().splitn(3, '-').map(|part| part.parse::<u32>().ok());
        let mut part = || parts.next().flatten().ok_or_else(misread);
        let day = Self { year: i64::from(part()?), month: part()?, day: part()? };
        // A day that there is not is another one when it is counted.
        let exists = (1..=12).contains(&day.month) && (1..=31).contains(&day.day) && day.plus(0) == day;
        if (1900..3000).contains(&day.year) && exists { Ok(day) } else { Err(misread()) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{:04}-{:02}-{:02}", self.year, self.month, self.day))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_follow_each_other_over_leap_years() {
        let day = |text: &str| text.parse::<Day>().unwrap_or_else(|e| panic!("{text}: {e:?}"));
        for (from, days, to) in [
            ("2015-03-01", 0, "2015-03-01"),
            ("2015-12-31", 1, "2016-01-01"),
            ("2016-02-28", 1, "2016-02-29"),
            ("2016-02-28", 2, "2016-03-01"),
            ("2000-02-29", 366, "2001-03-01"),
            ("1900-02-28", 1, "1900-03-01"),
            ("2015-03-01", -60, "2014-12-31"),
            ("2000-01-01", 146_097, "2400-01-01"),
        ] {
            assert_eq!(day(from).plus(days).to_string(), to, "{from} and {days} days");
        }
        for wrong in ["2015-02-29", "2015-13-01", "2015-00-01", "2015-01-00", "1-1-1", "2015-03", "today"] {
            assert!(wrong.parse::<Day>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn settings_are_paths_and_values_of_toml_or_texts() {
        let read = |text: &str| text.parse::<Setting>().map(|s| (s.path, s.value)).ok();
        let pair = |path: &str, value: &str| Some((path.to_owned(), value.to_owned()));
        assert_eq!(read("hosts.app.count=2"), pair("hosts.app.count", "2"));
        assert_eq!(read("a.b = 300/s"), pair("a.b", "\"300/s\""));
        assert_eq!(read("a.b=\"64GB\""), pair("a.b", "\"64GB\""));
        assert_eq!(read("a.b={ by = \"crc16\" }"), pair("a.b", "{ by = \"crc16\" }"));
        assert_eq!((read("a.b"), read("=2"), read("a.b=")), (None, None, None));
    }
}
