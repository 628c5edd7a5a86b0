//! The same question with another design, and parts of a run, as written.

use crate::units::{Ratio, SimTime};

use super::prelude::*;

table! {
    /// The scenario with some of its values changed: another design for the same load. `sim run FILE --variant NAME`.
    Variant {
        /// What is different.
        required what: String,
        /// Values by the path of the key that they replace: `set."hosts.app.count" = 2`.
        default set: Settings = Settings::default(),
        /// Paths of what is left out, from the first to the last: `["faults[1]"]`.
        default remove: List<String> = List::default(),
    }
}

/// Values of any type by their paths. Only the paths are decoded: what they lead to is read with the rest of the scenario
/// when the variant is made.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings(pub(crate) Vec<String>);

impl Decode for Settings {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        let toml::de::DeValue::Table(table) = node.get_ref() else {
            d.wrong_type(node, at, "a table of values by path", None);
            return None;
        };
        let mut paths = Vec::new();
        for (key, value) in table.iter() {
            let path: &str = key.get_ref();
            d.enter(&decode::join(at, path), key.span().start, value);
            paths.push(path.to_owned());
        }
        Some(Self(paths))
    }

    fn schema(_: &mut Definitions) -> serde_json::Value {
        serde_json::json!({ "type": "object" })
    }

    fn to_json(&self) -> serde_json::Value {
        serde_json::json!({})
    }
}

table! {
    /// The part of the scenario that fits this project's own stack on two cores: `loadgen run FILE` plays it unless
    /// told otherwise.
    Play {
        /// Where on the timeline it starts.
        optional from: SimTime,
        /// How long it is.
        optional length("for"): SimTime,
        /// The share of the traffic, keys, memory and cores.
        optional rate: Ratio,
    }
}

table! {
    /// The part of the scenario that `sim scorecard` runs; without it the whole.
    Score {
        /// Where on the timeline it starts.
        optional from: SimTime,
        /// How long it is.
        optional length("for"): SimTime,
        /// The share of the traffic, keys, memory and cores.
        optional rate: Ratio,
        /// With so many seeds.
        default replications: Count<1, 1000> = Count(5),
    }
}
