//! The page of comparisons: all runs on the same axes.

use askama::Template;
use results::{RunRecord, Scope, sample};

use super::components::{hit_ratio, utilisation};
use super::distribution::distribution;
use super::figure::{Figure, bare_bands, time_axis};
use super::timeline::ROWS;
use crate::chart::{Chart, Line, Scale, shift_swatch, shifts as shifts_drawn};
use crate::compare::Comparison;
use crate::format::{self, Unit};
use crate::moments::{MOST_POINTS, Moment, at_most};
use crate::table::Table;

#[derive(Template)]
#[template(path = "compared.html")]
struct Body<'a> {
    kind: String,
    title: &'a str,
    names: Vec<String>,
    parts: Vec<Part>,
    shifts: Option<Figure>,
    figures: Vec<Figure>,
    commands: Vec<String>,
    hash: &'a str,
}

/// One run held against the first.
struct Part {
    headline: String,
    doubts: Vec<String>,
    tables: Vec<(String, Table)>,
}

/// The page of some comparisons with the same first run.
pub(crate) fn page(comparisons: &[Comparison<'_>]) -> String {
    let first = comparisons[0].a;
    let runs: Vec<(char, &RunRecord)> =
        std::iter::once(('A', first)).chain(comparisons.iter().map(|c| (c.letter, c.b))).collect();
    let part = |c: &Comparison<'_>| Part { headline: c.headline(), doubts: c.doubts(), tables: c.tables() };
    let count = if runs.len() == 2 { "Two".to_owned() } else { runs.len().to_string() };
    let mut names = comparisons[0].names().to_vec();
    names.extend(comparisons[1..].iter().map(|c| c.names()[1].clone()));
    let body = Body {
        kind: format!("{count} runs of one scenario"),
        title: &first.scenario.title,
        names,
        parts: comparisons.iter().map(part).collect(),
        shifts: shifts(comparisons),
        figures: figures(&runs),
        commands: runs.iter().map(|(_, run)| super::run::command_line(run)).collect(),
        hash: &first.scenario.hash,
    };
    let body = body.render().expect("writing to memory does not fail");
    super::page_of_figures(&format!("{}: {} runs", first.scenario.title, count.to_lowercase()), &body)
}

/// Where in the distribution the runs differ; none without answers.
fn shifts(comparisons: &[Comparison<'_>]) -> Option<Figure> {
    let drawn: Vec<_> = comparisons.iter().map(Comparison::shifts).collect();
    if drawn.iter().all(Vec::is_empty) {
        return None;
    }
    let name = |c: &Comparison<'_>| {
        if c.is_prediction() {
            format!("prediction error, A and {}", c.letter)
        } else {
            format!("{} against A", c.letter)
        }
    };
    let legend = comparisons.iter().enumerate().map(|(i, c)| (shift_swatch(i), name(c))).collect();
    let mut table = comparisons[0].decile_table();
    if comparisons.len() > 1 {
        table.head[0] = "A and".to_owned();
        table.head[2] = "the other".to_owned();
        table.head[3] = "difference".to_owned();
        let lettered = |c: &Comparison<'_>| {
            let mut rows = c.decile_table().rows;
            rows.iter_mut().for_each(|row| row[0] = format!("{}, {}", c.letter, row[0]));
            rows
        };
        table.rows = comparisons.iter().flat_map(lettered).collect();
    }
    let caption = "How far each decile of the response time lies from the other run's, with its 95% interval: at zero, they agree. A \
                   shift of all, or of the slow ones alone, is seen here.";
    Some(Figure::drawn(
        "Where the response times differ",
        caption,
        legend,
        shifts_drawn("Differences by decile", &drawn),
        table,
    ))
}

fn legend(letter: char, record: &RunRecord) -> String {
    format!("{letter}: {}", record.world.title())
}

type Read<'a> = Box<dyn Fn(&RunRecord, &Moment) -> Option<f64> + 'a>;

/// A chart of all runs: what is read from each moment of a run.
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

/// Throughput, percentiles and failures, then what all runs know of the components.
fn readings<'a>(runs: &[(char, &'a RunRecord)]) -> Vec<Reading<'a>> {
    let due = "Where requests were due. Logarithmic.";
    let mut readings = vec![
        Reading::new("Throughput", "Good answers when they came.", Unit::PerSecond, |_, m| Some(m.achieved)),
        Reading::new("Response time, median", due, Unit::Seconds, |_, m| m.response[0]),
        Reading::new("Response time, p90", due, Unit::Seconds, |_, m| m.response[1]),
        Reading::new("Response time, p99", due, Unit::Seconds, |_, m| m.response[2]),
    ];
    if runs.iter().any(|(_, run)| run.tally(Scope::Run, None).failed() > 0) {
        let caption = "Share of the requests due.";
        readings.push(Reading::new("Failed requests", caption, Unit::Share, |_, m| m.failed_share));
    }
    let components = &runs[0].1.scenario.components;
    let both =
        |name: &str, metric: &str| runs.iter().all(|(_, run)| run.series(name, metric).next().is_some());
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

/// What is told of a pair of runs on a page of many: throughput and response times, and failures where there are some.
pub(super) fn both_worlds(simulated: &RunRecord, measured: &RunRecord) -> Vec<Figure> {
    let runs = [('A', simulated), ('B', measured)];
    let told = ["Throughput", "Response time, median", "Response time, p99", "Failed requests"];
    let readings = readings(&runs).into_iter().filter(|reading| told.contains(&reading.title.as_str()));
    over_time(&runs, readings.collect())
}

fn figures(runs: &[(char, &RunRecord)]) -> Vec<Figure> {
    let mut figures = over_time(runs, readings(runs));
    figures.push(distributions(runs));
    figures
}

fn over_time(runs: &[(char, &RunRecord)], readings: Vec<Reading<'_>>) -> Vec<Figure> {
    let fine: Vec<_> = runs.iter().map(|(_, r)| at_most(r, MOST_POINTS)).collect();
    let coarse: Vec<_> = runs.iter().map(|(_, r)| at_most(r, ROWS)).collect();
    let mut figures = Vec::new();
    for Reading { title, caption, unit, scale, read } in readings {
        let lines = runs.iter().zip(&fine).map(|((letter, record), moments)| Line {
            name: legend(*letter, record),
            points: moments.iter().map(|m| (m.middle(), read(record, m))).collect(),
        });
        let chart = Chart {
            label: format!("{title} of all runs over time"),
            horizontal: time_axis(runs[0].1),
            unit,
            scale,
            lines: lines.collect(),
            cells: Vec::new(),
            bands: bare_bands(runs[0].1),
        };
        let mut table = Table::new(&["from", "to"]);
        table.head.extend(runs.iter().map(|(letter, _)| letter.to_string()));
        for i in 0..coarse.iter().map(Vec::len).max().unwrap_or(0) {
            let moments: Vec<Option<&Moment>> = coarse.iter().map(|moments| moments.get(i)).collect();
            let Some(any) = moments.iter().flatten().next() else { continue };
            let mut row = vec![format::seconds(any.from), format::seconds(any.until)];
            row.extend(runs.iter().zip(&moments).map(|((_, record), moment)| {
                moment.and_then(|m| read(record, m)).map_or_else(|| "–".to_owned(), |v| unit.show(v))
            }));
            table.rows.push(row);
        }
        figures.push(Figure::new(&title, caption, &chart, table));
    }
    figures
}

/// Percentiles of all runs' response times.
fn distributions(runs: &[(char, &RunRecord)]) -> Figure {
    let letters: Vec<String> = runs.iter().map(|(letter, _)| letter.to_string()).collect();
    let lines: Vec<_> = runs
        .iter()
        .zip(&letters)
        .map(|((letter, record), column)| {
            let times = record.tally(Scope::Run, None).response_times();
            (legend(*letter, record), column.as_str(), times)
        })
        .collect();
    let texts =
        ("Distribution of response time", "Of the measured part.", "Percentiles of all runs' response times");
    distribution(texts, &lines)
}
