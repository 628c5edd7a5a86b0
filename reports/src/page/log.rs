//! The page of an interval log: what there is to see of times without a scenario.

use askama::Template;
use jiff::Timestamp;
use results::hdr_log::{IntervalLog, Shape, Step};
use results::tally::Distribution;

use super::distribution::distribution;
use super::figure::Figure;
use super::heat::{self, COLUMNS, Stretch, TABLE_ROWS};
use super::run::Card;
use super::timeline::ROWS;
use crate::chart::{Chart, Horizontal, Line, Scale};
use crate::format::{self, Unit};
use crate::moments::{MOST_POINTS, PERCENTILES};
use crate::table::Table;

/// Lines in the chart of distributions: more could not be told apart.
const MOST_LINES: usize = 8;

#[derive(Template)]
#[template(path = "log.html")]
struct Body {
    title: String,
    verdict: String,
    cards: Vec<Card>,
    tags: Table,
    figures: Vec<Figure>,
    number: usize,
}

/// One HTML page with a report of each log, in their order.
pub fn render_logs(logs: &[IntervalLog]) -> String {
    let bodies: Vec<String> = logs.iter().enumerate().map(|(number, log)| body(log, number)).collect();
    let title = logs.first().map_or_else(|| "No logs".to_owned(), name);
    super::page_of_charts(&title, &bodies.join("\n"))
}

fn name(log: &IntervalLog) -> String {
    log.path.file_name().unwrap_or(log.path.as_os_str()).to_string_lossy().into_owned()
}

fn body(log: &IntervalLog, number: usize) -> String {
    let mut all = results::buckets::Fine::default();
    log.tags.iter().for_each(|tag| all.merge(&tag.times));
    let all = Distribution::new(&all, 0, 0);
    let began = log.epoch_s.and_then(|s| Timestamp::from_millisecond((s * 1e3) as i64).ok());
    let began = began.map_or_else(String::new, |at| format!(", from {at:.0}"));
    let verdict = format!(
        "{} intervals of {} over {}{began}. A log says neither what was asked for nor what failed, so nothing here judges it.",
        format::grouped(log.intervals),
        format::seconds(log.interval_s),
        format::seconds(log.length_s),
    );
    let body = Body {
        title: name(log),
        verdict,
        cards: cards(log, &all),
        tags: tags(log),
        figures: figures(log, all),
        number,
    };
    body.render().expect("writing to memory does not fail")
}

fn show(seconds: Option<f64>) -> String {
    seconds.map_or_else(|| "–".to_owned(), |s| Unit::Seconds.show(s))
}

fn cards(log: &IntervalLog, all: &Distribution) -> Vec<Card> {
    let card = |label: &str, value: String| Card { label: label.to_owned(), value, note: String::new() };
    let rate = all.len() as f64 / log.length_s.max(1e-9);
    let mut cards =
        vec![card("Values", format::grouped(all.len())), card("Rate", Unit::PerSecond.show(rate))];
    let names = [
        (50.0, "Median"),
        (90.0, "p90"),
        (99.0, "p99"),
        (99.9, "p99.9"),
        (99.99, "p99.99"),
        (100.0, "Longest"),
    ];
    cards.extend(names.map(|(percent, name)| card(name, show(all.percentile(percent)))));
    cards
}

fn tags(log: &IntervalLog) -> Table {
    let mut table = Table::new(&["tag", "intervals", "values", "p50", "p90", "p99", "p99.9", "max"]);
    for tag in &log.tags {
        let times = Distribution::new(&tag.times, 0, 0);
        let mut row = vec![named(&tag.name), format::grouped(tag.intervals), format::grouped(times.len())];
        row.extend([50.0, 90.0, 99.0, 99.9, 100.0].map(|percent| show(times.percentile(percent))));
        table.rows.push(row);
    }
    table
}

fn named(tag: &str) -> String {
    if tag.is_empty() { "(none)".to_owned() } else { tag.to_owned() }
}

/// Neighbouring steps together, so that there are at most so many.
fn at_most(steps: &[Step], most: usize) -> Vec<Step> {
    let together = |steps: &[Step]| {
        let mut sum = steps[0].clone();
        for step in &steps[1..] {
            sum.times.merge(&step.times);
            sum.covered_s += step.covered_s;
            sum.intervals += step.intervals;
            sum.until_s = step.until_s;
        }
        sum
    };
    steps.chunks(steps.len().div_ceil(most).max(1)).map(together).collect()
}

fn figures(log: &IntervalLog, all: Distribution) -> Vec<Figure> {
    let (fine, coarse) = (at_most(&log.steps, MOST_POINTS), at_most(&log.steps, ROWS));
    let rate = |step: &Step| (step.covered_s > 0.0).then(|| step.times.total() as f64 / step.covered_s);
    let horizontal = Horizontal::Time { from: 0.0, until: log.length_s };
    let mut figures = vec![over_time(
        ("Rate", "Values recorded, over the time that their intervals cover."),
        (horizontal, Unit::PerSecond, Scale::Linear),
        (&fine, &coarse),
        &[("recorded".to_owned(), Box::new(rate))],
    )];
    let percentiles = PERCENTILES.map(|(percent, name)| {
        let read = move |step: &Step| distribution_of(&step.times).percentile(percent);
        (name.to_owned(), Box::new(read) as Read)
    });
    figures.push(over_time(
        ("Response time", "Of the values merged, never means of percentiles. Logarithmic."),
        (horizontal, Unit::Seconds, Scale::Log),
        (&fine, &coarse),
        &percentiles,
    ));
    let stretches = |most: usize| -> Vec<Stretch> {
        let steps = at_most(&log.steps, most).into_iter();
        steps.map(|s| Stretch::new(s.from_s, s.until_s, s.times.iter())).collect()
    };
    figures.extend(heat::drawn(&stretches(COLUMNS), &stretches(TABLE_ROWS), horizontal, Vec::new()));
    let mut lines = vec![("all".to_owned(), "all", all)];
    if log.tags.len() > 1 {
        let of = |tag: &results::hdr_log::TagTimes| (named(&tag.name), Distribution::new(&tag.times, 0, 0));
        let mut tags: Vec<_> = log.tags.iter().map(of).collect();
        tags.sort_by_key(|(_, times)| std::cmp::Reverse(times.len()));
        tags.truncate(MOST_LINES - 1);
        lines.extend(tags.into_iter().map(|(name, times)| (name, "", times)));
    }
    let names: Vec<String> = lines.iter().map(|(name, ..)| name.clone()).collect();
    let lines: Vec<_> = lines
        .into_iter()
        .zip(&names)
        .map(|((name, _, times), column)| (name, column.as_str(), times))
        .collect();
    let caption = "Of the whole log, and of the tags with most values.";
    figures.push(distribution(("Distribution", caption, "Percentiles of all values"), &lines));
    figures
}

type Read = Box<dyn Fn(&Step) -> Option<f64>>;

fn distribution_of(times: &Shape) -> Distribution {
    Distribution::new(times, 0, 0)
}

fn over_time(
    (title, caption): (&str, &str),
    (horizontal, unit, scale): (Horizontal, Unit, Scale),
    (fine, coarse): (&[Step], &[Step]),
    readings: &[(String, Read)],
) -> Figure {
    // Where the log has nothing, a line has a gap.
    let points = |read: &Read| -> Vec<(f64, Option<f64>)> {
        let mut points = Vec::with_capacity(fine.len());
        let mut told_until = f64::INFINITY;
        for step in fine {
            if step.from_s > told_until + 1e-6 {
                points.push((told_until, None));
            }
            points.push((0.5 * (step.from_s + step.until_s), read(step)));
            told_until = step.until_s;
        }
        points
    };
    let lines = readings.iter().map(|(name, read)| Line { name: name.clone(), points: points(read) });
    let chart = Chart {
        label: format!("{title} over time"),
        horizontal,
        unit,
        scale,
        lines: lines.collect(),
        cells: Vec::new(),
        bands: Vec::new(),
    };
    let mut head = vec!["from", "to"];
    head.extend(readings.iter().map(|(name, _)| name.as_str()));
    let mut table = Table::new(&head);
    for step in coarse {
        let mut row = vec![format::seconds(step.from_s), format::seconds(step.until_s)];
        let values = readings.iter().map(|(_, read)| read(step));
        row.extend(values.map(|value| value.map_or_else(|| "–".to_owned(), |v| unit.show(v))));
        table.rows.push(row);
    }
    Figure::new(title, caption, &chart, table)
}
