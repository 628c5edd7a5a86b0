//! Percentiles of several distributions on an axis of nines.

use results::tally::Distribution;

use super::figure::Figure;
use crate::chart::{Chart, Horizontal, Line, Scale};
use crate::format::{self, Unit};
use crate::table::Table;

/// Between two points of a line, in nines.
const STEP: f64 = 0.04;
/// What the table tells.
const PERCENTS: [f64; 14] =
    [1.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.5, 99.9, 99.95, 99.99, 99.999, 100.0];

/// The chart of some distributions, each with the name of its line and of its column, and its table.
pub(super) fn distribution(
    (title, caption, label): (&str, &str, &str),
    lines: &[(String, &str, Distribution)],
) -> Figure {
    let n = lines.iter().map(|(.., times)| times.len()).max().unwrap_or(0);
    let most = (n.max(10) as f64).log10().min(7.0);
    let line = |(name, _, times): &(String, &str, Distribution)| {
        let steps = (0..=(most / STEP) as usize).map(|i| i as f64 * STEP);
        let point = |nines: f64| (nines, times.percentile(100.0 * (1.0 - 10f64.powf(-nines))));
        Line { name: name.clone(), points: steps.map(point).collect() }
    };
    let chart = Chart {
        label: label.to_owned(),
        horizontal: Horizontal::Nines { most },
        unit: Unit::Seconds,
        scale: Scale::Log,
        lines: lines.iter().map(line).collect(),
        cells: Vec::new(),
        bands: Vec::new(),
    };
    let mut head = vec!["percentile"];
    head.extend(lines.iter().map(|(_, column, _)| *column));
    let mut table = Table::new(&head);
    for percent in PERCENTS {
        let show = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), format::seconds);
        let mut row = vec![if percent == 100.0 { "max".to_owned() } else { format!("{percent}%") }];
        row.extend(lines.iter().map(|(.., times)| show(times.percentile(percent))));
        table.rows.push(row);
    }
    Figure::new(title, caption, &chart, table)
}
