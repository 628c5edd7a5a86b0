//! All response times over time: how many took how long, as shades.

use results::RunRecord;

use super::figure::{Figure, bands, time_axis};
use crate::chart::{Band, Cell, Chart, Horizontal, Scale};
use crate::format::{self, Unit};
use crate::moments::stretches;
use crate::table::Table;

/// The greatest number of columns, and of rows.
pub(super) const COLUMNS: usize = 90;
const ROWS: usize = 22;
/// Rows and columns of the table.
pub(super) const TABLE_ROWS: usize = 30;
const TABLE_COLUMNS: usize = 8;

/// Times of a stretch, in seconds; good and failed alike, but for those that never came to an end.
pub(super) struct Stretch {
    pub(super) from: f64,
    pub(super) until: f64,
    /// The least and the greatest value of a bucket, and how many lie in it.
    pub(super) times: Vec<(f64, f64, f64)>,
}

impl Stretch {
    /// Of buckets in nanoseconds.
    pub(super) fn new(from: f64, until: f64, buckets: impl Iterator<Item = (u64, u64, u64)>) -> Self {
        let seconds = |(low, high, n): (u64, u64, u64)| (low as f64 / 1e9, high as f64 / 1e9, n as f64);
        Self { from, until, times: buckets.map(seconds).collect() }
    }

    /// The share of its times in each row.
    fn shares(&self, borders: &[f64]) -> Vec<f64> {
        let rows = borders.len() - 1;
        let mut shares = vec![0.0; rows];
        for (low, high, n) in &self.times {
            shares[borders[1..rows].partition_point(|border| *border <= 0.5 * (low + high))] += n;
        }
        let all = f64::max(shares.iter().sum(), 1.0);
        shares.iter_mut().for_each(|share| *share /= all);
        shares
    }
}

/// Equal ratios from the least to the greatest.
fn borders(least: f64, most: f64, rows: usize) -> Vec<f64> {
    let step = (most / least).powf(1.0 / rows as f64);
    (0..=rows).map(|row| least * step.powi(row as i32)).collect()
}

/// The picture of a run and its table; none without an answer.
pub(super) fn heat(record: &RunRecord) -> Option<Figure> {
    let start = record.frame.warmup.as_secs_f64();
    let cut = |most: usize| -> Vec<Stretch> {
        let stretch = |(intervals, from, until): (std::ops::Range<usize>, _, _)| {
            let mut tally = record.tallies.interval(intervals.start, None);
            for interval in intervals.skip(1) {
                tally.merge(&record.tallies.interval(interval, None));
            }
            let [from, until] = [from, until].map(|t: scenarios::units::SimTime| t.as_secs_f64() - start);
            Stretch::new(from, until, tally.response.iter().chain(tally.failed_response.iter()))
        };
        stretches(record, most).into_iter().map(stretch).collect()
    };
    drawn(&cut(COLUMNS), &cut(TABLE_ROWS), time_axis(record), bands(record))
}

/// The picture of some stretches, and the table of some, which are fewer; none without a value.
pub(super) fn drawn(
    columns: &[Stretch],
    rows: &[Stretch],
    horizontal: Horizontal,
    bands: Vec<Band>,
) -> Option<Figure> {
    let (mut least, mut most) = (f64::INFINITY, 0.0_f64);
    for (low, high, _) in columns.iter().flat_map(|column| &column.times) {
        (least, most) = (least.min(0.5 * (low + high)), most.max(*high));
    }
    if !least.is_finite() {
        return None;
    }
    let least = least.max(1e-6);
    let most = most.max(10.0 * least);
    let fine = borders(least, most, ROWS);
    let cells = columns.iter().flat_map(|column| {
        let filled = column.shares(&fine).into_iter().enumerate().filter(|(_, share)| *share > 0.0);
        let fine = &fine;
        filled.map(move |(row, share)| Cell {
            horizontal: (column.from, column.until),
            vertical: (fine[row], fine[row + 1]),
            share,
        })
    });
    let chart = Chart {
        label: "Response times over time, as shades".to_owned(),
        horizontal,
        unit: Unit::Seconds,
        scale: Scale::Log,
        lines: Vec::new(),
        cells: cells.collect(),
        bands,
    };
    let coarse = borders(least, most, TABLE_COLUMNS);
    let mut head = vec!["from".to_owned(), "to".to_owned()];
    head.extend(coarse[1..].iter().map(|border| format!("up to {}", format::seconds(*border))));
    let row = |stretch: &Stretch| {
        let show = |share: f64| if share > 0.0 { format::percent(share) } else { "–".to_owned() };
        let times = [stretch.from, stretch.until].map(format::seconds).into_iter();
        times.chain(stretch.shares(&coarse).into_iter().map(show)).collect()
    };
    let table = Table { rows: rows.iter().map(row).collect(), head };
    let caption = "Each column is a stretch of time, each cell the share of its requests that took so long, the darker \
                   the more: a second band above the first is a part of them that something else happens to. Logarithmic.";
    Some(Figure::new("Response times, all of them", caption, &chart, table))
}
