//! A run in short, beside the one that it changes: what a page shows on which things are tried out.

use askama::Template;
use results::{Estimate, RunRecord, Scope};

use super::figure::Figure;
use super::run::{Card, failures, rates, response_times};
use super::timeline::Timeline;
use crate::format::{self, Unit};
use crate::phases::{FAILED, Key, P50, P99, THROUGHPUT};
use crate::table::Table;
use crate::{room, verdict};

#[derive(Template)]
#[template(path = "outline.html")]
struct Body {
    outcome: &'static str,
    class: &'static str,
    sentence: String,
    cards: Vec<Card>,
    figures: Vec<Figure>,
    room: Option<Table>,
}

/// A run in short, as a part of a page: the verdict, key figures, the run over time, and what gives first. Beside another run,
/// each key figure says what it was there.
pub fn outline(record: &RunRecord, beside: Option<&RunRecord>) -> String {
    let (outcome, timeline) = (verdict::outcome(record), Timeline::new(record));
    let mut figures = vec![response_times(&timeline)];
    figures.extend(failures(&timeline));
    figures.push(rates(&timeline));
    let body = Body {
        outcome: outcome.word(),
        class: outcome.class(),
        sentence: verdict::sentence(record),
        cards: cards(record, beside),
        figures,
        room: room::table(&room::busy(record)),
    };
    body.render().expect("writing to memory does not fail")
}

fn cards(record: &RunRecord, beside: Option<&RunRecord>) -> Vec<Card> {
    let keys: [(&str, Key); 4] = [
        ("Response time, median", P50),
        ("Response time, p99", P99),
        ("Failed", FAILED),
        ("Throughput (good answers)", THROUGHPUT),
    ];
    let mut cards = Vec::new();
    for (label, key) in keys {
        let (here, there) = (key.of(record, Scope::Run), beside.map(|b| key.of(b, Scope::Run)));
        let mut notes: Vec<String> = here.and_then(|e| interval(&e, key.unit)).into_iter().collect();
        notes.extend(there.map(|there| format!("in the file: {}", format::figure(there, key.unit))));
        cards.push(Card {
            label: label.to_owned(),
            value: format::figure(here, key.unit),
            note: notes.join("; "),
        });
    }
    let busiest = |record: &RunRecord| room::busy(record).into_iter().next();
    let share = |busy: &room::Busy| format::percent_round(busy.most.min(1.0));
    if let Some(first) = busiest(record) {
        let there = beside.and_then(busiest).map(|b| format!("; in the file: {}, {}", b.name, share(&b)));
        cards.push(Card {
            label: "Busiest, at its peak".to_owned(),
            value: share(&first),
            note: format!("{}{}", first.name, there.unwrap_or_default()),
        });
    }
    let there = beside.map(room::monthly).unwrap_or_default();
    for price in room::monthly(record) {
        let was = there.iter().find(|p| p.currency == price.currency);
        let note = was.map(|was| format!("in the file: {:.0} {}", was.per_month, was.currency));
        cards.push(Card {
            label: "Costs a month".to_owned(),
            value: format!("{:.0} {}", price.per_month, price.currency),
            note: note.unwrap_or_default(),
        });
    }
    cards
}

fn interval(estimate: &Estimate, unit: Unit) -> Option<String> {
    (estimate.low < estimate.high)
        .then(|| format!("{} … {}", unit.show(estimate.low), unit.show(estimate.high)))
}
