//! A page of tables and charts that a program puts together: what was asked, the answer in a sentence, and what it rests on.

use askama::Template;

use crate::chart::{Chart, Horizontal, Line, Scale};
use crate::format::Unit;
use crate::loads::Loads;
use crate::page::{self, Figure};
use crate::table::Table;

/// A page, part by part.
#[derive(Clone, Debug)]
pub struct Sheet {
    kind: String,
    title: String,
    headline: String,
    parts: Vec<String>,
}

#[derive(Template)]
#[template(path = "sheet.html")]
struct Body<'a> {
    kind: &'a str,
    title: &'a str,
    headline: &'a str,
    parts: &'a [String],
}

#[derive(Template)]
#[template(path = "part.html")]
struct Part<'a> {
    heading: &'a str,
    caption: &'a str,
    table: &'a Table,
}

impl Sheet {
    /// Says what kind of page it is, of what, and the answer in a sentence.
    pub fn new(kind: &str, title: &str, headline: &str) -> Self {
        let own = str::to_owned;
        Self { kind: own(kind), title: own(title), headline: own(headline), parts: Vec::new() }
    }

    /// Adds a table under a heading.
    #[must_use]
    pub fn table(mut self, heading: &str, caption: &str, table: &Table) -> Self {
        let part = Part { heading, caption, table };
        self.parts.push(part.render().expect("writing to memory does not fail"));
        self
    }

    /// Adds latency against load.
    #[must_use]
    pub fn loads(mut self, loads: &Loads<'_>) -> Self {
        let figure = page::loads_figure(loads);
        self.parts.push(figure.render().expect("writing to memory does not fail"));
        self
    }

    /// Adds latency against cost: lines of points, each a price per month and seconds, with the table of their numbers.
    #[must_use]
    pub fn costs(mut self, currency: &str, lines: &[(String, Vec<(f64, f64)>)], table: Table) -> Self {
        let most = lines.iter().flat_map(|(_, points)| points).map(|point| point.0).fold(0.0, f64::max);
        let line = |(name, points): &(String, Vec<(f64, f64)>)| {
            let mut points: Vec<_> = points.iter().map(|(cost, seconds)| (*cost, Some(*seconds))).collect();
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            Line { name: name.clone(), points }
        };
        let chart = Chart {
            label: "Response time against cost".to_owned(),
            horizontal: Horizontal::Amount { most },
            unit: Unit::Seconds,
            scale: Scale::Log,
            lines: lines.iter().map(line).collect(),
            cells: Vec::new(),
            bands: Vec::new(),
        };
        let caption =
            format!("To the right what a set-up costs, in {currency} a month. Logarithmic upwards.");
        let figure = Figure::new("Latency against cost", &caption, &chart, table);
        self.parts.push(figure.render().expect("writing to memory does not fail"));
        self
    }

    /// One self-contained HTML page.
    pub fn html(&self) -> String {
        let Self { kind, title, headline, parts } = self;
        let body = Body { kind, title, headline, parts };
        let body = body.render().expect("writing to memory does not fail");
        page::page(&format!("{title}: {kind}"), &body)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sheet_holds_what_was_put_in_and_escapes_it() {
        let mut table = Table::new(&["set-up", "a month"]);
        table.rows.push(vec!["<two>".to_owned(), "240".to_owned()]);
        let lines = vec![("p99".to_owned(), vec![(240.0, 0.2), (120.0, f64::INFINITY)])];
        let sheet = Sheet::new("Plan", "A shop", "two & no more")
            .table("Alternatives", "what else", &table)
            .costs("USD", &lines, table.clone());
        let html = sheet.html();
        for part in
            ["two &#38; no more", "&#60;two&#62;", "Latency against cost", "USD a month", "<svg viewBox"]
        {
            assert!(html.contains(part), "{part} is missing: {html}");
        }
        assert!(!html.contains("http"), "the page is self-contained");
    }
}
