//! The binary and what it prints.

use std::path::Path;
use std::process::{Command, Output};

use insta::assert_snapshot;

use crate::run;
use crate::synthetic::{Play, SHOP, record, scenario};

fn report(arguments: &[&str], directory: &Path) -> (i32, String, String) {
    let Output { status, stdout, stderr } = Command::new(env!("CARGO_BIN_EXE_report"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the binary starts");
    let text = |bytes| String::from_utf8(bytes).expect("it prints UTF-8");
    (status.code().expect("it exits"), text(stdout), text(stderr))
}

#[test]
fn summary_tells_a_run_in_a_few_lines() {
    assert_snapshot!("summary", reports::summary(&run(SHOP, Play { dropped: 0.01, ..Play::SIM })));
}

#[test]
fn binary_renders_compares_and_sums_up() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let at = directory.path();
    record(&at.join("sim"), &scenario(SHOP), Play::SIM);
    record(&at.join("loadgen"), &scenario(SHOP), Play::LOADGEN);
    let (code, out, _) = report(&["render", "sim"], at);
    assert_eq!((code, out.trim()), (0, "sim/report.html"));
    assert!(at.join("sim/report.html").is_file());
    let (code, out, _) = report(&["compare", "sim/run.json", "loadgen", "-o", "c.html", "--json"], at);
    let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((code, &json["kind"]), (0, &"prediction error".into()));
    assert!(at.join("c.html").is_file());
    let (code, out, _) = report(&["summary", "sim"], at);
    assert!(code == 0 && out.contains("Thresholds"), "{out}");
    let (code, out, _) = report(&["schema"], at);
    assert!(code == 0 && out.contains("\"$schema\""));
    let (code, out, _) = report(&["completions", "bash"], at);
    assert!(code == 0 && out.contains("compare"));
}

#[test]
fn a_run_is_printed_in_each_form_that_other_tools_read() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let at = directory.path();
    let run = record(&at.join("run"), &scenario(SHOP), Play { dropped: 0.05, ..Play::LOADGEN });
    let due = run.tally(results::Scope::Run, None).due();
    let export = |format: &str| {
        let (code, out, error) = report(&["export", "run", "--as", format], at);
        assert_eq!(code, 0, "{format}: {error}");
        out
    };
    let hgrm = export("hgrm");
    assert!(
        hgrm.contains("Value     Percentile TotalCount 1/(1-Percentile)") && hgrm.contains("#[Mean "),
        "{hgrm}"
    );
    let junit = export("junit");
    assert!(
        junit.starts_with("<?xml version=\"1.0\"") && junit.trim_end().ends_with("</testsuite>"),
        "{junit}"
    );
    assert_eq!(junit.matches("<testcase ").count(), 6, "four thresholds, valid, complete: {junit}");
    let markdown = export("markdown");
    assert!(markdown.starts_with("# A small shop loses a node\n"), "{markdown}");
    assert!(
        markdown.contains("| `response_time` | `p(99)<250ms` | ") && markdown.contains(" ms | "),
        "{markdown}"
    );
    assert!(markdown.contains("| `failed` | `rate<5%` | ") && markdown.contains("% | "), "{markdown}");
    let jtl = export("jtl");
    let warmup = run.frame.warmup.as_nanos() / 1_000_000;
    let measured = jtl.lines().skip(1).filter(|line| {
        let at = line.split(',').next().and_then(|at| at.parse::<u64>().ok());
        at.expect("each begins with its time") >= warmup
    });
    assert_eq!(measured.count() as u64, due, "a line for each request of the measured part");
    let metrics = export("openmetrics");
    assert!(metrics.ends_with("# EOF\n") && metrics.contains("outcome=\"dropped\"} "), "{metrics}");
    // What is tidy lies beside the record.
    for name in ["intervals.csv", "components.csv", "latency.hlog"] {
        assert!(at.join("run").join(name).is_file(), "{name}");
    }
    let (code, _, error) = report(&["export", "run", "--as", "pdf"], at);
    assert_eq!(code, 2);
    assert!(error.contains("expected hgrm, junit, markdown, jtl, openmetrics"), "{error}");
}

#[test]
fn loads_are_put_in_order_and_drawn() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let at = directory.path();
    for (name, rate, scale) in [("fast", "400/s", 4.0), ("slow", "50/s", 1.0)] {
        let text = SHOP.replace("rate = \"200/s\"", &format!("rate = \"{rate}\""));
        record(&at.join(name), &scenario(&text), Play { scale, ..Play::SIM });
    }
    let (code, out, error) = report(&["loads", "fast", "slow", "-o", "loads.html"], at);
    assert_eq!(code, 0, "{error}");
    let rate = |line: &str| line.split_whitespace().next()?.strip_suffix("/s")?.parse::<f64>().ok();
    let rates: Vec<f64> = out.lines().filter_map(rate).collect();
    assert!(rates.len() == 2 && rates[0] < 100.0 && rates[1] > 300.0, "the least load comes first: {out}");
    assert!(out.contains("loads.html") && at.join("loads.html").is_file(), "{out}");
    let (code, _, error) = report(&["loads", "slow", "slow"], at);
    assert!(code == 104 && error.contains("two loads"), "{error}");
}

#[test]
fn bad_runs_are_errors_with_a_hint() {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let (code, _, error) = report(&["summary", "nowhere"], directory.path());
    assert_eq!(code, 104);
    assert_snapshot!("missing_run", error);
    std::fs::create_dir(directory.path().join("empty")).expect("it can be made");
    let (code, _, error) = report(&["render", "empty"], directory.path());
    assert_eq!(code, 104);
    assert_snapshot!("empty_directory", error);
}

#[test]
fn help_shows_examples() {
    let (code, out, _) = report(&["--help"], Path::new("."));
    assert_eq!(code, 0);
    assert_snapshot!("help", out);
}
