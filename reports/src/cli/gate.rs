//! `report gate` and `report drift`: from arguments to a session and its exit code.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use reports::gate::measure::{self, Bench, Side};
use reports::gate::quantity::Metric;
use reports::gate::resample::{Tally, sessions};
use reports::gate::rounds::{Arm, Rounds};
use reports::gate::session::{Played, Session, Source as _, Verdict, hold};
use reports::gate::settings::Settings;
use reports::gate::{accepted, history, words};
use scenarios::exit;
use scenarios::units::{Ratio, SimTime};

pub(super) const EXAMPLES: &str = "\
Examples:
  report gate steady.toml --base './old --port {port}' --candidate './new --port {port}'
  report gate steady.toml saturated.toml --base http://127.0.0.1:8080 --candidate http://127.0.0.1:8081
  report gate steady.toml --base './old --port {port}' --self-test      how often would it be wrong here?
  report gate --self-test --from rounds.json                            the same, of noise that was recorded before
  report gate FILE --base B --candidate C --accepted accepted.toml --junit gate.xml --markdown summary.md

A side is a URL, or a command with {port} where its server's port goes: it is run by the shell, anew for each block, and
ends with all that it started. Commands are taken from the command line alone, never from a file.
Exit codes: 0 pass or improved, 112 regressed, 113 inconclusive, 111 the machine was disturbed, 104 what was asked cannot be done,
105 interrupted.";

/// What to do about a session that leaves it open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Inconclusive {
    /// Exit code 113.
    Fail,
    /// Exit code 0; the report says it all the same.
    Pass,
}

#[derive(Debug, Args)]
pub(super) struct Gate {
    /// The scenarios that each block plays, one after the other: closed loops tell throughput, others response times
    #[arg(value_name = "FILE", required_unless_present = "from")]
    files: Vec<PathBuf>,
    /// What is there: a URL, or a command that says {port}
    #[arg(long, value_name = "SIDE", value_parser = Side::parse, required_unless_present = "from")]
    base: Option<Side>,
    /// What is to come
    #[arg(long, value_name = "SIDE", value_parser = Side::parse, required_unless_present = "self_test")]
    candidate: Option<Side>,
    /// A change for the worse up to this is none
    #[arg(long, value_name = "SHARE", default_value = "1%", value_parser = programs::part::ratio)]
    margin: Ratio,
    /// A change for the worse from this on must be noticed
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = programs::part::ratio)]
    detect: Ratio,
    /// Plays open loops against one side after the other, as closed ones are, and not against all at the same time: for servers that cannot
    /// run side by side, or loads that take most of the machine
    #[arg(long)]
    in_turn: bool,
    /// The longest that a session may take
    #[arg(long, value_name = "TIME", default_value = "12m", value_parser = str::parse::<SimTime>)]
    budget: SimTime,
    /// Decides the order of the blocks
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Regressions that are accepted, with a reason and an end
    #[arg(long, value_name = "FILE")]
    accepted: Option<PathBuf>,
    /// What a session that leaves it open ends with
    #[arg(long, value_enum, default_value = "fail")]
    inconclusive: Inconclusive,
    /// Appends what came of it to a history, for `report drift`; what is compared has to be named
    #[arg(long, value_name = "FILE", requires_all = ["base_name", "candidate_name"])]
    history: Option<PathBuf>,
    /// What the base is called there, such as a commit
    #[arg(long, value_name = "NAME")]
    base_name: Option<String>,
    /// What the candidate is called there
    #[arg(long, value_name = "NAME")]
    candidate_name: Option<String>,
    /// Keeps what was measured
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// Writes JUnit
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Appends Markdown, as to a job's summary
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Prints workflow commands that GitHub shows beside the change, three at most
    #[arg(long)]
    annotations: bool,
    /// The load generator; by default the one beside this program
    #[arg(long, value_name = "PROGRAM")]
    loadgen: Option<PathBuf>,
    /// Measures the base against itself, and says how often the gate would be wrong on such a machine
    #[arg(long)]
    self_test: bool,
    /// Rounds that a self-test plays
    #[arg(long, default_value = "40", value_parser = clap::value_parser!(u32).range(4..=10_000))]
    rounds: u32,
    /// Sessions that a self-test draws from them
    #[arg(long, default_value = "10000", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    sessions: u64,
    /// Rounds that were saved before, instead of new ones; only for a self-test
    #[arg(long, value_name = "FILE", num_args = 1.., requires = "self_test", conflicts_with = "files")]
    from: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Drift {
    /// What `report gate --history` appended to
    history: PathBuf,
    /// A change for the worse up to this is none
    #[arg(long, value_name = "SHARE", default_value = "2%", value_parser = programs::part::ratio)]
    margin: Ratio,
    /// Losses that are accepted, with a reason and an end, as for `report gate`
    #[arg(long, value_name = "FILE")]
    accepted: Option<PathBuf>,
}

/// Says on standard error how the session stands, every few seconds.
#[derive(Debug, Default)]
struct Said {
    rounds: usize,
    disturbed: usize,
    said: Duration,
}

/// Rounds follow each other faster than anybody reads.
const SAY: Duration = Duration::from_secs(5);

impl measure::Progress for Said {
    fn round(&mut self, good: bool, elapsed: Duration) {
        *(if good { &mut self.rounds } else { &mut self.disturbed }) += 1;
        if elapsed < self.said + SAY {
            return;
        }
        self.said = elapsed;
        let (rounds, disturbed) = (self.rounds, self.disturbed);
        let what = match disturbed {
            0 => String::new(),
            some => format!(", {some} disturbed and played again"),
        };
        // Whoever closed standard error does not want to know.
        let _ = writeln!(io::stderr(), "{rounds} rounds, {:.0} s{what}", elapsed.as_secs_f64());
    }
}

/// Where blocks leave their records: in memory, where there is a file system of it. Each record is written so that it would outlive
/// a failure of the machine's power, is read, and is removed, hundreds of times; a disk would make that a large part of a session.
fn blocks_directory() -> anyhow::Result<tempfile::TempDir> {
    let in_memory = tempfile::tempdir_in("/dev/shm");
    in_memory.or_else(|_| tempfile::tempdir()).context("no directory for the blocks")
}

impl Gate {
    fn settings(&self) -> anyhow::Result<Settings> {
        let (margin, detect) = (self.margin.get(), self.detect.get());
        if !(0.0..detect).contains(&margin) {
            bail!(
                "--margin {margin}, --detect {detect}: expected a margin from 0 to below what must be noticed"
            );
        }
        let budget = Duration::from_nanos(self.budget.as_nanos());
        Ok(Settings { margin, detect, budget, seed: self.seed, ..Settings::default() })
    }

    /// Holds the session and says what came of it; the exit code.
    pub(super) fn run(&self, to: &mut impl Write) -> anyhow::Result<u8> {
        let settings = self.settings()?;
        if self.self_test {
            return self.test(&settings, to);
        }
        let begun = Instant::now();
        let (session, notes) = match self.held(&settings) {
            Ok(Some(held)) => held,
            Ok(None) => return Ok(exit::INTERRUPTED),
            Err(problem) => {
                let told = self.tell_problem(&format!("{problem:#}"), begun.elapsed(), to);
                return Err(match told {
                    Ok(()) => problem,
                    Err(second) => problem.context(second),
                });
            }
        };
        self.tell(&session, &notes, to)?;
        Ok(match session.verdict {
            Verdict::Pass | Verdict::Improved => exit::GOOD,
            Verdict::Regressed => exit::REGRESSED,
            Verdict::Invalid => exit::INVALID,
            Verdict::Inconclusive if self.inconclusive == Inconclusive::Pass => exit::GOOD,
            Verdict::Inconclusive => exit::INCONCLUSIVE,
        })
    }

    /// A session, and what there is to say of accepted regressions; none where it was interrupted.
    fn held(&self, settings: &Settings) -> anyhow::Result<Option<(Session, Vec<String>)>> {
        let accepted = self.accepted.as_deref().map(accepted::read).transpose()?.unwrap_or_default();
        let (Some(base), Some(candidate)) = (&self.base, &self.candidate) else {
            bail!("--base and --candidate are both needed");
        };
        let directory = blocks_directory()?;
        let mut bench = self.bench(base.clone(), candidate.clone(), directory.path())?;
        let mut session = match hold(&mut bench, settings) {
            Err(measure::Error::Interrupted) => return Ok(None),
            session => session?,
        };
        let today = jiff::Zoned::now().date();
        let notes = accepted::apply(&mut session, &accepted, today);
        Ok(Some((session, notes)))
    }

    fn bench(&self, base: Side, candidate: Side, directory: &Path) -> anyhow::Result<Bench> {
        let loadgen = match &self.loadgen {
            Some(path) => path.clone(),
            None => std::env::current_exe().context("where this program lies")?.with_file_name("loadgen"),
        };
        let stop = programs::interrupt::listen().context("cannot listen for signals")?;
        let said = Box::new(Said::default());
        Ok(Bench::new(
            &self.files,
            (base, candidate),
            loadgen,
            self.in_turn,
            directory,
            Arc::clone(&stop),
            said,
        )?)
    }

    fn tell(&self, session: &Session, notes: &[String], to: &mut impl Write) -> anyhow::Result<()> {
        write!(to, "{}", words::text(session, notes))?;
        if self.annotations {
            write!(to, "{}", words::annotations(session))?;
        }
        self.write(&words::junit(session), &words::markdown(session, notes))?;
        if let Some(path) = &self.save {
            let mut all = session.first.clone();
            all.rounds.extend(session.second.rounds.iter().cloned());
            all.save(path)?;
        }
        if let Some(path) = self.history.as_ref().filter(|_| session.verdict != Verdict::Invalid) {
            let now = jiff::Timestamp::now().to_string();
            // Both are required beside a history.
            let name = |name: &Option<String>| name.clone().unwrap_or_default();
            history::Entry::of(session, now, name(&self.base_name), name(&self.candidate_name))
                .append(path)?;
        }
        Ok(())
    }

    /// Says why there is no verdict wherever a code host looks; people are told on standard error.
    fn tell_problem(&self, problem: &str, took: Duration, to: &mut impl Write) -> anyhow::Result<()> {
        if self.annotations {
            write!(to, "{}", words::annotation_of_problem(problem))?;
        }
        let junit = words::junit_of_problem(problem, took.as_secs_f64());
        self.write(&junit, &words::markdown_of_problem(problem))
    }

    /// Writes JUnit and appends Markdown, each where it is asked for.
    fn write(&self, junit: &str, markdown: &str) -> anyhow::Result<()> {
        let written = |path: &PathBuf| format!("{}: cannot be written", path.display());
        if let Some(path) = &self.junit {
            std::fs::write(path, junit).with_context(|| written(path))?;
        }
        if let Some(path) = &self.markdown {
            let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
            file.and_then(|mut file| file.write_all(markdown.as_bytes())).with_context(|| written(path))?;
        }
        Ok(())
    }

    /// Plays rounds of the base against itself, or reads some, and tells how often sessions of such rounds go wrong.
    fn test(&self, settings: &Settings, to: &mut impl Write) -> anyhow::Result<u8> {
        let recorded = if self.from.is_empty() {
            match self.record(to)? {
                Some(recorded) => vec![recorded],
                None => return Ok(exit::INTERRUPTED),
            }
        } else {
            self.read()?
        };
        let rounds: usize = recorded.iter().map(|r| r.rounds.len()).sum();
        writeln!(
            to,
            "{} sessions each, drawn from {rounds} rounds of a program against itself\n",
            self.sessions
        )?;
        let mut table = reports::Table::new(&[
            "the candidate",
            "regressed",
            "95% interval",
            "inconclusive",
            "invalid",
            "seconds a session",
        ]);
        let mut row = |name: String, tally: Tally| {
            let (share, low, high) = tally.regressed_share();
            let of = |count: u64| format!("{:.2}%", 100.0 * count as f64 / tally.sessions as f64);
            table.rows.push(vec![
                name,
                format!("{:.2}%", 100.0 * share),
                format!("{:.2} to {:.2}%", 100.0 * low, 100.0 * high),
                of(tally.inconclusive),
                of(tally.invalid),
                (tally.seconds / tally.sessions).to_string(),
            ]);
        };
        row("is the base (false alarms)".to_owned(), sessions(&recorded, settings, None, self.sessions));
        let metrics = [Metric::CpuPerRequest, Metric::P50, Metric::Throughput];
        let measured =
            |metric: &Metric| recorded.iter().any(|r| r.quantities.iter().any(|q| q.metric == *metric));
        for metric in metrics.into_iter().filter(measured) {
            let by = settings.rules(metric).detect;
            let name = format!("is worse in {} by {}", metric.name(), metric.show(by));
            row(name, sessions(&recorded, settings, Some((metric, by)), self.sessions));
        }
        write!(to, "{}", table.markdown())?;
        Ok(exit::GOOD)
    }

    fn read(&self) -> anyhow::Result<Vec<Rounds>> {
        let recorded = self.from.iter().map(|path| Rounds::read(path)).collect::<Result<Vec<_>, _>>()?;
        match recorded.iter().position(|r| r.rounds.is_empty()) {
            Some(empty) => bail!("{}: has no rounds", self.from[empty].display()),
            None => Ok(recorded),
        }
    }

    /// Rounds of the base against itself; none where that was interrupted.
    fn record(&self, to: &mut impl Write) -> anyhow::Result<Option<Rounds>> {
        let Some(base) = &self.base else { bail!("--base is needed, or --from with rounds of before") };
        let directory = blocks_directory()?;
        let mut bench = self.bench(base.clone(), base.clone(), directory.path())?;
        let mut recorded = Rounds { quantities: bench.quantities(), rounds: Vec::new() };
        let mut disturbed = 0;
        while recorded.rounds.len() < self.rounds as usize {
            let order = Arm::ORDERS[(recorded.rounds.len() * 5 + recorded.rounds.len() / 6) % 6];
            match bench.round(order) {
                Ok(Played::Well(round)) => recorded.rounds.push(round),
                Ok(Played::Disturbed(_)) => disturbed += 1,
                Err(measure::Error::Interrupted) => return Ok(None),
                Err(error) => return Err(error.into()),
            }
            if disturbed > 8 + recorded.rounds.len() {
                bail!("more than half of the rounds were disturbed: no gate can work on this machine now");
            }
        }
        if let Some(path) = &self.save {
            recorded.save(path)?;
        }
        writeln!(to, "{disturbed} rounds were disturbed and played again")?;
        Ok(Some(recorded))
    }
}

impl Drift {
    /// Says what the history tells; the exit code.
    pub(super) fn run(&self, to: &mut impl Write) -> anyhow::Result<u8> {
        let margin = self.margin.get();
        let settings = Settings { margin, ..Settings::default() };
        let accepted = self.accepted.as_deref().map(accepted::read).transpose()?.unwrap_or_default();
        let today = jiff::Zoned::now().date();
        let entries = history::read(&self.history)?;
        let mut regressed = false;
        for drift in history::drift(&entries, &settings) {
            let show = |v| drift.quantity.metric.show(v);
            let covering = accepted.iter().find(|one| one.covers(&drift.quantity, drift.worse, today));
            let word = match covering.filter(|_| drift.regressed) {
                Some(one) => format!("regressed, as accepted ({})", one.reason),
                None if drift.regressed => "regressed".to_owned(),
                None => "no drift beyond the margin".to_owned(),
            };
            regressed |= drift.regressed && covering.is_none();
            writeln!(to, "{}: {word} in {} sessions", drift.quantity, drift.sessions)?;
            for (candidate, before, after) in &drift.changes {
                writeln!(to, "  from {candidate} on {}, before {}", show(*after), show(*before))?;
            }
            if let Some((since, total, low, high)) = &drift.total {
                let (total, low, high) = (show(*total), show(*low), show(*high));
                writeln!(to, "  since {since}: {total} ({low} to {high})")?;
            }
        }
        Ok(if regressed { exit::REGRESSED } else { exit::GOOD })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        gate: Gate,
    }

    #[test]
    fn a_self_test_needs_no_candidate() {
        let line = Line::try_parse_from(["gate", "a.toml", "--base", "./a {port}", "--self-test"])
            .expect("it is known");
        assert!(line.gate.self_test && line.gate.candidate.is_none());
        assert!(Line::try_parse_from(["gate", "a.toml", "--base", "./a {port}"]).is_err());
        assert!(Line::try_parse_from(["gate", "--self-test", "--from", "rounds.json"]).is_ok());
    }

    /// A command of a workflow's file, as a shell would take it apart; what follows in lines of its own are options.
    fn command(file: &str) -> Vec<String> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let begun = text.split_once("report gate ").unwrap_or_else(|| panic!("{file} has no gate")).1;
        let mut lines = begun.lines();
        let mut line = lines.next().unwrap_or_default().to_owned();
        for more in lines.map(str::trim).take_while(|line| line.starts_with("--")) {
            line = format!("{} {more}", line.trim_end_matches('\\'));
        }
        let (mut words, mut quote) = (vec![String::new()], None);
        for c in line.replace("$proxy", "{port}").chars() {
            match (c, quote) {
                (c, Some(open)) if c == open => quote = None,
                ('"' | '\'', None) => quote = Some(c),
                (' ', None) => words.push(String::new()),
                (c, _) => words.last_mut().expect("there is one").push(c),
            }
        }
        words.retain(|word| !word.is_empty());
        words
    }

    #[test]
    fn the_workflows_call_the_gate_as_it_is() {
        for file in ["docs/ci/github.yml", "docs/ci/gitlab.yml", "../.github/workflows/gate.yml"] {
            let words = command(file);
            let line = Line::try_parse_from(std::iter::once("gate".to_owned()).chain(words.clone()))
                .unwrap_or_else(|error| panic!("{file}: {words:?}: {error}"));
            let gate = line.gate;
            assert!(
                !gate.files.is_empty() && gate.junit.is_some() && gate.accepted.is_some(),
                "{file}: {gate:?}"
            );
            let sides = [&gate.base, &gate.candidate];
            assert!(sides.iter().all(|side| matches!(side, Some(Side::Command(_)))), "{file}: {gate:?}");
            assert_ne!(gate.base, gate.candidate, "{file}");
            // Losses too small for one change are to be seen, too.
            let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file));
            let drift = text.is_ok_and(|text| text.contains("report drift history.jsonl"));
            assert!(drift && gate.history.as_deref() == Some(Path::new("history.jsonl")), "{file}: {gate:?}");
            gate.settings().unwrap_or_else(|error| panic!("{file}: {error}"));
        }
    }

    #[test]
    fn a_margin_above_what_must_be_noticed_is_refused() {
        let arguments = ["gate", "a.toml", "--base", "./a {port}", "--self-test", "--margin", "6%"];
        let line = Line::try_parse_from(arguments).expect("it is known");
        assert!(line.gate.settings().is_err());
    }
}
