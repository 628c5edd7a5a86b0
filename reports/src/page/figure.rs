//! A chart with its title, its legend, and the numbers under it.

use askama::Template;
use results::RunRecord;
use results::facts::FaultFacts;

use crate::chart::{Band, Chart, Horizontal, swatch};
use crate::format;
use crate::table::Table;

/// A chart as it stands on a page.
#[derive(Template)]
#[template(path = "figure.html")]
pub(crate) struct Figure {
    title: String,
    caption: String,
    legend: Vec<(String, String)>,
    svg: String,
    table: Table,
}

/// A chart as it stands alone.
#[cfg(feature = "png")]
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) title: String,
    /// Marks and names.
    pub(crate) legend: Vec<(String, String)>,
    pub(crate) svg: String,
}

impl Figure {
    /// It without its table.
    #[cfg(feature = "png")]
    pub(crate) fn into_drawn(self) -> Drawn {
        Drawn { title: self.title, legend: self.legend, svg: self.svg }
    }

    /// A picture without lines, which needs no legend.
    pub(crate) fn picture(title: &str, caption: &str, svg: String, table: Table) -> Self {
        Self::drawn(title, caption, Vec::new(), svg, table)
    }

    /// A picture that was drawn elsewhere, with the marks of its legend.
    pub(crate) fn drawn(
        title: &str,
        caption: &str,
        legend: Vec<(String, String)>,
        svg: String,
        table: Table,
    ) -> Self {
        Self { title: title.to_owned(), caption: caption.to_owned(), legend, svg, table }
    }

    pub(crate) fn new(title: &str, caption: &str, chart: &Chart, table: Table) -> Self {
        let names = chart.lines.iter().enumerate();
        let infinite = chart.lines.iter().flat_map(|l| &l.points).any(|p| p.1 == Some(f64::INFINITY));
        let mut caption = caption.to_owned();
        if infinite {
            caption += " ▲ at the upper edge: infinite, since dropped requests are infinitely late.";
        }
        Self {
            title: title.to_owned(),
            caption,
            legend: names.map(|(i, line)| (swatch(i), line.name.clone())).collect(),
            svg: chart.svg(),
            table,
        }
    }
}

/// The axis of every time chart: seconds since the measured part began, as the scenario counts its faults.
pub(crate) fn time_axis(record: &RunRecord) -> Horizontal {
    let (warmup, total) = (record.frame.warmup.as_secs_f64(), record.frame.total.as_secs_f64());
    Horizontal::Time { from: -warmup, until: total - warmup }
}

/// The stretches that every time chart of a run sets off: the warm-up and the faults, with what became of the system after them.
pub(crate) fn bands(record: &RunRecord) -> Vec<Band> {
    let mut bands = bare_bands(record);
    let faults = record.scenario.faults.len();
    let first = bands.len() - faults;
    for (band, fault) in bands[first..].iter_mut().zip(&record.scenario.faults) {
        band.name = labelled(record, fault);
    }
    bands
}

/// The same without what became of one run.
pub(crate) fn bare_bands(record: &RunRecord) -> Vec<Band> {
    let (warmup, total) = (record.frame.warmup.as_secs_f64(), record.frame.total.as_secs_f64());
    let mut bands = Vec::new();
    if warmup > 0.0 {
        bands.push(Band { name: "warm-up".to_owned(), from: -warmup, until: 0.0, warmup: true });
    }
    bands.extend(record.scenario.faults.iter().map(|fault| Band {
        name: fault.name.clone(),
        from: fault.from.as_secs_f64() - warmup,
        until: fault.until.as_secs_f64().min(total) - warmup,
        warmup: false,
    }));
    bands
}

/// A fault with what became of the system after it; of faults that overlap, the last to be mended is told so.
fn labelled(record: &RunRecord, fault: &FaultFacts) -> String {
    let ended = record.recoveries.iter().find(|recovery| recovery.until == fault.until);
    match ended.map(|recovery| recovery.recovery_s) {
        Some(s) if s.is_infinite() => format!("{}, not recovered", fault.name),
        Some(0.0) => format!("{}, recovered at once", fault.name),
        Some(s) => format!("{}, recovered in {}", fault.name, format::seconds(s)),
        None => fault.name.clone(),
    }
}
