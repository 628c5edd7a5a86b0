//! Two runs side by side.

use insta::assert_snapshot;

use crate::run;
use crate::synthetic::{Play, SHOP};

#[test]
fn prediction_error_is_told_for_each_phase() {
    let (sim, measured) = (run(SHOP, Play::SIM), run(SHOP, Play::LOADGEN));
    let comparison = reports::compare(&sim, &measured).expect("the scenario is the same");
    assert!(comparison.is_prediction());
    assert_snapshot!("compare_text", comparison.text());
    assert_snapshot!("compare_markdown", comparison.markdown());
}

#[test]
fn prediction_error_does_not_depend_on_the_order() {
    let (sim, measured) = (run(SHOP, Play::SIM), run(SHOP, Play::LOADGEN));
    let there = reports::compare(&sim, &measured).expect("the scenario is the same");
    let back = reports::compare(&measured, &sim).expect("the scenario is the same");
    assert_eq!(there.headline(), back.headline());
    let p50 = there.json()["phases"][0]["figures"][2].clone();
    assert_eq!(p50["figure"], "p50");
    let error = p50["relative"].as_f64().expect("both have requests");
    assert!((-0.09..-0.04).contains(&error), "the made-up measurement is 7% slower: {error}");
    assert_eq!(p50["within_noise"], false);
}

#[test]
fn run_against_itself_has_no_difference() {
    let run = run(SHOP, Play { dropped: 0.05, ..Play::SIM });
    let comparison = reports::compare(&run, &run).expect("the scenario is the same");
    assert!(!comparison.is_prediction());
    for phase in comparison.json()["phases"].as_array().expect("phases") {
        for figure in phase["figures"].as_array().expect("figures") {
            assert_eq!(figure["difference"], 0.0, "{figure}");
        }
    }
    assert!(comparison.text().contains('∞'));
}

#[test]
fn different_scenarios_are_refused_by_name() {
    let other = SHOP.replace("rate = \"200/s\"", "rate = \"201/s\"");
    let (a, b) = (run(SHOP, Play::SIM), run(&other, Play::SIM));
    let message = reports::compare(&a, &b).expect_err("the hashes differ").to_string();
    assert!(message.contains(&a.scenario.hash) && message.contains(&b.scenario.hash), "{message}");
}

#[test]
fn page_draws_both_runs_on_the_same_axes() {
    let (sim, measured) = (run(SHOP, Play::SIM), run(SHOP, Play::LOADGEN));
    let html = reports::compare(&sim, &measured).expect("the scenario is the same").html();
    let charts: Vec<&str> = html.split("<figure>").skip(1).collect();
    assert_eq!(charts.len(), 9, "the deciles, five over time, two of components, the distribution");
    assert!(
        charts[0].contains("Differences by decile") && charts[0].contains("prediction error"),
        "{}",
        charts[0]
    );
    for chart in &charts[1..] {
        assert!(chart.contains("A: simulated") && chart.contains("B: measured"));
        assert!(
            chart.contains("stroke=\"var(--s1)\"") && chart.contains("stroke=\"var(--s2)\" stroke-dasharray")
        );
    }
    assert!(!html.replace("http://www.w3.org/2000/svg", "").contains("http") && html.len() < 2_000_000);
}

#[test]
fn a_run_without_the_faults_is_not_held_against_one_with_them() {
    let (a, mut b) = (run(SHOP, Play::SIM), run(SHOP, Play::LOADGEN));
    b.frame.windows.truncate(2);
    let message = reports::compare(&a, &b).expect_err("the windows differ").to_string();
    assert!(message.contains("not with the same faults"), "{message}");
}

#[test]
fn several_runs_are_held_against_the_first() {
    let runs = [Play::SIM, Play { salt: 5, ..Play::SIM }, Play::LOADGEN].map(|play| run(SHOP, play));
    let compared = reports::compare_all(&runs).expect("the scenario is the same");
    let text = compared.text();
    assert!(text.contains("B against A: ") && text.contains("Prediction error: "), "{text}");
    assert_eq!(compared.json().as_array().map(Vec::len), Some(2));
    let html = compared.html();
    for name in [
        "3 runs of one scenario",
        "C: measured",
        "B against A",
        "prediction error, A and C",
        "stroke=\"var(--s3)\"",
    ] {
        assert!(html.contains(name), "{name} is on the page");
    }
}
