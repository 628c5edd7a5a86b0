//! What was observed of components over time, and of the generator.

use results::facts::ComponentFacts;
use results::record::Series;
use results::{RunRecord, World, sample};

use super::figure::Figure;
use super::timeline::{Reading, Timeline};
use crate::chart::{STYLES, Scale};
use crate::format::Unit;
use crate::moments::Moment;

/// The greatest number of lines in a chart. Beyond it each component is told by its instances' mean, and of more components
/// those that reach highest.
const MOST_LINES: usize = STYLES;
/// A queue that never holds more than this on average is not worth a chart.
const LEAST_QUEUE: f64 = 0.01;

type Read<'a> = Box<dyn Fn(&Moment) -> Option<f64> + 'a>;
/// A line and its name.
type Named<'a> = (String, Read<'a>);

/// The charts for which there are samples.
pub(super) fn components(record: &RunRecord, timeline: &Timeline<'_>) -> Vec<Figure> {
    let mut figures = Vec::new();
    let caption = "Busy share of each instance's cores or workers.";
    let busy = by_instance(record, sample::UTILISATION);
    figures.extend(drawn(timeline, "Utilisation", caption, Unit::Share, &busy));
    let asked = by_component(record, requests);
    let caption = "What comes in at each component: requests, commands, statements or messages.";
    figures.extend(drawn(timeline, "Asked", caption, Unit::PerSecond, &asked));
    let mut waiting = by_instance(record, sample::QUEUE);
    waiting.extend(of_generator(record, sample::QUEUE, "for a connection to send on"));
    if highest(timeline, &waiting) > LEAST_QUEUE {
        let caption = "How many wait, on average: at each instance, and at the client for a free connection.";
        figures.extend(drawn(timeline, "Waiting", caption, Unit::Count, &waiting));
    }
    let in_service = by_instance(record, sample::IN_SERVICE);
    let caption = "How many each instance has begun and not ended, on average: workers that are taken, and connections of a database that \
                   are in use.";
    figures.extend(drawn(timeline, "In service", caption, Unit::Count, &in_service));
    let instances: Vec<Named<'_>> =
        record.scenario.components.iter().flat_map(|c| instances(record, c)).collect();
    let caption =
        "How many there are of what an autoscaler adds to and takes from, those that boot or drain included.";
    figures.extend(drawn(timeline, "Instances", caption, Unit::Count, &instances));
    let connections = by_instance(record, sample::CONNECTIONS);
    let caption = "Connections that each instance holds, idle ones included.";
    figures.extend(drawn(timeline, "Connections", caption, Unit::Count, &connections));
    figures.extend(stores(record, timeline));
    if record.world == World::Loadgen {
        let mut cores: Vec<Named<'_>> = of_generator(record, sample::CPU, "used by the generator").collect();
        cores.extend(of_generator(record, sample::STEAL, "taken by the hypervisor"));
        let caption = "What the generator itself needed, and what it could not have.";
        figures.extend(drawn(timeline, "Cores", caption, Unit::Count, &cores));
    }
    figures
}

/// What only stores have: hit ratio, evictions, keys that can be evicted, memory.
fn stores(record: &RunRecord, timeline: &Timeline<'_>) -> Vec<Figure> {
    let components = record.scenario.components.iter().map(|c| c.name.as_str());
    let stores: Vec<&str> =
        components.filter(|name| record.series(name, sample::HITS).next().is_some()).collect();
    let ratio = |store: &str, m: &Moment| hit_ratio(record, store, m);
    let evictions =
        |store: &str, m: &Moment| Some(count(record, store, sample::EVICTIONS, m)? / (m.until - m.from));
    let ratios: Vec<Named<'_>> =
        stores.iter().map(|&s| (s.to_owned(), Box::new(move |m: &Moment| ratio(s, m)) as Read<'_>)).collect();
    let evictions: Vec<Named<'_>> = stores
        .iter()
        .map(|&s| (s.to_owned(), Box::new(move |m: &Moment| evictions(s, m)) as Read<'_>))
        .collect();
    let with_ttl = by_instance(record, sample::KEYS_WITH_TTL);
    let memory = by_instance(record, sample::MEMORY_BYTES);
    let lag = by_instance(record, sample::REPLICATION_LAG_BYTES);
    let unapplied = by_instance(record, sample::REPLICATION_QUEUE);
    let charts = [
        ("Hit ratio", "Keys found among the keys asked for.", Unit::Share, ratios),
        ("Evictions", "Keys removed to make room.", Unit::PerSecond, evictions),
        (
            "Keys with a lifetime",
            "Only these can be evicted: where their number nears zero, new cache keys cannot be kept.",
            Unit::Count,
            with_ttl,
        ),
        ("Memory", "Of the records held.", Unit::Bytes, memory),
        ("Behind the original", "What the last of its copies lacks of a store's history.", Unit::Bytes, lag),
        (
            "Not applied yet",
            "Commits of the original that a replica has yet to apply.",
            Unit::Count,
            unapplied,
        ),
    ];
    charts
        .iter()
        .filter_map(|(title, caption, unit, lines)| drawn(timeline, title, caption, *unit, lines))
        .collect()
}

/// The share of the keys asked for that a store had.
pub(super) fn hit_ratio(record: &RunRecord, store: &str, m: &Moment) -> Option<f64> {
    let hits = count(record, store, sample::HITS, m)?;
    let asked = hits + count(record, store, sample::MISSES, m).unwrap_or(0.0);
    (asked > 0.0).then_some(hits / asked)
}

/// The mean utilisation of a component's instances.
pub(super) fn utilisation(record: &RunRecord, component: &ComponentFacts, m: &Moment) -> Option<f64> {
    over_instances(record, component, sample::UTILISATION, m)
}

/// The mean over all instances; one of which nothing was seen while others were seen is dead, and counts as idle.
fn over_instances(record: &RunRecord, component: &ComponentFacts, metric: &str, m: &Moment) -> Option<f64> {
    let seen = record.series(&component.name, metric).filter_map(|s| within(s, m));
    seen.reduce(|a, b| a + b).map(|sum| sum / f64::from(component.instances.max(1)))
}

/// What came in at a component's instances.
pub(super) fn requests(record: &RunRecord, component: &str, m: &Moment) -> Option<f64> {
    count(record, component, sample::REQUESTS, m)
}

/// A line for each component: of something counted, how many a second.
fn by_component<'a>(
    record: &'a RunRecord,
    counted: impl Fn(&RunRecord, &str, &Moment) -> Option<f64> + Copy + 'a,
) -> Vec<Named<'a>> {
    let names = record.scenario.components.iter().map(|c| c.name.as_str());
    let rate = move |name: &str, m: &Moment| Some(counted(record, name, m)? / (m.until - m.from));
    names.map(|name| (name.to_owned(), Box::new(move |m: &Moment| rate(name, m)) as Read<'_>)).collect()
}

/// The number of events in a moment, over all instances.
fn count(record: &RunRecord, component: &str, metric: &str, m: &Moment) -> Option<f64> {
    let values = record.series(component, metric).flat_map(|s| &s.values[m.intervals.clone()]).flatten();
    values.copied().reduce(|a, b| a + b)
}

fn highest(timeline: &Timeline<'_>, lines: &[Named<'_>]) -> f64 {
    let values = timeline.fine.iter().flat_map(|m| lines.iter().filter_map(|(_, read)| read(m)));
    values.fold(0.0, f64::max)
}

fn drawn(
    timeline: &Timeline<'_>,
    title: &str,
    caption: &str,
    unit: Unit,
    lines: &[Named<'_>],
) -> Option<Figure> {
    let peak = |(_, read): &Named<'_>| timeline.fine.iter().filter_map(read).reduce(f64::max);
    let peaks: Vec<Option<f64>> = lines.iter().map(peak).collect();
    if peaks.iter().all(Option::is_none) {
        return None;
    }
    let mut told: Vec<usize> = (0..lines.len()).collect();
    let height = |line: &usize| peaks[*line].unwrap_or(f64::NEG_INFINITY);
    told.sort_by(|a, b| height(b).total_cmp(&height(a)));
    told.truncate(MOST_LINES);
    told.sort_unstable();
    let readings: Vec<Reading<'_>> =
        told.iter().map(|line| (lines[*line].0.as_str(), lines[*line].1.as_ref() as _)).collect();
    let mut caption = caption.to_owned();
    if told.len() < lines.len() {
        caption += &format!(" Of {} lines, the {MOST_LINES} that reach highest.", lines.len());
    }
    Some(timeline.figure(title, &caption, unit, Scale::Linear, &readings))
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0), |(sum, n), value| (sum + value, n + 1));
    (n > 0).then(|| sum / f64::from(n))
}

/// The mean of an instance's values in a moment.
fn within(series: &Series, m: &Moment) -> Option<f64> {
    mean(series.values[m.intervals.clone()].iter().flatten().copied())
}

/// A line for each instance, or, where these are too many, for each component.
fn by_instance<'a>(record: &'a RunRecord, metric: &'a str) -> Vec<Named<'a>> {
    let components = &record.scenario.components;
    let lines: usize = components.iter().map(|c| record.series(&c.name, metric).count()).sum();
    let mut named: Vec<Named<'a>> = Vec::new();
    for c in components {
        if lines > MOST_LINES && c.instances > 1 {
            if record.series(&c.name, metric).next().is_some() {
                let read = |m: &Moment| over_instances(record, c, metric, m);
                named.push((format!("{} (mean of {})", c.name, c.instances), Box::new(read)));
            }
            continue;
        }
        for series in record.series(&c.name, metric) {
            let alone = c.instances == 1;
            let name = if alone { c.name.clone() } else { format!("{}[{}]", c.name, series.instance + 1) };
            named.push((name, Box::new(|m: &Moment| within(series, m))));
        }
    }
    named
}

/// How many instances a component has, where that changes: told under the first of them.
fn instances<'a>(
    record: &'a RunRecord,
    component: &'a ComponentFacts,
) -> impl Iterator<Item = Named<'a>> + 'a {
    let series = record.series(&component.name, sample::INSTANCES);
    series.map(move |s| (component.name.clone(), Box::new(|m: &Moment| within(s, m)) as Read<'a>))
}

/// A metric of the generator, under this name.
fn of_generator<'a>(
    record: &'a RunRecord,
    metric: &'a str,
    name: &'a str,
) -> impl Iterator<Item = Named<'a>> + 'a {
    let series = record.series(sample::GENERATOR, metric);
    series.map(move |s| (name.to_owned(), Box::new(|m: &Moment| within(s, m)) as Read<'a>))
}
