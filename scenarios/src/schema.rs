//! The JSON Schema of a scenario file, from the same declarations that decode it.

use serde_json::{Value, json};

use crate::wire::File;
use crate::wire::decode::{Decode, Definitions};

/// The schema (draft 2020-12), as it is committed in `scenario.schema.json`.
pub fn schema() -> Value {
    let mut definitions = Definitions::new();
    let root = File::schema(&mut definitions);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rehearsal scenario",
        "$ref": root["$ref"],
        "$defs": definitions,
    })
}

/// The schema as text, with a line break at its end.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(&schema()).expect("a JSON value is always written");
    text.push('\n');
    text
}
