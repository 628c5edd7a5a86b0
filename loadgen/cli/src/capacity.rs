//! Finds the greatest rate under which an objective holds: trial after trial against a stack of its own, or the same target.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::Context as _;
use clap::Args;
use loadgen::capacity::{Load, Search};
use loadgen::limits::{self, LimitError};
use programs::{Part, Problem, interrupt};
use results::{RunRecord, Scope};
use scenarios::scenario::Executor;
use scenarios::units::{Ratio, SimTime};
use scenarios::{Scenario, derive, exit};

use crate::arguments::Options;
use crate::play;
use crate::prepare;
use crate::summary::milliseconds;

/// How long a trial measures, where nothing else is said.
const TRIAL: SimTime = SimTime::from_secs(10);
/// The table of all trials, and their page.
const TABLE: &str = "capacity.csv";
const PAGE: &str = "capacity.html";
/// Invalid trials at one load before it is given up, and of a whole search before that is.
const ATTEMPTS: u32 = 3;
const INVALID: usize = 12;
/// The greatest width of a bar.
const BAR: f64 = 40.0;

/// What is to be found.
#[derive(Debug, Args)]
pub(crate) struct Objective {
    /// A scenario file
    file: PathBuf,
    /// The objective in k6's syntax, such as 'response_time p(99)<250ms' or 'failed rate<0.1%'
    #[arg(long, value_name = "OBJECTIVE", value_parser = objective)]
    slo: (String, String),
    /// How closely the capacity is enclosed
    #[arg(long, default_value = "5%", value_parser = programs::part::ratio)]
    precision: Ratio,
    /// Trials at the two rates that enclose it
    #[arg(long, default_value = "3")]
    repeats: u32,
    /// The load before the measured part of each trial
    #[arg(long, default_value = "2s", value_parser = str::parse::<SimTime>)]
    trial_warmup: SimTime,
}

/// Metric and condition, as in a file's thresholds.
fn objective(text: &str) -> Result<(String, String), String> {
    let parts = text.trim().rsplit_once(char::is_whitespace);
    let (selector, condition) =
        parts.ok_or("expected a metric and a condition: response_time p(99)<250ms")?;
    Ok((selector.trim().to_owned(), condition.to_owned()))
}

/// One trial.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// How many times the file's load it was to have.
    factor: f64,
    /// Requests that became due, per second.
    rate: f64,
    p50: Option<f64>,
    p99: Option<f64>,
    failed: f64,
    /// None of a trial that is invalid.
    holds: Option<bool>,
}

/// What was found so far.
#[derive(Debug)]
struct Course {
    search: Search,
    trials: Vec<Trial>,
    /// The records of the valid ones.
    records: Vec<RunRecord>,
    /// Why trials were invalid: of the last one.
    reasons: Vec<String>,
    /// The least load that the surroundings do not allow, where the search came upon one, and their limit.
    limited: Option<(f64, LimitError)>,
    /// The directory of the first trial, where the table goes.
    directory: Option<PathBuf>,
}

/// Finds it; the exit code.
pub(crate) fn find(objective: &Objective, options: &Options) -> Result<u8, Problem> {
    let stop = interrupt::listen().context("cannot listen for signals")?;
    if options.start_at.is_some() {
        let why = "trials begin one after another, as those before them ended";
        return Err(Problem::configuration(anyhow::anyhow!(
            "--segment and --start-at have no meaning here: {why}"
        )));
    }
    // The length is that of each trial.
    let part = Part { length: None, ..options.part.clone() };
    let whole = part.load(&objective.file)?.scenario;
    if let Some(replay) = whole.traffic.iter().find(|t| matches!(t.executor, Executor::Replay(_))) {
        let problem = format!(
            "traffic.{}.executor: found \"replay\", expected one whose load can be raised: a log has no more requests than \
             it has\nhint: its \"speed\" plays it faster",
            replay.name
        );
        return Err(Problem::configuration(anyhow::anyhow!(problem)));
    }
    let mut course = Course {
        search: Search::new(objective.precision.get(), objective.repeats),
        trials: Vec::new(),
        records: Vec::new(),
        reasons: Vec::new(),
        limited: None,
        directory: None,
    };
    // However the search ends, what it found is kept.
    let ended = course.walk(&whole, objective, options, &stop);
    let table = course.write_table()?;
    let mut out = io::stdout().lock();
    if course.trials.is_empty() {
        return ended;
    }
    write!(out, "{}", drawn(&course.trials))?;
    if course.search.next().is_some() {
        writeln!(out, "the search was not finished")?;
    }
    writeln!(out, "{}", answer(objective, &course))?;
    if let Some(table) = table {
        writeln!(out, "table  {}", table.display())?;
        // A search that ended after its first load has nothing to draw.
        if let Some(loads) = reports::loads(&course.records).ok().filter(|_| !options.no_report) {
            let page = table.with_file_name(PAGE);
            fs::write(&page, loads.html()).context("cannot write the report")?;
            writeln!(out, "report {}", page.display())?;
        }
    }
    ended
}

impl Course {
    /// Makes trial after trial; the exit code.
    fn walk(
        &mut self,
        whole: &Scenario,
        objective: &Objective,
        options: &Options,
        stop: &AtomicBool,
    ) -> Result<u8, Problem> {
        let metrics = play::metrics(options)?;
        let mut attempts = 0;
        while let Some(factor) = self.search.next() {
            let scenario = under_load(whole, objective, options, factor)?;
            match limits::check(&scenario) {
                Err(limit @ LimitError::Rate { .. }) => {
                    self.search.give_up(factor);
                    self.limited = Some((factor, limit));
                    continue;
                }
                other => other.map_err(Problem::configuration)?,
            }
            let prepared = prepare::of(scenario, options)?;
            let record = play::measure(&prepared, options, stop, (metrics.as_ref(), false))
                .inspect_err(|_| prepared.forget())?;
            let Some(record) = record.filter(|record| record.exit_code() != exit::INTERRUPTED) else {
                prepared.forget();
                return Ok(exit::INTERRUPTED);
            };
            self.directory.get_or_insert_with(|| prepared.directory.clone());
            let trial = Trial::of(factor, &record);
            if !options.quiet {
                writeln!(io::stderr(), "{}", line(&trial))?;
            }
            self.trials.push(trial);
            if let Some(holds) = trial.holds {
                attempts = 0;
                self.search.add(factor, holds);
                self.records.push(record);
                continue;
            }
            // A machine that stood still for a moment says nothing about the next trial.
            attempts += 1;
            self.reasons.clone_from(&record.validity.reasons);
            if self.trials.iter().filter(|trial| trial.holds.is_none()).count() >= INVALID {
                return Ok(exit::INVALID);
            }
            if attempts == ATTEMPTS {
                attempts = 0;
                self.search.give_up(factor);
            }
        }
        match &self.limited {
            // Where not even the least load is allowed, there is nothing to tell.
            Some((_, limit)) if self.trials.is_empty() => Err(Problem::configuration(limit.clone())),
            _ => Ok(if self.is_answered() { exit::GOOD } else { exit::INVALID }),
        }
    }

    /// Whether trials alone bound the search, or what nobody is allowed to ask for.
    fn is_answered(&self) -> bool {
        let is_bounded = self.search.beyond().is_none() || self.limit().is_some();
        is_bounded && self.search.bounds() != (None, None)
    }

    /// What of the surroundings bounds the search: none where an invalid trial did below it.
    fn limit(&self) -> Option<&LimitError> {
        let beyond = self.search.beyond()?;
        self.limited.as_ref().filter(|(factor, _)| *factor <= beyond).map(|(_, limit)| limit)
    }

    /// Writes the table of all trials, where there were any; its path.
    fn write_table(&self) -> Result<Option<PathBuf>, Problem> {
        let Some(directory) = &self.directory else { return Ok(None) };
        let path = Path::new(directory).join(TABLE);
        fs::write(&path, table(&self.trials)).context("cannot write the table")?;
        Ok(Some(path))
    }
}

/// What a trial plays: a scenario of its own.
fn under_load(
    whole: &Scenario,
    objective: &Objective,
    options: &Options,
    factor: f64,
) -> Result<Scenario, Problem> {
    let length = options.part.length.unwrap_or(TRIAL);
    let (selector, condition) = &objective.slo;
    let frame = (objective.trial_warmup, length);
    let derived = derive::under_load(whole, factor, frame, (selector, condition));
    Ok(derived.map_err(Problem::configuration)?.scenario)
}

impl Trial {
    fn of(factor: f64, record: &RunRecord) -> Self {
        let tally = record.tally(Scope::Run, None);
        let times = tally.response_times();
        let due = tally.due();
        Self {
            factor,
            rate: due as f64 / record.seconds(Scope::Run).max(1e-9),
            p50: times.percentile(50.0),
            p99: times.percentile(99.0),
            failed: tally.failed() as f64 / due.max(1) as f64,
            holds: (record.validity.is_valid())
                .then(|| record.thresholds.iter().all(|verdict| verdict.passed == Some(true))),
        }
    }
}

fn line(trial: &Trial) -> String {
    format!(
        "{:>9.0}/s  p50 {:>8}  p99 {:>8}  failed {:>6.2}%  {}",
        trial.rate,
        milliseconds(trial.p50),
        milliseconds(trial.p99),
        trial.failed * 100.0,
        match trial.holds {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None => "invalid",
        }
    )
}

/// Latency against load, a line per trial in order of rate; bars are of the 99th percentile, on a logarithmic scale.
fn drawn(trials: &[Trial]) -> String {
    let mut trials = trials.to_vec();
    trials.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let finite = |trial: &Trial| trial.p99.filter(|p99| p99.is_finite() && *p99 > 0.0);
    let least = trials.iter().filter_map(finite).fold(f64::INFINITY, f64::min);
    let most = trials.iter().filter_map(finite).fold(least, f64::max);
    let span = (most / least).ln().max(1e-9);
    let mut text = String::new();
    for trial in &trials {
        let share = finite(trial).map_or(1.0, |p99| (p99 / least).ln() / span);
        let bar = "█".repeat(1 + (share * BAR) as usize);
        writeln!(text, "{}  {bar}", line(trial)).expect("writing to a string does not fail");
    }
    text
}

fn table(trials: &[Trial]) -> String {
    let mut text = "rate_per_s,response_p50_us,response_p99_us,failed,verdict\n".to_owned();
    let micros = |seconds: Option<f64>| seconds.map_or_else(String::new, |s| format!("{:.1}", s * 1e6));
    for trial in trials {
        let (p50, p99) = (micros(trial.p50), micros(trial.p99));
        let verdict = match trial.holds {
            Some(true) => "holds",
            Some(false) => "fails",
            None => "invalid",
        };
        let rest = format!("{p50},{p99},{:.6},{verdict}", trial.failed);
        writeln!(text, "{:.3},{rest}", trial.rate).expect("writing to a string does not fail");
    }
    text
}

fn answer(objective: &Objective, course: &Course) -> String {
    let (selector, condition) = &objective.slo;
    // What came due, not what a multiple of the load would be: users of a closed loop ask no faster than they are answered.
    let rate = |factor: f64| {
        let of_load = |t: &&Trial| t.factor == factor;
        let rates: Vec<f64> = course.trials.iter().filter(of_load).map(|t| t.rate).collect();
        rates.iter().sum::<f64>() / rates.len().max(1) as f64
    };
    let at = |load: &Load| rate(load.factor);
    let of = |n: u32, load: &Load| format!("{n} of {} trials", load.held + load.failed);
    let (low, high) = course.search.bounds();
    let mut text = match (low, high) {
        (Some(low), Some(high)) if course.search.beyond().is_none() => format!(
            "{selector} {condition} holds up to between {:.0}/s ({}) and {:.0}/s (failed in {})",
            at(&low),
            of(low.held, &low),
            at(&high),
            of(high.failed, &high)
        ),
        (Some(low), _) => {
            format!("{selector} {condition} holds at every rate tried, up to {:.0}/s", at(&low))
        }
        (None, Some(high)) => {
            format!("{selector} {condition} holds at no rate tried, down to {:.0}/s", at(&high))
        }
        (None, None) => format!("nothing is known of {selector} {condition}: no trial was valid"),
    };
    if let Some(LimitError::Rate { limit, .. }) = course.limit() {
        write!(
            text,
            "\nwhat holds above is not known: {} allows no more than {limit}/s here",
            limits::MAX_RATE
        )
        .expect("writing to a string does not fail");
    } else if let Some(beyond) = course.search.beyond() {
        // The generator's own limit is no capacity of the server's.
        let reasons = course.reasons.join("; ");
        write!(
            text,
            "\nwhat holds from {:.0}/s on is not known, as no trial there was valid: {reasons}",
            rate(beyond)
        )
        .expect("writing to a string does not fail");
        text.push_str("\nhint: use more --threads, another machine, or a quieter one");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_objective_is_a_metric_and_a_condition() {
        let read = |text| objective(text).map(|(a, b)| format!("{a}|{b}"));
        assert_eq!(read("response_time p(99)<250ms").as_deref(), Ok("response_time|p(99)<250ms"));
        assert_eq!(
            read("response_time{class:product} p(99)<1s").as_deref(),
            Ok("response_time{class:product}|p(99)<1s")
        );
        assert!(read("p(99)<250ms").is_err());
    }

    #[test]
    fn what_the_surroundings_allow_is_told_from_what_the_machine_can_do() {
        let limit = LimitError::Rate { found: 200.0, limit: 150.0 };
        let mut course = Course {
            search: Search::new(0.05, 1),
            trials: Vec::new(),
            records: Vec::new(),
            reasons: vec!["the machine stood still".to_owned()],
            limited: Some((2.0, limit)),
            directory: None,
        };
        course.search.add(1.0, true);
        course.search.give_up(2.0);
        let slo = ("response_time".to_owned(), "p(99)<1s".to_owned());
        let file = PathBuf::from("shop.toml");
        let precision = Ratio::new(0.05);
        let objective = Objective { file, slo, precision, repeats: 1, trial_warmup: SimTime::ZERO };
        let text = answer(&objective, &course);
        assert!(
            course.is_answered() && text.contains("REHEARSAL_MAX_RATE allows no more than 150/s"),
            "{text}"
        );
        // A load below it at which no trial was valid is what bounds the search.
        course.search.give_up(1.5);
        let text = answer(&objective, &course);
        assert!(!course.is_answered() && text.contains("the machine stood still"), "{text}");
        assert!(!text.contains("REHEARSAL_MAX_RATE"), "{text}");
    }

    #[test]
    fn what_was_tried_is_drawn_in_order_of_its_rate() {
        let trial = |rate, p99, holds| Trial {
            factor: 1.0,
            rate,
            p50: Some(0.001),
            p99: Some(p99),
            failed: 0.0,
            holds,
        };
        let trials = [
            trial(100.0, 0.01, Some(true)),
            trial(400.0, f64::INFINITY, None),
            trial(200.0, 0.1, Some(false)),
        ];
        let text = drawn(&trials);
        let rates: Vec<&str> = text.lines().map(|l| l.split_whitespace().next().expect("a rate")).collect();
        assert_eq!(rates, ["100/s", "200/s", "400/s"]);
        let table = table(&trials);
        let verdicts: Vec<&str> = table.lines().map(|l| l.rsplit(',').next().expect("a verdict")).collect();
        assert_eq!(verdicts, ["verdict", "holds", "invalid", "fails"]);
    }
}
