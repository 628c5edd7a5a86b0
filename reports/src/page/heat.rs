//! All response times over time: how many took how long, as shades.

use std::ops::Range;

use results::RunRecord;
use scenarios::units::SimTime;

use super::figure::{Figure, bands, time_axis};
use crate::chart::{Cell, Chart, Scale};
use crate::format::{self, Unit};
use crate::moments::stretches;
use crate::table::Table;

/// The greatest number of columns, and of rows.
const COLUMNS: usize = 90;
const ROWS: usize = 22;
/// Rows and columns of the table.
const TABLE_ROWS: usize = 30;
const TABLE_COLUMNS: usize = 8;

/// How many of the requests due in each stretch took how long; good and failed alike, but for those that never came to an end.
struct Shares {
    /// From, until, and the share in each row.
    columns: Vec<(f64, f64, Vec<f64>)>,
    /// The borders of the rows, in seconds.
    borders: Vec<f64>,
}

impl Shares {
    fn new(record: &RunRecord, columns: usize, borders: Vec<f64>) -> Self {
        let rows = borders.len() - 1;
        let start = record.frame.warmup.as_secs_f64();
        let column = |(intervals, from, until): (Range<usize>, SimTime, SimTime)| {
            let mut counts = vec![0.0; rows];
            let mut all = 0.0;
            for interval in intervals {
                let tally = record.tallies.interval(interval, None);
                for (low, high, n) in tally.response.iter().chain(tally.failed_response.iter()) {
                    let middle = 0.5 * (low as f64 + high as f64) / 1e9;
                    let row = borders[1..rows].partition_point(|border| *border <= middle);
                    counts[row] += n as f64;
                    all += n as f64;
                }
            }
            counts.iter_mut().for_each(|count| *count /= f64::max(all, 1.0));
            (from.as_secs_f64() - start, until.as_secs_f64() - start, counts)
        };
        let columns = stretches(record, columns).into_iter().map(column).collect();
        Self { columns, borders }
    }
}

/// Equal ratios from the least to the greatest.
fn borders(least: f64, most: f64, rows: usize) -> Vec<f64> {
    let step = (most / least).powf(1.0 / rows as f64);
    (0..=rows).map(|row| least * step.powi(row as i32)).collect()
}

/// The picture and its table; none without an answer.
pub(super) fn heat(record: &RunRecord) -> Option<Figure> {
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for interval in 0..record.frame.intervals() {
        let tally = record.tallies.interval(interval, None);
        for (low, high, _) in tally.response.iter().chain(tally.failed_response.iter()) {
            (least, most) = (least.min(0.5 * (low + high) as f64 / 1e9), most.max(high as f64 / 1e9));
        }
    }
    if !least.is_finite() {
        return None;
    }
    let (least, most) = (least.max(1e-6), most.max(10.0 * least));
    let shares = Shares::new(record, COLUMNS, borders(least, most, ROWS));
    let cells = shares.columns.iter().flat_map(|(from, until, rows)| {
        let filled = rows.iter().enumerate().filter(|(_, share)| **share > 0.0);
        filled.map(|(row, share)| Cell {
            horizontal: (*from, *until),
            vertical: (shares.borders[row], shares.borders[row + 1]),
            share: *share,
        })
    });
    let chart = Chart {
        label: "Response times over time, as shades".to_owned(),
        horizontal: time_axis(record),
        unit: Unit::Seconds,
        scale: Scale::Log,
        lines: Vec::new(),
        cells: cells.collect(),
        bands: bands(record),
    };
    let told = Shares::new(record, TABLE_ROWS, borders(least, most, TABLE_COLUMNS));
    let mut head = vec!["from".to_owned(), "to".to_owned()];
    head.extend(told.borders[1..].iter().map(|border| format!("up to {}", format::seconds(*border))));
    let row = |(from, until, rows): &(f64, f64, Vec<f64>)| {
        let shares =
            rows.iter().map(|share| if *share > 0.0 { format::percent(*share) } else { "–".to_owned() });
        [format::seconds(*from), format::seconds(*until)].into_iter().chain(shares).collect()
    };
    let table = Table { rows: told.columns.iter().map(row).collect(), head };
    let caption = "Each column is a stretch of time, each cell the share of its requests that took so long, the darker \
                   the more: a second band above the first is a part of them that something else happens to. Logarithmic.";
    Some(Figure::new("Response times, all of them", caption, &chart, table))
}
