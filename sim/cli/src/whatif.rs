//! A file with some values changed, beside the file as it is: with the same random numbers, what differs, and by more than chance?

use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use programs::{Part, Problem, Progress, interrupt};
use reports::{Paired, Sheet, Table};
use results::{Replications, Selection};
use scenarios::scenario::{Observed, Setting};
use scenarios::threshold::Threshold;
use scenarios::{Scenario, derive, exit};
use serde_json::{Value, json};

use crate::arguments::{self, Told};
use crate::changes::Changes;
use crate::trials::{self, Held};
use crate::{compare, warmup};

/// What is changed.
#[derive(Debug, Args)]
pub(crate) struct WhatIf {
    /// The scenario file
    file: PathBuf,
    /// A value of the file by its path, such as hosts.app.count=2; what is no TOML value is taken for a text
    #[arg(long = "set", value_name = "PATH=VALUE", required = true, value_parser = str::parse::<Setting>)]
    settings: Vec<Setting>,
    #[command(flatten)]
    part: Part,
    #[command(flatten)]
    changes: Changes,
    /// With so many seeds, the same for both
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    replications: u32,
    #[command(flatten)]
    told: Told,
}

/// Runs both and tells what differs; the exit code.
pub(crate) fn run(arguments: &WhatIf) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("signal handlers cannot be set")?;
    let own = arguments.changes.apply(trials::load(&arguments.part, &arguments.file)?)?;
    let changed = derive::with_settings(&own, &arguments.settings).map_err(Problem::configuration)?;
    let mut changed = changed.scenario;
    // The same seed gives both the same arrivals, keys and durations, whatever is set.
    changed.run.seed = own.run.seed;
    let mut progress = Progress::new(!arguments.told.quiet);
    let mut play = |scenario: &Scenario, name: &str| {
        let scenario = warmup::apply(None, scenario.clone(), &mut progress, &stop)?.0;
        let threads = arguments::threads(arguments.told.threads);
        compare::replicate((arguments.replications, threads), &scenario, name, &mut progress, &stop)
    };
    let (of_a, of_b) = (play(&own, "the file")?, play(&changed, "the change")?);
    progress.end();
    let (Some(of_a), Some(of_b)) = (of_a, of_b) else { return Ok(exit::INTERRUPTED) };
    let told = arguments.settings.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let a_name = arguments.file.display().to_string();
    let paired = Paired::new((a_name, &of_a), (format!("the same with {told}"), &of_b));
    let verdicts = verdicts(&own, (&of_a, &of_b));
    let answer = Answer { own: &own, changed: &changed, told, paired, verdicts };
    let mut out = io::stdout().lock();
    if arguments.told.json {
        writeln!(out, "{:#}", answer.json())?;
    } else {
        write!(out, "{}", answer.text())?;
    }
    if let Some(path) = &arguments.told.html {
        fs::write(path, answer.html()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(exit::GOOD)
}

/// A threshold in both designs.
#[derive(Debug)]
struct Verdict {
    threshold: Threshold,
    /// How it stands on the mean of the replications, and in how many of how many it holds.
    sides: [Side; 2],
}

#[derive(Clone, Copy, Debug)]
struct Side {
    held: Held,
    times: usize,
    of: usize,
}

impl Verdict {
    fn change(&self) -> Option<&'static str> {
        match self.sides.map(|side| side.held.holds) {
            [true, false] => Some("now fails"),
            [false, true] => Some("now holds"),
            _ => None,
        }
    }
}

/// Thresholds that both designs have, in the order of the file.
fn verdicts(own: &Scenario, both: (&Replications, &Replications)) -> Vec<Verdict> {
    let side = |threshold: &Threshold, replications: &Replications| {
        let values = replications.values(&Selection::from(&threshold.figure))?;
        let times = values.iter().filter(|v| threshold.comparison.holds(**v, threshold.limit)).count();
        Some(Side { held: Held::of(threshold, values)?, times, of: values.len() })
    };
    let verdict = |threshold: &Threshold| {
        let sides = [side(threshold, both.0)?, side(threshold, both.1)?];
        Some(Verdict { threshold: threshold.clone(), sides })
    };
    own.thresholds.iter().filter_map(verdict).collect()
}

/// What came of it.
struct Answer<'a> {
    own: &'a Scenario,
    changed: &'a Scenario,
    told: String,
    paired: Paired,
    verdicts: Vec<Verdict>,
}

impl Answer<'_> {
    /// What it costs, before and after; empty where the file has no prices.
    fn costs(&self) -> Option<(f64, f64, String)> {
        let (after, currency) = trials::cost(self.changed)?;
        let (before, own_currency) = trials::cost(self.own)?;
        (currency == own_currency).then_some((before, after, currency))
    }

    fn headline(&self) -> String {
        let mut sentences = Vec::new();
        for verdict in &self.verdicts {
            if let Some(change) = verdict.change() {
                sentences.push(format!("{} {change}", trials::words(&verdict.threshold)));
            }
        }
        if sentences.is_empty() && !self.verdicts.is_empty() {
            sentences.push("no threshold changes its verdict".to_owned());
        }
        let (differ, of) = self.paired.differing();
        sentences.push(format!("{differ} of {of} figures differ by more than chance"));
        if let Some((before, after, currency)) = self.costs() {
            sentences.push(match after - before {
                0.0 => format!("it costs the same, {after:.2} {currency} a month"),
                more => format!("it costs {after:.2} {currency} a month, {more:+.2}").replace('-', "−"),
            });
        }
        sentences.join("; ")
    }

    fn table(&self) -> Table {
        let mut table = Table::new(&["threshold", "A", "holds in", "B", "holds in", ""]);
        for verdict in &self.verdicts {
            let observed = Observed::Requests(verdict.threshold.figure.clone());
            let mut row = vec![trials::words(&verdict.threshold)];
            for side in verdict.sides {
                row.push(reports::shown(&observed, side.held.value));
                row.push(format!("{} of {}", side.times, side.of));
            }
            row.push(verdict.change().unwrap_or_default().to_owned());
            table.rows.push(row);
        }
        table
    }

    fn text(&self) -> String {
        let mut text = self.paired.text();
        if !self.verdicts.is_empty() {
            text += &format!("\n{}", self.table().text());
        }
        format!("{text}\n{}\n", self.headline())
    }

    fn html(&self) -> String {
        let title = format!("{}: what if {}", self.own.title, self.told);
        let mut sheet = Sheet::new("What if", &title, &self.headline());
        if !self.verdicts.is_empty() {
            let caption = "On the mean of the replications, and in how many of them each holds.";
            sheet = sheet.table("Thresholds", caption, &self.table());
        }
        let caption = "A is the file as it is, B the same with the change; both with the same random numbers. The ± is of the \
                       differences of the pairs.";
        sheet.table("Figures", caption, &self.paired.table()).html()
    }

    fn json(&self) -> Value {
        let mut object = self.paired.json();
        let finite = |v: f64| Some(v).filter(|v| v.is_finite());
        let side = |side: &Side| {
            let Held { value, holds, .. } = side.held;
            json!({ "value": finite(value), "holds": holds, "replications_that_hold": side.times })
        };
        let verdict = |verdict: &Verdict| {
            json!({
                "metric": verdict.threshold.selector,
                "condition": verdict.threshold.condition,
                "a": side(&verdict.sides[0]),
                "b": side(&verdict.sides[1]),
                "change": verdict.change(),
            })
        };
        object["set"] = json!(self.told);
        object["thresholds"] = self.verdicts.iter().map(verdict).collect();
        object["cost_per_month"] = match self.costs() {
            Some((a, b, currency)) => json!({ "a": a, "b": b, "currency": currency }),
            None => Value::Null,
        };
        object
    }
}
