//! A run on a terminal.

use results::{RunRecord, Scope};

use crate::format::{self, Unit};
use crate::phases::{FAILED, MAX, P50, P90, P99, THROUGHPUT, phases};
use crate::table::Table;
use crate::{agents, observation, trust, verdict};

/// Figures by phase.
pub(crate) fn phase_table(record: &RunRecord) -> Table {
    let keys = [THROUGHPUT, FAILED, P50, P90, P99, MAX];
    let mut head = vec!["phase", "lasts", "offered"];
    head.extend(keys.iter().map(|k| k.name));
    let mut table = Table::new(&head);
    for phase in phases(record) {
        let due = record.tally(phase.scope, None).due() as f64;
        let seconds = record.counted_seconds(phase.scope);
        let offered = if seconds > 0.0 { Unit::PerSecond.show(due / seconds) } else { "–".to_owned() };
        let mut row = vec![phase.name.clone(), format::seconds(phase.seconds), offered];
        row.extend(keys.iter().map(|k| format::figure(k.of(record, phase.scope), k.unit)));
        table.rows.push(row);
    }
    table
}

/// Figures by class of request, over all that was measured.
pub(crate) fn class_table(record: &RunRecord) -> Table {
    let keys = [THROUGHPUT, FAILED, P50, P90, P99, MAX];
    let mut head = vec!["class", "requests"];
    head.extend(keys.iter().map(|k| k.name));
    let mut table = Table::new(&head);
    for (class, name) in record.scenario.classes.iter().enumerate() {
        let due = record.tally(Scope::Run, Some(class)).due();
        let mut row = vec![name.clone(), format::grouped(due)];
        row.extend(keys.iter().map(|k| format::figure(k.of_class(record, class), k.unit)));
        table.rows.push(row);
    }
    table
}

/// A run in a few lines: its question, the verdict, figures by phase, thresholds, what must come out.
pub fn summary(record: &RunRecord) -> String {
    let facts = &record.scenario;
    let question = facts.question.as_ref().map_or_else(String::new, |question| format!("{question}\n"));
    let told =
        |answer: &String| format!("The file's answer, of all its designs and several seeds: {answer}\n");
    let answer = facts.answer.as_ref().map_or_else(String::new, told);
    let part = record.provenance.part.as_ref().map_or_else(String::new, |part| format!("; {part}"));
    let mut text = format!(
        "{} ({}{part})\n{question}{}: {}\n{answer}\n",
        facts.title,
        record.world.title(),
        verdict::outcome(record).word(),
        verdict::sentence(record)
    );
    text += &phase_table(record).text();
    if record.scenario.classes.len() > 1 {
        text += "\n";
        text += &class_table(record).text();
    }
    if !record.thresholds.is_empty() {
        text += "\nThresholds\n";
        for v in &record.thresholds {
            let sign = v.passed.map_or("–", |passed| if passed { "✓" } else { "✗" });
            let (selector, condition) = (&v.threshold.selector, &v.threshold.condition);
            text += &format!("  {sign} {selector} {condition}: {}\n", verdict::value(v));
        }
    }
    if let Some(table) = trust::recoveries(record) {
        text += &format!("\nRecovery\n{}", table.text());
    }
    if let Some(table) = agents::table(record) {
        text += &format!("\nAgents\n{}", table.text());
        agents::limits(record).iter().for_each(|line| text += &format!("  {line}\n"));
    }
    if !record.published.is_empty() {
        text += "\nWhat must come out\n";
        for r in &record.published {
            text += &format!("  {}\n", reproduction(r));
        }
    }
    for (title, replications) in trust::replications(record) {
        text += &format!("\n{title}\n{}", trust::spread(replications).text());
    }
    text += "\nHow far to trust it\n";
    for line in trust::lines(record).into_iter().chain(trust::model_lines(record)) {
        text += &format!("  {line}\n");
    }
    text
}

/// A published figure or an outcome, and the run's, in one line.
fn reproduction(r: &results::verdict::Reproduction) -> String {
    let here = r
        .value
        .map_or_else(String::new, |value| format!(", here {}", observation::published(&r.published, value)));
    let (sign, words) = observation::judged(r);
    let (what, by, stated) = (&r.published.what, r.published.named(), observation::stated(&r.published));
    format!("{sign} {what}, {by}: {stated}{here}: {words}")
}
