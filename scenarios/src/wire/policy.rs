//! What a caller does about calls that are slow or fail, as written.

use toml::de::DeValue;

use super::decode::{self, Count, Decode, Decoder, Definitions, Node};
use crate::scenario::Jitter;
use crate::units::{Rate, Ratio, SimTime};

/// How often something is tried again.
pub(crate) type Times = Count<0, 100>;

table! {
    /// Rules for calls: every instance that calls keeps its own account for each component that it calls under them.
    Policy {
        /// How long one attempt may take, from the moment it has its connection.
        optional timeout: SimTime,
        /// What is done about an attempt that failed: a number, or a table.
        optional retries: Retries,
        /// Refuses calls at once when too many failed.
        optional circuit_breaker: CircuitBreaker,
        /// A second attempt beside a slow first one: the first answer counts.
        optional hedge: Hedge,
        /// How many calls of an instance there may be at once.
        optional bulkhead: Bulkhead,
        /// Connections that the calls of an instance share: a number, or a table.
        optional pool: Pool,
    }
}

/// A policy's name, or the policy itself.
#[derive(Clone, Debug)]
pub(crate) enum PolicyReference {
    Name(String),
    Inline(Box<Policy>),
}

impl Decode for PolicyReference {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if node.get_ref().is_table() {
            Policy::decode(node, at, d).map(|policy| Self::Inline(Box::new(policy)))
        } else {
            String::decode(node, at, d).map(Self::Name)
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "anyOf": [String::schema(definitions), Policy::schema(definitions)] })
    }
}

table! {
    /// How failed attempts are repeated: after `min(cap, backoff * factor^(k-1))` for the k-th, with jitter.
    RetriesTable {
        /// How often at most.
        required times: Times,
        /// The pause before the first retry.
        default backoff: SimTime = SimTime::from_millis(100),
        /// By how much each pause is longer than the one before.
        default factor: Number<1, 100> = Number(2.0),
        /// The longest pause.
        default cap: SimTime = SimTime::from_secs(20),
        /// Which part of a pause is drawn at random: `full` (all), `equal` (half) or `none`.
        default jitter: Jitter = Jitter::Full,
        /// How many retries the load allows. Without it all of them.
        optional budget: RetryBudget,
    }
}

/// Retries as a number, or with their rules.
#[derive(Clone, Debug)]
pub(crate) enum Retries {
    Times(Times),
    Table(RetriesTable),
}

impl Decode for Retries {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if node.get_ref().is_table() {
            RetriesTable::decode(node, at, d).map(Self::Table)
        } else {
            Times::decode(node, at, d).map(Self::Times)
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "anyOf": [Times::schema(definitions), RetriesTable::schema(definitions)] })
    }
}

/// A number, whole or not, in a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Number<const LEAST: u32, const GREATEST: u32>(pub(crate) f64);

impl<const LEAST: u32, const GREATEST: u32> Decode for Number<LEAST, GREATEST> {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        let number: Option<f64> = match node.get_ref() {
            DeValue::Integer(n) if n.radix() == 10 => n.as_str().parse().ok(),
            DeValue::Float(n) => n.as_str().parse().ok(),
            _ => None,
        };
        let number = number.filter(|n| (f64::from(LEAST)..=f64::from(GREATEST)).contains(n));
        if number.is_none() {
            d.wrong_type(node, at, &format!("a number from {LEAST} to {GREATEST}"), None);
        }
        number.map(Self)
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "type": "number", "minimum": LEAST, "maximum": GREATEST })
    }

    fn to_json(&self) -> serde_json::Value {
        self.0.into()
    }
}

words!(Jitter { "full" => Full, "equal" => Equal, "none" => None });

table! {
    /// How many retries the load allows, by Finagle's rule.
    RetryBudget {
        /// Retries per request of the window.
        default share: Ratio = Ratio::new(0.2),
        /// Retries allowed however few requests there are.
        default min_rate: Rate = Rate::per_second(10.0),
        /// How long a request counts.
        default window: SimTime = SimTime::from_secs(10),
    }
}

table! {
    /// Opens when too many calls failed, and lets probes through after a while.
    CircuitBreaker {
        /// The failed share of the window's calls at which it opens.
        default failures: Ratio = Ratio::new(0.5),
        /// Calls that have to be known before it judges.
        default min_calls: Count<1, 1_000_000> = Count(20),
        /// How long a call counts.
        default window: SimTime = SimTime::from_secs(10),
        /// How long it stays open.
        default open: SimTime = SimTime::from_secs(30),
        /// Calls let through afterwards, whose outcomes decide.
        default probes: Count<1, 1_000_000> = Count(10),
    }
}

table! {
    /// Further attempts beside a slow one.
    Hedge {
        /// After this long without an answer; the p95 of the call is a usual choice.
        required after: SimTime,
        /// How many at most, each `after` later than the one before.
        default times: Count<1, 10> = Count(1),
    }
}

table! {
    /// A limit on calls at once.
    Bulkhead {
        /// Calls at once, per calling instance.
        required calls: Count<1, 1_000_000>,
        /// Calls that may wait for their turn; one more fails at once.
        default queue: Count<0, 1_000_000> = Count(0),
    }
}

table! {
    /// Connections that the calls of an instance share.
    PoolTable {
        /// How many there may be.
        required connections: Count<1, 1_000_000>,
        /// How many are kept open while nobody uses them; by default all.
        optional idle: Count<0, 1_000_000>,
        /// Calls that may wait for one; one more fails at once.
        default queue: Count<0, 1_000_000> = Count(1_000_000),
    }
}

/// A pool as the number of its connections, or with its rules.
#[derive(Clone, Debug)]
pub(crate) enum Pool {
    Connections(Count<1, 1_000_000>),
    Table(PoolTable),
}

impl Decode for Pool {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if node.get_ref().is_table() {
            PoolTable::decode(node, at, d).map(Self::Table)
        } else {
            Count::decode(node, at, d).map(Self::Connections)
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({
            "anyOf": [Count::<1, 1_000_000>::schema(definitions), PoolTable::schema(definitions)]
        })
    }
}
