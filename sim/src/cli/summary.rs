//! What a run is said to have been, on standard output.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use results::figure::estimate;
use results::{Estimate, RunRecord, Scope, Selection};
use scenarios::threshold::{Aggregate, Metric};
use serde_json::json;

/// Writes to standard error.
pub(super) fn complain(text: &str) {
    // Nothing is left to be done about a standard error that is closed.
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

fn value(record: &RunRecord, metric: Metric, aggregate: Aggregate, scope: Scope) -> Option<f64> {
    let selection = Selection::new(metric, aggregate).within(scope);
    estimate(record, &selection).map(|e: Estimate| e.value)
}

fn millis(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s.is_infinite() => "∞".to_owned(),
        Some(s) => format!("{:.2}", s * 1e3),
    }
}

/// Figures of a part: name, due, answers a second, failed share, percentiles.
const PERCENTILES: [f64; 3] = [50.0, 90.0, 99.0];

/// A table of the run's parts, the verdicts, and where the record is.
pub(super) fn table(record: &RunRecord, directory: &Path, took: Duration) -> std::io::Result<()> {
    let mut text = String::new();
    let windows = record.frame.windows.iter().enumerate().filter(|(_, w)| w.is_measured());
    let mut parts: Vec<(String, Scope)> = windows.map(|(i, w)| (w.name.clone(), Scope::Window(i))).collect();
    if parts.len() > 1 {
        parts.push(("all".to_owned(), Scope::Run));
    }
    let width = parts.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(4);
    let _ = writeln!(
        text,
        "{:width$}  {:>11}  {:>9}  {:>8}  {:>9}  {:>9}  {:>9}  {:>9}",
        "part", "requests", "good/s", "failed", "mean, ms", "p50, ms", "p90, ms", "p99, ms"
    );
    for (name, scope) in parts {
        let due = record.tally(scope, None).due();
        let rate = value(record, Metric::Rate, Aggregate::Rate, scope);
        let failed = value(record, Metric::Failed, Aggregate::Rate, scope);
        let _ = write!(
            text,
            "{name:width$}  {due:>11}  {:>9}  {:>8}  {:>9}",
            rate.map_or("-".to_owned(), |r| format!("{r:.1}")),
            failed.map_or("-".to_owned(), |f| format!("{:.3}%", f * 100.0)),
            millis(value(record, Metric::ResponseTime, Aggregate::Average, scope)),
        );
        for percent in PERCENTILES {
            let percentile = Aggregate::Percentile(percent);
            let _ = write!(text, "  {:>9}", millis(value(record, Metric::ResponseTime, percentile, scope)));
        }
        text.push('\n');
    }
    for verdict in &record.thresholds {
        let word = match verdict.passed {
            Some(true) => "holds ",
            Some(false) => "FAILED",
            None => "empty ",
        };
        let threshold = &verdict.threshold;
        let found = verdict
            .estimate
            .map_or("-".to_owned(), |e| found(threshold.figure.metric, threshold.figure.aggregate, e.value));
        let _ = writeln!(text, "{word}  {}: {} (found {found})", threshold.selector, threshold.condition);
    }
    for reproduction in &record.published {
        let word = match reproduction.reproduced {
            Some(true) => "agrees",
            Some(false) => "DIFFERS",
            None => "empty ",
        };
        let error = reproduction.error.map_or("-".to_owned(), |e| format!("{:+.1}%", e * 100.0));
        let _ = writeln!(text, "{word}  {}: {error} from the published figure", reproduction.published.what);
    }
    let due: u64 = record.tally(Scope::Run, None).due();
    let _ = writeln!(
        text,
        "{} in {:.1} s, {due} measured requests; record: {}",
        record.status.name(),
        took.as_secs_f64(),
        directory.display()
    );
    std::io::stdout().lock().write_all(text.as_bytes())
}

fn found(metric: Metric, aggregate: Aggregate, value: f64) -> String {
    match (metric, aggregate) {
        (_, Aggregate::Count) => format!("{value:.0}"),
        (Metric::ResponseTime | Metric::ServiceTime, _) => format!("{} ms", millis(Some(value))),
        (Metric::Failed, _) => format!("{:.4}%", value * 100.0),
        _ => format!("{value:.1}"),
    }
}

/// The same as one JSON object.
pub(super) fn json(record: &RunRecord, directory: &Path, took: Duration) -> anyhow::Result<()> {
    let part = |name: &str, scope| {
        let of = |metric, aggregate| value(record, metric, aggregate, scope).filter(|v| v.is_finite());
        let percentile = |p| of(Metric::ResponseTime, Aggregate::Percentile(p));
        json!({
            "part": name,
            "due": record.tally(scope, None).due(),
            "rate_per_s": of(Metric::Rate, Aggregate::Rate),
            "failed": of(Metric::Failed, Aggregate::Rate),
            "response_time_mean_s": of(Metric::ResponseTime, Aggregate::Average),
            "response_time_p50_s": percentile(50.0),
            "response_time_p90_s": percentile(90.0),
            "response_time_p99_s": percentile(99.0),
        })
    };
    let windows = record.frame.windows.iter().enumerate().filter(|(_, w)| w.is_measured());
    let mut parts: Vec<_> = windows.map(|(i, w)| part(&w.name, Scope::Window(i))).collect();
    parts.push(part("all", Scope::Run));
    let thresholds: Vec<_> = record
        .thresholds
        .iter()
        .map(|v| json!({ "metric": v.threshold.selector, "condition": v.threshold.condition, "passed": v.passed }))
        .collect();
    let object = json!({
        "record": directory,
        "status": record.status.name(),
        "exit_code": record.exit_code(),
        "took_s": took.as_secs_f64(),
        "parts": parts,
        "thresholds": thresholds,
    });
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &object)?;
    writeln!(out)?;
    Ok(())
}
