//! How much more a set-up can take: the multiple of its load at which each threshold breaks, and what gives first.

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::Context as _;
use clap::Args;
use programs::{Part, Problem, Progress, interrupt};
use reports::{Sheet, Table};
use results::RunRecord;
use scenarios::scenario::{Executor, Observed};
use scenarios::units::Ratio;
use scenarios::{Scenario, exit};
use serde_json::{Value, json};

use crate::arguments::Told;
use crate::breaking::{self, Breaks, Effort, Found, Ladder, Limit};
use crate::changes::Changes;
use crate::executor::Makers;
use crate::{trials, twin};

/// How busy the busiest part is about where thresholds break.
const LONG_QUEUES: f64 = 0.9;
/// A search takes about so many runs: what the bar goes by.
const USUAL_RUNS: u32 = 10;

/// What is looked for.
#[derive(Debug, Args)]
pub(crate) struct Capacity {
    /// The scenario file; each of its thresholds is looked at
    file: PathBuf,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    changes: Changes,
    /// How closely each limit is enclosed in a replication
    #[arg(long, default_value = "5%", value_name = "SHARE", value_parser = programs::part::ratio)]
    precision: Ratio,
    /// With so many seeds, each with a search of its own
    #[arg(long, value_name = "N", default_value = "5", value_parser = clap::value_parser!(u32).range(2..=1000))]
    replications: u32,
    #[command(flatten)]
    told: Told,
    #[command(flatten)]
    makers: Makers,
}

/// Looks for it and tells what was found; the exit code.
pub(crate) fn run(arguments: &Capacity) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("signal handlers cannot be set")?;
    let scenario = arguments.changes.apply(trials::load(&arguments.part, &arguments.file)?)?;
    check(&scenario)?;
    let at = trials::part(&scenario, arguments.part.from, arguments.part.length);
    let ladder = Ladder::new(arguments.precision.get(), &scenario, &at);
    let by = arguments.makers.executor(arguments.told.threads)?;
    let progress = Mutex::new(Progress::new(!arguments.told.quiet));
    let (done, usual) = (AtomicU32::new(0), arguments.replications * USUAL_RUNS);
    let told = || {
        let done = done.fetch_add(1, Ordering::Relaxed) + 1;
        let mut progress = progress.lock().expect("showing progress does not panic");
        progress
            .show(f64::from(done) / f64::from(usual.max(done + 1)), || format!("{done} runs{}", by.told()));
    };
    let effort = Effort { replications: arguments.replications, by: &*by, stop: &stop, told: &told };
    let found = breaking::find(&scenario, &at, ladder, &effort)?;
    progress.into_inner().expect("showing progress does not panic").end();
    let Some(found) = found else { return Ok(exit::INTERRUPTED) };
    let answer = Answer { scenario: &scenario, found: &found, ladder, replications: arguments.replications };
    let mut out = io::stdout().lock();
    if arguments.told.json {
        writeln!(out, "{:#}", answer.json())?;
    } else {
        writeln!(out, "{}\n", scenario.title)?;
        write!(out, "{}", answer.table().text())?;
        writeln!(out, "\n{}\n{}", answer.headline(), trust())?;
    }
    if let Some(path) = &arguments.told.html {
        fs::write(path, answer.html()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(exit::GOOD)
}

/// There must be something to judge, and a load that can be raised.
fn check(scenario: &Scenario) -> Result<(), Problem> {
    if scenario.thresholds.is_empty() {
        let hint = Some("add [thresholds]\n  failed = [\"rate<0.1%\"]");
        return Err(scenario.problem_at("thresholds", "nothing", "thresholds that can break", hint).into());
    }
    if let Some(traffic) = scenario.traffic.iter().find(|t| matches!(t.executor, Executor::Replay(_))) {
        let place = format!("traffic.{}.executor", traffic.name);
        let expected = "a load that can be raised: a log has no more requests than it has";
        let problem =
            scenario.problem_at(&place, "\"replay\"", expected, Some("its \"speed\" plays it faster"));
        return Err(problem.into());
    }
    Ok(())
}

struct Answer<'a> {
    scenario: &'a Scenario,
    found: &'a Found,
    ladder: Ladder,
    replications: u32,
}

impl Answer<'_> {
    fn words(&self, limit: &Limit) -> String {
        trials::words(&self.scenario.thresholds[limit.threshold])
    }

    fn headline(&self) -> String {
        let Some(first) = self.found.first() else {
            return "there is nothing to judge in this part of the run".to_owned();
        };
        let words = self.words(first);
        let broken = match first.breaks {
            Breaks::At { load, low, high } => {
                let interval = format!("{load:.2} times this load [{low:.2} … {high:.2}]");
                match load < 1.0 {
                    true => format!("{words} is broken already: it would hold up to {interval}"),
                    false => format!("{words} breaks first, at {interval}"),
                }
            }
            Breaks::Beyond(most) => return format!("nothing breaks up to {most:.1} times this load"),
            Breaks::Below(least) => format!("{words} fails even at {least:.3} times this load"),
        };
        match self.found.bottleneck(first) {
            Some(b) => {
                let busy = 100.0 * b.busy.min(1.0);
                format!("{broken}; first to give is {} ({}, busy {busy:.0}% just before)", b.name, b.what)
            }
            None => format!("{broken}; no part of it is busy, so the time is spent waiting elsewhere"),
        }
    }

    fn table(&self) -> Table {
        let head = ["threshold", "at this load", "breaks at, times the load", "requests/s there", "busiest"];
        let mut table = Table::new(&head);
        for limit in &self.found.limits {
            let observed = Observed::Requests(self.scenario.thresholds[limit.threshold].figure.clone());
            let rate = self.found.trials.get(&limit.before).map(|trial| trial.rate);
            let rate = rate.filter(|_| matches!(limit.breaks, Breaks::At { .. }));
            let busiest = self.found.bottleneck(limit);
            table.rows.push(vec![
                self.words(limit),
                limit.now.map_or_else(|| "–".to_owned(), |held| reports::shown(&observed, held.value)),
                limit.breaks.words(),
                rate.map_or_else(|| "–".to_owned(), |rate| format!("{rate:.0}")),
                busiest.map_or_else(
                    || "–".to_owned(),
                    |b| format!("{}, {:.0}%", b.name, 100.0 * b.busy.min(1.0)),
                ),
            ]);
        }
        table
    }

    fn html(&self) -> String {
        let caption = format!(
            "Each of {} replications looked for its own limit; the interval is that of their mean. What is busiest is told of \
             the greatest load that holds. {}",
            self.replications,
            trust()
        );
        let title = &self.scenario.title;
        let sheet = Sheet::new("Capacity", title, &self.headline());
        let sheet = sheet.table("Where each threshold breaks", &caption, &self.table());
        let records: Vec<RunRecord> =
            self.found.trials.values().filter_map(|trial| trial.record.clone()).collect();
        match reports::loads(&records) {
            Ok(loads) => sheet.loads(&loads).html(),
            // One load alone was tried.
            Err(_) => sheet.html(),
        }
    }

    fn json(&self) -> Value {
        let finite = |v: f64| Some(v).filter(|v| v.is_finite());
        let limit = |limit: &Limit| {
            let threshold = &self.scenario.thresholds[limit.threshold];
            let (at, low, high) = match limit.breaks {
                Breaks::At { load, low, high } => (Some(load), Some(low), Some(high)),
                Breaks::Beyond(most) => (None, Some(most), None),
                Breaks::Below(least) => (None, None, Some(least)),
            };
            json!({
                "metric": threshold.selector,
                "condition": threshold.condition,
                "now": limit.now.and_then(|held| finite(held.value)),
                "holds_now": limit.now.map(|held| held.holds),
                "breaks_at": at,
                "low": low,
                "high": high,
                "busiest": self.found.bottleneck(limit).map(|b| json!({ "part": b.name, "busy": b.busy })),
            })
        };
        let load = |(power, trial): (&i32, &breaking::Trial)| json!({ "times": self.ladder.load(*power), "rate_per_s": trial.rate });
        json!({
            "format": "rehearsal capacity",
            "version": 1,
            "answer": self.headline(),
            "replications": self.replications,
            "thresholds": self.found.limits.iter().map(limit).collect::<Vec<_>>(),
            "loads_tried": self.found.trials.iter().map(load).collect::<Vec<_>>(),
            "trust": trust(),
        })
    }
}

/// How far predictions were off where they were held against measurements.
fn trust() -> String {
    twin::line(LONG_QUEUES).unwrap_or_default()
}
