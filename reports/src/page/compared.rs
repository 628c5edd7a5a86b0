//! The page of a comparison: both runs on the same axes.

use askama::Template;
use results::{RunRecord, Scope, sample};

use super::components::{hit_ratio, utilisation};
use super::distribution::distribution;
use super::figure::{Figure, bands, time_axis};
use super::timeline::ROWS;
use crate::chart::{Chart, Line, Scale};
use crate::compare::Comparison;
use crate::format::{self, Unit};
use crate::moments::{MOST_POINTS, Moment, at_most};
use crate::table::Table;

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
    let command = super::run::command_line;
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

type Read<'a> = Box<dyn Fn(&RunRecord, &Moment) -> Option<f64> + 'a>;

/// A chart of both runs: what is read from each moment of a run.
struct Reading<'a> {
    title: String,
    caption: &'static str,
    unit: Unit,
    scale: Scale,
    read: Read<'a>,
}

impl<'a> Reading<'a> {
    fn new(
        title: impl Into<String>,
        caption: &'static str,
        unit: Unit,
        read: impl Fn(&RunRecord, &Moment) -> Option<f64> + 'a,
    ) -> Self {
        let scale = if unit == Unit::Seconds { Scale::Log } else { Scale::Linear };
        Self { title: title.into(), caption, unit, scale, read: Box::new(read) }
    }
}

/// Throughput, percentiles and failures, then what both runs know of the components.
fn readings<'a>(comparison: &Comparison<'a>) -> Vec<Reading<'a>> {
    let due = "Where requests were due. Logarithmic.";
    let mut readings = vec![
        Reading::new("Throughput", "Good answers when they came.", Unit::PerSecond, |_, m| Some(m.achieved)),
        Reading::new("Response time, median", due, Unit::Seconds, |_, m| m.response[0]),
        Reading::new("Response time, p90", due, Unit::Seconds, |_, m| m.response[1]),
        Reading::new("Response time, p99", due, Unit::Seconds, |_, m| m.response[2]),
    ];
    let failed = |r: &RunRecord| r.tally(Scope::Run, None).failed() > 0;
    if failed(comparison.a) || failed(comparison.b) {
        let caption = "Share of the requests due.";
        readings.push(Reading::new("Failed requests", caption, Unit::Share, |_, m| m.failed_share));
    }
    let components = &comparison.a.scenario.components;
    let both = |name: &str, metric: &str| {
        [comparison.a, comparison.b].iter().all(|r| r.series(name, metric).next().is_some())
    };
    for c in components.iter().filter(|c| both(&c.name, sample::UTILISATION)) {
        let title = format!("Utilisation of {}", c.name);
        let caption = "Busy share of its cores or workers, the mean of its instances.";
        readings.push(Reading::new(title, caption, Unit::Share, |r, m| utilisation(r, c, m)));
    }
    for c in components.iter().filter(|c| both(&c.name, sample::HITS)) {
        let title = format!("Hit ratio of {}", c.name);
        let caption = "Keys found among the keys asked for.";
        readings.push(Reading::new(title, caption, Unit::Share, |r, m| hit_ratio(r, &c.name, m)));
    }
    readings
}

fn figures(comparison: &Comparison<'_>) -> Vec<Figure> {
    let runs = [("A", comparison.a), ("B", comparison.b)];
    let fine = runs.map(|(_, r)| at_most(r, MOST_POINTS));
    let coarse = runs.map(|(_, r)| at_most(r, ROWS));
    let mut figures = Vec::new();
    for Reading { title, caption, unit, scale, read } in readings(comparison) {
        let lines = runs.iter().zip(&fine).map(|((letter, record), moments)| Line {
            name: legend(letter, record),
            points: moments.iter().map(|m| (m.middle(), read(record, m))).collect(),
        });
        let chart = Chart {
            label: format!("{title} of both runs over time"),
            horizontal: time_axis(comparison.a),
            unit,
            scale,
            lines: lines.collect(),
            cells: Vec::new(),
            bands: bands(comparison.a),
        };
        let mut table = Table::new(&["from", "to", "A", "B"]);
        for i in 0..coarse[0].len().max(coarse[1].len()) {
            let moments = [coarse[0].get(i), coarse[1].get(i)];
            let Some(any) = moments[0].or(moments[1]) else { continue };
            let mut row = vec![format::seconds(any.from), format::seconds(any.until)];
            row.extend(runs.iter().zip(moments).map(|((_, record), moment)| {
                moment.and_then(|m| read(record, m)).map_or_else(|| "–".to_owned(), |v| unit.show(v))
            }));
            table.rows.push(row);
        }
        figures.push(Figure::new(&title, caption, &chart, table));
    }
    figures.push(both_distributions(&runs));
    figures
}

/// Percentiles of both runs' response times.
fn both_distributions(runs: &[(&str, &RunRecord); 2]) -> Figure {
    let lines = runs.map(|(letter, record)| {
        (legend(letter, record), letter, record.tally(Scope::Run, None).response_times())
    });
    let texts = (
        "Distribution of response time",
        "Of the measured part.",
        "Percentiles of both runs' response times",
    );
    distribution(texts, &lines)
}
