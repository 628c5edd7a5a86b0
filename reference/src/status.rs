//! What every instance is at, as a table for a terminal that is drawn again and again.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use crate::client::InstanceStats;

/// The columns beside the name: what they are called, and from which figure they come.
const COLUMNS: [(&str, Column); 11] = [
    ("busy", Column::Share),
    ("req/s", Column::PerSecond(&["requests", "commands", "statements"])),
    ("inside", Column::Now("in_service")),
    ("waiting", Column::Now("waiting")),
    ("conns", Column::Now("connections")),
    ("hits", Column::HitShare),
    ("evicted/s", Column::PerSecond(&["evictions"])),
    ("keys", Column::Now("keys")),
    ("with TTL", Column::Now("keys_with_ttl")),
    ("memory", Column::Memory),
    ("failed/s", Column::PerSecond(&["failures"])),
];

#[derive(Clone, Copy, Debug)]
enum Column {
    /// The busy share of cores or workers.
    Share,
    /// What was added to the first of these counters that there is, a second.
    PerSecond(&'static [&'static str]),
    Now(&'static str),
    /// The share of what was asked for that was there.
    HitShare,
    Memory,
}

/// What an instance said, by figure.
type Figures = BTreeMap<String, f64>;

/// The table, which remembers what it showed last.
#[derive(Debug)]
pub(crate) struct Status {
    read: Instant,
    before: BTreeMap<(String, u32), Figures>,
    /// Lines that are on the terminal.
    shown: usize,
}

impl Status {
    /// Nothing was shown yet.
    pub(crate) fn new() -> Self {
        Self { read: Instant::now(), before: BTreeMap::new(), shown: 0 }
    }

    /// Draws it over the last one.
    pub(crate) fn draw(&mut self, stats: &[InstanceStats], out: &mut impl Write) -> io::Result<()> {
        let now = Instant::now();
        let lines = self.lines(stats, (now - self.read).as_secs_f64());
        self.read = now;
        if self.shown > 0 {
            // Up to the first line, and away with what is below.
            write!(out, "\x1b[{}A\x1b[J", self.shown)?;
        }
        for line in &lines {
            writeln!(out, "{line}")?;
        }
        self.shown = lines.len();
        out.flush()
    }

    /// Something else was written below the table, which so stays as it is.
    pub(crate) fn leave(&mut self) {
        self.shown = 0;
    }

    fn lines(&mut self, stats: &[InstanceStats], seconds: f64) -> Vec<String> {
        let mut rows = vec![
            std::iter::once("component").chain(COLUMNS.map(|(name, _)| name)).map(str::to_owned).collect(),
        ];
        for one in stats {
            let before = self.before.entry((one.component.clone(), one.instance)).or_default();
            let name = format!("{}[{}]", one.component, one.instance);
            let is_up = one.metrics.get("up").is_some_and(|up| *up > 0.5);
            let mut row: Vec<String> = vec![name];
            if is_up {
                row.extend(COLUMNS.map(|(_, column)| cell(column, before, &one.metrics, seconds)));
                before.clone_from(&one.metrics);
            } else {
                row.push("down".to_owned());
            }
            rows.push(row);
        }
        align(&rows)
    }
}

fn cell(column: Column, before: &Figures, now: &Figures, seconds: f64) -> String {
    let added = |name: &str| {
        let now = *now.get(name)?;
        // A counter that went down is that of a new process.
        Some(now - before.get(name).copied().filter(|then| *then <= now).unwrap_or(0.0))
    };
    let value = match column {
        Column::Share => [("busy_core_seconds", "cores"), ("busy_worker_seconds", "workers")]
            .iter()
            .find_map(|(busy, places)| {
                let share = added(busy)? / (seconds * now.get(*places)?);
                Some(format!("{:.0}%", 100.0 * share.min(1.0)))
            }),
        Column::PerSecond(names) => {
            names.iter().find_map(|name| added(name)).map(|added| format!("{:.0}", added / seconds))
        }
        Column::Now(name) => now.get(name).map(|value| format!("{value:.0}")),
        Column::HitShare => added("hits").zip(added("misses")).map(|(hits, misses)| match hits + misses {
            0.0 => "-".to_owned(),
            all => format!("{:.1}%", 100.0 * hits / all),
        }),
        Column::Memory => now.get("memory_bytes").map(|bytes| format!("{:.1} MB", bytes / 1e6)),
    };
    value.unwrap_or_default()
}

fn align(rows: &[Vec<String>]) -> Vec<String> {
    let width = |i: usize| rows.iter().filter_map(|row| row.get(i)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=COLUMNS.len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(
            |(i, (cell, width))| if i == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") },
        );
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(component: &str, figures: &[(&str, f64)]) -> InstanceStats {
        let metrics = figures.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        InstanceStats { component: component.to_owned(), instance: 1, metrics }
    }

    #[test]
    fn counters_are_shown_a_second_and_the_dead_as_down() {
        let mut status = Status::new();
        let shop = |requests, busy| {
            instance(
                "shop",
                &[("up", 1.0), ("requests", requests), ("busy_core_seconds", busy), ("cores", 2.0)],
            )
        };
        let store = instance("objects", &[("up", 1.0), ("hits", 3.0), ("misses", 1.0), ("keys", 7.0)]);
        status.lines(&[shop(100.0, 1.0), store], 1.0);
        let store = instance("objects", &[("up", 1.0), ("hits", 6.0), ("misses", 2.0), ("keys", 8.0)]);
        let dead = instance("front", &[("up", 0.0), ("requests", 7.0)]);
        let lines = status.lines(&[shop(300.0, 3.0), store, dead], 2.0);
        let words = |line: usize| lines[line].split_whitespace().collect::<Vec<_>>();
        assert_eq!(words(1), ["shop[1]", "50%", "100"]);
        assert_eq!(words(2), ["objects[1]", "75.0%", "8"]);
        assert_eq!(words(3), ["front[1]", "down"]);
    }

    #[test]
    fn the_table_is_drawn_over_the_last_one_unless_something_stands_below() {
        let mut status = Status::new();
        let mut out = Vec::new();
        let stats = [instance("shop", &[("up", 1.0)])];
        status.draw(&stats, &mut out).expect("a vector takes it");
        assert!(!out.contains(&0x1b));
        status.draw(&stats, &mut out).expect("a vector takes it");
        assert!(String::from_utf8_lossy(&out).contains("\x1b[2A\x1b[J"));
        status.leave();
        out.clear();
        status.draw(&stats, &mut out).expect("a vector takes it");
        assert!(!out.contains(&0x1b));
    }
}
