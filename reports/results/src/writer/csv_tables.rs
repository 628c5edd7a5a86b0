//! `intervals.csv` and `components.csv`: tidy tables, with the unit in the name of each column.
//!
//! An empty field means that there was no such request; `inf` that the percentile lies among dropped ones.

use std::io::{self, Write};

use crate::outcome::Failure;
use crate::record::RunRecord;
use crate::tally::Distribution;

/// The percentiles of the table, with the names of their columns.
const PERCENTILES: [(f64, &str); 5] =
    [(50.0, "p50_us"), (90.0, "p90_us"), (99.0, "p99_us"), (99.9, "p999_us"), (100.0, "max_us")];

fn micros(seconds: Option<f64>) -> String {
    seconds.map_or_else(
        String::new,
        |s| if s.is_finite() { format!("{:.1}", s * 1e6) } else { "inf".to_owned() },
    )
}

fn percentiles<'a>(times: &'a Distribution) -> impl Iterator<Item = String> + 'a {
    PERCENTILES.iter().map(|(percent, _)| micros(times.percentile(*percent)))
}

/// One row per interval and class, and one of all classes, whose class is empty.
pub(super) fn intervals(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    let mut table = csv::Writer::from_writer(to);
    let mut header: Vec<String> =
        ["from_s", "until_s", "phase", "class", "due", "sent", "ok", "failed"].map(str::to_owned).to_vec();
    header.extend(Failure::ALL.iter().map(|f| f.name().to_owned()));
    header.extend(PERCENTILES.iter().map(|(_, name)| format!("response_{name}")));
    header.extend(PERCENTILES.iter().map(|(_, name)| format!("service_{name}")));
    table.write_record(&header)?;
    for interval in 0..record.frame.intervals() {
        let (from, until) = record.frame.bounds(interval);
        let phase = record.frame.windows.get(record.frame.window_of(from)).map_or("", |w| w.name.as_str());
        let classes = record.scenario.classes.iter().enumerate();
        let rows = std::iter::once((None, "")).chain(classes.map(|(i, name)| (Some(i), name.as_str())));
        for (class, name) in rows {
            let tally = record.tallies.interval(interval, class);
            if tally.due() == 0 && class.is_some() {
                continue;
            }
            let mut row = vec![
                format!("{}", from.as_secs_f64()),
                format!("{}", until.as_secs_f64()),
                phase.to_owned(),
                name.to_owned(),
                tally.due().to_string(),
                tally.sent.to_string(),
                tally.ok.to_string(),
                tally.failed().to_string(),
            ];
            row.extend(tally.failures.iter().map(u64::to_string));
            row.extend(percentiles(&tally.response_times()));
            row.extend(percentiles(&tally.service_times()));
            table.write_record(&row)?;
        }
    }
    table.flush()
}

/// One row per value: interval, component, instance (from 1, as in files), metric.
pub(super) fn components(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    let mut table = csv::Writer::from_writer(to);
    table.write_record(["from_s", "until_s", "component", "instance", "metric", "value"])?;
    for interval in 0..record.frame.intervals() {
        let (from, until) = record.frame.bounds(interval);
        for series in &record.series {
            if let Some(value) = series.values.get(interval).copied().flatten() {
                table.write_record([
                    format!("{}", from.as_secs_f64()),
                    format!("{}", until.as_secs_f64()),
                    series.component.clone(),
                    (series.instance + 1).to_string(),
                    series.metric.clone(),
                    format!("{value}"),
                ])?;
            }
        }
    }
    table.flush()
}
