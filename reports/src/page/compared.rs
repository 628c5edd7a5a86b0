//! The page of a comparison: both runs on the same axes.

use askama::Template;
use results::{RunRecord, Scope};

use super::figure::{Figure, bands, time_axis};
use crate::chart::{Chart, Horizontal, Line, Scale};
use crate::compare::Comparison;
use crate::format::{self, Unit};
use crate::moments::{MOST_POINTS, Moment, at_most};
use crate::table::Table;

const ROWS: usize = 60;

#[derive(Template)]
#[template(path = "compared.html")]
struct Body<'a> {
    title: &'a str,
    headline: String,
    names: [String; 2],
    doubts: Vec<String>,
    tables: Vec<(String, Table)>,
    figures: Vec<Figure>,
    commands: [String; 2],
    hash: &'a str,
}

/// The page.
pub(crate) fn page(comparison: &Comparison<'_>) -> String {
    let facts = &comparison.a.scenario;
    let command = |r: &RunRecord| r.provenance.command.join(" ");
    let body = Body {
        title: &facts.title,
        headline: comparison.headline(),
        names: comparison.run_names(),
        doubts: comparison.doubts(),
        tables: comparison.tables(),
        figures: figures(comparison),
        commands: [command(comparison.a), command(comparison.b)],
        hash: &facts.hash,
    };
    let body = body.render().expect("writing to memory does not fail");
    super::page(&format!("{}: two runs", facts.title), &body)
}

fn legend(letter: &str, record: &RunRecord) -> String {
    format!("{letter}: {}", record.world.title())
}

/// What is read from each moment of both runs.
type Reading = (&'static str, &'static str, Unit, Scale, fn(&Moment) -> Option<f64>);

const READINGS: [Reading; 5] = [
    ("Throughput", "Good answers when they came.", Unit::PerSecond, Scale::Linear, |m| Some(m.achieved)),
    ("Response time, median", "Where requests were due. Logarithmic.", Unit::Seconds, Scale::Log, |m| {
        m.response[0]
    }),
    ("Response time, p90", "Where requests were due. Logarithmic.", Unit::Seconds, Scale::Log, |m| {
        m.response[1]
    }),
    ("Response time, p99", "Where requests were due. Logarithmic.", Unit::Seconds, Scale::Log, |m| {
        m.response[2]
    }),
    ("Failed requests", "Share of the requests due.", Unit::Share, Scale::Linear, |m| m.failed_share),
];

fn figures(comparison: &Comparison<'_>) -> Vec<Figure> {
    let runs = [("A", comparison.a), ("B", comparison.b)];
    let fine = runs.map(|(_, r)| at_most(r, MOST_POINTS));
    let coarse = runs.map(|(_, r)| at_most(r, ROWS));
    let mut figures = Vec::new();
    for (title, caption, unit, scale, read) in READINGS {
        let any_failure = fine.iter().flatten().any(|m| read(m).is_some_and(|v| v > 0.0));
        if unit == Unit::Share && !any_failure {
            continue;
        }
        let lines = runs.iter().zip(&fine).map(|((letter, record), moments)| Line {
            name: legend(letter, record),
            points: moments.iter().map(|m| (m.middle(), read(m))).collect(),
        });
        let chart = Chart {
            label: format!("{title} of both runs over time"),
            horizontal: time_axis(comparison.a),
            unit,
            scale,
            lines: lines.collect(),
            bands: bands(comparison.a),
        };
        let mut table = Table::new(&["from", "to", "A", "B"]);
        let show = |m: Option<&Moment>| m.and_then(read).map_or_else(|| "–".to_owned(), |v| unit.show(v));
        for i in 0..coarse[0].len().max(coarse[1].len()) {
            let (a, b) = (coarse[0].get(i), coarse[1].get(i));
            let Some(any) = a.or(b) else { continue };
            table.rows.push(vec![format::seconds(any.from), format::seconds(any.until), show(a), show(b)]);
        }
        figures.push(Figure::new(title, caption, &chart, table));
    }
    figures.push(distribution(&runs));
    figures
}

/// Percentiles of both runs' response times on an axis of nines.
fn distribution(runs: &[(&str, &RunRecord); 2]) -> Figure {
    let times = runs.map(|(_, r)| r.tally(Scope::Run, None).response_times());
    let n = times.iter().map(results::tally::Distribution::len).max().unwrap_or(0);
    let most = (n.max(10) as f64).log10().min(9.0);
    let lines = runs.iter().zip(&times).map(|((letter, record), times)| {
        let steps = (0..=(most / 0.04) as usize).map(|i| i as f64 * 0.04);
        let point = |nines: f64| (nines, times.percentile(100.0 * (1.0 - 10f64.powf(-nines))));
        Line { name: legend(letter, record), points: steps.map(point).collect() }
    });
    let chart = Chart {
        label: "Percentiles of both runs' response times".to_owned(),
        horizontal: Horizontal::Nines { most },
        unit: Unit::Seconds,
        scale: Scale::Log,
        lines: lines.collect(),
        bands: Vec::new(),
    };
    let mut table = Table::new(&["percentile", "A", "B"]);
    for percent in [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.99, 99.999] {
        let mut row = vec![format!("{percent}%")];
        row.extend(
            times.iter().map(|t| t.percentile(percent).map_or_else(|| "–".to_owned(), format::seconds)),
        );
        table.rows.push(row);
    }
    Figure::new("Distribution of response time", "Of the measured part.", &chart, table)
}
