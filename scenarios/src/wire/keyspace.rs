//! Populations of keys, as written.

use crate::law::SizeLaw;
use crate::scenario::{Churn, Popularity};
use crate::units::{Ratio, SimTime};

use super::prelude::*;

table! {
    /// A population of keys that live in one store. One in an SQL store is a table, with all its rows.
    Keyspace {
        /// The key-value store that holds it, or the SQL store whose table it is. Beside a key-value store, any SQL store has a
        /// table of it, too.
        required store("in"): String,
        /// How many different keys there are. Key number 0 is the most popular.
        required keys: Count<1, 1_000_000_000_000>,
        /// Whether every key is there from the start and never evicted.
        default persistent: bool = false,
        /// How long a key lives after it was written: a duration, or `{ base = "1d", jitter = "10%" }`.
        optional ttl: Ttl,
        /// How requests choose among the keys: `uniform` or `zipf(0.9)`.
        default popularity: Popularity = Popularity::Uniform,
        /// Which share of the popular keys others replace in a period, so that new ones become popular and old ones fade:
        /// `2%/day`. Key number 0 is then the most popular at the timeline's zero.
        optional churn: Churn,
        /// The size of a value.
        required value: SizeLaw,
        /// How many of the most popular keys are in the store before the run starts.
        default prefill: Count<0, 1_000_000_000_000> = Count(0),
    }
}

table! {
    /// A lifetime drawn at each write.
    TtlTable {
        /// The middle.
        required base: SimTime,
        /// Half the width, as a share of the base.
        default jitter: Ratio = Ratio::new(0.0),
    }
}

/// A lifetime, as one duration or with a jitter.
#[derive(Clone, Debug)]
pub(crate) struct Ttl {
    pub(crate) base: Option<SimTime>,
    pub(crate) jitter: Ratio,
}

impl Decode for Ttl {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if node.get_ref().is_table() {
            TtlTable::decode(node, at, d).map(|t| Self { base: t.base, jitter: t.jitter })
        } else {
            SimTime::decode(node, at, d).map(|base| Self { base: Some(base), jitter: Ratio::new(0.0) })
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "anyOf": [SimTime::schema(definitions), TtlTable::schema(definitions)] })
    }
}
