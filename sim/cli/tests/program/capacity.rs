//! `sim capacity`: where thresholds break.

use crate::support::{sim, stack, write};

/// One core, 2 ms of work a request: all of it is taken at 500 requests a second.
fn one_core() -> String {
    stack("100/s", "exponential(mean=2ms)")
        .replace("[thresholds]", "[thresholds]\nfailed = [\"rate<50%\"]")
        .replace("p(99)<10s", "p(99)<50ms")
}

#[test]
fn the_limit_is_where_queueing_theory_has_it_and_the_processor_gives_first() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    write(directory.path(), "page.toml", &one_core());
    let arguments = ["capacity", "page.toml", "--quiet", "--json", "--html", "page.html"];
    let output = sim(directory.path(), &arguments);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let object: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let limits = object["thresholds"].as_array().expect("two thresholds");
    let of = |metric: &str| limits.iter().find(|limit| limit["metric"] == metric).expect("it is told");
    let times = of("response_time");
    let breaks = times["breaks_at"].as_f64().expect("it breaks");
    // M/M/1: the 99th percentile of the sojourn is ln(100) / (μ − λ), which is 50 ms at λ = 500 − 92.1 = 408 a second.
    // Twenty seconds are not a steady state, so the interval is one of short runs.
    assert!((3.6..4.5).contains(&breaks), "{object:#}");
    assert!(times["low"].as_f64() < Some(breaks) && times["high"].as_f64() > Some(breaks), "{object:#}");
    assert_eq!(times["busiest"]["part"], "shop", "{object:#}");
    assert_eq!(times["holds_now"], true);
    let answer = object["answer"].as_str().expect("a sentence");
    assert!(answer.starts_with("response_time p(99)<50ms breaks first, at "), "{answer}");
    let html = std::fs::read_to_string(directory.path().join("page.html")).expect("the page was written");
    assert!(html.contains("Latency against load") && html.contains("breaks first"), "{html}");
    let trust = object["trust"].as_str().expect("a sentence");
    assert!(
        trust.contains("held against measurements") && html.contains("held against measurements"),
        "{trust}"
    );
    let again = sim(directory.path(), &[&arguments[..], &["--threads", "3"]].concat());
    assert_eq!(again.stdout, output.stdout, "threads change nothing");
}

#[test]
fn without_thresholds_there_is_nothing_to_look_for() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let text = one_core();
    let (text, _) = text.split_once("[thresholds]").expect("it has some");
    write(directory.path(), "page.toml", text);
    let output = sim(directory.path(), &["capacity", "page.toml"]);
    assert_eq!(output.status.code(), Some(104), "{output:?}");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(message.contains("thresholds: found nothing, expected thresholds that can break"), "{message}");
}
