//! A number of whatever was observed in a run, as readers see it, and what was published of it.

use results::RunRecord;
use results::facts::PublishedFacts;
use results::verdict::Reproduction;
use scenarios::scenario::Observed;
use scenarios::threshold::Aggregate;

use crate::format::{self, Unit};
use crate::table::Table;
use crate::verdict;

/// What was observed, with the unit of its metric.
pub fn shown(observed: &Observed, value: f64) -> String {
    unit(observed).show(value)
}

/// A published figure's value, as readers see it.
pub(crate) fn published(facts: &PublishedFacts, value: f64) -> String {
    published_unit(facts).show(value)
}

fn published_unit(facts: &PublishedFacts) -> Unit {
    let of_requests = facts.figure.map(|figure| verdict::unit(figure.metric, figure.aggregate));
    let of_others = || facts.observed().map_or(Unit::Count, |observed| unit(&observed));
    of_requests.unwrap_or_else(of_others)
}

/// What came of published figures and outcomes, in rows: what it is, what was said, what came out, and the verdict.
pub(crate) fn published_table(record: &RunRecord) -> Option<Table> {
    let mut table = Table::new(&["what must come out", "by", "stated", "here", "verdict"]);
    for r in &record.published {
        let unit = published_unit(&r.published);
        let here = match (r.estimate, r.value) {
            (Some(estimate), _) => format::with_noise(Some(estimate), unit),
            (None, value) => value.map_or_else(|| "–".to_owned(), |value| unit.show(value)),
        };
        let (what, by) = (r.published.what.clone(), r.published.named());
        let (sign, words) = judged(r);
        table.rows.push(vec![what, by, stated(&r.published), here, format!("{sign} {words}")]);
    }
    (!table.rows.is_empty()).then_some(table)
}

/// What was published or must hold.
pub(crate) fn stated(facts: &PublishedFacts) -> String {
    let written = match facts.value {
        Some(value) if facts.stated.is_empty() => published(facts, value),
        _ => facts.stated.clone(),
    };
    match facts.tolerance {
        Some(tolerance) => format!("{written} ± {}", format::percent(tolerance)),
        None => written,
    }
}

/// The verdict: its sign, and words.
pub(crate) fn judged(r: &Reproduction) -> (&'static str, String) {
    let Some(judgement) = r.judgement else { return ("–", "not observed in this run".to_owned()) };
    (judgement.came_out().map_or("–", |yes| if yes { "✓" } else { "✗" }), judgement.words())
}

fn unit(observed: &Observed) -> Unit {
    let Observed::Series { of, metric, aggregate } = observed else {
        let Observed::Requests(figure) = observed else { return Unit::Count };
        return verdict::unit(figure.metric, figure.aggregate);
    };
    match (metric.as_str(), aggregate) {
        (_, aggregate) if aggregate.is_moment() => Unit::Seconds,
        ("hit_ratio" | "utilisation" | "disk" | "nic_out" | "nic_in" | "up" | "steal", _) => Unit::Share,
        (_, Aggregate::Rate) if of == "failures" => Unit::Share,
        (_, Aggregate::Rate) => Unit::PerSecond,
        (name, _) if name.ends_with("_bytes") => Unit::Bytes,
        _ => Unit::Count,
    }
}
