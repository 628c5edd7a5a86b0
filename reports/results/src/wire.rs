//! How values stand in JSON: times in seconds, words for enums, histograms in base64.

use scenarios::threshold::{Aggregate, Comparison, During, Metric};
use scenarios::units::SimTime;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serializer};

/// [`SimTime`] in seconds; exact to the nanosecond for runs of up to a hundred days.
pub(crate) mod seconds {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(time: &SimTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(time.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SimTime, D::Error> {
        f64::deserialize(from).map(SimTime::from_secs_f64)
    }
}

/// [`SimTime`] in nanoseconds, exactly.
pub(crate) mod nanos {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(time: &SimTime, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(time.as_nanos())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SimTime, D::Error> {
        u64::deserialize(from).map(SimTime::from_nanos)
    }
}

/// A wall clock's duration in seconds.
pub(crate) mod duration {
    use super::*;
    use std::time::Duration;

    pub(crate) fn serialize<S: Serializer>(took: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(took.as_secs_f64())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let seconds = f64::deserialize(from)?;
        Duration::try_from_secs_f64(seconds).map_err(D::Error::custom)
    }
}

/// A point in time as RFC 3339 has it.
pub(crate) mod timestamp {
    use super::*;
    use jiff::Timestamp;

    pub(crate) fn serialize<S: Serializer>(at: &Timestamp, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(at)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

macro_rules! words {
    ($(#[$doc:meta])* $module:ident, $type:ty, [$($variant:ident = $word:literal),+ $(,)?]) => {
        $(#[$doc])*
        pub(crate) mod $module {
            use super::*;

            pub(crate) fn word(value: $type) -> &'static str {
                match value {
                    $(<$type>::$variant => $word,)+
                    #[allow(unreachable_patterns, reason = "some of these enums may grow")]
                    other => panic!("{other:?} has a word in records: one is added with the variant"),
                }
            }

            pub(crate) fn serialize<S: Serializer>(value: &$type, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(word(*value))
            }

            pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<$type, D::Error> {
                match String::deserialize(from)?.as_str() {
                    $($word => Ok(<$type>::$variant),)+
                    other => Err(D::Error::unknown_variant(other, &[$($word),+])),
                }
            }
        }
    };
}

words!(
    /// Comparisons by their signs.
    comparison, Comparison, [Less = "<", LessOrEqual = "<=", Greater = ">", GreaterOrEqual = ">="]
);
/// Metrics by their names in files.
pub(crate) mod metric {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Metric, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(value.name())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Metric, D::Error> {
        let text = String::deserialize(from)?;
        let found = Metric::ALL.into_iter().find(|metric| metric.name() == text);
        found.ok_or_else(|| D::Error::custom(format!("found {text:?}, expected a metric")))
    }
}

words!(
    /// Parts of a run.
    during, During, [Run = "run", Fault = "fault", NoFault = "no_fault", Before = "before", After = "after"]
);

/// Aggregates in a threshold's syntax.
pub(crate) mod aggregate {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(value: &Aggregate, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(value)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Aggregate, D::Error> {
        let text = String::deserialize(from)?;
        let form = || D::Error::custom(format!("found aggregate {text:?}, expected one as p(99), avg"));
        Aggregate::read(&text).ok_or_else(form)
    }
}
