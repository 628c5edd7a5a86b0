//! Laws of counts and growth as text: `geometric(mean=6)`, `2%/week`.

use std::fmt;
use std::str::FromStr;

use super::law::call;
use super::{Misread, plain_number};
use crate::law::CountLaw;
use crate::rate::Growth;
use crate::scenario::Churn;
use crate::units::Ratio;

/// The greatest mean of a number of requests: a session has at most 1024, and a geometric law is not to be cut off much.
const MEAN_LIMIT: f64 = 100.0;

impl FromStr for CountLaw {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || {
            Misread::new("a whole number without quotes, or \"geometric(mean=..)\" with a mean from 1 to 100")
                .hint("write \"geometric(mean=6)\"")
        };
        let Some(("geometric", arguments)) = call(text) else { return Err(misread()) };
        let [(Some("mean"), mean)] = arguments.as_slice() else { return Err(misread()) };
        let mean = plain_number(mean).filter(|m| (1.0..=MEAN_LIMIT).contains(m)).ok_or_else(misread)?;
        Ok(Self::Geometric { mean })
    }
}

impl fmt::Display for CountLaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Constant(count) => f.pad(&count.to_string()),
            Self::Geometric { mean } => f.pad(&format!("geometric(mean={mean})")),
        }
    }
}

/// Periods of growth with their seconds. A month is a twelfth of 365 days.
const PERIODS: [(&str, f64); 4] =
    [("day", 86_400.0), ("week", 604_800.0), ("month", 2_628_000.0), ("year", 31_536_000.0)];

impl FromStr for Growth {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || Misread::new("growth per day, week, month or year").hint("write \"2%/week\"");
        let (share, period) = text.split_once('/').ok_or_else(misread)?;
        let share = share.parse::<Ratio>()?.get();
        let (_, period) = PERIODS.into_iter().find(|(name, _)| *name == period.trim()).ok_or_else(misread)?;
        Ok(Self { share, period })
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PERIODS.iter().find(|(_, seconds)| *seconds == self.period).map_or("?", |(name, _)| name);
        f.pad(&format!("{}/{name}", Ratio::new(self.share)))
    }
}

/// Periods of churn with their seconds; the first word of each is how it is written.
const CHURN_PERIODS: [(&[&str], f64); 5] = [
    (&["s", "second"], 1.0),
    (&["min", "minute"], 60.0),
    (&["h", "hour"], 3_600.0),
    (&["day", "d"], 86_400.0),
    (&["week", "w"], 604_800.0),
];
/// Churn is at most this share in a second.
const MOST_CHURN_PER_SECOND: f64 = 1.0;

impl FromStr for Churn {
    type Err = Misread;

    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || {
            Misread::new("a share above 0% per s, min, h, day or week, and at most 100%/s")
                .hint("write \"2%/day\"")
        };
        let (share, period) = text.split_once('/').ok_or_else(misread)?;
        let share = share.parse::<Ratio>()?;
        let (_, period) = CHURN_PERIODS
            .into_iter()
            .find(|(names, _)| names.contains(&period.trim()))
            .ok_or_else(misread)?;
        let rate = share.get() / period;
        if rate > MOST_CHURN_PER_SECOND || rate <= 0.0 {
            return Err(misread());
        }
        Ok(Self { share, period })
    }
}

impl fmt::Display for Churn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = CHURN_PERIODS.iter().find(|(_, seconds)| *seconds == self.period);
        f.pad(&format!("{}/{}", self.share, period.map_or("?", |(names, _)| names[0])))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_and_counts_read_as_they_are_written() {
        for text in ["2%/week", "0.5%/day", "30%/year", "4%/month"] {
            assert_eq!(text.parse::<Growth>().expect("it is growth").to_string(), text);
        }
        let law: CountLaw = "geometric(mean=6.5)".parse().expect("it is a law");
        assert_eq!(
            (law, law.to_string().as_str()),
            (CountLaw::Geometric { mean: 6.5 }, "geometric(mean=6.5)")
        );
        for text in ["2%/day", "1%/h", "0.5%/min", "150%/week"] {
            assert_eq!(text.parse::<Churn>().expect("it is churn").to_string(), text);
        }
        for text in ["2%", "0%/day", "200%/s", "2%/month"] {
            assert!(text.parse::<Churn>().is_err(), "{text}");
        }
        for text in ["2%", "2/week", "2%/fortnight", "-2%/week"] {
            assert!(text.parse::<Growth>().is_err(), "{text}");
        }
        for text in ["geometric(6)", "geometric(mean=0.5)", "6", "poisson(mean=6)"] {
            assert!(text.parse::<CountLaw>().is_err(), "{text}");
        }
    }
}
