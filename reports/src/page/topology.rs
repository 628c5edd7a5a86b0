//! The stack as a picture: who asks whom, how often, on which machines, and how busy each is.

use std::fmt::Write as _;

use results::facts::ComponentFacts;
use results::{RunRecord, escaped, sample};
use scenarios::scenario::ComponentId;
use scenarios::{Scenario, explain};

use super::components::{hit_ratio, requests, utilisation};
use super::figure::Figure;
use super::hosts::{self, Machine};
use crate::format::{self, Unit};
use crate::moments::Moment;
use crate::room;
use crate::table::Table;

const BOX: (f64, f64) = (190.0, 84.0);
const GAP: (f64, f64) = (84.0, 26.0);
const MARGIN: f64 = 20.0;
/// A name and a rate beside it have room for so many letters; where they are more, only the table has the rate.
const FIRST_LINE: usize = 20;

/// A component as it stands in the picture.
struct Node<'a> {
    facts: &'a ComponentFacts,
    column: usize,
    row: usize,
    /// Utilisation over the measured part, and in its busiest stretch.
    busy: Option<(f64, f64)>,
    hits: Option<f64>,
    /// What comes in, a second, over the measured part.
    rate: Option<f64>,
    asks: Vec<usize>,
}

/// The picture and its table. None where the record's scenario is of another version and cannot be read.
pub(super) fn topology(record: &RunRecord, moments: &[Moment]) -> Option<Figure> {
    let facts = &record.scenario;
    let scenario = Scenario::parse(&facts.path, facts.text.clone()).ok()?;
    let nodes = nodes(record, &scenario, moments)?;
    // The one that the verdict names: whose busiest instance has least room at its peak.
    let parts = room::busy(record);
    let mut found =
        parts.iter().filter_map(|part| nodes.iter().position(|node| node.facts.name == part.name));
    let busiest = found.next();
    let entries: Vec<(String, usize)> =
        scenario.traffic.iter().map(|traffic| (traffic.name.clone(), traffic.to.index())).collect();
    let caption = "Who asks whom, and how often: at the line where only one asks, else in the box. A bar is the mean utilisation of a component's cores or \
                   workers in the measured part; marked is whose busiest instance has least room at its peak. Below are the machines.";
    let machines = hosts::machines(record, &scenario, &parts);
    let picture = draw(&nodes, &entries, busiest, &machines);
    Some(Figure::picture("The stack", caption, picture, table(&nodes, busiest)))
}

fn nodes<'a>(record: &'a RunRecord, scenario: &Scenario, moments: &[Moment]) -> Option<Vec<Node<'a>>> {
    let facts = &record.scenario.components;
    let ids: Vec<ComponentId> = scenario.component_ids().collect();
    if ids.len() != facts.len() {
        return None;
    }
    let asks: Vec<Vec<usize>> = ids
        .iter()
        .map(|id| explain::asked_by(scenario, *id).into_iter().map(|to| to.index()).collect())
        .collect();
    let mut columns = vec![0; ids.len()];
    for traffic in &scenario.traffic {
        place(traffic.to.index(), 1, &asks, &mut columns, &mut Vec::new());
    }
    let measured: Vec<&Moment> = moments.iter().filter(|moment| moment.until > 0.0).collect();
    let mut rows = Vec::new();
    let node = |(i, facts): (usize, &'a ComponentFacts)| {
        let column = columns[i];
        rows.resize(rows.len().max(column + 1), 0);
        rows[column] += 1;
        let busy: Vec<f64> = measured.iter().filter_map(|m| utilisation(record, facts, m)).collect();
        let mean = busy.iter().sum::<f64>() / busy.len().max(1) as f64;
        let most = busy.iter().copied().fold(0.0, f64::max);
        let found: Vec<f64> = measured.iter().filter_map(|m| hit_ratio(record, &facts.name, m)).collect();
        let has_hits = record.series(&facts.name, sample::HITS).next().is_some() && !found.is_empty();
        Node {
            facts,
            column,
            row: rows[column] - 1,
            busy: (!busy.is_empty()).then_some((mean, most)),
            rate: rate(record, facts, &measured),
            hits: has_hits.then(|| found.iter().sum::<f64>() / found.len() as f64),
            asks: asks[i].clone(),
        }
    };
    Some(facts.iter().enumerate().map(node).collect())
}

/// What came in, a second.
fn rate(record: &RunRecord, facts: &ComponentFacts, measured: &[&Moment]) -> Option<f64> {
    let counts = measured.iter().filter_map(|m| Some((requests(record, &facts.name, m)?, m.until - m.from)));
    let (sum, seconds) = counts.fold((0.0, 0.0), |sum, moment| (sum.0 + moment.0, sum.1 + moment.1));
    (seconds > 0.0).then(|| sum / seconds)
}

/// As far to the right as the longest way from an entry; who asks back, as a purge does, moves nobody.
fn place(at: usize, column: usize, asks: &[Vec<usize>], columns: &mut [usize], way: &mut Vec<usize>) {
    if way.contains(&at) || (columns[at] >= column && columns[at] > 0) {
        return;
    }
    columns[at] = column;
    way.push(at);
    for to in &asks[at] {
        place(*to, column + 1, asks, columns, way);
    }
    way.pop();
}

fn name(facts: &ComponentFacts) -> String {
    if facts.instances > 1 { format!("{} × {}", facts.name, facts.instances) } else { facts.name.clone() }
}

/// A line that fits the box.
fn busy(node: &Node<'_>) -> String {
    let share = format::percent_round;
    match (node.busy, node.hits) {
        (Some((mean, _)), Some(hits)) => format!("{} busy, {} hits", share(mean), share(hits)),
        (Some((mean, most)), None) => format!("{} busy, at most {}", share(mean), share(most)),
        (None, Some(hits)) => format!("{} hits", share(hits)),
        (None, None) => String::new(),
    }
}

fn table(nodes: &[Node<'_>], busiest: Option<usize>) -> Table {
    let head = ["component", "kind", "host", "instances", "asked", "busy", "at most", "hits", "asks", ""];
    let mut table = Table::new(&head);
    for (i, node) in nodes.iter().enumerate() {
        let show = |share: Option<f64>| share.map_or_else(|| "–".to_owned(), format::percent_round);
        let asks: Vec<&str> = node.asks.iter().map(|to| nodes[*to].facts.name.as_str()).collect();
        table.rows.push(vec![
            node.facts.name.clone(),
            node.facts.kind.clone(),
            node.facts.host.clone(),
            node.facts.instances.to_string(),
            node.rate.map_or_else(|| "–".to_owned(), |rate| Unit::PerSecond.show_round(rate)),
            show(node.busy.map(|b| b.0)),
            show(node.busy.map(|b| b.1)),
            show(node.hits),
            asks.join(", "),
            if busiest == Some(i) { "busiest".to_owned() } else { String::new() },
        ]);
    }
    table
}

fn draw(
    nodes: &[Node<'_>],
    entries: &[(String, usize)],
    busiest: Option<usize>,
    machines: &[Machine],
) -> String {
    let columns = nodes.iter().map(|node| node.column).max().unwrap_or(0) + 1;
    let in_column = |column: usize| nodes.iter().filter(|node| node.column == column).count();
    let rows = (0..columns).map(in_column).chain([entries.len()]).max().unwrap_or(1);
    let (step_x, step_y) = (BOX.0 + GAP.0, BOX.1 + GAP.1);
    let width = 2.0 * MARGIN + columns as f64 * step_x - GAP.0;
    let stack = 2.0 * MARGIN + rows as f64 * step_y - GAP.1;
    let inside = width - 2.0 * MARGIN;
    let height = stack + hosts::height(machines, inside);
    // Each column stands in the middle.
    let top = |count: usize, row: usize| MARGIN + 0.5 * (rows - count) as f64 * step_y + row as f64 * step_y;
    // What no traffic reaches shares the first column with the traffic, below it.
    let unreached = in_column(0);
    let corner = |node: &Node<'_>| {
        let (count, row) = if node.column == 0 {
            (unreached + entries.len(), node.row + entries.len())
        } else {
            (in_column(node.column), node.row)
        };
        (MARGIN + node.column as f64 * step_x, top(count.min(rows), row))
    };
    let mut svg = format!(
        "<svg viewBox=\"0 0 {width:.0} {height:.0}\" role=\"img\" aria-label=\"The stack\" class=\"stack\">"
    );
    // Where only one asks, all that comes in is that flow.
    let askers = |to: usize| {
        let of_traffic = entries.iter().filter(|(_, entry)| *entry == to).count();
        of_traffic + nodes.iter().filter(|node| node.asks.contains(&to)).count()
    };
    let flow = |to: usize| nodes[to].rate.filter(|_| askers(to) == 1);
    let mut way = |from: (f64, f64), to: (f64, f64), back: bool, rate: Option<f64>| {
        let bend = if back { -0.6 * BOX.1 } else { 0.0 };
        let middle = 0.5 * (from.0 + to.0);
        let tip = if back { "l-4 -8l8 0" } else { "l-8 -4l0 8" };
        let dash = if back { " stroke-dasharray=\"5 4\"" } else { "" };
        let _ = write!(
            svg,
            "<path d=\"M{:.0} {:.0}C{middle:.0} {:.0} {middle:.0} {:.0} {:.0} {:.0}\" fill=\"none\" \
             stroke=\"var(--soft)\" stroke-width=\"1.5\"{dash}/>\
             <path class=\"tip\" d=\"M{:.0} {:.0}{tip}z\" fill=\"var(--soft)\"/>",
            from.0,
            from.1,
            from.1 + bend,
            to.1 + bend,
            to.0,
            to.1,
            to.0,
            to.1
        );
        if let Some(rate) = rate {
            let _ = write!(
                svg,
                "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>",
                to.0 - 10.0,
                // On the side that the line does not come from.
                if to.1 > from.1 { to.1 + 17.0 } else { to.1 - 7.0 },
                Unit::PerSecond.show_round(rate)
            );
        }
    };
    let entry = |i: usize| (MARGIN, top(unreached + entries.len(), i));
    for (i, (_, to)) in entries.iter().enumerate() {
        let (x, y) = entry(i);
        let at = corner(&nodes[*to]);
        way((x + BOX.0, y + 0.5 * BOX.1), (at.0 - 2.0, at.1 + 0.5 * BOX.1), false, flow(*to));
    }
    for node in nodes {
        let (x, y) = corner(node);
        for to in &node.asks {
            let at = corner(&nodes[*to]);
            if nodes[*to].column > node.column {
                way((x + BOX.0, y + 0.5 * BOX.1), (at.0 - 2.0, at.1 + 0.5 * BOX.1), false, flow(*to));
            } else {
                way((x + 0.5 * BOX.0, y), (at.0 + 0.6 * BOX.0, at.1 - 2.0), true, None);
            }
        }
    }
    for (i, (name, _)) in entries.iter().enumerate() {
        let (x, y) = entry(i);
        let _ = write!(
            svg,
            "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{}\" height=\"{}\" rx=\"42\" fill=\"none\" \
             stroke=\"var(--soft)\"/><text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\" class=\"name\">{}</text>\
             <text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"middle\">traffic</text>",
            BOX.0,
            BOX.1,
            x + 0.5 * BOX.0,
            y + 38.0,
            escaped(name),
            x + 0.5 * BOX.0,
            y + 58.0
        );
    }
    for (i, node) in nodes.iter().enumerate() {
        // Where only one asks, the line to it says how often.
        let rate = node.rate.filter(|_| askers(i) != 1);
        component(&mut svg, corner(node), (node, rate), busiest == Some(i));
    }
    hosts::draw(&mut svg, machines, (MARGIN, stack - MARGIN), inside);
    svg + "</svg>\n"
}

fn component(svg: &mut String, (x, y): (f64, f64), (node, rate): (&Node<'_>, Option<f64>), busiest: bool) {
    let (stroke, thick) = if busiest { ("--s2", 3.5) } else { ("--soft", 1.2) };
    let facts = node.facts;
    let left = x + 12.0;
    let _ = write!(
        svg,
        "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{}\" height=\"{}\" rx=\"6\" fill=\"var(--page)\" \
         stroke=\"var({stroke})\" stroke-width=\"{thick}\"/>\
         <text x=\"{left:.0}\" y=\"{:.0}\" class=\"name\">{}</text>\
         <text x=\"{left:.0}\" y=\"{:.0}\">{} on {}</text>",
        BOX.0,
        BOX.1,
        y + 22.0,
        escaped(&name(facts)),
        y + 40.0,
        escaped(&facts.kind),
        escaped(&facts.host),
    );
    let rate = rate.map(|rate| Unit::PerSecond.show_round(rate));
    let fits = |rate: &String| name(facts).chars().count() + rate.chars().count() <= FIRST_LINE;
    if let Some(rate) = rate.filter(fits) {
        let (right, above) = (x + BOX.0 - 12.0, y + 22.0);
        let _ = write!(svg, "<text x=\"{right:.0}\" y=\"{above:.0}\" text-anchor=\"end\">{rate}</text>");
    }
    if busiest {
        let (right, above) = (x + BOX.0, y - 5.0);
        let _ = write!(
            svg,
            "<text x=\"{right:.0}\" y=\"{above:.0}\" text-anchor=\"end\" class=\"name\">busiest ▼</text>"
        );
    }
    let told = busy(node);
    if !told.is_empty() {
        let _ = write!(svg, "<text x=\"{left:.0}\" y=\"{:.0}\">{told}</text>", y + 58.0);
    }
    if let Some((mean, _)) = node.busy {
        let length = BOX.0 - 24.0;
        let _ = write!(
            svg,
            "<rect x=\"{left:.0}\" y=\"{0:.0}\" width=\"{length:.0}\" height=\"7\" rx=\"2\" fill=\"var(--grid)\"/>\
             <rect x=\"{left:.0}\" y=\"{0:.0}\" width=\"{1:.1}\" height=\"7\" rx=\"2\" fill=\"var({2})\"/>",
            y + 67.0,
            length * mean.clamp(0.0, 1.0),
            if busiest { "--s2" } else { "--s1" },
        );
    }
}
