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
            let at = decode::join(at, path);
            d.enter(&at, key.span().start, value);
            if let Some(hint) = unquoted(path, value, d) {
                d.key_problem(&at, path, "a path in quotes", Some(hint));
            }
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

/// What was meant by a path without quotes: TOML takes `set.hosts.app.count = 2` for a value of `hosts`, which would replace all
/// machines.
fn unquoted(path: &str, value: &Node<'_>, d: &Decoder<'_>) -> Option<String> {
    let (mut path, mut node, mut depth) = (path.to_owned(), value, 0);
    while let toml::de::DeValue::Table(table) = node.get_ref()
        && !d.raw(node).starts_with('{')
        && let Some((key, below)) = table.iter().next()
    {
        (path, node, depth) = (decode::join(&path, key.get_ref()), below, depth + 1);
    }
    let raw = d.raw(node);
    let value = if raw.contains('\n') || raw.chars().count() > 60 { "..." } else { raw };
    let quote = if path.contains('"') { '\'' } else { '"' };
    (depth > 0).then(|| format!("write set.{quote}{path}{quote} = {value}"))
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
        /// The variant that is played where none is asked for.
        optional variant: String,
        /// Values by the path of the key that they replace while it is played, as in a variant.
        default set: Settings = Settings::default(),
        /// Paths of what is left out while it is played, from the first to the last: what the stack does not have.
        default remove: List<String> = List::default(),
        /// Why no part of it can be played; instead of all other keys.
        optional impossible: String,
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
