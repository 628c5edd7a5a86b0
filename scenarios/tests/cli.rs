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

#[test]
fn a_packed_log_is_read_as_the_plain_one() {
    use std::io::Write as _;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let line = |i: u32| {
        format!(
            "192.0.2.1 - - [02/Jan/2024:10:{:02}:{:02} +0000] \"GET /items/{} HTTP/1.1\" 200 1000 \"-\" \"a\"\n",
            i / 60,
            i % 60,
            i % 7
        )
    };
    let log: String = (0..600).map(line).collect();
    let (plain, packed) = (directory.path().join("access.log"), directory.path().join("access.log.gz"));
    std::fs::write(&plain, &log).expect("a temporary directory can be written");
    // Two members, as a log that was packed, written on and packed again has.
    let file = std::fs::File::create(&packed).expect("a temporary directory can be written");
    for part in [&log[..20_000], &log[20_000..]] {
        let mut encoder = flate2::write::GzEncoder::new(&file, flate2::Compression::default());
        encoder.write_all(part.as_bytes()).and_then(|()| encoder.finish().map(drop)).expect("it is written");
    }
    let [plain, packed] = [plain, packed].map(|path| {
        let output = scenario(&["fit", &path.to_string_lossy()]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        text(&output.stdout).replace(&*path.file_name().expect("it has a name").to_string_lossy(), "LOG")
    });
    assert!(plain.contains("/items/{"), "{plain}");
    assert_eq!(packed, plain);
}

#[test]
fn what_consumers_do_for_messages_is_part_of_the_load() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("mail.toml");
    let shop = r#"
title = "Orders, and mails about them"
run = { duration = "10s" }
hosts = { app = {}, mail = { cores = 2 }, queue = {} }
components.shop = { kind = "service", host = "app", workers = 8 }
components.mailer = { kind = "service", host = "mail", workers = 4 }
components.mails = { kind = "queue", host = "queue", to = "mailer", class = "mail" }
requests.order = { path = "/orders", steps = [{ work = "2ms" }, { publish = { to = "mails" }, share = "50%", repeat = 2 }] }
requests.mail = { path = "/mails", steps = [{ work = "10ms" }] }
traffic.all = { to = "shop", executor = "constant-arrival-rate", rate = "100/s", mix = { order = 1 } }
"#;
    std::fs::write(&file, shop).expect("a temporary directory can be written");
    let explained = text(&scenario(&["explain", &file.to_string_lossy()]).stdout);
    // One message an order on average: 100/s × 10 ms of two cores, and of four workers.
    let row = |name: &str| explained.lines().find(|line| line.contains(name)).unwrap_or_default().to_owned();
    assert!(row("host mail").contains("mean 50.0%"), "{explained}");
    assert!(row("4 workers  mean").contains("mean 25.0%"), "{explained}");
}
