//! What came of a session, for terminals and Markdown.

use super::reading::Group;
use super::result::{CaseResult, Cell, Measure, Results, Verdict};
use crate::format::{self, Unit};
use crate::table::Table;

/// Columns of the short table: a name and the kinds of numbers under it.
const COLUMNS: [(&str, &[Group]); 6] = [
    ("goodput", &[Group::Goodput]),
    ("p50", &[Group::P50]),
    ("p99, or load at it", &[Group::P99]),
    ("hit ratio", &[Group::HitRatio]),
    ("dip", &[Group::DipDepth, Group::DipDuration]),
    ("utilisation", &[Group::Utilisation]),
];

impl Cell {
    fn unit(&self) -> Unit {
        match self.quantity.group {
            Group::Goodput => Unit::PerSecond,
            Group::P50 | Group::P99 | Group::DipDuration => Unit::Seconds,
            Group::HitRatio | Group::DipDepth | Group::Utilisation => Unit::Share,
        }
    }

    /// An error or a noise of this cell, as readers see it.
    fn show(&self, value: f64) -> String {
        match self.error_is {
            Measure::Relative => format::relative(value),
            Measure::Points => Unit::Share.show_difference(value),
            Measure::Load => format!("{} load", format::relative(value)),
        }
    }

    /// The error with its noise: `−1.2% ± 0.8%`.
    pub(crate) fn error_words(&self) -> String {
        let Some(error) = self.error else { return "∞".to_owned() };
        // A noise has no sign, and the same unit, which is said once.
        let noise = self.noise.map(|noise| match self.error_is {
            Measure::Points => format::significant(noise * 100.0),
            _ => format::relative(noise).replace('+', ""),
        });
        let noise = noise.unwrap_or_else(|| "?".to_owned());
        let error = self.show(error);
        match error.split_once(' ') {
            Some((number, unit)) => format!("{number} ± {noise} {unit}"),
            None => format!("{error} ± {noise}"),
        }
    }

    fn side(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "∞".to_owned(), |value| self.unit().show(value))
    }

    /// What it was to be within.
    fn target_words(&self) -> String {
        match self.error_is {
            Measure::Points => format!("{} points", format::short(self.target * 100.0)),
            _ => format::percent(self.target),
        }
    }

    /// Its row: name, predicted, measured, error, target, verdict.
    pub(crate) fn row(&self) -> Vec<String> {
        let verdict = match &self.why {
            Some(why) => format!("{}: {why}", self.verdict.word()),
            None => self.verdict.word().to_owned(),
        };
        vec![
            self.quantity.name(),
            self.side(self.predicted),
            self.side(self.measured),
            self.error_words(),
            self.target_words(),
            verdict,
        ]
    }
}

impl CaseResult {
    /// The worst of some kinds of numbers: of those that miss, else of those that hold, else of those unmeasured.
    fn worst(&self, groups: &[Group]) -> Option<&Cell> {
        let of = |verdict: Verdict| {
            let cells =
                self.cells.iter().filter(move |c| groups.contains(&c.quantity.group) && c.verdict == verdict);
            // What is infinite is worst.
            cells.max_by(|a, b| {
                let strain = |cell: &Cell| cell.strain().unwrap_or(f64::INFINITY);
                strain(a).total_cmp(&strain(b))
            })
        };
        of(Verdict::Misses).or_else(|| of(Verdict::Holds)).or_else(|| of(Verdict::Unmeasured))
    }

    pub(crate) fn share_words(&self) -> String {
        self.machine_share.map_or_else(|| "–".to_owned(), format::percent_round)
    }

    /// Its cells in a table.
    pub(crate) fn table(&self) -> Table {
        let mut table = Table::new(&["", "predicted", "measured", "error", "target", ""]);
        table.rows = self.cells.iter().map(Cell::row).collect();
        table
    }

    /// What it is, with its load and how busy the machine was.
    pub(crate) fn head(&self) -> String {
        let pairs = if self.pairs == 1 { "pair" } else { "pairs" };
        let aside = match self.set_aside {
            0 => String::new(),
            more => format!(", {more} set aside as the hypervisor disturbed them"),
        };
        format!(
            "{}: {} ({}, {} {pairs} of runs{aside}, machine {} busy)",
            self.name,
            self.what,
            Unit::PerSecond.show(self.rate),
            self.pairs,
            self.share_words()
        )
    }
}

impl Results {
    /// What came of it, in a sentence or two.
    pub fn headline(&self) -> String {
        let all = self.cells().count();
        let [holds, misses, unmeasured] =
            [Verdict::Holds, Verdict::Misses, Verdict::Unmeasured].map(|verdict| self.count(verdict));
        let mut farthest = Vec::new();
        for (group, by_load) in Group::ALL.into_iter().flat_map(|group| [(group, false), (group, true)]) {
            let is_meant = |cell: &&Cell| {
                cell.quantity.group == group
                    && (cell.error_is == Measure::Load) == by_load
                    && cell.verdict != Verdict::Unmeasured
            };
            let error = |cell: &Cell| cell.error.map_or(f64::INFINITY, f64::abs);
            let cells = self.cells().map(|(_, cell)| cell).filter(is_meant);
            if let Some(worst) = cells.max_by(|a, b| error(a).total_cmp(&error(b))) {
                let off = worst.error_words().replace(" load", "");
                let name = if by_load { "load at p99" } else { group.name() };
                farthest.push(format!("{name} {off}"));
            }
        }
        let farthest = if farthest.is_empty() {
            String::new()
        } else {
            format!("; farthest off: {}", farthest.join(", "))
        };
        format!("{holds} of {all} numbers hold, {misses} miss, {unmeasured} unmeasured{farthest}")
    }

    fn shares(&self) -> Option<String> {
        let shares: Vec<f64> = self.cases.iter().filter_map(|case| case.machine_share).collect();
        let least = shares.iter().copied().reduce(f64::min)?;
        let most = shares.iter().copied().reduce(f64::max)?;
        Some(format!("{} to {}", format::percent_round(least), format::percent_round(most)))
    }

    /// What it was measured on.
    pub fn circumstances(&self) -> String {
        let engines = match self.engines.as_slice() {
            [] => "the stack's own components".to_owned(),
            some => some.join(", "),
        };
        let busy =
            self.shares().map_or_else(String::new, |shares| format!(", busy {shares} (generator and stack)"));
        let younger: Vec<&str> =
            self.cases.iter().filter(|case| case.calibrated_after).map(|case| case.name.as_str()).collect();
        let frozen = match younger.as_slice() {
            [] => String::new(),
            some => {
                format!("; NOT frozen before: the calibration is younger than runs of {}", some.join(", "))
            }
        };
        let most = self.cases.iter().map(|case| case.pairs + case.set_aside).max().unwrap_or(0);
        let repetitions = match self.repetitions {
            few if few < most => format!("{few} to {most}"),
            all => all.to_string(),
        };
        format!("{engines}; {repetitions} repetitions; {}{busy}{frozen}", self.machine)
    }

    /// A row for each case: of each kind of number the one that is farthest off its target.
    pub fn summary(&self) -> Table {
        let mut head = vec!["case", "load", "machine"];
        head.extend(COLUMNS.map(|(name, _)| name));
        let mut table = Table::new(&head);
        for case in &self.cases {
            let load = Unit::PerSecond.show(case.rate);
            let mut row = vec![case.name.clone(), load, case.share_words()];
            row.extend(COLUMNS.map(|(_, groups)| match case.worst(groups) {
                Some(cell) if cell.verdict == Verdict::Unmeasured => format!("({})", cell.error_words()),
                Some(cell) => format!("{} {}", cell.error_words(), cell.verdict.sign()),
                None => String::new(),
            }));
            table.rows.push(row);
        }
        table
    }

    /// What misses, and what is not measured, a line each.
    fn exceptions(&self) -> Vec<String> {
        let line = |(case, cell): (&CaseResult, &Cell)| {
            let [name, predicted, measured, error, target, verdict] =
                <[String; 6]>::try_from(cell.row()).unwrap_or_default();
            format!(
                "{}, {name}: {verdict}; {error} of {target} ({predicted}, measured {measured})",
                case.name
            )
        };
        let of = |verdict: Verdict| self.cells().filter(move |(_, cell)| cell.verdict == verdict);
        of(Verdict::Misses).chain(of(Verdict::Unmeasured)).map(line).collect()
    }

    fn doubts(&self) -> Vec<String> {
        let of = |case: &CaseResult| {
            let name = case.name.clone();
            case.doubts.iter().map(move |doubt| format!("⚠ {name}, {doubt}")).collect::<Vec<_>>()
        };
        self.cases.iter().flat_map(of).collect()
    }

    /// For a terminal.
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n\n{}",
            self.title,
            self.headline(),
            self.circumstances(),
            self.summary().text()
        );
        for line in self.doubts().into_iter().chain(self.exceptions()) {
            text += &format!("\n{line}");
        }
        text.trim_end().to_owned() + "\n"
    }

    /// For a page of a repository: the sentence, the short table, what does not hold, and all numbers.
    pub fn markdown(&self) -> String {
        let mut text = format!(
            "**{}**: {}.\n\n{}.\n\n{}",
            self.title,
            self.headline(),
            self.circumstances(),
            self.summary().markdown()
        );
        let lines: Vec<String> = self.doubts().into_iter().chain(self.exceptions()).collect();
        if !lines.is_empty() {
            text += "\n";
            lines.iter().for_each(|line| text += &format!("- {line}\n"));
        }
        for case in &self.cases {
            text += &format!("\n#### {}\n\n{}", case.head(), case.table().markdown());
        }
        text
    }

    /// In a sentence, for whoever rests on predictions of such a stack: how far the 99th percentile was off at the case with the
    /// load that is nearest to `load`, a share of the capacity. None where no such cell was measured.
    pub fn trust(&self, load: f64) -> Option<String> {
        let p99 = |case: &'_ CaseResult| {
            let is_whole = |cell: &&Cell| cell.quantity.group == Group::P99 && cell.quantity.of.is_empty();
            case.cells.iter().find(is_whole).filter(|cell| cell.verdict != Verdict::Unmeasured).cloned()
        };
        let cases = self.cases.iter().filter_map(|case| Some((case.load?, p99(case)?)));
        let (at, cell) = cases.min_by(|a, b| (a.0 - load).abs().total_cmp(&(b.0 - load).abs()))?;
        let off = match cell.error_is {
            Measure::Load => {
                format!("p99 was that of a load {} off", cell.error_words().replace(" load", ""))
            }
            _ => format!("p99 was off by {}", cell.error_words()),
        };
        Some(format!("{off} at {} of capacity", format::percent_round(at)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge;
    use super::super::reading::Quantity;
    use super::super::result::{FORMAT, Targets, VERSION};
    use super::*;

    fn targets() -> Targets {
        Targets {
            goodput: 0.05,
            p50: 0.1,
            p99: 0.2,
            load: 0.1,
            hit_ratio: 0.01,
            dip: 0.25,
            utilisation: 0.08,
        }
    }

    fn cell(group: Group, of: &str, pairs: &[(f64, f64)]) -> Cell {
        let target = targets().of(group);
        judge::by_difference(Quantity { group, of: of.to_owned() }, pairs, target, None)
    }

    fn results() -> Results {
        let good = [(0.0105, 0.01), (0.0104, 0.01), (0.0106, 0.01)];
        let bad = [(0.0155, 0.01), (0.0154, 0.01), (0.0156, 0.01)];
        let case = |name: &str, load, cells| CaseResult {
            name: name.to_owned(),
            what: "a load".to_owned(),
            load,
            rate: 300.0,
            pairs: 3,
            set_aside: 0,
            stolen_share: None,
            machine_share: Some(0.31),
            doubts: Vec::new(),
            calibrated_after: false,
            cells,
        };
        Results {
            format: FORMAT.to_owned(),
            version: VERSION,
            title: "A shop".to_owned(),
            file: "shop.toml".to_owned(),
            hash: "00".to_owned(),
            engines: Vec::new(),
            machine: "2 cores".to_owned(),
            repetitions: 3,
            first_seed: 1,
            order: Vec::new(),
            targets: targets(),
            cases: vec![
                case(
                    "steady-30",
                    Some(0.3),
                    vec![
                        cell(Group::P99, "", &good),
                        cell(Group::HitRatio, "objects", &[(0.5, 0.51), (0.5, 0.5)]),
                    ],
                ),
                case("steady-60", Some(0.6), vec![cell(Group::P50, "", &good), cell(Group::P99, "", &bad)]),
            ],
        }
    }

    #[test]
    fn the_headline_counts_cells_and_tells_the_worst_of_each_kind() {
        let told = results().headline();
        assert!(told.starts_with("2 of 4 numbers hold, 1 miss, 1 unmeasured; "), "{told}");
        assert!(told.contains("p50 +5.0% ± 2.5%") && told.contains("p99 +55.0% ± 2.5%"), "{told}");
        assert!(!told.contains("hit ratio"), "what is unmeasured says nothing: {told}");
    }

    #[test]
    fn the_summary_tells_the_worst_cell_of_each_kind_and_the_text_what_misses() {
        let results = results();
        let rows = results.summary().rows;
        assert_eq!(rows[1][4..6], ["+5.0% ± 2.5% ✓".to_owned(), "+55.0% ± 2.5% ✗".to_owned()]);
        let text = results.text();
        assert!(text.contains("steady-60, p99: ✗ misses; +55.0% ± 2.5% of 20%"), "{text}");
        assert!(text.contains("noise is more than half its target"), "{text}");
    }

    #[test]
    fn a_calibration_that_is_younger_than_the_runs_is_told() {
        let mut results = results();
        assert!(!results.circumstances().contains("frozen"));
        results.cases[1].calibrated_after = true;
        let told = results.circumstances();
        assert!(
            told.ends_with("NOT frozen before: the calibration is younger than runs of steady-60"),
            "{told}"
        );
        let read = Results::parse("twin.json", &results.json()).expect("it is one");
        assert!(read.cases[1].calibrated_after && !read.cases[0].calibrated_after);
    }

    #[test]
    fn runs_that_were_set_aside_and_further_ones_are_told() {
        let mut results = results();
        assert!(results.circumstances().contains("; 3 repetitions; "));
        results.cases[0].set_aside = 2;
        assert!(results.circumstances().contains("; 3 to 5 repetitions; "), "{}", results.circumstances());
        let told = results.cases[0].head();
        assert!(told.contains("3 pairs of runs, 2 set aside as the hypervisor disturbed them, "), "{told}");
        assert!(!results.cases[1].head().contains("aside"));
    }

    #[test]
    fn the_nearest_load_that_was_measured_is_what_a_prediction_rests_on() {
        assert_eq!(results().trust(0.4).as_deref(), Some("p99 was off by +5.0% ± 2.5% at 30% of capacity"));
        assert_eq!(results().trust(0.9).as_deref(), Some("p99 was off by +55.0% ± 2.5% at 60% of capacity"));
    }

    #[test]
    fn what_is_written_is_read_again_and_nothing_else_is() {
        let results = results();
        assert_eq!(Results::parse("twin.json", &results.json()).expect("it is one"), results);
        let other = results.json().replace(FORMAT, "other");
        let told = Results::parse("twin.json", &other).expect_err("it is none").to_string();
        assert!(told.contains("found \"other\""), "{told}");
    }
}
