//! What a scenario includes is part of it, and what is wrong with it is told where it stands.

use std::fs;

use scenarios::derive::{self, Adjustment};
use scenarios::units::SimTime;
use scenarios::{Scenario, explain, library};

const OVERLAY: &str = "\
[calibration]
source = \"measured\"
fitted_to = \"no stack at all\"
client = \"31us\"
work = \"20us\"
[calibration.components]
shop = { latency = \"lognormal(mean=40us, cv=0.5)\" }
archive = { read = \"900us\" }
gone = { latency = \"1ms\" }
[calibration.uncertainty]
client = \"2us\"
";

/// The quickstart, with this file beside it and included.
fn load(overlay: &str, own: &str) -> Result<Scenario, scenarios::Diagnostics> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let stack = library::QUICKSTART.split("[calibration]").next().expect("there is something before it");
    let text = format!("{stack}[calibration]\ninclude = \"costs.toml\"\n{own}");
    let path = directory.path().join("shop.toml");
    fs::write(&path, text).expect("it can be written");
    fs::write(directory.path().join("costs.toml"), overlay).expect("it can be written");
    Scenario::load(&path)
}

#[test]
fn an_included_calibration_is_part_of_the_text_the_hash_and_what_is_derived() {
    let scenario = load(OVERLAY, "client = \"9us\"\n").unwrap_or_else(|problems| panic!("{problems}"));
    let calibration = &scenario.calibration;
    assert_eq!(
        calibration.client.map(|law| law.mean()),
        Some(SimTime::from_nanos(9_000)),
        "the file's own goes over"
    );
    assert_eq!(calibration.work, Some(SimTime::from_nanos(20_000)));
    let archive = scenario.components.iter().position(|c| c.name == "archive").expect("it is there");
    let id = scenario.component_ids().nth(archive).expect("it is there");
    let read = scenario.statement_law(id, false).expect("it is a database");
    assert_eq!(read.mean(), SimTime::from_nanos(900_000));

    // The text says all by itself, so that it can be read where the other file is not.
    let text = scenario.source.text.clone();
    let again = Scenario::parse("elsewhere.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(again.source.hash, scenario.source.hash);
    assert_eq!(again.calibration.work, calibration.work);
    let derived = derive::adjusted(&scenario, &Adjustment { load: Some(0.5), ..Adjustment::default() });
    let derived = derived.unwrap_or_else(|error| panic!("{error}")).scenario;
    assert_eq!(derived.calibration.work, calibration.work);

    let other = load(&OVERLAY.replace("20us", "21us"), "client = \"9us\"\n").expect("it is a scenario");
    assert_ne!(other.source.hash, scenario.source.hash, "other costs make another scenario");
}

#[test]
fn costs_of_another_stack_are_a_warning_that_says_so() {
    let scenario = load(OVERLAY, "").unwrap_or_else(|problems| panic!("{problems}"));
    let warnings = explain::warnings(&scenario).join("\n");
    assert!(warnings.contains("does not have: gone"), "{warnings}");
    let known = OVERLAY.replace("gone =", "balancer =");
    let scenario = load(&known, "").unwrap_or_else(|problems| panic!("{problems}"));
    let warnings = explain::warnings(&scenario).join("\n");
    assert!(warnings.contains("fitted to another stack (no stack at …)"), "{warnings}");
    let right = known.replace("no stack at all", &scenario.stack());
    let scenario = load(&right, "").unwrap_or_else(|problems| panic!("{problems}"));
    assert_eq!(scenario.calibration_warning(), None);
}

#[test]
fn what_is_wrong_with_an_included_file_is_told_where_it_stands() {
    for (overlay, expected) in [
        (OVERLAY.replace("\"31us\"", "31"), "costs.toml:4:10: calibration.client: found 31"),
        (OVERLAY.replace("shop = {", "shop = { key = \"1us\","), "components.shop.key: found \"1us\""),
        (OVERLAY.replace("client", "klient"), "unknown key \"klient\""),
        (OVERLAY.replace("work =", "include ="), "no file that includes a further one"),
        (OVERLAY.replace("[calibration]\n", "[calibration\n"), "costs.toml:1:"),
        ("title = \"Something else\"\n".to_owned(), "costs.toml:1:1"),
    ] {
        let told = load(&overlay, "").expect_err(expected).to_string();
        assert!(told.contains(expected), "{expected}: {told}");
    }
}
