//! Two runs of one scenario, side by side: every figure with its difference and the noise of both.
//!
//! Where one run is simulated and the other measured, the relative difference is the simulator's *prediction error*:
//! what it said, over what was measured, minus 1.
//!
//! The noise of a difference is that of two independent runs. Runs of one seed share their planned requests, so chance
//! explains less than that: "within noise" is said too often rather than too rarely.

use results::{Estimate, RunRecord, Scope, World};
use serde_json::{Value, json};

use crate::chart::Shift;
use crate::format::{self, Unit};
use crate::page;
use crate::phases::{DECILES, FAILED, Key, P50, P90, P99, THROUGHPUT, phases};
use crate::table::Table;
use crate::verdict;

/// The figures that are compared.
const KEYS: [Key; 5] = [THROUGHPUT, FAILED, P50, P90, P99];

/// Why two runs cannot be compared.
#[derive(Debug, thiserror::Error)]
pub enum Incomparable {
    /// They are of different scenarios.
    #[error(
        "the runs are of different scenarios, so their difference would mean nothing:\n  A: {path_a}, SHA-256 {hash_a}\n  B: {path_b}, SHA-256 {hash_b}\n  hint: run both worlds with the same file; a derived scenario lies beside its record as scenario.toml"
    )]
    Scenarios {
        /// The first run's file.
        path_a: String,
        /// The hash of its text.
        hash_a: String,
        /// The second run's file.
        path_b: String,
        /// The hash of its text.
        hash_b: String,
    },
    /// They are of one scenario, but its faults took place in only one of them.
    #[error(
        "the runs are of one scenario, but not with the same faults: A has the windows {a}; B has {b}\n  hint: run both with the faults, or the scenario without them"
    )]
    Faults {
        /// The first run's windows.
        a: String,
        /// The second run's windows.
        b: String,
    },
}

/// One figure in both runs.
#[derive(Clone, Debug)]
pub struct Row {
    key: Key,
    a: Option<Estimate>,
    b: Option<Estimate>,
    /// The value judged minus the one that it is held against.
    difference: Option<f64>,
    relative: Option<f64>,
    /// Half the width of the 95% interval of the difference, if the runs were independent.
    noise: Option<f64>,
    /// The same as a share of what the judged value is held against.
    relative_noise: Option<f64>,
}

/// All figures of one phase.
#[derive(Clone, Debug)]
pub struct PhaseRows {
    name: String,
    seconds: f64,
    rows: Vec<Row>,
}

/// Two runs of one scenario.
#[derive(Clone, Debug)]
pub struct Comparison<'a> {
    pub(crate) a: &'a RunRecord,
    pub(crate) b: &'a RunRecord,
    /// What the second run is called; the first is A.
    pub(crate) letter: char,
    phases: Vec<PhaseRows>,
    /// Of the whole.
    deciles: Vec<Row>,
}

/// Compares two runs.
///
/// # Errors
/// If their scenarios have different hashes, or one of them left the faults out.
pub fn compare<'a>(a: &'a RunRecord, b: &'a RunRecord) -> Result<Comparison<'a>, Incomparable> {
    if a.scenario.hash != b.scenario.hash {
        let name = |r: &RunRecord| (r.scenario.path.clone(), r.scenario.hash.clone());
        let ((path_a, hash_a), (path_b, hash_b)) = (name(a), name(b));
        return Err(Incomparable::Scenarios { path_a, hash_a, path_b, hash_b });
    }
    if a.frame != b.frame {
        let windows =
            |r: &RunRecord| r.frame.windows.iter().map(|w| w.name.as_str()).collect::<Vec<_>>().join(", ");
        return Err(Incomparable::Faults { a: windows(a), b: windows(b) });
    }
    let a_is_judged = predicts(a, b);
    let phases = phases(a).into_iter().map(|phase| PhaseRows {
        rows: KEYS.map(|k| Row::new(k, k.of(a, phase.scope), k.of(b, phase.scope), a_is_judged)).to_vec(),
        name: phase.name,
        seconds: phase.seconds,
    });
    let decile = |key: Key| Row::new(key, key.of(a, Scope::Run), key.of(b, Scope::Run), a_is_judged);
    Ok(Comparison { a, b, letter: 'B', phases: phases.collect(), deciles: DECILES.map(decile).to_vec() })
}

/// Several runs of one scenario, each held against the first.
#[derive(Clone, Debug)]
pub struct Comparisons<'a>(Vec<Comparison<'a>>);

/// Compares each run with the first.
///
/// # Errors
/// As [`compare`].
///
/// # Panics
/// Where there are fewer than two.
pub fn compare_all(runs: &[RunRecord]) -> Result<Comparisons<'_>, Incomparable> {
    let (first, others) = runs.split_first().expect("there are two runs at least");
    assert!(!others.is_empty(), "there are two runs at least");
    let lettered = |(letter, other)| Ok(Comparison { letter, ..compare(first, other)? });
    ('B'..='Z').zip(others).map(lettered).collect::<Result<_, _>>().map(Comparisons)
}

impl Comparisons<'_> {
    fn joined(&self, each: impl Fn(&Comparison<'_>) -> String) -> String {
        self.0.iter().map(each).collect::<Vec<_>>().join("\n")
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        self.joined(|comparison| comparison.text())
    }

    /// For a page of a repository.
    pub fn markdown(&self) -> String {
        self.joined(|comparison| comparison.markdown())
    }

    /// For programs: one comparison, or a list of several.
    pub fn json(&self) -> Value {
        match self.0.as_slice() {
            [one] => one.json(),
            several => several.iter().map(|comparison| comparison.json()).collect(),
        }
    }

    /// One self-contained HTML page with all runs on the same axes.
    pub fn html(&self) -> String {
        page::compared(&self.0)
    }
}

/// Whether `a` is a prediction of `b`.
fn predicts(a: &RunRecord, b: &RunRecord) -> bool {
    (a.world, b.world) == (World::Sim, World::Loadgen)
}

impl Row {
    fn new(key: Key, a: Option<Estimate>, b: Option<Estimate>, a_is_judged: bool) -> Self {
        let mut row = Self { key, a, b, difference: None, relative: None, noise: None, relative_noise: None };
        let (Some(a), Some(b)) = (a, b) else { return row };
        let (judged, reference) = if a_is_judged { (a, b) } else { (b, a) };
        if !judged.value.is_finite() || !reference.value.is_finite() {
            // Two infinite percentiles are equal in all that can be said of them.
            row.difference = (judged.value == reference.value).then_some(0.0);
            return row;
        }
        let difference = judged.value - reference.value;
        row.difference = Some(difference);
        row.relative = match (difference, reference.value) {
            (0.0, _) => Some(0.0),
            (_, 0.0) => None,
            (d, r) => Some(d / r),
        };
        let towards = |e: Estimate, up: bool| if up { e.high - e.value } else { e.value - e.low };
        let noise = towards(judged, difference < 0.0).hypot(towards(reference, difference > 0.0));
        row.noise = Some(noise).filter(|n| n.is_finite());
        row.relative_noise = row.noise.filter(|_| reference.value > 0.0).map(|n| n / reference.value);
        row
    }

    /// Whether the difference may be chance. None where nothing can be said.
    pub fn within_noise(&self) -> Option<bool> {
        Some(self.difference?.abs() <= self.noise?)
    }

    fn judged(&self) -> String {
        match (self.difference, self.within_noise()) {
            (None, _) => "–",
            (Some(0.0), _) => "equal",
            (_, Some(true)) => "within noise",
            (_, Some(false)) => "beyond noise",
            (_, None) => "too few requests",
        }
        .to_owned()
    }

    fn cells(&self) -> Vec<String> {
        let unit = self.key.unit;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
        let around = |unit: Unit| {
            self.noise.map_or_else(String::new, |noise| format!(" ± {}", unit.show_noise(noise)))
        };
        vec![
            self.key.name.to_owned(),
            format::with_noise(self.a, unit),
            format::with_noise(self.b, unit),
            or_dash(self.difference.map(|d| unit.show_difference(d) + &around(unit))),
            or_dash(self.relative.map(format::relative)),
            self.judged(),
        ]
    }
}

impl Comparison<'_> {
    /// Whether one run predicts what the other measured.
    pub fn is_prediction(&self) -> bool {
        self.a.world != self.b.world
    }

    /// What the differences are called.
    fn difference_title(&self) -> String {
        if self.is_prediction() {
            "prediction error".to_owned()
        } else {
            format!("{} against A", self.letter)
        }
    }

    /// The most important figures in one sentence, each with its noise.
    pub fn headline(&self) -> String {
        let Some(whole) = self.phases.first() else { return String::new() };
        let told = whole.rows.iter().filter(|r| [THROUGHPUT, FAILED, P50, P99].contains(&r.key)).map(|row| {
            let (error, noise) = if row.key.unit == Unit::Share {
                let show = |v: f64| Unit::Share.show(v);
                (row.difference.map(|d| Unit::Share.show_difference(d)), row.noise.map(show))
            } else {
                (
                    row.relative.map(format::relative),
                    row.relative_noise.map(|n| format::relative(n).replace('+', "")),
                )
            };
            let noise = noise.map_or_else(String::new, |noise| format!(" ± {noise}"));
            format!("{} {}{noise}", row.key.name, error.unwrap_or_else(|| "–".to_owned()))
        });
        let title =
            if self.is_prediction() { "Prediction error".to_owned() } else { self.difference_title() };
        format!("{title}: {}", told.collect::<Vec<_>>().join(", "))
    }

    /// What makes the comparison doubtful.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        for (name, run) in [('A', self.a), (self.letter, self.b)] {
            let outcome = verdict::outcome(run);
            if matches!(outcome, verdict::Outcome::Invalid | verdict::Outcome::Incomplete) {
                doubts.push(format!("{name} is {}: {}", run_word(outcome), verdict::sentence(run)));
            }
        }
        if self.a.scenario.seed != self.b.scenario.seed {
            doubts.push(format!("the seeds differ: {} and {}", self.a.scenario.seed, self.b.scenario.seed));
        }
        doubts
    }

    fn head(&self) -> Table {
        let letter = self.letter.to_string();
        Table::new(&["", "A", &letter, &self.difference_title(), "relative", "noise"])
    }

    /// The tables, one per phase, with their titles.
    pub(crate) fn tables(&self) -> Vec<(String, Table)> {
        let table = |phase: &PhaseRows| {
            let mut table = self.head();
            table.rows = phase.rows.iter().map(Row::cells).collect();
            (format!("{} ({})", phase.name, format::seconds(phase.seconds)), table)
        };
        self.phases.iter().map(table).collect()
    }

    pub(crate) fn names(&self) -> [String; 2] {
        let name = |letter, r: &RunRecord| {
            let p = &r.provenance;
            format!("{letter}: {}, by {}, started {:.0}", r.world.title(), p.tool, p.started)
        };
        [name('A', self.a), name(self.letter, self.b)]
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{}\n", self.a.scenario.title, self.headline());
        for doubt in self.doubts() {
            text += &format!("⚠ {doubt}\n");
        }
        for name in self.names() {
            text += &format!("  {name}\n");
        }
        // One table for all phases, so that columns stand under each other.
        let mut all = self.head();
        let mut titles = Vec::new();
        for (title, table) in self.tables() {
            titles.push(title);
            all.rows.extend(table.rows);
        }
        let lines: Vec<String> = all.text().lines().map(str::to_owned).collect();
        for (i, title) in titles.iter().enumerate() {
            text += &format!("\n{title}\n{}\n", lines[0]);
            for line in &lines[1 + i * KEYS.len()..1 + (i + 1) * KEYS.len()] {
                text += &format!("{line}\n");
            }
        }
        text
    }

    /// For a page of a repository.
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n**{}**\n\n", self.a.scenario.title, self.headline());
        for line in self.names().into_iter().chain(self.doubts().into_iter().map(|d| format!("⚠ {d}"))) {
            text += &format!("- {line}\n");
        }
        for (title, table) in self.tables() {
            text += &format!("\n#### {title}\n\n{}", table.markdown());
        }
        text
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let finite = |v: f64| Some(v).filter(|v| v.is_finite());
        let estimate = |e: Option<Estimate>| {
            e.map(
                |e| json!({"value": finite(e.value), "low": finite(e.low), "high": finite(e.high), "n": e.n}),
            )
        };
        let row = |r: &Row| {
            json!({
                "figure": r.key.name,
                "unit": r.key.unit.name(),
                "a": estimate(r.a),
                "b": estimate(r.b),
                "difference": r.difference,
                "relative": r.relative,
                "noise": r.noise,
                "relative_noise": r.relative_noise,
                "within_noise": r.within_noise(),
            })
        };
        let run = |r: &RunRecord| {
            json!({
                "world": r.world.name(),
                "status": r.status.name(),
                "valid": r.validity.is_valid(),
                "seed": r.scenario.seed,
                "started": r.provenance.started.to_string(),
            })
        };
        let phases = self.phases.iter().map(|p| {
            json!({"phase": p.name, "seconds": p.seconds, "figures": p.rows.iter().map(row).collect::<Vec<_>>()})
        });
        json!({
            "format": "rehearsal comparison",
            "version": 1,
            "scenario": {"title": self.a.scenario.title, "hash": self.a.scenario.hash},
            "kind": if self.is_prediction() { "prediction error" } else { "difference" },
            "a": run(self.a),
            "b": run(self.b),
            "doubts": self.doubts(),
            "phases": phases.collect::<Vec<_>>(),
        })
    }

    /// One self-contained HTML page.
    pub fn html(&self) -> String {
        page::compared(std::slice::from_ref(self))
    }

    /// The deciles' differences, as far as they are known.
    pub(crate) fn shifts(&self) -> Vec<Shift> {
        let shift = |row: &Row| {
            Some(Shift { name: row.key.name, relative: row.relative?, noise: row.relative_noise? })
        };
        self.deciles.iter().filter_map(shift).collect()
    }

    /// Their table.
    pub(crate) fn decile_table(&self) -> Table {
        Table { rows: self.deciles.iter().map(Row::cells).collect(), ..self.head() }
    }
}

fn run_word(outcome: verdict::Outcome) -> &'static str {
    match outcome {
        verdict::Outcome::Invalid => "invalid",
        _ => "incomplete",
    }
}
