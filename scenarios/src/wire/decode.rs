//! Decodes a spanned TOML tree without stopping at the first problem.
//!
//! Owns positions, types and unknown keys; refuses to know which fields a scenario has. Where a value does not decode, the
//! problem is recorded and the value left out, so that what is around it is still looked at.

mod collections;

use std::path::Path;

use serde_json::{Map, Value, json};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Location, Locations, nearest, one_of};
use crate::quantity::Misread;
pub(crate) use collections::{Keyed, List, Named};

/// A value with its place in the file.
pub(crate) type Node<'i> = Spanned<DeValue<'i>>;

/// JSON Schema definitions, by name.
pub(crate) type Definitions = Map<String, Value>;

/// What decodes from a value, and says in JSON Schema what it takes.
pub(crate) trait Decode: Sized {
    /// Decodes the value at the path `at`; where that fails, says why to `d`.
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self>;
    /// What is taken, with shared parts in `definitions`.
    fn schema(definitions: &mut Definitions) -> Value;
    /// The value as a file would have it, for defaults in the schema.
    fn to_json(&self) -> Value {
        Value::Null
    }
}

/// Collects problems and places while a file is decoded.
pub(crate) struct Decoder<'t> {
    path: &'t Path,
    text: &'t str,
    line_starts: Vec<usize>,
    pub(crate) locations: Locations,
    pub(crate) problems: Vec<Diagnostic>,
}

impl<'t> Decoder<'t> {
    pub(crate) fn new(path: &'t Path, text: &'t str) -> Self {
        let line_starts = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        Self { path, text, line_starts, locations: Locations::default(), problems: Vec::new() }
    }

    /// The file of this name beside the scenario's.
    pub(crate) fn beside(&self, file: &str) -> std::path::PathBuf {
        self.path.parent().unwrap_or(Path::new("")).join(file)
    }

    /// Line and column (in characters), both from 1, of a byte of the text.
    pub(crate) fn position(&self, offset: usize) -> (u32, u32) {
        let offset = offset.min(self.text.len());
        let line = self.line_starts.partition_point(|start| *start <= offset);
        let before = self.text.get(self.line_starts[line - 1]..offset);
        (line as u32, before.map_or(0, |b| b.chars().count()) as u32 + 1)
    }

    /// Remembers where the value of a path stands.
    pub(crate) fn enter(&mut self, at: &str, key_start: usize, node: &Node<'_>) {
        let span = node.span();
        let raw = self.text.get(span.clone()).unwrap_or_default();
        // A table under a header has the header's place; its key says more.
        let (start, found) = match node.get_ref() {
            DeValue::Table(_) if !raw.starts_with('{') => (key_start, "a table".to_owned()),
            DeValue::Array(a)
                if !raw.starts_with('[')
                    || raw.starts_with("[[") && a.iter().all(|v| v.get_ref().is_table()) =>
            {
                (key_start, "tables".to_owned())
            }
            value => (
                span.start,
                if raw.contains('\n') || raw.chars().count() > 60 { describe(value) } else { raw.to_owned() },
            ),
        };
        let value = match node.get_ref() {
            DeValue::Table(_) | DeValue::Array(_) => None,
            DeValue::String(text) => Some(text.to_string()),
            value => Some(describe(value)),
        };
        let (line, column) = self.position(start);
        self.locations.insert(at, Location { key: self.position(key_start), line, column, found, value });
    }

    /// What the file says where a value stands.
    pub(crate) fn raw(&self, node: &Node<'_>) -> &'t str {
        self.text.get(node.span()).unwrap_or_default()
    }

    /// Records a problem with the value at a path.
    pub(crate) fn problem(
        &mut self,
        at: &str,
        found: impl Into<String>,
        expected: impl Into<String>,
        hint: Option<String>,
    ) {
        let (line, column) = self.locations.position(at);
        self.push((line, column), at, found.into(), expected.into(), hint);
    }

    /// Records a problem with the key at a path.
    pub(crate) fn key_problem(
        &mut self,
        at: &str,
        key: &str,
        expected: impl Into<String>,
        hint: Option<String>,
    ) {
        let place = self.locations.get(at).map_or((1, 1), |l| l.key);
        self.push(place, at, format!("{key:?}"), expected.into(), hint);
    }

    /// Records a problem at a byte of the text.
    pub(crate) fn problem_at_offset(
        &mut self,
        offset: usize,
        at: &str,
        found: String,
        expected: String,
        hint: Option<String>,
    ) {
        self.push(self.position(offset), at, found, expected, hint);
    }

    fn push(
        &mut self,
        (line, column): (u32, u32),
        at: &str,
        found: String,
        expected: String,
        hint: Option<String>,
    ) {
        self.problems.push(Diagnostic {
            path: self.path.to_owned(),
            line,
            column,
            where_: at.to_owned(),
            found,
            expected,
            hint,
        });
    }

    /// Records that a value is of the wrong type.
    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, at: &str, expected: &str, hint: Option<String>) {
        self.problem(at, describe(node.get_ref()), expected, hint);
    }

    /// Reads a text with `read`.
    pub(crate) fn read<T>(
        &mut self,
        text: &str,
        at: &str,
        read: impl FnOnce(&str) -> Result<T, Misread>,
    ) -> Option<T> {
        match read(text) {
            Ok(value) => Some(value),
            Err(Misread { expected, hint }) => {
                self.problem(at, format!("{text:?}"), expected, hint);
                None
            }
        }
    }

    /// Records the keys of a table that it cannot have.
    pub(crate) fn unknown_keys(
        &mut self,
        table: &DeTable<'_>,
        at: &str,
        known: &[&str],
        elsewhere: impl Fn(&str) -> Option<String>,
    ) {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if known.contains(&name) {
                continue;
            }
            let hint = elsewhere(name).or_else(|| {
                let free =
                    known.iter().copied().filter(|k| !table.keys().any(|present| present.get_ref() == k));
                nearest(name, free).map(|near| format!("write \"{near}\""))
            });
            let offset = key.span().start;
            let expected = format!("one of the keys {}", known.join(", "));
            self.problem_at_offset(
                offset,
                &join(at, name),
                format!("the unknown key \"{name}\""),
                expected,
                hint,
            );
        }
    }
}

/// The path of a key in a table; names that are not plain are quoted.
pub(crate) fn join(at: &str, key: &str) -> String {
    let plain = !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    let key = if plain { key.to_owned() } else { format!("{key:?}") };
    if at.is_empty() { key } else { format!("{at}.{key}") }
}

/// What a value is, in a message.
pub(crate) fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) if text.chars().count() <= 60 => format!("{text:?}"),
        DeValue::String(_) => "a long text".to_owned(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date or time".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

/// The entry of a key, if the table has it.
pub(crate) fn entry<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<(usize, &'a Node<'i>)> {
    table.iter().find(|(k, _)| k.get_ref() == key).map(|(k, v)| (k.span().start, v))
}

/// Decodes an optional key of a table.
pub(crate) fn optional<T: Decode>(
    table: &DeTable<'_>,
    at: &str,
    key: &str,
    d: &mut Decoder<'_>,
) -> Option<T> {
    let (start, node) = entry(table, key)?;
    let at = join(at, key);
    d.enter(&at, start, node);
    T::decode(node, &at, d)
}

/// How a missing key could be written, by its schema.
fn example<T: Decode>(at: &str, key: &str) -> Option<String> {
    let schema = T::schema(&mut Definitions::new());
    if let Some(example) = schema.pointer("/examples/0") {
        return Some(format!("add {key} = {example}"));
    }
    if let Some(word) = schema.pointer("/enum/0") {
        return Some(format!("add {key} = {word}"));
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("string") => Some(format!("add {key} = \"...\"")),
        Some("integer") => Some(format!("add {key} = 1000")),
        Some("array") => Some(format!("add {key} = [...]")),
        _ if at.is_empty() => Some(format!("add [{key}]")),
        _ => Some(format!("add {key} = {{ ... }}")),
    }
}

/// Decodes a key that a table must have.
pub(crate) fn required<T: Decode>(
    table: &DeTable<'_>,
    at: &str,
    key: &str,
    d: &mut Decoder<'_>,
) -> Option<T> {
    if entry(table, key).is_none() {
        d.problem(&join(at, key), "nothing", format!("the key \"{key}\""), example::<T>(at, key));
    }
    optional(table, at, key, d)
}

/// A whole number in a range.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Count<const LEAST: u64, const GREATEST: u64>(pub(crate) u64);

impl<const LEAST: u64, const GREATEST: u64> Decode for Count<LEAST, GREATEST> {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        let expected = format!("a whole number from {LEAST} to {GREATEST}");
        let DeValue::Integer(number) = node.get_ref() else {
            let bare =
                node.get_ref().as_str().map(|t| t.replace('_', "")).and_then(|t| t.parse::<u64>().ok());
            d.wrong_type(node, at, &expected, bare.map(|n| format!("write {n} without quotes")));
            return None;
        };
        let value = u64::from_str_radix(number.as_str(), number.radix()).ok();
        let value = value.filter(|v| (LEAST..=GREATEST).contains(v));
        if value.is_none() {
            d.wrong_type(node, at, &expected, None);
        }
        value.map(Self)
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "integer", "minimum": LEAST, "maximum": GREATEST })
    }

    fn to_json(&self) -> Value {
        self.0.into()
    }
}

impl Decode for bool {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        if let DeValue::Boolean(value) = node.get_ref() {
            return Some(*value);
        }
        let bare = node.get_ref().as_str().filter(|t| ["true", "false"].contains(t));
        d.wrong_type(node, at, "true or false", bare.map(|t| format!("write {t} without quotes")));
        None
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "boolean" })
    }

    fn to_json(&self) -> Value {
        (*self).into()
    }
}

/// A share in a mix: any number above or at zero.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share(pub(crate) f64);

impl Decode for Share {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        let number: Option<f64> = match node.get_ref() {
            DeValue::Integer(n) if n.radix() == 10 => n.as_str().parse().ok(),
            DeValue::Float(n) => n.as_str().parse().ok(),
            _ => None,
        };
        let number = number.filter(|n| (0.0..=1e9).contains(n));
        if number.is_none() {
            d.wrong_type(node, at, "a share as a number from 0 to 1e9", None);
        }
        number.map(Self)
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "number", "minimum": 0, "maximum": 1e9 })
    }

    fn to_json(&self) -> Value {
        self.0.into()
    }
}

/// Any text, on one line.
impl Decode for String {
    fn decode(node: &Node<'_>, at: &str, d: &mut Decoder<'_>) -> Option<Self> {
        match node.get_ref().as_str() {
            Some(text) if text.len() <= 4096 && !text.contains('\0') => Some(text.to_owned()),
            _ => {
                d.wrong_type(node, at, "a text of at most 4096 bytes", None);
                None
            }
        }
    }

    fn schema(_: &mut Definitions) -> Value {
        json!({ "type": "string" })
    }

    fn to_json(&self) -> Value {
        self.as_str().into()
    }
}

/// Decodes one of several words.
pub(crate) fn word<T: Copy>(
    node: &Node<'_>,
    at: &str,
    d: &mut Decoder<'_>,
    words: &[(&'static str, T)],
) -> Option<T> {
    let names = || words.iter().map(|(name, _)| *name);
    let text = node.get_ref().as_str();
    let found = text.and_then(|t| words.iter().find(|(name, _)| *name == t)).map(|(_, value)| *value);
    if found.is_none() {
        let hint = text.and_then(|t| nearest(t, names())).map(|near| format!("write \"{near}\""));
        d.wrong_type(node, at, &one_of(names()), hint);
    }
    found
}
