//! Two configurations with common random numbers, figure by figure.

use results::figure::CONFIDENCE;
use results::statistics::Difference;
use results::{Replications, Scope, Selection};
use scenarios::threshold::Metric;
use serde_json::{Value, json};

use crate::format::Unit;
use crate::table::Table;
use crate::verdict;

/// The differences of two configurations, B minus A, from replications that share their seeds.
#[derive(Clone, Debug)]
pub struct Paired {
    names: [String; 2],
    count: u32,
    rows: Vec<Row>,
}

#[derive(Clone, Debug)]
struct Row {
    name: String,
    unit: Unit,
    difference: Difference,
}

impl Row {
    fn judged(&self) -> &'static str {
        if !self.difference.pairs.mean.is_finite() {
            "cannot be told"
        } else if self.difference.is_significant() {
            "differs"
        } else {
            "may be chance"
        }
    }
}

/// The parts that two scenarios share by their meaning; windows and classes they share by their position only.
fn part(selection: &Selection) -> Option<&'static str> {
    match selection.scope {
        _ if selection.class.is_some() || selection.metric == Metric::ServiceTime => None,
        Scope::Run => Some(""),
        Scope::Fault => Some(", during faults"),
        Scope::NoFault => Some(", without faults"),
        Scope::Before => Some(", before the first fault"),
        Scope::After => Some(", after the last fault"),
        Scope::OneFault(_) | Scope::Window(_) => None,
    }
}

impl Paired {
    /// Of two configurations with their names.
    pub fn new((a_name, a): (String, &Replications), (b_name, b): (String, &Replications)) -> Self {
        let row = |spread: &results::replications::Spread| {
            let selection = spread.selection;
            let part = part(&selection)?;
            let (of_a, of_b) = (a.values(&selection)?, b.values(&selection)?);
            Some(Row {
                name: format!("{selection}{part}"),
                unit: verdict::unit(selection.metric, selection.aggregate),
                difference: Difference::paired(of_a, of_b, CONFIDENCE),
            })
        };
        let rows = a.spreads.iter().filter_map(row).collect();
        Self { names: [a_name, b_name], count: a.count.min(b.count), rows }
    }

    /// A row for each figure.
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["figure", "A", "B", "B − A", "± 95%", "unpaired", ""]);
        for row in &self.rows {
            let (d, unit) = (&row.difference, row.unit);
            table.rows.push(vec![
                row.name.clone(),
                unit.show(d.a.mean),
                unit.show(d.b.mean),
                unit.show_difference(d.pairs.mean),
                unit.show(d.half_width),
                unit.show(d.unpaired_half_width),
                row.judged().to_owned(),
            ]);
        }
        table
    }

    fn head(&self) -> String {
        format!(
            "A: {}\nB: {}\n{} replications of each, with common random numbers; \"unpaired\" is the ± that independent \
             seeds would have.\n",
            self.names[0], self.names[1], self.count
        )
    }

    /// How many figures differ by more than chance, of how many.
    pub fn differing(&self) -> (usize, usize) {
        let differ = self.rows.iter().filter(|row| row.judged() == "differs").count();
        (differ, self.rows.len())
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        format!("{}\n{}", self.head(), self.table().text())
    }

    /// For a page of a repository.
    pub fn markdown(&self) -> String {
        format!("{}\n{}", self.head().replace('\n', "\n\n"), self.table().markdown())
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let finite = |v: f64| Some(v).filter(|v| v.is_finite());
        let row = |row: &Row| {
            let d = &row.difference;
            json!({
                "figure": row.name,
                "unit": row.unit.name(),
                "a": finite(d.a.mean),
                "b": finite(d.b.mean),
                "difference": finite(d.pairs.mean),
                "half_width": finite(d.half_width),
                "unpaired_half_width": finite(d.unpaired_half_width),
                "relative": finite(d.pairs.mean / d.a.mean),
                "significant": d.is_significant(),
            })
        };
        json!({
            "format": "rehearsal paired comparison",
            "version": 1,
            "a": self.names[0],
            "b": self.names[1],
            "replications": self.count,
            "confidence": CONFIDENCE,
            "figures": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}
