//! The machines under the picture of the stack: what each is, what runs on it, and how busy its disk and its network are.

use std::fmt::Write as _;

use results::facts::ComponentFacts;
use results::{RunRecord, escaped};
use scenarios::Scenario;
use scenarios::scenario::Host;

use crate::format::{self, Unit};
use crate::room::Busy;

const BOX: (f64, f64) = (250.0, 80.0);
const GAP: f64 = 16.0;
/// So many letters of a line have room in a box.
const LETTERS: usize = 35;
/// So many of its parts are told, the busiest; the table of headroom has all.
const MOST_PARTS: usize = 2;

/// A kind of machine, as lines of its box.
pub(super) struct Machine {
    name: String,
    lines: Vec<String>,
}

/// All machines of a scenario.
pub(super) fn machines(record: &RunRecord, scenario: &Scenario, parts: &[Busy]) -> Vec<Machine> {
    scenario.hosts.iter().map(|host| machine(host, &record.scenario.components, parts)).collect()
}

fn machine(host: &Host, components: &[ComponentFacts], parts: &[Busy]) -> Machine {
    let name = if host.count > 1 { format!("{} × {}", host.name, host.count) } else { host.name.clone() };
    let mut size = format!("{} {}", host.cores, if host.cores == 1 { "core" } else { "cores" });
    if let Some(memory) = host.memory {
        size += &format!(", {}", Unit::Bytes.show_round(memory.get() as f64));
    }
    let on_it: Vec<&str> =
        components.iter().filter(|c| c.host == host.name).map(|c| c.name.as_str()).collect();
    let busy: Vec<String> = parts
        .iter()
        .filter(|part| part.is_of_host() && part.name == host.name)
        .take(MOST_PARTS)
        .map(|part| {
            let what = part.what.trim_start_matches("network, ");
            format!("{what} {}", format::percent_round(part.most.min(1.0)))
        })
        .collect();
    let mut lines = vec![size, format!("runs {}", on_it.join(", "))];
    if !busy.is_empty() {
        lines.push(format!("at most: {}", busy.join(", ")));
    }
    Machine { name, lines }
}

/// How many stand beside each other.
fn in_a_row(width: f64) -> usize {
    (((width + GAP) / (BOX.0 + GAP)) as usize).max(1)
}

/// How much room they take below the stack.
pub(super) fn height(machines: &[Machine], width: f64) -> f64 {
    machines.len().div_ceil(in_a_row(width)) as f64 * (BOX.1 + GAP)
}

/// Draws them in rows from this corner on.
pub(super) fn draw(svg: &mut String, machines: &[Machine], (left, top): (f64, f64), width: f64) {
    let count = in_a_row(width);
    for (i, machine) in machines.iter().enumerate() {
        let (x, y) =
            (left + (i % count) as f64 * (BOX.0 + GAP), top + GAP + (i / count) as f64 * (BOX.1 + GAP));
        let _ = write!(
            svg,
            "<rect class=\"host\" x=\"{x:.0}\" y=\"{y:.0}\" width=\"{}\" height=\"{}\" fill=\"none\" \
             stroke=\"var(--soft)\" stroke-dasharray=\"3 3\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\" class=\"name\">{}</text>",
            BOX.0,
            BOX.1,
            x + 10.0,
            y + 21.0,
            escaped(&machine.name)
        );
        for (number, line) in machine.lines.iter().enumerate() {
            let _ = write!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\">{}</text>",
                x + 10.0,
                y + 38.0 + 16.0 * number as f64,
                escaped(&cut(line))
            );
        }
    }
}

/// As much of a line as has room; the table below the picture has the rest.
fn cut(line: &str) -> String {
    if line.chars().count() <= LETTERS {
        return line.to_owned();
    }
    line.chars().take(LETTERS - 1).chain(['…']).collect()
}
