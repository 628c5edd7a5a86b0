//! The files of a run's directory.

use results::{RunRecord, World, record::Status};
use serde_json::Value;

use crate::synthetic::{Play, SHOP, record, scenario};

fn written(play: Play) -> (tempfile::TempDir, RunRecord) {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let record = record(directory.path(), &scenario(SHOP), play);
    (directory, record)
}

fn text(directory: &tempfile::TempDir, name: &str) -> String {
    std::fs::read_to_string(directory.path().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[test]
fn record_reads_back_as_it_was_written() {
    let (directory, record) = written(Play { dropped: 0.01, ..Play::LOADGEN });
    let mut read = RunRecord::read(directory.path()).expect("a record was written");
    assert_eq!(record.status, Status::Complete);
    read.provenance = record.provenance.clone();
    assert_eq!(read, record);
    let mut names: Vec<_> = std::fs::read_dir(directory.path())
        .expect("the directory is there")
        .map(|e| e.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert_eq!(names, ["components.csv", "intervals.csv", "latency.hlog", "run.json", "scenario.toml"]);
}

#[test]
fn equal_runs_have_equal_files_but_for_provenance() {
    let (first, _) = written(Play::SIM);
    let (second, _) = written(Play::SIM);
    for name in ["components.csv", "intervals.csv", "latency.hlog", "scenario.toml"] {
        assert_eq!(text(&first, name), text(&second, name), "{name}");
    }
    let before_provenance = |t: &str| t.split("\"provenance\"").next().map(str::to_owned);
    let (a, b) = (text(&first, "run.json"), text(&second, "run.json"));
    assert_eq!(before_provenance(&a), before_provenance(&b));
    assert_eq!(a.matches("\"provenance\"").count(), 1, "provenance comes last and once");
}

#[test]
fn record_obeys_its_schema() {
    let schema: Value = serde_json::from_str(results::RECORD_SCHEMA).expect("the schema is JSON");
    let validator = jsonschema::validator_for(&schema).expect("the schema is a schema");
    for play in [Play::SIM, Play { dropped: 0.5, ..Play::LOADGEN }] {
        let (directory, _) = written(play);
        let record: Value = serde_json::from_str(&text(&directory, "run.json")).expect("JSON");
        let errors: Vec<_> =
            validator.iter_errors(&record).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
    }
    assert!(!validator.is_valid(&serde_json::json!({})), "a schema that admits anything says nothing");
}

#[test]
fn schema_names_every_field_of_a_record() {
    fn closed(value: &Value, path: &str) {
        if let Some(object) = value.as_object() {
            if object.get("type") == Some(&"object".into()) {
                assert!(
                    object.contains_key("additionalProperties"),
                    "{path} admits fields that it does not name"
                );
            }
            object.iter().for_each(|(key, value)| closed(value, &format!("{path}/{key}")));
        }
    }
    closed(&serde_json::from_str(results::RECORD_SCHEMA).expect("the schema is JSON"), "");
}

#[test]
fn other_versions_are_refused_by_name() {
    let (directory, _) = written(Play::SIM);
    let path = directory.path().join("run.json");
    let newer = text(&directory, "run.json").replacen("\"version\": 3", "\"version\": 7", 1);
    std::fs::write(&path, newer).expect("it can be written");
    let message = RunRecord::read(&path).expect_err("version 7 is unknown").to_string();
    assert!(message.contains("version 7, expected one of versions 1 to 3"), "{message}");
}

#[test]
fn records_of_the_first_version_are_read() {
    let (directory, record) = written(Play::SIM);
    let path = directory.path().join("run.json");
    let mut old: Value = serde_json::from_str(&text(&directory, "run.json")).expect("it is JSON");
    old["version"] = 1.into();
    let published = old["scenario"]["published"].as_array_mut().expect("there is a list");
    assert!(!published.is_empty(), "the scenario of these records has a published figure");
    for figure in published {
        let keys = ["what", "figure", "value", "tolerance"];
        figure.as_object_mut().expect("it is a table").retain(|key, _| keys.contains(&key.as_str()));
    }
    std::fs::write(&path, old.to_string()).expect("it can be written");
    let read = RunRecord::read(&path).expect("older versions are read");
    assert_eq!(read.scenario.published.len(), record.scenario.published.len());
    assert_eq!(read.scenario.published[0].value, record.scenario.published[0].value);
}

#[test]
fn other_files_are_refused_with_their_line() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let missing = RunRecord::read(directory.path()).expect_err("the directory is empty").to_string();
    assert!(missing.contains("neither run.json nor run.journal"), "{missing}");
    let path = directory.path().join("run.json");
    std::fs::write(&path, "{\n  \"format\": oops\n}").expect("it can be written");
    let message = RunRecord::read(&path).expect_err("that is no JSON").to_string();
    assert!(message.contains("run.json:2: not a run record"), "{message}");
}

#[test]
fn hdr_log_reads_back_with_a_tag_per_class() {
    use hdrhistogram::serialization::{Deserializer, interval_log};
    let (directory, record) = written(Play::SIM);
    let log = text(&directory, "latency.hlog");
    let mut count = 0;
    let mut tags = std::collections::BTreeSet::new();
    for entry in interval_log::IntervalLogIterator::new(log.as_bytes()) {
        let interval_log::LogEntry::Interval(entry) = entry.expect("a line of the format") else { continue };
        tags.insert(entry.tag().expect("every line has a tag").as_str().to_owned());
        let bytes =
            base64::Engine::decode(&base64::engine::general_purpose::STANDARD, entry.encoded_histogram());
        let histogram: hdrhistogram::Histogram<u64> =
            Deserializer::new().deserialize(&mut bytes.expect("base64").as_slice()).expect("V2");
        count += histogram.len();
    }
    assert_eq!(tags.into_iter().collect::<Vec<_>>(), ["order", "product"]);
    let due: u64 = (0..record.frame.intervals()).map(|i| record.tallies.interval(i, None).due()).sum();
    assert_eq!(count, due);
}

#[test]
fn tables_hold_every_request() {
    let (directory, record) = written(Play { dropped: 0.2, ..Play::SIM });
    let mut reader = csv::Reader::from_path(directory.path().join("intervals.csv")).expect("a table");
    let header = reader.headers().expect("a header").clone();
    let column = |name: &str| header.iter().position(|h| h == name).unwrap_or_else(|| panic!("no {name}"));
    let (class, due, p99) = (column("class"), column("due"), column("response_p99_us"));
    let (mut all, mut by_class, mut infinite) = (0, 0, 0);
    for row in reader.records() {
        let row = row.expect("a row");
        let n: u64 = row[due].parse().expect("a count");
        if row[class].is_empty() {
            all += n
        } else {
            by_class += n
        }
        infinite += u64::from(&row[p99] == "inf");
    }
    let due: u64 = (0..record.frame.intervals()).map(|i| record.tallies.interval(i, None).due()).sum();
    assert_eq!((all, by_class), (due, due));
    assert!(infinite > 0, "dropped requests are infinitely late");
    assert_eq!(record.world, World::Sim);
}
