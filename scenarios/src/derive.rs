//! A window of a scenario at a reduced rate, as a scenario of its own.
//!
//! Traffic, keyspaces, memory and cores scale together, so that what was crowded stays crowded. The text is edited in
//! place: comments stay, and whatever is not scaled reads as before. Nothing refers to the original, so the result runs
//! anywhere.

mod adjust;
mod case;
mod files;
pub mod measuring;
mod planning;
mod portable;
mod scaling;
mod variant;

use std::path::Path;

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use crate::diagnostic::Diagnostics;
use crate::scenario::{Sampling, Scenario};
use crate::units::{Ratio, SimTime};
pub use adjust::{Adjustment, Breaks, adjusted};
pub use case::{case, with_load};
pub use measuring::{Measuring, measuring};
pub(crate) use planning::leads_into;
pub use planning::{Circumstances, busiest, for_planning, under, with_settings};
pub use portable::{Contents, Portable, named_files, portable};
use scaling::Scaling;
pub use variant::{played, variant};

/// The shortest warm-up that a window keeps of a longer one.
const WARMUP: SimTime = SimTime::from_secs(2);

/// A derived scenario.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Derived {
    /// The derived scenario. Places in its messages refer to the derived text, so it bears the original's name with
    /// `-derived`.
    pub scenario: Scenario,
    /// What it does not keep of the original; also in comments at the top of the text.
    pub warnings: Vec<String>,
}

/// Why there is no such window.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The window does not lie in the run.
    #[error("the window from {from} for {length} does not lie in the run, which lasts from {start} to {end}")]
    Outside {
        /// Where the window would start.
        from: SimTime,
        /// How long it would be.
        length: SimTime,
        /// Where the run starts on the timeline.
        start: SimTime,
        /// Where it ends.
        end: SimTime,
    },
    /// The ratio is zero.
    #[error("a rate of {0} leaves no traffic")]
    NoTraffic(Ratio),
    /// There is nobody to send requests to.
    #[error("there is nothing to measure: the scenario has neither a service nor anything before one")]
    NothingToMeasure,
    /// The seed is above what TOML holds.
    #[error("the seed {0} is above {max}", max = i64::MAX)]
    Seed(u64),
    /// There is no such variant.
    #[error("there is no variant {name:?}, expected {known}")]
    NoVariant {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A variant, or what is played, changes something that is not there.
    #[error(
        "{place}: {path:?} leads nowhere in the file, expected the path of a key, with places in lists from [1]; a new \
         machine or component is set as a whole"
    )]
    Path {
        /// Which of them: `variants.NAME`, or `play`.
        place: String,
        /// The path.
        path: String,
    },
    /// A changed value cannot be read.
    #[error("{path}: found {value:?}, expected a value as TOML has it: 4, true or \"50GB\"")]
    Value {
        /// The path.
        path: String,
        /// The text.
        value: String,
    },
    /// A value is set where nothing is.
    #[error("{path:?} leads nowhere in the file, expected the path of a key, such as hosts.app.count{hint}")]
    Setting {
        /// The path.
        path: String,
        /// What was probably meant, where something was.
        hint: String,
    },
    /// The derived text is no scenario.
    #[error("the derived scenario is not valid:\n{0}")]
    Invalid(Diagnostics),
}

/// Derives the window of `length` from `from` on the timeline, with all loads and capacities times `rate`, and `seed`.
/// Whatever is `None` stays as it is. The traffic keeps its timeline: a window of a ramp is that part of the ramp.
///
/// # Errors
/// Where the window is not in the run, nothing is left of the traffic, or the result breaks a rule of scenarios.
///
/// ```
/// use scenarios::{Scenario, derive};
/// let whole = Scenario::parse("quickstart.toml", scenarios::library::QUICKSTART).expect("it is tested");
/// let part = derive::window(&whole, None, Some("10s".parse().expect("a duration")), None, None).expect("it lies in the run");
/// assert_eq!(part.scenario.run.duration.to_string(), "10s");
/// ```
pub fn window(
    scenario: &Scenario,
    from: Option<SimTime>,
    length: Option<SimTime>,
    rate: Option<Ratio>,
    seed: Option<u64>,
) -> Result<Derived, Error> {
    let mut document = document(scenario);
    let mut notes = Vec::new();
    let run = &scenario.run;
    if from.is_some() || length.is_some() {
        let (start, end) = (run.from, run.from + run.duration);
        let from = from.unwrap_or(start);
        let length = length.unwrap_or(end.saturating_sub(from));
        if from < start || length == SimTime::ZERO || from.saturating_add(length) > end {
            return Err(Error::Outside { from, length, start, end });
        }
        let warmup = run.warmup.min(SimTime::from_nanos(length.as_nanos() / 2).max(WARMUP));
        let table = child(document.as_table_mut(), "run");
        set(table, "from", from.to_string());
        set(table, "duration", length.to_string());
        if !run.finds_warmup {
            set(table, "warmup", warmup.to_string());
        }
        if warmup < run.warmup {
            notes.push(format!("run.warmup: {} cut to {warmup}", run.warmup));
        }
    }
    if let Some(seed) = seed {
        let seed = i64::try_from(seed).map_err(|_| Error::Seed(seed))?;
        set(child(document.as_table_mut(), "run"), "seed", seed);
    }
    if let Some(rate) = rate.filter(|r| r.get() != 1.0) {
        if rate.get() <= 0.0 {
            return Err(Error::NoTraffic(rate));
        }
        Scaling { scenario, factor: rate.get(), notes: &mut notes }.all(&mut document);
        let root = document.as_table_mut();
        if root.remove("variants").is_some() {
            notes.push("variants: left out, as what they set is meant for the whole".to_owned());
        }
        variant::keep_published(root, None);
    }
    leave_out_parts(document.as_table_mut());
    let changes = [
        ("from", from.map(|t| t.to_string())),
        ("for", length.map(|t| t.to_string())),
        ("rate", rate.map(|r| r.to_string())),
        ("seed", seed.map(|s| s.to_string())),
    ];
    finish(scenario, document, &changes, notes)
}

/// The same scenario with its traffic times a factor and everything else as it is, for so long, held against one
/// condition: how much the stack can take.
///
/// # Errors
/// Where nothing is left of the traffic, or the result breaks a rule of scenarios.
pub fn under_load(
    scenario: &Scenario,
    factor: f64,
    (warmup, length): (SimTime, SimTime),
    (selector, condition): (&str, &str),
) -> Result<Derived, Error> {
    let mut document = document(scenario);
    let mut notes = Vec::new();
    let root = document.as_table_mut();
    let run = child(root, "run");
    set(run, "duration", length.to_string());
    set(run, "warmup", warmup.to_string());
    Scaling { scenario, factor, notes: &mut notes }.rates(root);
    let mut conditions = toml_edit::Array::new();
    conditions.push(condition);
    let mut thresholds = Table::new();
    thresholds.insert(selector, Item::Value(Value::Array(conditions)));
    root.insert("thresholds", Item::Table(thresholds));
    root.remove("published");
    leave_out_parts(root);
    let changes = [("load times", Some(factor.to_string())), ("for", Some(length.to_string()))];
    finish(scenario, document, &changes, notes)
}

/// The same scenario with another warm-up.
///
/// # Errors
/// Where the result breaks a rule of scenarios.
pub fn with_warmup(scenario: &Scenario, warmup: SimTime) -> Result<Derived, Error> {
    with_run(scenario, "warmup", &warmup.to_string())
}

/// The same scenario with another share of the keys followed.
///
/// # Errors
/// Where the result breaks a rule of scenarios.
pub fn with_sampling(scenario: &Scenario, sampling: Sampling) -> Result<Derived, Error> {
    with_run(scenario, "sampling", &sampling.to_string())
}

/// The same scenario with another value of a key of the run's frame.
fn with_run(scenario: &Scenario, key: &str, value: &str) -> Result<Derived, Error> {
    let mut document = document(scenario);
    set(child(document.as_table_mut(), "run"), key, value);
    finish(scenario, document, &[(key, Some(value.to_owned()))], Vec::new())
}

/// Leaves out what says which part of the whole is played or scored: what is derived is such a part already, or shorter.
fn leave_out_parts(root: &mut Table) {
    for part in ["play", "score", "plan", "twin"] {
        root.remove(part);
    }
}

/// The same, and all else that is said of the file as it is: its variants, and what was published of it.
fn leave_out_company(root: &mut Table) {
    leave_out_parts(root);
    root.remove("variants");
    root.remove("published");
}

/// The scenario's file, in which the files that it names are found from anywhere.
fn document(scenario: &Scenario) -> DocumentMut {
    let text = scenario.source.text.trim_start_matches('\u{feff}');
    let mut document: DocumentMut = text.parse().expect("a scenario was read from this text as TOML");
    let folder = scenario.source.path.parent().unwrap_or(Path::new(""));
    files::make_absolute(document.as_table_mut(), folder);
    document
}

/// The same scenario with nothing that breaks, as a file of its own: it has another hash, so nobody takes the one for the
/// other.
///
/// # Errors
/// Where the result breaks a rule of scenarios.
pub fn without_faults(scenario: &Scenario) -> Result<Derived, Error> {
    let mut document = document(scenario);
    adjust::nothing_breaks(scenario, document.as_table_mut());
    finish(scenario, document, &[("without faults", Some(String::new()))], Vec::new())
}

/// Reads a changed text, which says at its top what it was made from and may be put anywhere.
fn finish(
    scenario: &Scenario,
    document: DocumentMut,
    changes: &[(&str, Option<String>)],
    warnings: Vec<String>,
) -> Result<Derived, Error> {
    let name = scenario.source.path.file_stem().unwrap_or_default().to_string_lossy();
    let name = format!("{}-derived.toml", name.trim_end_matches("-derived"));
    let text = with_header(scenario, &document.to_string(), changes, &warnings);
    match Scenario::parse(name, text) {
        Ok(scenario) => Ok(Derived { scenario, warnings }),
        Err(problems) => Err(Error::Invalid(problems)),
    }
}

/// Says at the top what the text was made from; a schema's relative place would be wrong elsewhere.
fn with_header(
    scenario: &Scenario,
    text: &str,
    changes: &[(&str, Option<String>)],
    notes: &[String],
) -> String {
    let changes: Vec<String> = changes
        .iter()
        .filter_map(|(what, value)| Some(format!("{what} {}", value.as_ref()?).trim_end().to_owned()))
        .collect();
    let mut header = format!(
        "# Derived from {} (SHA-256 {}): {}.\n",
        scenario.source.path.file_name().unwrap_or_default().to_string_lossy().replace(char::is_control, "?"),
        scenario.source.hash,
        changes.join(" "),
    );
    for note in notes {
        header.push_str(&format!("# - {note}\n"));
    }
    let body: Vec<&str> = text.lines().filter(|line| !line.starts_with("#:schema")).collect();
    format!("{header}{}\n", body.join("\n"))
}

/// The table under a key; validation saw to it that there is one where it is asked for.
fn child<'a>(table: &'a mut dyn TableLike, key: &str) -> &'a mut dyn TableLike {
    if !table.contains_key(key) {
        table.insert(key, Item::Table(Table::new()));
    }
    table
        .get_mut(key)
        .and_then(Item::as_table_like_mut)
        .expect("the scenario has a table here: it was validated")
}

/// Sets a value and keeps the comments around it.
fn set(table: &mut dyn TableLike, key: &str, value: impl Into<Value>) {
    let mut value = value.into();
    if let Some(old) = table.get(key).and_then(Item::as_value) {
        *value.decor_mut() = old.decor().clone();
    }
    table.insert(key, Item::Value(value));
}
