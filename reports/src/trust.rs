//! How far a run is to be trusted, and how it recovered: the same for terminals and pages.

use results::figure::{CONFIDENCE, estimate};
use results::{Noise, Replications, RunRecord, Scope, Selection};
use scenarios::threshold::{Aggregate, Metric};

use crate::format::{self, Unit};
use crate::table::Table;
use crate::verdict;

/// What became of the system after each episode of faults.
pub(crate) fn recoveries(record: &RunRecord) -> Option<Table> {
    let mut table =
        Table::new(&["after", "lasts", "disrupted for", "recovered after", "p99 up to", "failed up to"]);
    for r in &record.recoveries {
        table.rows.push(vec![
            r.name.clone(),
            format::span(r.until.saturating_sub(r.from)),
            format::seconds(r.disruption_s),
            format::seconds(r.recovery_s),
            Unit::Seconds.show(r.band_p99_s),
            Unit::Share.show(r.band_failed),
        ]);
    }
    (!table.rows.is_empty()).then_some(table)
}

/// The replications that a record has, with a title.
pub(crate) fn replications(record: &RunRecord) -> Vec<(String, &Replications)> {
    let pooled = record.replications.iter().map(|r| (format!("{} replications, pooled", r.count), r));
    let beside = record.scaled_replications.iter().map(|r| {
        (format!("{} replications beside it, at {} of the scale", r.count, format::percent(r.scale)), r)
    });
    pooled.chain(beside).collect()
}

/// The figures of the whole, with their spread over the replications.
pub(crate) fn spread(replications: &Replications) -> Table {
    let mut table = Table::new(&["figure", "mean", "± 95%", "relative", "least", "greatest"]);
    let whole = |s: &&results::replications::Spread| {
        s.selection.scope == Scope::Run
            && s.selection.class.is_none()
            && s.selection.metric != Metric::ServiceTime
    };
    for s in replications.spreads.iter().filter(whole) {
        let (moments, unit) = (s.moments(), verdict::unit(s.selection.metric, s.selection.aggregate));
        let half = moments.half_width(CONFIDENCE);
        let extreme = |pick: fn(f64, f64) -> f64| s.values.iter().copied().reduce(pick).unwrap_or(f64::NAN);
        let relative = moments.relative_half_width(CONFIDENCE);
        table.rows.push(vec![
            s.selection.to_string(),
            unit.show(moments.mean),
            unit.show(half),
            if relative.is_finite() { format::percent(relative) } else { "–".to_owned() },
            unit.show(extreme(f64::min)),
            unit.show(extreme(f64::max)),
        ]);
    }
    table
}

/// What was exact, what was sampled, and what that costs.
pub(crate) fn model(record: &RunRecord) -> Option<Table> {
    let mut table = Table::new(&["what", "how", "error"]);
    let notes = record.evidence.model.iter();
    table.rows.extend(notes.map(|n| vec![n.what.clone(), n.how.clone(), n.error.clone()]));
    (!table.rows.is_empty()).then_some(table)
}

/// The same in lines.
pub(crate) fn model_lines(record: &RunRecord) -> impl Iterator<Item = String> {
    record.evidence.model.iter().map(|n| format!("{}: {}; error: {}.", n.what, n.how, n.error))
}

/// Where the intervals come from, which laws were checked.
pub(crate) fn lines(record: &RunRecord) -> Vec<String> {
    let mut lines = vec![intervals(record)];
    let reasons = [&record.replications, &record.scaled_replications];
    lines.extend(
        reasons.into_iter().flatten().filter_map(|r| Some(format!("Replications: {}.", r.stopped.as_ref()?))),
    );
    let laws = &record.evidence.laws;
    if !laws.is_empty() {
        let broken = laws.iter().filter(|law| !law.holds()).count();
        let told = if broken == 0 { "all hold".to_owned() } else { format!("{broken} BROKEN") };
        lines.push(format!("Conservation laws: {} checked, {told}.", laws.len()));
    }
    lines
}

fn intervals(record: &RunRecord) -> String {
    let p99 = Selection::new(Metric::ResponseTime, Aggregate::Percentile(99.0));
    let found = estimate(record, &p99);
    let width = found.filter(|e| e.high.is_finite() && e.value > 0.0).map_or_else(
        || "of which the p99 response time has none".to_owned(),
        |e| format!("p99 response time {} … {}", Unit::Seconds.show(e.low), Unit::Seconds.show(e.high)),
    );
    let how = match found.map(|e| e.noise) {
        Some(Noise::Replications(n)) => format!("from {n} replications"),
        Some(Noise::Batches { batches, lag_one }) => {
            format!("from {batches} batches of this run, neighbours correlated by {:.2}", lag_one + 0.0)
        }
        _ => "as if requests were independent: under load they are too narrow".to_owned(),
    };
    format!("95% intervals {how} ({width}).")
}
