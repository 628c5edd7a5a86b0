//! Pages: one self-contained HTML file, without anything from elsewhere. It is complete without its script, which draws a crosshair
//! through all charts and hides lines.

mod compared;
mod components;
mod distribution;
mod figure;
mod heat;
mod hosts;
mod loads;
mod log;
mod outline;
mod run;
mod timeline;
mod topology;
mod twin;

use askama::Template;
use results::RunRecord;

use crate::loads::Loads;

pub(crate) use compared::page as compared;
pub(crate) use figure::Figure;
pub(crate) use loads::{figure as loads_figure, page as loads};
pub use log::render_logs;
pub use outline::outline;
pub(crate) use twin::page as twin;
#[cfg(feature = "png")]
pub(crate) use {figure::Drawn, run::pictures};

/// The frame of every page: title, style sheet, and what is inside.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: &'a str,
    body: &'a str,
    /// Whether a footer says what intervals mean.
    intervals: bool,
    /// Whether there are charts, with a crosshair and lines to hide.
    charts: bool,
}

/// One HTML page with a report of each run, in their order; where they are of one system under different loads, with latency against
/// load at its end.
pub fn render(records: &[RunRecord]) -> String {
    let mut bodies: Vec<String> = records.iter().enumerate().map(|(i, r)| run::body(r, i)).collect();
    bodies.extend(crate::loads::loads(records).ok().filter(Loads::differ).map(|loads| loads::body(&loads)));
    let title = match records {
        [] => "No runs".to_owned(),
        [one] => one.scenario.title.clone(),
        [first, more @ ..] => format!("{} and {} more", first.scenario.title, more.len()),
    };
    page_of_figures(&title, &bodies.join("\n"))
}

/// A page with this body, in the frame and with the style sheet of every page here.
pub fn page(title: &str, body: &str) -> String {
    Page { title, body, intervals: false, charts: false }.render().expect("writing to memory does not fail")
}

/// A page with charts.
fn page_of_charts(title: &str, body: &str) -> String {
    Page { title, body, intervals: false, charts: true }.render().expect("writing to memory does not fail")
}

/// A page with charts and figures with intervals, which its footer explains.
fn page_of_figures(title: &str, body: &str) -> String {
    Page { title, body, intervals: true, charts: true }.render().expect("writing to memory does not fail")
}
