//! Tables by name, tables by key and lists: what a file has any number of.

use serde_json::{Value, json};
use toml::de::DeValue;

use super::{Decode, Decoder, Definitions, Node, join};

/// Tables by name, in the file's order. Names are of `a-z`, `0-9`, `_` and `-`.
#[derive(Clone, Debug)]
pub(crate) struct Named<T>(pub(crate) Vec<(String, T)>);

/// The most entries that a map or a list of a file may have.
const ENTRIES: usize = 1000;

fn decode_map<T: Decode>(
    node: &Node<'_>,
    at: &str,
    d: &mut Decoder<'_>,
    plain: bool,
) -> Option<Vec<(String, T)>> {
    let DeValue::Table(table) = node.get_ref() else {
        d.wrong_type(node, at, "a table", None);
        return None;
    };
    if table.len() > ENTRIES {
        d.problem(at, format!("{} entries", table.len()), format!("at most {ENTRIES}"), None);
        return None;
    }
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut decoded = Vec::new();
    for (key, value) in entries {
        let name: &str = key.get_ref();
        let path = join(at, name);
        d.enter(&path, key.span().start, value);
        let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if plain && !(name.chars().all(is_plain) && (1..=64).contains(&name.len())) {
            let hint = name.to_lowercase().replace([' ', '.'], "_");
            let hint = (hint.chars().all(is_plain) && !hint.is_empty()).then(|| format!("write \"{hint}\""));
            let expected = "a name of a-z, 0-9, _ and -, at most 64 characters".to_owned();
            d.problem_at_offset(key.span().start, &path, format!("the name {name:?}"), expected, hint);
        }
        if let Some(value) = T::decode(value, &path, d) {
            decoded.push((name.to_owned(), value));
        }
    }
    Some(decoded)
}

impl<T: Decode> Decode for Named<T> {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        decode_map(node, at, d, true).map(Self)
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({
            "type": "object",
            "propertyNames": { "pattern": "^[a-z0-9_-]{1,64}$" },
            "maxProperties": ENTRIES,
            "additionalProperties": T::schema(definitions),
        })
    }

    fn to_json(&self) -> Value {
        if self.0.is_empty() { json!({}) } else { Value::Null }
    }
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Values by any text, in the file's order.
#[derive(Clone, Debug)]
pub(crate) struct Keyed<T>(pub(crate) Vec<(String, T)>);

impl<T: Decode> Decode for Keyed<T> {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        decode_map(node, at, d, false).map(Self)
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "type": "object", "maxProperties": ENTRIES, "additionalProperties": T::schema(definitions) })
    }

    fn to_json(&self) -> Value {
        if self.0.is_empty() { json!({}) } else { Value::Null }
    }
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// A list; each value with its place, from 1, as those that do not decode are left out.
#[derive(Clone, Debug)]
pub(crate) struct List<T>(pub(crate) Vec<(usize, T)>);

impl<T: Decode> Decode for List<T> {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        let DeValue::Array(array) = node.get_ref() else {
            d.wrong_type(node, at, "a list", None);
            return None;
        };
        if array.len() > ENTRIES {
            d.problem(at, format!("{} entries", array.len()), format!("at most {ENTRIES}"), None);
            return None;
        }
        let mut decoded = Vec::new();
        for (i, value) in array.iter().enumerate() {
            let path = format!("{at}[{}]", i + 1);
            d.enter(&path, value.span().start, value);
            decoded.extend(T::decode(value, &path, d).map(|v| (i + 1, v)));
        }
        Some(Self(decoded))
    }

    fn schema(definitions: &mut Definitions) -> Value {
        json!({ "type": "array", "maxItems": ENTRIES, "items": T::schema(definitions) })
    }

    fn to_json(&self) -> Value {
        if self.0.is_empty() { json!([]) } else { Value::Null }
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}
