//! What a run is said to have been, on standard output.

use std::io::Write as _;
use std::path::Path;

use results::figure::estimate;
use results::{RunRecord, Scope, Selection};
use scenarios::threshold::{Aggregate, Metric};
use scenarios::units::Price;
use serde_json::json;

/// The summary of a run, and where its record is.
pub(crate) fn text(record: &RunRecord, directory: &Path, costs: &[Price]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", reports::summary(record))?;
    for trace in &record.evidence.traces {
        writeln!(out, "{}", reports::waterfall(trace))?;
    }
    for cost in costs {
        writeln!(out, "costs   {:.2} {}/month", cost.per_month, cost.currency)?;
    }
    writeln!(out, "record  {}", directory.join(results::writer::RECORD).display())
}

fn value(record: &RunRecord, metric: Metric, aggregate: Aggregate, scope: Scope) -> Option<f64> {
    let selection = Selection::new(metric, aggregate).within(scope);
    estimate(record, &selection).map(|e| e.value)
}

/// The same as one JSON object.
pub(crate) fn json(record: &RunRecord, directory: &Path) -> anyhow::Result<()> {
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
        "took_s": record.provenance.took.as_secs_f64(),
        "parts": parts,
        "thresholds": thresholds,
    });
    let mut out = std::io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, &object)?;
    writeln!(out)?;
    Ok(())
}
