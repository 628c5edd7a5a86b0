//! How many keys a simulator follows.

use std::fmt;
use std::str::FromStr;

use super::Keyspace;
use crate::quantity::Misread;

/// With more cache keys than this in a store, only some are followed unless the file says otherwise.
const MOST_EXACT_KEYS: u64 = 20_000_000;
/// About as many are followed then. A policy that sees a sample of 2^13 keys at random has its hit ratio within about 0.01
/// (Waldspurger et al., FAST 2015), and the error falls with the root of their number.
const FOLLOWED_KEYS: u64 = 1 << 20;

/// Whether a simulator follows every key of cache keyspaces. The real world always has them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampling {
    /// Every key in stores of up to 20 million cache keys, else about a million of them: one in a power of two.
    #[default]
    Auto,
    /// Every key.
    Exact,
    /// One key in so many.
    OneIn(u64),
}

impl Sampling {
    /// Of how many keys one is followed in a store with these keyspaces; always each, where some of them are sessions.
    pub fn one_in<'a>(self, keyspaces: impl Iterator<Item = &'a Keyspace> + Clone) -> u64 {
        if keyspaces.clone().any(|keyspace| keyspace.has_sessions) {
            return 1;
        }
        let keys = |keyspaces: &mut dyn Iterator<Item = &'a Keyspace>| {
            keyspaces.filter(|k| !k.persistent).map(|k| k.keys).fold(0_u64, u64::saturating_add)
        };
        match self {
            Self::Exact => 1,
            Self::OneIn(n) => n,
            Self::Auto => {
                let mut keyspaces = keyspaces;
                match keys(&mut keyspaces) {
                    0..=MOST_EXACT_KEYS => 1,
                    keys => 1 << (keys / FOLLOWED_KEYS).ilog2(),
                }
            }
        }
    }
}

impl fmt::Display for Sampling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Exact => f.write_str("exact"),
            Self::OneIn(n) => write!(f, "1/{n}"),
        }
    }
}

impl FromStr for Sampling {
    type Err = Misread;

    /// Reads `auto`, `exact` or `1/64`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let one_in = |n: &str| n.trim().parse().ok().filter(|n| (2..=65_536).contains(n));
        match text.trim() {
            "auto" => Ok(Self::Auto),
            "exact" => Ok(Self::Exact),
            other => other.strip_prefix("1/").and_then(one_in).map(Self::OneIn).ok_or_else(|| {
                Misread::new("\"auto\", \"exact\", or a share from \"1/2\" to \"1/65536\"")
                    .hint("write \"1/64\"")
            }),
        }
    }
}
