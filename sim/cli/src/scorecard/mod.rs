//! The library's files held against what was published of the systems that they describe, and against what must hold.
//!
//! - `row`: one figure, what came out of the replications, and the verdict
//! - `page`: the same as a table on a terminal and as a page of Markdown

mod page;
mod row;

use std::fs;
use std::io::{self, Write as _};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use programs::{Problem, Progress, interrupt};
use results::{RunRecord, World, observed};
use scenarios::scenario::{Published, SaidOf, Window};
use scenarios::{Scenario, derive, exit, library};

use crate::arguments::{ScorecardArguments, threads};
use crate::twin;
use row::Row;

/// The share of their capacity that the library's systems use at their peaks, about.
const USUAL_LOAD: f64 = 0.6;
/// How much of a file's hash the page has.
const HASH_DIGITS: usize = 8;

/// Runs everything and prints the table; the exit code.
pub(crate) fn run(arguments: &ScorecardArguments) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("signal handlers cannot be set")?;
    let mut files = Vec::new();
    gather(&arguments.place, &mut files)?;
    let mut progress = Progress::new(!arguments.quiet);
    let mut cards = Vec::new();
    let count = files.len() as f64;
    for (i, path) in files.iter().enumerate() {
        let scenario = Scenario::load(path)?;
        if scenario.published.is_empty() {
            continue;
        }
        let mut observe =
            |share: f64| progress.show((i as f64 + share) / count, || path.display().to_string());
        let Some(card) = score(&scenario, arguments, &mut observe, &stop)? else {
            progress.end();
            return Ok(exit::INTERRUPTED);
        };
        progress.end();
        write!(io::stdout().lock(), "{}", page::text(&card))?;
        cards.push(card);
    }
    progress.end();
    writeln!(io::stdout().lock(), "\n{}", page::totals(&cards))?;
    if let Some(line) = twin::line(USUAL_LOAD) {
        writeln!(io::stdout().lock(), "{line}")?;
    }
    if let Some(path) = &arguments.page {
        let text = page::markdown(&cards, path);
        fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let broken = cards.iter().flat_map(|card| card.rows()).any(|row| row.verdict().is_broken());
    Ok(if broken { exit::THRESHOLDS } else { exit::GOOD })
}

/// The scenario files in a place, by name: each directory's own first.
fn gather(place: &Path, files: &mut Vec<PathBuf>) -> Result<(), Problem> {
    if !place.is_dir() {
        files.push(place.to_owned());
        return Ok(());
    }
    let cannot = || format!("cannot read {}", place.display());
    let entries =
        fs::read_dir(place).with_context(cannot)?.collect::<Result<Vec<_>, _>>().with_context(cannot)?;
    let mut paths: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort_by_key(|path| (path.is_dir(), path.clone()));
    for path in paths {
        if path.is_dir() || library::is_scenario(&path) {
            gather(&path, files)?;
        }
    }
    Ok(())
}

/// A file and what came of it.
#[derive(Debug)]
struct Card {
    path: PathBuf,
    /// The beginning of the file's hash, by which a page is found out of date.
    hash: String,
    question: String,
    answer: Option<String>,
    /// The file as it is, then its variants; those of which nothing is said are left out.
    designs: Vec<Design>,
}

impl Card {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.designs.iter().flat_map(|design| &design.rows)
    }
}

/// The file as it is, or a variant.
#[derive(Debug)]
struct Design {
    /// The variant's name, and what it changes.
    variant: Option<(String, String)>,
    /// Which part was run, and how often.
    part: String,
    rows: Vec<Row>,
}

/// Runs a file and its variants; none where that was interrupted.
fn score(
    scenario: &Scenario,
    arguments: &ScorecardArguments,
    observe: &mut dyn FnMut(f64),
    stop: &AtomicBool,
) -> Result<Option<Card>, Problem> {
    let mut designs = Vec::new();
    // What is said of the part that is played is held against that.
    let is_scored = |published: &&Published| published.of != Some(SaidOf::Play);
    let variants = scenario.variants.iter().map(Some);
    let all: Vec<_> = std::iter::once(None).chain(variants).collect();
    for (i, variant) in all.iter().enumerate() {
        let name = variant.map(|v| &v.name);
        let of_design = scenario.published.iter().filter(is_scored).filter(|p| p.variant.as_ref() == name);
        let mut rows: Vec<Row> = of_design.cloned().map(Row::new).collect();
        if rows.is_empty() {
            continue;
        }
        let mut own = |share: f64| observe((i as f64 + share) / all.len() as f64);
        let mut part = String::new();
        if rows.iter().any(|row| row.published.claim.is_some()) {
            let design = match variant {
                Some(v) => derive::variant(scenario, &v.name).map_err(Problem::configuration)?.scenario,
                None => scenario.clone(),
            };
            // A variant may be scored in a part of its own.
            let (window, replications) = design.score;
            let replications = arguments.replications.unwrap_or(replications);
            let design = take(design, window)?;
            // A part at another rate states its rates at that.
            let stated = design.published.iter().filter(is_scored).filter(|p| p.variant.is_none());
            for (row, stated) in rows.iter_mut().zip(stated) {
                row.published.claim.clone_from(&stated.claim);
                row.published.stated.clone_from(&stated.stated);
            }
            if !replicate((scenario, &design), replications, arguments, &mut rows, &mut own, stop)? {
                return Ok(None);
            }
            part = told(&design, window, replications);
        }
        let variant = variant.map(|v| (v.name.clone(), v.what.clone()));
        designs.push(Design { variant, part, rows });
    }
    let question = scenario.question.clone().unwrap_or_else(|| scenario.title.clone());
    let answer = scenario.answer.clone();
    let hash = scenario.source.hash.chars().take(HASH_DIGITS).collect();
    Ok(Some(Card { path: scenario.source.path.clone(), hash, question, answer, designs }))
}

/// The part of a design that is scored.
fn take(design: Scenario, window: Window) -> Result<Scenario, Problem> {
    if window == Window::default() {
        return Ok(design);
    }
    let part = derive::window(&design, window.from, window.length, window.rate, None);
    Ok(part.map_err(Problem::configuration)?.scenario)
}

/// Which part was run, in words.
fn told(design: &Scenario, window: Window, replications: u32) -> String {
    let rate = window.rate.map(|rate| format!(" at {rate} of its size")).unwrap_or_default();
    let from = window.from.map(|from| format!(" from {from}")).unwrap_or_default();
    let seeds = if replications == 1 { "one seed".to_owned() } else { format!("{replications} seeds") };
    format!("{}{from}{rate}, {seeds}", design.run.duration)
}

/// Runs the replications of a file's design and tells each row its values. Whether it was not interrupted.
fn replicate(
    (file, design): (&Scenario, &Scenario),
    most: u32,
    arguments: &ScorecardArguments,
    rows: &mut [Row],
    observe: &mut dyn FnMut(f64),
    stop: &AtomicBool,
) -> Result<bool, Problem> {
    let threads = threads(arguments.threads);
    let mut broken = None;
    let mut tell = |done: f64| observe(done / f64::from(most));
    let whole = sim::replicate(design, most, threads, stop, &mut tell, &mut |number, outcome| {
        if !outcome.complete {
            return ControlFlow::Break(());
        }
        let replication = sim::replicate::scenario(design, number);
        let record = RunRecord::in_memory(&replication, World::Sim, &outcome.delta, &outcome.samples);
        if let Some(law) = outcome.evidence.laws.iter().find(|law| !law.holds()) {
            broken = Some(format!("{}: {law:?}", design.source.path.display()));
            return ControlFlow::Break(());
        }
        for row in rows.iter_mut() {
            if let Some((looked_at, _)) = &row.published.claim {
                row.values.push(observed(&record, looked_at));
            }
        }
        ControlFlow::Continue(())
    })?;
    if let Some(law) = broken {
        return Err(Problem::Failure(anyhow::anyhow!("a conservation law does not hold: {law}")));
    }
    if let Some(row) = rows.iter().find(|row| row.values.iter().any(Option::is_none)) {
        let expected = "something that the simulator observes in this scenario";
        let hint = "look at the names in the run's record, under \"series\"";
        let place = format!("{}.metric", row.published.place);
        return Err(file.problem_at(&place, row.published.metric.clone(), expected, Some(hint)).into());
    }
    Ok(whole)
}
