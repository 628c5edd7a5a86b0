//! The page of a twin: the verdict, the matrix of cases and numbers, latency against load, and both worlds on the same axes.

use askama::Template;

use super::compared::both_worlds;
use super::figure::Figure;
use crate::chart::{Chart, Horizontal, Line, Scale};
use crate::format::{self, Unit};
use crate::table::Table;
use crate::twin::reading::Group;
use crate::twin::{CaseResult, Results, Session, Verdict};

#[derive(Template)]
#[template(path = "twin.html")]
struct Body<'a> {
    title: &'a str,
    class: &'static str,
    headline: String,
    circumstances: String,
    summary: Table,
    loads: Option<Figure>,
    cases: Vec<Part>,
    file: &'a str,
    hash: &'a str,
    order: String,
}

/// A case with its numbers and charts.
struct Part {
    head: String,
    doubts: Vec<String>,
    table: Table,
    figures: Vec<Figure>,
}

fn class(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "good",
        Verdict::Misses => "bad",
        Verdict::Unmeasured => "doubtful",
    }
}

/// The page.
pub(crate) fn page(session: &Session) -> String {
    let results = &session.results;
    let overall = [Verdict::Misses, Verdict::Unmeasured].into_iter().find(|v| results.count(*v) > 0);
    let cases = results.cases.iter().enumerate().map(|(place, case)| {
        let pair = session.pairs.iter().find(|(of, ..)| *of == place);
        Part {
            head: case.head(),
            doubts: case.doubts.clone(),
            table: case.table(),
            figures: pair
                .map(|(_, simulated, measured)| both_worlds(simulated, measured))
                .unwrap_or_default(),
        }
    });
    let body = Body {
        title: &results.title,
        class: class(overall.unwrap_or(Verdict::Holds)),
        headline: results.headline(),
        circumstances: results.circumstances(),
        summary: results.summary(),
        loads: loads(results),
        cases: cases.collect(),
        file: &results.file,
        hash: &results.hash,
        order: results.order.join(", "),
    };
    let body = body.render().expect("writing to memory does not fail");
    super::page_of_charts(&format!("{}: predicted and measured", results.title), &body)
}

/// Latency against load in both worlds, over the cases that make up a curve.
fn loads(results: &Results) -> Option<Figure> {
    let mut cases: Vec<&CaseResult> =
        results.cases.iter().filter(|case| case.load.is_some() && case.pairs > 0).collect();
    cases.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let most = cases.last().filter(|_| cases.len() > 1)?.rate;
    let value = |case: &CaseResult, group: Group, predicted: bool| {
        let cell = case.cells.iter().find(|c| c.quantity.group == group && c.quantity.of.is_empty())?;
        // What is not finite is drawn as such.
        Some(if predicted { cell.predicted } else { cell.measured }.unwrap_or(f64::INFINITY))
    };
    let columns = [
        ("p50, simulated", Group::P50, true),
        ("p50, measured", Group::P50, false),
        ("p99, simulated", Group::P99, true),
        ("p99, measured", Group::P99, false),
    ];
    let line = |(name, group, predicted): (&str, Group, bool)| Line {
        name: name.to_owned(),
        points: cases.iter().map(|case| (case.rate, value(case, group, predicted))).collect(),
    };
    let chart = Chart {
        label: "Response time against load in both worlds".to_owned(),
        horizontal: Horizontal::Rate { most },
        unit: Unit::Seconds,
        scale: Scale::Log,
        lines: columns.map(line).to_vec(),
        cells: Vec::new(),
        bands: Vec::new(),
    };
    let mut table = Table::new(&["load", "of capacity"]);
    table.head.extend(columns.map(|(name, ..)| name.to_owned()));
    for case in &cases {
        let mut row = vec![Unit::PerSecond.show(case.rate), format::percent_round(case.load.unwrap_or(0.0))];
        row.extend(columns.map(|(_, group, predicted)| {
            value(case, group, predicted).map_or_else(|| "–".to_owned(), |v| Unit::Seconds.show(v))
        }));
        table.rows.push(row);
    }
    let caption = "Each case of the curve is a point, the mean of its runs. Logarithmic upwards.";
    Some(Figure::new("Latency against load", caption, &chart, table))
}
