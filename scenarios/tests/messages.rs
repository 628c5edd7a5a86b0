//! What a broken scenario is told: every problem, where, and how to mend it.

use std::path::PathBuf;

use scenarios::{Diagnostics, Scenario};

fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The files of a directory with their stems, in order.
fn files(directory: &str) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(here(directory)).expect("the directory is part of the sources");
    let mut files: Vec<(String, String)> = entries
        .map(|entry| entry.expect("the directory is readable").path())
        .filter(|path| path.extension().is_some_and(|e| e == "toml"))
        .map(|path| {
            let text = std::fs::read_to_string(&path).expect("the file is readable");
            (path.file_stem().unwrap_or_default().to_string_lossy().into_owned(), text)
        })
        .collect();
    files.sort();
    files
}

fn problems(stem: &str, text: &str) -> Diagnostics {
    match Scenario::parse(format!("{stem}.toml"), text) {
        Ok(_) => panic!("{stem}.toml counts as good"),
        Err(problems) => problems,
    }
}

#[test]
fn broken_scenarios_are_told_what_is_wrong() {
    let files = files("tests/bad");
    assert!(files.len() >= 24, "only {} broken scenarios", files.len());
    for (stem, text) in files {
        insta::assert_snapshot!(stem.clone(), problems(&stem, &text));
    }
}

#[test]
fn every_message_has_a_place_inside_the_file() {
    for (stem, text) in files("tests/bad") {
        let lines: Vec<&str> = text.lines().collect();
        for problem in problems(&stem, &text).iter() {
            let line =
                lines.get(problem.line as usize - 1).unwrap_or_else(|| panic!("{problem}: no such line"));
            assert!(problem.column as usize <= line.chars().count() + 1, "{problem}: no such column");
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named() {
    let problems = Scenario::load(&here("tests/no-such-file.toml")).expect_err("there is no such file");
    assert!(problems.to_string().contains("no-such-file.toml: found"), "{problems}");
}

#[test]
fn a_world_refuses_a_value_where_it_stands() {
    let scenario = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
    let written = scenario.unsupported("components.shop.workers", "sim", "use another world");
    let line = scenario.source.text.lines().nth(written.line as usize - 1).expect("the line is in the file");
    assert!(line.starts_with("workers ="), "{line}");
    assert_eq!(written.column, 11);
    let left_out = scenario.unsupported("components.shop.worker_holds", "sim", "use another world");
    assert!(
        left_out.to_string().contains("found the default, expected something that sim supports"),
        "{left_out}"
    );
}
