//! A finished record in the forms that other tools read.
//!
//! A record holds counts, not single requests, so whatever asks for single ones gets them to a histogram's precision.

use std::io::{self, Write};

use scenarios::threshold::{Aggregate, Metric};
use scenarios::units::SimTime;

use crate::figure::Scope;
use crate::outcome::Failure;
use crate::record::{RunRecord, Status};
use crate::verdict::Verdict;

/// A form of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// Percentiles of the response time in milliseconds, as HdrHistogram's plotter reads them (`.hgrm`).
    Hgrm,
    /// JUnit's XML: a test per threshold, one that the run is valid, and one that it came to its end.
    Junit,
    /// A summary in Markdown.
    Markdown,
    /// JMeter's results as CSV: a line per request that was sent or dropped.
    Jtl,
    /// OpenMetrics' text, version 1.0: the whole of the measured part.
    OpenMetrics,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 5] = [Self::Hgrm, Self::Junit, Self::Markdown, Self::Jtl, Self::OpenMetrics];

    /// Its name on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hgrm => "hgrm",
            Self::Junit => "junit",
            Self::Markdown => "markdown",
            Self::Jtl => "jtl",
            Self::OpenMetrics => "openmetrics",
        }
    }
}

/// Writes a record in a form. Warm-up is left out everywhere but in JMeter's lines.
///
/// # Errors
/// Where `to` fails.
pub fn export(record: &RunRecord, format: Format, to: &mut impl Write) -> io::Result<()> {
    match format {
        Format::Hgrm => hgrm(record, to),
        Format::Junit => junit(record, to),
        Format::Markdown => markdown(record, to),
        Format::Jtl => jtl(record, to),
        Format::OpenMetrics => openmetrics(record, to),
    }
}

/// HdrHistogram's percentile distribution: five lines for each halving of the distance to 100%.
fn hgrm(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    let tally = record.tally(Scope::Run, None);
    let mut all = tally.response;
    all.merge(&tally.failed_response);
    let all = all.to_hdr();
    let milliseconds = |nanos: f64| nanos / 1e6;
    let dropped = tally.failures[Failure::Dropped.index()];
    if dropped > 0 {
        // A histogram has no place for what never ended, so its percentiles are those of the others.
        writeln!(to, "# {dropped} dropped requests are left out; with them, percentiles would be greater")?;
    }
    writeln!(to, "{:>12} {:>14} {:>10} {:>14}\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)")?;
    let mut total = 0;
    for step in all.iter_quantiles(5) {
        total += step.count_since_last_iteration();
        let (value, quantile) = (milliseconds(step.value_iterated_to() as f64), step.quantile_iterated_to());
        write!(to, "{value:>12.3} {quantile:>2.12} {total:>10}")?;
        if quantile < 1.0 { writeln!(to, " {:>14.2}", 1.0 / (1.0 - quantile))? } else { writeln!(to)? }
    }
    let (mean, deviation) = (milliseconds(all.mean()), milliseconds(all.stdev()));
    writeln!(to, "#[Mean    = {mean:>12.3}, StdDeviation   = {deviation:>12.3}]")?;
    writeln!(
        to,
        "#[Max     = {:>12.3}, Total count    = {:>12}]",
        milliseconds(all.max() as f64),
        all.len()
    )?;
    writeln!(to, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", all.buckets(), 2048)
}

fn junit(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    let judged = record.thresholds.iter().filter(|verdict| verdict.passed.is_some()).count();
    let failed = record.thresholds.iter().filter(|verdict| verdict.passed == Some(false)).count();
    let complete = record.status == Status::Complete;
    let errors = usize::from(!record.validity.is_valid()) + usize::from(!complete);
    let (all, skipped) = (record.thresholds.len() + 2, record.thresholds.len() - judged);
    let (title, seconds) = (escaped(&record.scenario.title), record.scenario.duration.as_secs_f64());
    writeln!(to, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(
        to,
        "<testsuite name=\"{title}\" tests=\"{all}\" failures=\"{failed}\" errors=\"{errors}\" \
         skipped=\"{skipped}\" time=\"{seconds}\">"
    )?;
    write!(to, "  <testcase classname=\"run\" name=\"the run is valid\"")?;
    if record.validity.is_valid() {
        writeln!(to, "/>")?;
    } else {
        let reasons = escaped(&record.validity.reasons.join("; "));
        writeln!(to, "><error message=\"{reasons}\"/></testcase>")?;
    }
    write!(to, "  <testcase classname=\"run\" name=\"the run is complete\"")?;
    if complete {
        writeln!(to, "/>")?;
    } else {
        writeln!(to, "><error message=\"{}\"/></testcase>", record.status.name())?;
    }
    for verdict in &record.thresholds {
        let (selector, condition) =
            (escaped(&verdict.threshold.selector), escaped(&verdict.threshold.condition));
        write!(to, "  <testcase classname=\"{selector}\" name=\"{condition}\"")?;
        let value = shown(verdict).unwrap_or_else(|| "no value".to_owned());
        match verdict.passed {
            Some(true) => writeln!(to, "/>")?,
            Some(false) => writeln!(to, "><failure message=\"found {value}\"/></testcase>")?,
            None => writeln!(to, "><skipped/></testcase>")?,
        }
    }
    writeln!(to, "</testsuite>")
}

/// A text as it stands in XML or HTML, in an attribute too.
pub fn escaped(text: &str) -> String {
    let entity = |c: char| match c {
        '&' => "&amp;".to_owned(),
        '<' => "&lt;".to_owned(),
        '>' => "&gt;".to_owned(),
        '"' => "&quot;".to_owned(),
        c if c.is_control() => " ".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(entity).collect()
}

fn markdown(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    writeln!(to, "# {}\n", record.scenario.title)?;
    if record.status != Status::Complete {
        writeln!(to, "**Not complete:** {}\n", record.status.name())?;
    }
    for reason in &record.validity.reasons {
        writeln!(to, "**Invalid:** {reason}\n")?;
    }
    writeln!(to, "| requests | due | good | failed | response p50 | p99 | max | service p50 |")?;
    writeln!(to, "|---|--:|--:|--:|--:|--:|--:|--:|")?;
    let classes = record.scenario.classes.iter().enumerate();
    let rows = std::iter::once((None, "all")).chain(classes.map(|(i, name)| (Some(i), name.as_str())));
    for (class, name) in rows {
        let tally = record.tally(Scope::Run, class);
        let (response, service) = (tally.response_times(), tally.service_times());
        let [p50, p99, most] = [50.0, 99.0, 100.0].map(|p| milliseconds(response.percentile(p)));
        let service = milliseconds(service.percentile(50.0));
        let (due, ok, failed) = (tally.due(), tally.ok, tally.failed());
        writeln!(to, "| {name} | {due} | {ok} | {failed} | {p50} | {p99} | {most} | {service} |")?;
    }
    if !record.thresholds.is_empty() {
        writeln!(to, "\n| threshold | | found | |\n|---|---|--:|---|")?;
    }
    for verdict in &record.thresholds {
        let found = shown(verdict).unwrap_or_else(|| "-".to_owned());
        let word = match verdict.passed {
            Some(true) => "holds",
            Some(false) => "**fails**",
            None => "not judged",
        };
        let (selector, condition) = (&verdict.threshold.selector, &verdict.threshold.condition);
        writeln!(to, "| `{selector}` | `{condition}` | {found} | {word} |")?;
    }
    Ok(())
}

/// A threshold's figure in a unit that its condition could have; none where there is none.
fn shown(verdict: &Verdict) -> Option<String> {
    let (value, figure) = (verdict.estimate?.value, verdict.threshold.figure);
    Some(match (figure.metric, figure.aggregate) {
        _ if value.is_infinite() => "∞".to_owned(),
        (_, Aggregate::Count) => value.to_string(),
        (Metric::Failed, _) => format!("{:.4}%", value * 100.0),
        (Metric::Rate, _) => format!("{value:.3}/s"),
        (metric, _) if metric.is_of_recovery() => format!("{value:.3} s"),
        _ => format!("{:.3} ms", value * 1e3),
    })
}

fn milliseconds(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(s) if s.is_infinite() => "∞".to_owned(),
        Some(s) => format!("{:.3} ms", s * 1e3),
    }
}

/// JMeter counts from 1970; the run's start is its zero here, so that equal runs have equal lines. The requests of an
/// interval stand at equal distances in it, each class's fastest first.
fn jtl(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    writeln!(
        to,
        "timeStamp,elapsed,label,responseCode,responseMessage,threadName,success,bytes,grpThreads,allThreads,Latency"
    )?;
    for interval in 0..record.frame.intervals() {
        let (from, until) = record.frame.bounds(interval);
        for (class, name) in record.scenario.classes.iter().enumerate() {
            let tally = record.tallies.interval(interval, Some(class));
            let good = tally.response.iter().map(|(_, highest, n)| (highest, n, "200", true));
            let failed = tally.failed_response.iter().map(|(_, highest, n)| (highest, n, "failed", false));
            let dropped = tally.failures[Failure::Dropped.index()];
            // They never ended: what is known is that they had not by the end of the run.
            let rest = record.frame.total.saturating_sub(from).as_nanos();
            let dropped = std::iter::once((rest, dropped, "dropped", false));
            let label = name.replace([',', '"', '\n'], "_");
            let mut place = 0;
            for (nanos, n, code, success) in good.chain(failed).chain(dropped) {
                for _ in 0..n {
                    let at = spread(from, until, place, tally.due());
                    let elapsed = nanos.div_ceil(1_000_000);
                    writeln!(to, "{at},{elapsed},{label},{code},,loadgen,{success},0,1,1,{elapsed}")?;
                    place += 1;
                }
            }
        }
    }
    Ok(())
}

/// The millisecond at which one of so many stands.
fn spread(from: SimTime, until: SimTime, place: u64, all: u64) -> u64 {
    let length = until.saturating_sub(from).as_nanos();
    (from.as_nanos() + (u128::from(length) * u128::from(place) / u128::from(all.max(1))) as u64) / 1_000_000
}

/// The text of OpenMetrics (*OpenMetrics 1.0*, Prometheus Authors, 2020): counters by class and outcome, a summary of the response times of
/// each class, and a gauge for each threshold. No time stands beside them: whoever stores them knows when the run was.
fn openmetrics(record: &RunRecord, to: &mut impl Write) -> io::Result<()> {
    let label = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let number = |seconds: f64| if seconds.is_infinite() { "+Inf".to_owned() } else { seconds.to_string() };
    let classes: Vec<_> = record.scenario.classes.iter().enumerate().collect();
    writeln!(
        to,
        "# TYPE rehearsal_requests counter\n# HELP rehearsal_requests Requests due, by what became of them."
    )?;
    for (class, name) in &classes {
        let tally = record.tally(Scope::Run, Some(*class));
        let failures = Failure::ALL.iter().map(|kind| (kind.name(), tally.failures[kind.index()]));
        for (outcome, n) in std::iter::once(("good", tally.ok)).chain(failures).filter(|(_, n)| *n > 0) {
            writeln!(to, "rehearsal_requests_total{{class=\"{}\",outcome=\"{outcome}\"}} {n}", label(name))?;
        }
    }
    let metric = "rehearsal_response_time_seconds";
    writeln!(to, "# TYPE {metric} summary\n# UNIT {metric} seconds")?;
    writeln!(
        to,
        "# HELP {metric} From the due time to the last byte; dropped requests are infinitely late."
    )?;
    for (class, name) in &classes {
        let times = record.tally(Scope::Run, Some(*class)).response_times();
        for quantile in [0.5, 0.9, 0.99, 0.999, 1.0] {
            let Some(value) = times.percentile(100.0 * quantile) else { continue };
            writeln!(to, "{metric}{{class=\"{}\",quantile=\"{quantile}\"}} {}", label(name), number(value))?;
        }
        writeln!(to, "{metric}_count{{class=\"{}\"}} {}", label(name), times.len())?;
    }
    writeln!(
        to,
        "# TYPE rehearsal_threshold_holds gauge\n# HELP rehearsal_threshold_holds 1 where it holds, 0 where it fails."
    )?;
    for verdict in &record.thresholds {
        let Some(passed) = verdict.passed else { continue };
        let (selector, condition) = (label(&verdict.threshold.selector), label(&verdict.threshold.condition));
        let holds = u8::from(passed);
        writeln!(
            to,
            "rehearsal_threshold_holds{{threshold=\"{selector}\",condition=\"{condition}\"}} {holds}"
        )?;
    }
    writeln!(
        to,
        "# TYPE rehearsal_run_valid gauge\n# HELP rehearsal_run_valid 1 where the figures may be believed."
    )?;
    writeln!(to, "rehearsal_run_valid {}\n# EOF", u8::from(record.validity.is_valid()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Frame, Outcome, Recorder, World};
    use scenarios::Scenario;
    use scenarios::plan::Plan;

    fn record() -> RunRecord {
        let text = "title = \"A & B\"\n[run]\nduration = \"10s\"\n[hosts.a]\n[components.w]\nkind = \"service\"\n\
            host = \"a\"\nworkers = 1\n[requests.r]\npath = \"/\"\nsteps = [{ work = \"1ms\" }]\n[traffic.t]\nto = \"w\"\n\
            executor = \"constant-arrival-rate\"\narrivals = \"uniform\"\nrate = \"100/s\"\nmix = { r = 1 }\n\
            [thresholds]\nresponse_time = [\"p(99)<2s\", \"p(50)<1ms\"]\n";
        let scenario = Scenario::parse("t.toml", text).unwrap_or_else(|problems| panic!("{problems}"));
        let mut recorder = Recorder::new(&Frame::new(&scenario));
        for (n, planned) in Plan::new(&scenario).requests().enumerate() {
            let (due, class, lag) = (planned.due, planned.class, SimTime::ZERO);
            let dropped = n % 100 == 7;
            let result = if dropped { Err(Failure::Dropped) } else { Ok(()) };
            let done = due + SimTime::from_millis(n as u64 + 1);
            recorder.record(&Outcome { class, due, sent: (!dropped).then_some(due), done, lag, result });
        }
        RunRecord::in_memory(&scenario, World::Loadgen, &recorder.take(), &[])
    }

    fn written(format: Format) -> String {
        let mut out = Vec::new();
        export(&record(), format, &mut out).expect("writing to memory does not fail");
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn percentiles_reach_the_greatest_value_and_all_requests() {
        let text = written(Format::Hgrm);
        assert!(text.starts_with("# 10 dropped requests are left out"), "{text}");
        let last = text.lines().rfind(|line| !line.starts_with('#')).expect("there are lines");
        let words: Vec<&str> = last.split_whitespace().collect();
        assert_eq!((words[1], words[2]), ("1.000000000000", "990"), "{text}");
        assert!(words[0].parse::<f64>().is_ok_and(|ms| (1000.0..1001.0).contains(&ms)), "{last}");
    }

    #[test]
    fn every_threshold_is_a_test() {
        let text = written(Format::Junit);
        assert!(text.contains("<testsuite name=\"A &amp; B\" tests=\"4\" failures=\"1\""), "{text}");
        let failed = text.split_once("name=\"p(50)&lt;1ms\"><failure message=\"found ").expect("one fails").1;
        let (found, _) = failed.split_once(" ms\"").expect("with a unit");
        assert!(found.parse::<f64>().is_ok_and(|ms| (490.0..520.0).contains(&ms)), "{text}");
    }

    #[test]
    fn every_request_is_a_line_of_jmeters() {
        let text = written(Format::Jtl);
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert_eq!(lines.len(), 1000);
        assert_eq!(lines.iter().filter(|line| line.contains(",dropped,")).count(), 10);
        assert!(lines[0].starts_with("0,"), "{}", lines[0]);
    }

    #[test]
    fn metrics_are_counted_and_end() {
        let text = written(Format::OpenMetrics);
        assert!(text.contains("rehearsal_requests_total{class=\"r\",outcome=\"good\"} 990\n"), "{text}");
        assert!(text.contains("rehearsal_requests_total{class=\"r\",outcome=\"dropped\"} 10\n"), "{text}");
        assert!(text.contains("{class=\"r\",quantile=\"1\"} +Inf\n"), "{text}");
        assert!(text.contains("condition=\"p(50)<1ms\"} 0\n") && text.ends_with("# EOF\n"), "{text}");
    }

    #[test]
    fn a_summary_has_every_class_and_threshold() {
        let text = written(Format::Markdown);
        assert!(text.contains("| r | 1000 | 990 | 10 |") && text.contains("**fails**"), "{text}");
        assert!(
            text.contains("| `response_time` | `p(99)<2s` | ") && text.contains(" ms | **fails** |"),
            "{text}"
        );
    }
}
