//! `sim scorecard`: verdicts, exit codes, the page, and the outcomes of a handful of the library's files.

use std::path::Path;

use crate::support::{page, sim, write};

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

const CLAIMS: &str = r#"
question = "Is it fast?"
[variants.slow]
what = "ten times the work"
set."requests.page.steps[1].work" = "exponential(mean=10ms)"
[[published]]
what = "mean response time"
metric = "response_time{avg}"
value = "1ms"
tolerance = "20%"
source = "a page"
[[published]]
what = "a longer one"
variant = "slow"
metric = "response_time{avg}"
holds = ">5ms"
[[published]]
what = "cores"
value = "4"
role = "input"
[[published]]
what = "love"
value = "much"
role = "outside"
"#;

/// The keys of the file itself stand before its tables.
fn with_claims(claims: &str) -> String {
    let (own, tables) = claims.trim_start().split_once('\n').expect("the first line is a key");
    format!("{own}\n{}{tables}", page("20s", "100/s", "p(99)<1s"))
}

#[test]
fn figures_are_held_against_the_replications_of_each_variant() {
    let here = tempfile::tempdir().expect("a temporary directory");
    write(here.path(), "one.toml", &with_claims(CLAIMS));
    let out = sim(here.path(), &["scorecard", "one.toml", "--page", "page.md", "--replications", "3", "-q"]);
    let told = text(&out.stdout);
    assert!(out.status.success(), "{told}{}", text(&out.stderr));
    assert!(told.contains("reproduced, ") && told.contains("holds"), "{told}");
    assert!(
        told.contains("1 of 1 predicted figures are within their tolerance, 1 of 1 outcomes hold"),
        "{told}"
    );
    let read = || std::fs::read_to_string(here.path().join("page.md")).expect("the page was written");
    let page = read();
    assert!(page.contains("Is it fast?") && page.contains("| love |"), "{page}");
    let heading = page.lines().find_map(|line| line.strip_prefix("### [one](one.toml) "));
    let hash = heading.unwrap_or_else(|| panic!("no hash of the file: {page}"));
    assert!(hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    let again = ["scorecard", "one.toml", "--page", "page.md", "--replications", "3", "-q", "--threads", "1"];
    assert!(sim(here.path(), &again).status.success());
    assert_eq!(page, read(), "the page depends on nothing but the seed");
}

#[test]
fn an_outcome_that_does_not_hold_is_exit_code_99_and_one_that_nobody_observes_104() {
    let here = tempfile::tempdir().expect("a temporary directory");
    write(here.path(), "one.toml", &with_claims(&CLAIMS.replace(">5ms", ">5s")));
    let out = sim(here.path(), &["scorecard", "one.toml", "--replications", "2", "-q"]);
    assert_eq!(out.status.code(), Some(99), "{}", text(&out.stdout));
    assert!(text(&out.stdout).contains("DOES NOT HOLD: 0 of 2"), "{}", text(&out.stdout));
    let unknown =
        CLAIMS.replace("\"response_time{avg}\"\nholds = \">5ms\"", "\"shop.sadness{avg}\"\nholds = \">5\"");
    write(here.path(), "one.toml", &with_claims(&unknown));
    let out = sim(here.path(), &["scorecard", "one.toml", "--replications", "2", "-q"]);
    assert_eq!(out.status.code(), Some(104), "{}", text(&out.stdout));
    let told = text(&out.stderr);
    assert!(told.contains("shop.sadness") && told.contains("one.toml:"), "{told}");
}

#[test]
fn a_part_at_another_rate_is_held_against_rates_at_that() {
    let here = tempfile::tempdir().expect("a temporary directory");
    let claims = "question = \"How many?\"\n[score]\nrate = \"50%\"\nreplications = 2\n[[published]]\nwhat = \"good answers\"\n\
        metric = \"rate{rate}\"\nvalue = \"400/s\"\ntolerance = \"10%\"\n[[published]]\nwhat = \"fewer than are asked for\"\n\
        metric = \"rate{rate}\"\nholds = \"<500/s\"\n";
    let text_of_it = with_claims(claims).replace("rate = \"100/s\"", "rate = \"400/s\"");
    write(here.path(), "one.toml", &text_of_it);
    let out = sim(here.path(), &["scorecard", "one.toml", "-q"]);
    let told = text(&out.stdout);
    assert!(told.contains("200/s ± 10%") && told.contains("<250/s"), "{told}{}", text(&out.stderr));
    assert!(
        told.contains("1 of 1 predicted figures are within their tolerance, 1 of 1 outcomes hold"),
        "{told}"
    );
}

#[test]
fn a_variant_may_be_scored_in_a_part_of_its_own() {
    let here = tempfile::tempdir().expect("a temporary directory");
    let claims = "question = \"When?\"\n[score]\nfor = \"5s\"\nreplications = 2\n[variants.later]\nwhat = \"later\"\n\
        set.\"score.from\" = \"10s\"\n[[published]]\nwhat = \"at first\"\nmetric = \"rate{rate}\"\nholds = \">10/s\"\n\
        [[published]]\nwhat = \"later\"\nvariant = \"later\"\nmetric = \"rate{rate}\"\nholds = \">10/s\"\n";
    write(here.path(), "one.toml", &with_claims(claims));
    let out = sim(here.path(), &["scorecard", "one.toml", "-q"]);
    let told = text(&out.stdout);
    assert!(out.status.success(), "{told}{}", text(&out.stderr));
    assert!(told.contains("(5s, 2 seeds)") && told.contains("(5s from 10s, 2 seeds)"), "{told}");
}

#[test]
fn a_page_leads_to_its_files_from_wherever_it_lies() {
    let here = tempfile::tempdir().expect("a temporary directory");
    let elsewhere = tempfile::tempdir().expect("a temporary directory");
    std::fs::create_dir(here.path().join("files")).expect("a temporary directory can be written");
    let file = write(here.path(), "files/one.toml", &with_claims(CLAIMS));
    let file = file.canonicalize().expect("it was written");
    let far = elsewhere.path().join("page.md");
    for (page, link) in [
        (Path::new("page.md"), "(files/one.toml)".to_owned()),
        (Path::new("files/page.md"), "(one.toml)".to_owned()),
        (far.as_path(), format!("({})", file.display())),
    ] {
        let path = page.to_str().expect("the path is text");
        let out = sim(
            &here.path().canonicalize().expect("it is there"),
            &["scorecard", "files", "--page", path, "--replications", "1", "-q"],
        );
        assert!(out.status.success(), "{}{}", text(&out.stdout), text(&out.stderr));
        let page = std::fs::read_to_string(here.path().join(page)).expect("the page was written");
        assert!(page.contains(&link), "{link}: {page}");
    }
}

#[test]
fn the_outcomes_of_a_handful_of_the_library_hold() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios/library");
    for file in [
        "web-cluster/stuck-node.toml",
        "knife-depot/sticky-by-ip.toml",
        "knife-depot/sessions-in-sql.toml",
        "growpartner/php-pool.toml",
        "growpartner/hibernating-database.toml",
        "m-api/backend-down.toml",
        "octivi/proof-of-concept.toml",
    ] {
        let path = library.join(file);
        let path = path.to_str().expect("the path is text");
        let out = sim(&library, &["scorecard", path, "--replications", "1", "-q"]);
        assert!(out.status.success(), "{file}\n{}{}", text(&out.stdout), text(&out.stderr));
    }
}
