//! A run in a few lines: the phases, what came of the thresholds, whether it may be believed.

use std::io::{self, Write};

use results::{RunRecord, Scope, Status};
use scenarios::threshold::Aggregate;
use scenarios::units::SimTime;

/// Prints the summary of a run.
pub(crate) fn print(record: &RunRecord, out: &mut impl Write) -> io::Result<()> {
    let seconds = |time: SimTime| time.as_secs_f64();
    writeln!(
        out,
        "\n{} ({}), {} s measured after {} s of warm-up",
        record.scenario.title,
        record.scenario.path,
        seconds(record.scenario.duration),
        seconds(record.scenario.warmup)
    )?;
    table(record, out)?;
    writeln!(out)?;
    for verdict in &record.thresholds {
        let mark = match verdict.passed {
            Some(true) => "passed",
            Some(false) => "FAILED",
            None => "unjudged",
        };
        let value = verdict.estimate.as_ref().map_or_else(
            || "no value".to_owned(),
            |e| unit(verdict.threshold.figure.metric.name(), verdict.threshold.figure.aggregate, e.value),
        );
        writeln!(out, "{mark:<8} {} {}: {value}", verdict.threshold.selector, verdict.threshold.condition)?;
    }
    match record.status {
        Status::Complete => {}
        Status::Interrupted => writeln!(out, "INTERRUPTED: this is what there was until then")?,
        Status::Killed => writeln!(out, "KILLED: this is what the journal holds")?,
    }
    for reason in &record.validity.reasons {
        writeln!(out, "INVALID: {reason}")?;
    }
    Ok(())
}

fn table(record: &RunRecord, out: &mut impl Write) -> io::Result<()> {
    let windows: Vec<_> = record.frame.windows.iter().enumerate().filter(|(_, w)| w.is_measured()).collect();
    let mut rows: Vec<(String, Scope)> =
        windows.iter().map(|(index, window)| (window.name.clone(), Scope::Window(*index))).collect();
    if rows.len() != 1 {
        rows.push(("whole run".to_owned(), Scope::Run));
    }
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(10);
    writeln!(
        out,
        "{:width$} {:>9} {:>8} {:>9} {:>10} {:>10} {:>10} {:>12} {:>10}",
        "phase", "due", "failed", "good/s", "p50", "p90", "p99", "p99 service", "send lag"
    )?;
    for (name, scope) in rows {
        let tally = record.tally(scope, None);
        let (response, service) = (tally.response_times(), tally.service_times());
        let seconds = record.seconds(scope);
        let rate = if seconds > 0.0 { tally.ok as f64 / seconds } else { 0.0 };
        let lag = match scope {
            Scope::Window(index) => milliseconds(record.tallies.window_send_lag(index).percentile(99.0)),
            _ => String::new(),
        };
        writeln!(
            out,
            "{name:width$} {:>9} {:>8} {rate:>9.1} {:>10} {:>10} {:>10} {:>12} {lag:>10}",
            tally.due(),
            tally.failed(),
            milliseconds(response.percentile(50.0)),
            milliseconds(response.percentile(90.0)),
            milliseconds(response.percentile(99.0)),
            milliseconds(service.percentile(99.0)),
        )?;
    }
    Ok(())
}

/// Seconds as milliseconds with three digits; a dropped request is infinitely late.
pub(crate) fn milliseconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds.is_infinite() => "∞".to_owned(),
        Some(seconds) => {
            let value = seconds * 1e3;
            let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
            format!("{value:.digits$} ms")
        }
    }
}

/// A figure in the unit of its metric.
fn unit(metric: &str, aggregate: Aggregate, value: f64) -> String {
    match (metric, aggregate) {
        (_, Aggregate::Count) => format!("{value}"),
        ("failed", _) => format!("{:.3}%", value * 100.0),
        ("rate", _) => format!("{value:.1}/s"),
        _ => milliseconds(Some(value)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let texts = [0.000_081, 0.0051, 0.0512, 0.8044, f64::INFINITY].map(|s| milliseconds(Some(s)));
        assert_eq!(texts, ["0.08 ms", "5.10 ms", "51.2 ms", "804 ms", "∞"]);
    }
}
