//! `latency.hlog`: an interval log that HdrHistogram's tools read, with one tagged series per class.
//!
//! Values are response times in nanoseconds, of good and failed answers alike; dropped requests have none. Times start
//! at the run's start, so that equal runs have equal logs.

use std::io::{self, Write};

use crate::record::RunRecord;

/// Writes the log.
pub(super) fn write(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "#[Histogram log format version 1.3]")?;
    writeln!(to, "#[BaseTime: 0.000 (seconds since epoch)]")?;
    writeln!(to, "#[Response times in nanoseconds from the due time; tags are request classes]")?;
    writeln!(
        to,
        "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
    )?;
    for interval in 0..record.frame.intervals() {
        let (from, until) = record.frame.bounds(interval);
        for (class, name) in record.scenario.classes.iter().enumerate() {
            let tally = record.tallies.interval(interval, Some(class));
            let mut all = tally.response;
            all.merge(&tally.failed_response);
            let Some((_, greatest, _)) = all.iter().next_back() else { continue };
            let tag: String =
                name.chars().map(|c| if c == ',' || c.is_whitespace() { '_' } else { c }).collect();
            writeln!(
                to,
                "Tag={tag},{:.3},{:.3},{:.3},{}",
                from.as_secs_f64(),
                until.saturating_sub(from).as_secs_f64(),
                greatest as f64 / 1e6,
                all.encode()
            )?;
        }
    }
    Ok(())
}
