//! Conditions that a run must meet, as written: a text, or a table that says more.

use crate::units::SimTime;

use super::prelude::*;

table! {
    /// A condition with what its failure means for the run.
    LimitTable {
        /// The condition, in k6's syntax: `p(99)<250ms`.
        required condition: String,
        /// Whether a run over sockets is stopped as soon as the condition fails.
        default abort_on_fail: bool = false,
        /// How long that waits after the warm-up, so that there is something to judge.
        default delay: SimTime = SimTime::from_secs(10),
    }
}

/// A condition.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    pub(crate) condition: Option<String>,
    /// What stops a run that fails it, and after how long.
    pub(crate) abort: Option<SimTime>,
    /// Where in the file the condition stands, below its own place.
    pub(crate) key: &'static str,
}

impl Decode for Limit {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if matches!(node.get_ref(), toml::de::DeValue::Table(_)) {
            let table = LimitTable::decode(node, at, d)?;
            let abort = table.abort_on_fail.then_some(table.delay);
            return Some(Self { condition: table.condition, abort, key: ".condition" });
        }
        String::decode(node, at, d).map(|text| Self { condition: Some(text), abort: None, key: "" })
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "anyOf": [String::schema(definitions), LimitTable::schema(definitions)] })
    }
}
