//! Populations of keys.

use super::ComponentId;
use crate::law::SizeLaw;
use crate::units::{Ratio, SimTime};

/// A population of keys that live in one store (and, where SQL is asked for them, in its table of that name).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Keyspace {
    /// Its name in the file. Key number `i` is called `name:i`.
    pub name: String,
    /// Its place among the keyspaces: what tells its draws from those of others.
    pub(crate) number: u16,
    /// The key-value store that holds it.
    pub store: ComponentId,
    /// How many different keys there are. Key number 0 is the most popular.
    pub keys: u64,
    /// Whether every key is there from the start and never evicted (it has no TTL).
    pub persistent: bool,
    /// How long a key of a cache keyspace lives after it was written; none for persistent ones.
    pub ttl: Option<Ttl>,
    /// How requests choose among the keys.
    pub popularity: Popularity,
    /// How fast keys change their ranks in popularity; none where they never do.
    pub churn: Option<Churn>,
    /// The size of a value; a key's value has the same size in every run of the seed.
    pub value: SizeLaw,
    /// How many of the most popular keys of a cache keyspace are in the store before the run starts. Their remaining
    /// lifetimes are uniform over the TTL; the most popular was written last.
    pub prefill: u64,
    /// Whether its keys are sessions: each is asked for by one user, so that a sample of them says nothing.
    pub has_sessions: bool,
}

/// The lifetime of a key, drawn at each write: uniform on `base` × (1 ± `jitter`).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Ttl {
    /// The middle.
    pub base: SimTime,
    /// Half the width as a share of the base.
    pub jitter: Ratio,
}

/// How fast popularity churns: the share of the ranks, popular and unpopular alike, that get another key in a period. See
/// [`crate::plan::churn`] for which.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Churn {
    /// The share.
    pub share: Ratio,
    /// In so many seconds.
    pub period: f64,
}

impl Churn {
    /// In how many seconds every rank gets another key once.
    pub fn turn_seconds(&self) -> f64 {
        self.period / self.share.get()
    }
}

/// How requests choose among a keyspace's keys.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Popularity {
    /// Each as often as any other.
    Uniform,
    /// Key number i (from 0) in proportion to (i + 1)^-exponent.
    Zipf {
        /// The exponent, above 0.
        exponent: f64,
    },
}
