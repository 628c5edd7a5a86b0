//! Runs under different loads.

use crate::run;
use crate::synthetic::{Play, SHOP};

/// Runs at these rates, the slower the more there is to do.
fn runs(rates: &[u32]) -> Vec<results::RunRecord> {
    let text = |rate: u32| {
        let text = SHOP.replace("rate = \"200/s\"", &format!("rate = \"{rate}/s\""));
        text[..text.find("[[faults]]").expect("it has faults")].to_owned()
            + "[thresholds]\nresponse_time = [\"p(90)<20ms\"]\n"
    };
    rates
        .iter()
        .map(|rate| run(&text(*rate), Play { scale: f64::from(*rate) / 100.0, ..Play::SIM }))
        .collect()
}

#[test]
fn the_objective_breaks_between_two_loads() {
    let runs = runs(&[400, 50, 200, 100]);
    let loads = reports::loads(&runs).expect("they are of one system");
    let (low, high) = loads.crossing();
    let (low, high) = (low.expect("some hold"), high.expect("some fail"));
    assert!((90.0..220.0).contains(&low) && (180.0..440.0).contains(&high) && low < high, "{low} and {high}");
    let table = loads.table();
    assert_eq!(table.rows.len(), 4);
    assert!(table.rows[0][6].contains("holds") && table.rows[3][6].contains("fails"), "{table:?}");
    let html = loads.html();
    for text in ["Response time against load", "stops to hold", "response_time p(90)&#60;20ms", "/s"] {
        assert!(html.contains(text), "{text} is on the page");
    }
}

#[test]
fn runs_under_different_loads_end_with_latency_against_load() {
    let runs = runs(&[50, 100, 400]);
    let html = reports::render(&runs);
    let (reports, loads) = html.split_once("<h3>Latency against load</h3>").expect("it is there");
    assert_eq!(reports.matches("<h2>By phase</h2>").count(), 3);
    assert!(!loads.contains("<h2>By phase</h2>") && loads.contains("stops to hold"));
    // The same load, drawn with other seeds, is no other.
    let again = run(&SHOP.replace("[run]\n", "[run]\nseed = 2\n"), Play::SIM);
    let html = reports::render(&[run(SHOP, Play::SIM), again]);
    assert!(!html.contains("Latency against load"));
}

#[test]
fn one_load_and_other_requests_are_refused() {
    let same = runs(&[100, 100]);
    assert!(reports::loads(&same).expect_err("one load").to_string().contains("two loads"));
    let mut other = runs(&[100, 200]);
    other[1].scenario.classes[0] = "basket".to_owned();
    let message = reports::loads(&other).expect_err("other requests").to_string();
    assert!(message.contains("basket") && message.contains("hint"), "{message}");
}
