//! A run in a few lines: what its report says first, and how the generator itself did.

use std::io::{self, Write};

use results::{RunRecord, Scope, sample};

/// Prints the summary of a run.
pub(crate) fn print(record: &RunRecord, out: &mut impl Write) -> io::Result<()> {
    writeln!(out, "\n{}", reports::summary(record))?;
    let service = record.tally(Scope::Run, None).service_times();
    writeln!(
        out,
        "Generator\n  send lag at most p99 {}, {} of a core, machine {} busy; service_time p50 {}, p99 {}\n",
        milliseconds(results::agents::send_lag_p99_s(record)),
        mean(record, sample::CPU).map_or_else(|| "-".to_owned(), |cores| format!("{cores:.2}")),
        mean(record, sample::MACHINE_BUSY)
            .map_or_else(|| "-".to_owned(), |busy| format!("{:.0}%", busy * 100.0)),
        milliseconds(service.percentile(50.0)),
        milliseconds(service.percentile(99.0)),
    )
}

/// The mean of one of the generator's metrics, over all generators.
fn mean(record: &RunRecord, metric: &str) -> Option<f64> {
    let series = record.series(sample::GENERATOR, metric);
    let values: Vec<f64> = series.flat_map(|series| series.values.iter().flatten().copied()).collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_three_digits() {
        let texts = [0.000_081, 0.0051, 0.0512, 0.8044, f64::INFINITY].map(|s| milliseconds(Some(s)));
        assert_eq!(texts, ["0.08 ms", "5.10 ms", "51.2 ms", "804 ms", "∞"]);
    }
}
