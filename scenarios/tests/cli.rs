//! The `scenario` program as a user meets it.

use std::process::{Command, Output};

fn scenario(arguments: &[&str]) -> Output {
    // From the crate's directory, so that messages name no path of this machine.
    Command::new(env!("CARGO_BIN_EXE_scenario"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("COLUMNS", "100")
        .output()
        .expect("the program was built with the test")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the program writes UTF-8")
}

#[test]
fn check_tells_good_from_bad_by_its_exit_code() {
    let good = scenario(&["check", "tests/explained.toml", "library/quickstart.toml"]);
    assert_eq!(good.status.code(), Some(0), "{}", text(&good.stderr));
    assert_eq!(text(&good.stdout).lines().count(), 2);
    // A bad file does not keep the others from being checked.
    let bad = scenario(&["check", "tests/bad/unknown-key.toml", "tests/explained.toml", "no-such-file.toml"]);
    assert_eq!(bad.status.code(), Some(104));
    assert!(text(&bad.stdout).starts_with("tests/explained.toml: good"));
    insta::assert_snapshot!("check_bad", text(&bad.stderr));
}

#[test]
fn explain_shows_the_scenario_as_meant() {
    let explained = scenario(&["explain", "tests/explained.toml"]);
    assert_eq!(explained.status.code(), Some(0), "{}", text(&explained.stderr));
    insta::assert_snapshot!("explain", text(&explained.stdout));
    assert_eq!(scenario(&["explain", "tests/bad/unknown-key.toml"]).status.code(), Some(104));
}

#[test]
fn an_overload_is_a_warning_with_its_numbers_and_prices_add_up() {
    let checked = scenario(&["check", "tests/overloaded.toml"]);
    assert_eq!(checked.status.code(), Some(0));
    insta::assert_snapshot!("overloaded", text(&checked.stderr));
    insta::assert_snapshot!("priced", text(&scenario(&["explain", "tests/overloaded.toml"]).stdout));
}

#[test]
fn derive_writes_a_scenario_and_its_notes() {
    let derived =
        scenario(&["derive", "tests/explained.toml", "--from", "1h1m", "--for", "20s", "--rate", "10%"]);
    assert_eq!(derived.status.code(), Some(0), "{}", text(&derived.stderr));
    insta::assert_snapshot!("derive", text(&derived.stdout));
    insta::assert_snapshot!("derive_notes", text(&derived.stderr));
    assert_eq!(scenario(&["derive", "tests/explained.toml", "--from", "2h"]).status.code(), Some(104));
}

#[test]
fn schema_prints_what_is_committed() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/scenario.schema.json"));
    let committed = committed.expect("the schema is part of the sources");
    assert!(text(&scenario(&["schema"]).stdout) == committed);
}

#[test]
fn help_shows_examples_and_completions_exist() {
    insta::assert_snapshot!("help", text(&scenario(&["--help"]).stdout));
    for shell in ["bash", "zsh", "fish"] {
        assert!(text(&scenario(&["completions", shell]).stdout).contains("explain"));
    }
}
