//! The page of runs under different loads.

use askama::Template;

use super::figure::Figure;
use crate::chart::{Band, Chart, Horizontal, Line, STYLES, Scale};
use crate::format::Unit;
use crate::loads::{KEYS, Loads};

#[derive(Template)]
#[template(path = "loads.html")]
struct Body<'a> {
    title: &'a str,
    headline: String,
    figure: Figure,
}

/// The chart.
pub(crate) fn figure(loads: &Loads<'_>) -> Figure {
    let most = loads.points.last().map_or(1.0, |point| point.rate);
    let lines = KEYS.iter().enumerate().map(|(i, key)| Line {
        name: format!("response time, {}", key.name),
        points: loads.points.iter().map(|point| (point.rate, point.times[i].map(|e| e.value))).collect(),
    });
    let limits = loads
        .objectives()
        .into_iter()
        .take(STYLES - KEYS.len())
        .map(|(name, limit)| Line { name, points: vec![(0.0, Some(limit)), (most, Some(limit))] });
    let band = match loads.crossing() {
        (Some(low), Some(high)) => {
            Some(Band { name: "stops to hold".to_owned(), from: low, until: high, warmup: false })
        }
        _ => None,
    };
    let chart = Chart {
        label: "Response time against load".to_owned(),
        horizontal: Horizontal::Rate { most },
        unit: Unit::Seconds,
        scale: Scale::Log,
        lines: lines.chain(limits).collect(),
        cells: Vec::new(),
        bands: band.into_iter().collect(),
    };
    let caption = "Each run is a point: what was offered, and how long answers took. Set off is where the objective stops to hold. \
                   Logarithmic.";
    Figure::new("Latency against load", caption, &chart, loads.table())
}

/// The inside of a page.
pub(super) fn body(loads: &Loads<'_>) -> String {
    let body = Body { title: &loads.first.scenario.title, headline: loads.headline(), figure: figure(loads) };
    body.render().expect("writing to memory does not fail")
}

/// The page.
pub(crate) fn page(loads: &Loads<'_>) -> String {
    super::page_of_figures(&format!("{}: latency against load", loads.first.scenario.title), &body(loads))
}
