//! The report of one run.

use askama::Template;
use results::record::Status;
use results::{Failure, RunRecord, Scope, World};

use super::components::components;
use super::distribution::distribution;
use super::figure::Figure;
use super::heat::heat;
use super::timeline::{Reading, Timeline};
use super::topology::topology;
use crate::chart::{STYLES, Scale};
use crate::format::{self, Unit};
use crate::moments::{Moment, PERCENTILES};
use crate::observation::published_table;
use crate::phases::{FAILED, Key, P50, P90, P99, P999, SERVICE_P99, THROUGHPUT};
use crate::summary::{class_table, phase_table};
use crate::table::Table;
use crate::waterfall::waterfall;
use crate::{agents, room, trust, verdict};

/// A key figure.
pub(super) struct Card {
    pub(super) label: String,
    pub(super) value: String,
    pub(super) note: String,
}

#[derive(Template)]
#[template(path = "run.html")]
struct Body<'a> {
    title: &'a str,
    question: Option<&'a str>,
    answer: Option<&'a str>,
    world: &'static str,
    outcome: &'static str,
    class: &'static str,
    sentence: String,
    notes: Vec<String>,
    cards: Vec<Card>,
    phases: Table,
    classes: Table,
    thresholds: Option<Table>,
    published: Option<Table>,
    assumed: Vec<String>,
    recoveries: Option<Table>,
    agents: Option<Table>,
    agents_limits: Vec<String>,
    room: Option<Table>,
    cost: Option<Table>,
    spreads: Vec<(String, Table)>,
    model: Option<Table>,
    traces: Vec<String>,
    topology: Option<Figure>,
    figures: Vec<Figure>,
    facts: Vec<(&'static str, String)>,
    command: String,
    scenario: &'a str,
    number: usize,
}

/// The report of a run, as the inside of a page.
pub(super) fn body(record: &RunRecord, number: usize) -> String {
    let facts = &record.scenario;
    let outcome = verdict::outcome(record);
    let timeline = Timeline::new(record);
    let body = Body {
        title: &facts.title,
        question: facts.question.as_deref(),
        answer: facts.answer.as_deref(),
        world: record.world.title(),
        outcome: outcome.word(),
        class: outcome.class(),
        sentence: verdict::sentence(record),
        notes: notes(record),
        cards: cards(record),
        phases: phase_table(record),
        classes: class_table(record),
        thresholds: thresholds(record),
        published: published_table(record),
        assumed: assumed(record),
        recoveries: trust::recoveries(record),
        agents: agents::table(record),
        agents_limits: agents::limits(record),
        room: room::table(&room::busy(record)),
        cost: room::cost(record),
        spreads: trust::replications(record).into_iter().map(|(t, r)| (t, trust::spread(r))).collect(),
        model: trust::model(record),
        traces: record.evidence.traces.iter().map(waterfall).collect(),
        topology: topology(record, &timeline.coarse),
        figures: figures(record, &timeline),
        facts: provenance(record),
        command: command_line(record),
        scenario: &facts.text,
        number,
    };
    body.render().expect("writing to memory does not fail")
}

/// The charts of a run.
#[cfg(feature = "png")]
pub(crate) fn pictures(record: &RunRecord) -> Vec<super::figure::Drawn> {
    let timeline = Timeline::new(record);
    let stack = topology(record, &timeline.coarse);
    stack.into_iter().chain(figures(record, &timeline)).map(Figure::into_drawn).collect()
}

/// What a reader must know before the figures, beyond the verdict.
fn notes(record: &RunRecord) -> Vec<String> {
    let mut notes = Vec::new();
    if record.status != Status::Complete && !record.validity.is_valid() {
        notes.push(format!("Also invalid: {}.", record.validity.reasons.join("; ")));
    }
    if let Some(part) = &record.provenance.part {
        notes.push(format!("A part of the file: {part}."));
    }
    let tally = record.tally(Scope::Run, None);
    if tally.due() == 0 {
        notes.push("No request was due in the measured part.".to_owned());
    }
    if tally.dropped() > 0 {
        notes.push(format!(
            "{} requests were dropped because too many were under way; they count as failed and as infinitely late.",
            format::grouped(tally.dropped())
        ));
    }
    notes.extend(trust::lines(record));
    notes
}

fn cards(record: &RunRecord) -> Vec<Card> {
    let (tally, seconds) = (record.tally(Scope::Run, None), record.counted_seconds(Scope::Run));
    let card = |label: &str, value: String, note: String| Card { label: label.to_owned(), value, note };
    let offered =
        if seconds > 0.0 { Unit::PerSecond.show(tally.due() as f64 / seconds) } else { "–".to_owned() };
    let due = format!("{} requests in {}", format::grouped(tally.due()), format::seconds(seconds));
    let mut cards = vec![card("Offered", offered, due)];
    let keys: [(&str, Key); 7] = [
        ("Throughput (good answers)", THROUGHPUT),
        ("Failed", FAILED),
        ("Service time, p99", SERVICE_P99),
        ("Response time, median", P50),
        ("Response time, p90", P90),
        ("Response time, p99", P99),
        ("Response time, p99.9", P999),
    ];
    for (label, key) in keys {
        let estimate = key.of(record, Scope::Run);
        let mut note = match estimate {
            Some(e) if e.low < e.high => format!("{} … {}", key.unit.show(e.low), key.unit.show(e.high)),
            _ => String::new(),
        };
        if key == FAILED && estimate.is_some() {
            let requests = if tally.failed() == 1 { "request" } else { "requests" };
            note = format!("{} {requests}; {note}", format::grouped(tally.failed()));
        }
        cards.push(card(label, format::figure(estimate, key.unit), note));
    }
    cards
}

fn thresholds(record: &RunRecord) -> Option<Table> {
    let mut table = Table::new(&["threshold", "limit", "figure", "verdict"]);
    for v in &record.thresholds {
        let figure = v.threshold.figure;
        let unit = verdict::unit(figure.metric, figure.aggregate);
        let shown = if v.estimate.is_some() && v.passed.is_some() {
            format::with_noise(v.estimate, unit)
        } else {
            verdict::value(v)
        };
        let passed = v.passed.map_or("– not judged", |p| if p { "✓ holds" } else { "✗ fails" });
        table.rows.push(vec![
            v.threshold.selector.clone(),
            v.threshold.condition.clone(),
            shown,
            passed.to_owned(),
        ]);
    }
    (!table.rows.is_empty()).then_some(table)
}

/// What the file assumes for its published figures that their sources do not say.
fn assumed(record: &RunRecord) -> Vec<String> {
    let told = |r: &results::verdict::Reproduction| {
        let (published, source) = (&r.published, r.published.source.as_ref());
        let assumed = published.assumed.as_ref().map(|assumed| format!("assumed: {assumed}"));
        let source = source.map(|source| format!("source: {source}"));
        let parts: Vec<String> = source.into_iter().chain(assumed).collect();
        (!parts.is_empty()).then(|| format!("{}: {}", published.what, parts.join("; ")))
    };
    record.published.iter().filter_map(told).collect()
}

/// First what was asked and whether it was asked on time, then what came of it, then why.
fn figures(record: &RunRecord, timeline: &Timeline<'_>) -> Vec<Figure> {
    let mut figures = vec![rates(timeline)];
    if record.world == World::Loadgen {
        figures.push(send_lag(timeline));
    }
    figures.push(response_times(timeline));
    figures.extend(heat(record));
    figures.push(times(record));
    figures.extend(components(record, timeline));
    figures.extend(failures(timeline));
    figures
}

/// How late the generator was.
fn send_lag(timeline: &Timeline<'_>) -> Figure {
    timeline.figure(
        "Send lag",
        "How late the generator itself handed requests over. It is part of the response time.",
        Unit::Seconds,
        Scale::Log,
        &[("p99", &|m| m.lag_p99.filter(|l| *l > 0.0)), ("max", &|m| m.lag_max.filter(|l| *l > 0.0))],
    )
}

/// What was asked and what was answered.
pub(super) fn rates(timeline: &Timeline<'_>) -> Figure {
    timeline.figure(
        "Offered and achieved rate",
        "Requests due, and good answers when they came.",
        Unit::PerSecond,
        Scale::Linear,
        &[("offered", &|m| Some(m.offered)), ("achieved", &|m| Some(m.achieved))],
    )
}

/// Percentiles of the response time.
pub(super) fn response_times(timeline: &Timeline<'_>) -> Figure {
    let response: Vec<_> = (0..PERCENTILES.len()).map(|i| move |m: &Moment| m.response[i]).collect();
    let mut readings: Vec<Reading<'_>> = PERCENTILES
        .iter()
        .zip(&response)
        .map(|((_, name), read)| (*name, read as &dyn Fn(&Moment) -> Option<f64>))
        .collect();
    if timeline.fine.iter().any(|m| m.failed_share.is_some_and(|share| share > 0.0)) {
        readings.push(("p99 of good answers", &|m: &Moment| m.good_p99));
    }
    timeline.figure(
        "Response time",
        "From the due time to the last byte, good and failed answers alike, where they were due. Logarithmic.",
        Unit::Seconds,
        Scale::Log,
        &readings,
    )
}

/// Failed requests by kind, of very many kinds the rarest together; none where none failed.
pub(super) fn failures(timeline: &Timeline<'_>) -> Option<Figure> {
    let count = |kind: &Failure| timeline.fine.iter().map(|m| m.failures[kind.index()]).sum::<f64>();
    let mut kinds: Vec<Failure> = Failure::ALL.into_iter().filter(|kind| count(kind) > 0.0).collect();
    let mut rare = Vec::new();
    if kinds.len() > STYLES {
        let mut order = kinds.clone();
        order.sort_by(|a, b| count(b).total_cmp(&count(a)));
        rare = order.split_off(STYLES - 1);
        kinds.retain(|kind| !rare.contains(kind));
    }
    let others = rare.iter().map(|kind| kind.name()).collect::<Vec<_>>().join(", ");
    let together = |m: &Moment| Some(rare.iter().map(|kind| m.failures[kind.index()]).sum::<f64>());
    let reads: Vec<_> = kinds.iter().map(|k| move |m: &Moment| Some(m.failures[k.index()])).collect();
    let mut readings: Vec<Reading<'_>> = kinds
        .iter()
        .zip(&reads)
        .map(|(kind, read)| (kind.name(), read as &dyn Fn(&Moment) -> Option<f64>))
        .collect();
    if !rare.is_empty() {
        readings.push((others.as_str(), &together));
    }
    let draw = || {
        timeline.figure(
            "Failed requests",
            "By kind, where they were due.",
            Unit::PerSecond,
            Scale::Linear,
            &readings,
        )
    };
    (!kinds.is_empty()).then(draw)
}

/// Percentiles of the measured part.
fn times(record: &RunRecord) -> Figure {
    let tally = record.tally(Scope::Run, None);
    let lines = [("response time", tally.response_times()), ("service time", tally.service_times())];
    let texts = (
        "Distribution of response and service time",
        "Of the measured part. Service time runs from sending: what is missing from it is the time that requests waited \
         for their turn.",
        "Percentiles of response and service time",
    );
    distribution(texts, &lines.map(|(name, times)| (name.to_owned(), name, times)))
}

fn provenance(record: &RunRecord) -> Vec<(&'static str, String)> {
    let (facts, origin) = (&record.scenario, &record.provenance);
    let machine = &origin.machine;
    vec![
        ("World", format!("{} ({})", record.world.title(), record.world.name())),
        ("Scenario", format!("{}, SHA-256 {}", facts.path, facts.hash)),
        ("Part", origin.part.clone().unwrap_or_else(|| "all of the file".to_owned())),
        ("Seed", facts.seed.to_string()),
        (
            "Time",
            format!(
                "{} after {} of warm-up, from {} on the scenario's timeline; intervals of {}",
                format::span(facts.duration),
                format::span(facts.warmup),
                format::span(facts.from),
                format::span(record.frame.interval)
            ),
        ),
        ("Made by", origin.tool.clone()),
        ("Started", format!("{:.0}, took {}", origin.started, format::seconds(origin.took.as_secs_f64()))),
        (
            "Machine",
            format!(
                "{}, {} cores, {:.1} GiB; {}, Linux {}",
                machine.processor,
                machine.cores,
                machine.memory_bytes as f64 / f64::from(1 << 30),
                machine.system,
                machine.kernel
            ),
        ),
    ]
}

/// The command that made a run, as a shell would need it.
pub(super) fn command_line(record: &RunRecord) -> String {
    record.provenance.command.iter().map(|a| quoted(a)).collect::<Vec<_>>().join(" ")
}

/// An argument as a shell would need it.
fn quoted(argument: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !argument.is_empty() && argument.chars().all(plain) {
        argument.to_owned()
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}
