//! Pages: one self-contained HTML file, without scripts and without anything from elsewhere.

mod compared;
mod components;
mod distribution;
mod figure;
mod heat;
mod run;
mod timeline;
mod topology;

use askama::Template;
use results::RunRecord;

pub(crate) use compared::page as compared;

/// The frame of every page: title, style sheet, and what is inside.
#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    title: &'a str,
    body: &'a str,
}

/// One HTML page with a report of each run, in their order.
pub fn render(records: &[RunRecord]) -> String {
    let bodies: Vec<String> = records.iter().enumerate().map(|(i, r)| run::body(r, i)).collect();
    let title = match records {
        [] => "No runs".to_owned(),
        [one] => one.scenario.title.clone(),
        [first, more @ ..] => format!("{} and {} more", first.scenario.title, more.len()),
    };
    page(&title, &bodies.join("\n"))
}

/// A page with this body.
fn page(title: &str, body: &str) -> String {
    Page { title, body }.render().expect("writing to memory does not fail")
}
