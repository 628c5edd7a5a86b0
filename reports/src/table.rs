//! A table, for terminals, Markdown and HTML alike.

use askama::Template;

/// Rows of text under a head. The first column names the row; the others are numbers, set to the right.
#[derive(Clone, Debug, Default, Template)]
#[template(path = "table.html")]
pub struct Table {
    /// The names of the columns.
    pub head: Vec<String>,
    /// The cells.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// Without rows.
    pub fn new(head: &[&str]) -> Self {
        Self { head: head.iter().map(|h| (*h).to_owned()).collect(), rows: Vec::new() }
    }

    fn widths(&self) -> Vec<usize> {
        let width = |column: usize| {
            let cells = self.rows.iter().chain([&self.head]);
            cells.filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0)
        };
        (0..self.head.len()).map(width).collect()
    }

    /// Aligned columns, two spaces apart and indented by two.
    pub fn text(&self) -> String {
        let widths = self.widths();
        let mut text = String::new();
        for row in [&self.head].into_iter().chain(&self.rows) {
            let mut line = String::from(" ");
            for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let room = " ".repeat(width - cell.chars().count());
                line += &if i == 0 { format!(" {cell}{room}") } else { format!("  {room}{cell}") };
            }
            text += line.trim_end();
            text.push('\n');
        }
        text
    }

    /// A Markdown table.
    pub fn markdown(&self) -> String {
        let line = |cells: &[String]| {
            let cells: Vec<_> = cells.iter().map(|c| c.replace('|', "\\|")).collect();
            format!("| {} |\n", cells.join(" | "))
        };
        let rule = (0..self.head.len()).map(|i| if i == 0 { "---" } else { "---:" });
        let rule = rule.collect::<Vec<_>>().join(" | ");
        let rows: String = self.rows.iter().map(|r| line(r)).collect();
        format!("{}| {rule} |\n{rows}", line(&self.head))
    }
}
