//! A chart with its title, its legend, and the numbers under it.

use askama::Template;
use results::RunRecord;

use crate::chart::{Band, Chart, Horizontal, swatch};
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

impl Figure {
    /// A picture without lines, which needs no legend.
    pub(crate) fn picture(title: &str, caption: &str, svg: String, table: Table) -> Self {
        Self { title: title.to_owned(), caption: caption.to_owned(), legend: Vec::new(), svg, table }
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

/// The stretches that every time chart sets off: the warm-up and the faults.
pub(crate) fn bands(record: &RunRecord) -> Vec<Band> {
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
