//! The committed JSON Schema is that of the code, and takes what the code takes.

use std::path::{Path, PathBuf};

use serde_json::Value;

fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// TOML as JSON; numbers and texts are all that scenarios have beside tables.
fn json(value: &toml::de::DeValue<'_>) -> Value {
    use toml::de::DeValue;
    match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Integer(n) => {
            Value::from(i64::from_str_radix(n.as_str(), n.radix()).expect("an integer in the limits"))
        }
        DeValue::Float(n) => Value::from(n.as_str().parse::<f64>().expect("a float")),
        DeValue::Boolean(value) => Value::from(*value),
        DeValue::Datetime(time) => Value::from(time.to_string()),
        DeValue::Array(array) => array.iter().map(|v| json(v.get_ref())).collect(),
        DeValue::Table(table) => table_json(table),
    }
}

fn table_json(table: &toml::de::DeTable<'_>) -> Value {
    table
        .iter()
        .map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn as_json(text: &str) -> Option<Value> {
    toml::de::DeTable::parse(text).ok().map(|table| table_json(table.get_ref()))
}

fn library(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> = std::fs::read_dir(directory)
        .expect("the library is part of the sources")
        .map(|entry| entry.expect("the library is readable").path())
        .collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            library(&path, found);
        } else if scenarios::library::is_scenario(&path) {
            found.push(path);
        }
    }
}

#[test]
fn the_committed_schema_is_current() {
    let path = here("scenario.schema.json");
    let current = scenarios::schema::text();
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, &current).expect("the schema can be written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == current,
        "run `UPDATE_SCHEMA=1 cargo test --release -p scenarios` and commit scenario.schema.json"
    );
}

#[test]
fn the_library_is_valid_by_schema_and_by_rule() {
    let validator = jsonschema::validator_for(&scenarios::schema::schema()).expect("the schema is one");
    let mut files = Vec::new();
    library(&here("library"), &mut files);
    assert!(!files.is_empty());
    for path in files {
        let text = std::fs::read_to_string(&path).expect("the file is readable");
        let value = as_json(&text).expect("the file is TOML");
        let errors: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{}: {errors:#?}", path.display());
        if let Err(problems) = scenarios::Scenario::load(&path) {
            panic!("{problems}");
        }
    }
}

/// An editor that has the schema underlines these as well.
#[test]
fn the_schema_refuses_wrong_keys_kinds_and_units() {
    let validator = jsonschema::validator_for(&scenarios::schema::schema()).expect("the schema is one");
    for stem in [
        "bare-duration",
        "bytes-without-unit",
        "unknown-key",
        "unknown-kind",
        "key-of-another-kind",
        "missing-keys",
    ] {
        let text =
            std::fs::read_to_string(here(&format!("tests/bad/{stem}.toml"))).expect("the file is readable");
        assert!(!validator.is_valid(&as_json(&text).expect("the file is TOML")), "{stem}");
    }
}

/// A scenario is data: whoever plays a file that somebody else wrote runs nothing that it says.
#[test]
fn no_key_of_the_format_names_something_to_be_run() {
    fn keys(value: &Value, found: &mut Vec<String>) {
        if let Some(properties) = value.get("properties").and_then(Value::as_object) {
            found.extend(properties.keys().cloned());
        }
        match value {
            Value::Object(object) => object.values().for_each(|inner| keys(inner, found)),
            Value::Array(items) => items.iter().for_each(|inner| keys(inner, found)),
            _ => {}
        }
    }
    let schema: Value = serde_json::from_str(&scenarios::schema::text()).expect("the schema is JSON");
    let mut found = Vec::new();
    keys(&schema, &mut found);
    assert!(found.len() > 200, "only {} keys", found.len());
    let words =
        ["command", "execute", "hook", "script", "shell", "program", "binary", "before_run", "after_run"];
    // What a store's command costs is a duration.
    let suspect = |key: &&String| key.as_str() != "command" && words.iter().any(|word| key.contains(word));
    let runs: Vec<&String> = found.iter().filter(suspect).collect();
    assert!(runs.is_empty(), "{runs:?}");
}
