//! Functions of time, drawn and tabulated.

use results::RunRecord;

use super::figure::{Figure, bands, time_axis};
use crate::chart::{Chart, Line, Scale};
use crate::format::{self, Unit};
use crate::moments::{MOST_POINTS, Moment, at_most};
use crate::table::Table;

/// The greatest number of rows of a table under a chart.
pub(super) const ROWS: usize = 60;

/// A function of a moment, drawn as a line.
pub(super) type Reading<'a> = (&'a str, &'a dyn Fn(&Moment) -> Option<f64>);

/// Draws and tabulates functions of the run's moments.
pub(super) struct Timeline<'a> {
    record: &'a RunRecord,
    /// For charts.
    pub(super) fine: Vec<Moment>,
    /// In fewer steps, for tables.
    pub(super) coarse: Vec<Moment>,
}

impl<'a> Timeline<'a> {
    pub(super) fn new(record: &'a RunRecord) -> Self {
        Self { record, fine: at_most(record, MOST_POINTS), coarse: at_most(record, ROWS) }
    }

    /// A chart of these readings with its table.
    pub(super) fn figure(
        &self,
        title: &str,
        caption: &str,
        unit: Unit,
        scale: Scale,
        readings: &[Reading<'_>],
    ) -> Figure {
        let lines = readings.iter().map(|(name, read)| Line {
            name: (*name).to_owned(),
            points: self.fine.iter().map(|m| (m.middle(), read(m))).collect(),
        });
        let chart = Chart {
            label: format!("{title} over time"),
            horizontal: time_axis(self.record),
            unit,
            scale,
            lines: lines.collect(),
            cells: Vec::new(),
            bands: bands(self.record),
        };
        let mut head = vec!["from", "to"];
        head.extend(readings.iter().map(|r| r.0));
        let mut table = Table::new(&head);
        for m in &self.coarse {
            let mut row = vec![format::seconds(m.from), format::seconds(m.until)];
            let values = readings.iter().map(|(_, read)| read(m));
            row.extend(values.map(|v| v.map_or_else(|| "–".to_owned(), |v| unit.show(v))));
            table.rows.push(row);
        }
        Figure::new(title, caption, &chart, table)
    }
}
