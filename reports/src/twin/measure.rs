//! The runs of a session, as processes of `sim` and `loadgen`; what was played already is not played again.
//!
//! Simulations are cheap and made anew each time; a measurement stays as long as it is of this case, whatever the calibration
//! says, which the real stack never reads.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use results::RunRecord;
use scenarios::rng::{Purpose, Stream};
use scenarios::scenario::{BASE_CASE, TwinCase};
use scenarios::units::Seed;
use scenarios::{Diagnostics, Scenario, derive, exit};

use super::compare::Compared;
use super::files::{CaseFile, engines, remember_engines, runs};
use super::judge::{self, MUCH_STOLEN};
use super::process::{Ended, Running};
use super::result::{FORMAT, Results, Targets, VERSION};
use crate::page;

/// What a run may take beyond its own length: stacks are started and filled, records written.
const PATIENCE: Duration = Duration::from_secs(180);

/// Why there is no run, by case and seed.
pub(super) type Failures = BTreeMap<(usize, usize), String>;

/// Why a session ended without a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The scenario has problems.
    #[error("{0}")]
    Scenario(Diagnostics),
    /// A case cannot be made.
    #[error("{case}: {source}")]
    Case {
        /// Which.
        case: String,
        /// Why.
        source: derive::Error,
    },
    /// There is no such case.
    #[error("there is no case {name:?}, expected {known}")]
    NoCase {
        /// What was asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// A program is not there.
    #[error(
        "{}: cannot be started: {source}\n  hint: cargo build --release --bin sim --bin loadgen --bin report puts them side by side, or --{option} names another", path.display()
    )]
    Program {
        /// Where it was looked for.
        path: PathBuf,
        /// The option that names another.
        option: &'static str,
        /// Why.
        source: std::io::Error,
    },
    /// The simulator refused a case, so that there is nothing to hold against a measurement.
    #[error("{}: the simulator refused it; it said:\n{said}", file.display())]
    Refused {
        /// The case's file.
        file: PathBuf,
        /// What it said.
        said: String,
    },
    /// Something cannot be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The directory holds runs on other servers.
    #[error("{}: holds runs with {found}, not with {expected}\n  hint: name another directory with --out", path.display())]
    Engines {
        /// The directory.
        path: PathBuf,
        /// What they were made with.
        found: String,
        /// What is asked for.
        expected: String,
    },
    /// A record cannot be read.
    #[error(transparent)]
    Record(#[from] results::Error),
    /// Somebody asked for the end.
    #[error("interrupted; what was played is kept and not played again")]
    Interrupted,
}

/// Who wants to know how a session goes on.
pub trait Progress: std::fmt::Debug {
    /// Something happened that is worth a line.
    fn line(&mut self, line: &str);
}

/// What is run, and with what.
#[derive(Debug)]
pub struct Options {
    /// The cases; without any, all of the file.
    pub cases: Vec<String>,
    /// With how many seeds; without, as many as the file says.
    pub repetitions: Option<u32>,
    /// With how many at most, where the noise of a case is too great.
    pub at_most: Option<u32>,
    /// The first of the seeds; without, the file's.
    pub first_seed: Option<Seed>,
    /// How often a case is played at most with a seed, where the machine disturbs it or its hypervisor takes much of it.
    pub attempts: u32,
    /// Other engines than the file says, by component.
    pub engines: Vec<(String, String)>,
    /// Where runs are kept.
    pub directory: PathBuf,
    /// The simulator.
    pub sim: PathBuf,
    /// The load generator.
    pub loadgen: PathBuf,
    /// What the simulator is told besides what it runs.
    pub sim_options: Vec<String>,
    /// Ends the session when set.
    pub stop: Arc<AtomicBool>,
}

/// A case of a session: its file for each seed.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) spec: TwinCase,
    pub(super) files: Vec<CaseFile>,
    /// Those of further seeds, should it be too noisy.
    spare: VecDeque<CaseFile>,
}

/// A session that is being held.
#[derive(Debug)]
pub struct Bench {
    pub(super) scenario: Scenario,
    options: Options,
    repetitions: u32,
    pub(super) cases: Vec<Case>,
    /// Cases and seeds by their positions, in the order in which they are played.
    order: Vec<(usize, usize)>,
    /// How often all cases were gone through so far.
    rounds: usize,
    said: Box<dyn Progress>,
}

/// What a session came to: the results, and a pair of runs of each case for charts.
#[derive(Debug)]
pub struct Session {
    /// The results.
    pub results: Results,
    /// The case's position, the simulated run and the measured one.
    pub pairs: Vec<(usize, RunRecord, RunRecord)>,
}

impl Session {
    /// One self-contained HTML page.
    pub fn html(&self) -> String {
        page::twin(self)
    }
}

impl Bench {
    /// Reads the scenario and writes the files of its cases.
    ///
    /// # Errors
    /// Where the scenario or a case has problems, or a file cannot be written.
    pub fn new(file: &Path, options: Options, said: Box<dyn Progress>) -> Result<Self, Error> {
        let scenario = Scenario::load(file).map_err(Error::Scenario)?;
        let mut with_engines = scenario.clone();
        with_engines.choose_engines(&options.engines).map_err(Error::Scenario)?;
        let chosen = chosen(&scenario, &options.cases)?;
        let repetitions = options.repetitions.unwrap_or(scenario.twin.repetitions);
        let first = options.first_seed.unwrap_or(scenario.run.seed);
        let most = options.at_most.unwrap_or(repetitions).max(repetitions);
        let mut cases = Vec::new();
        for spec in chosen {
            let file = |number| {
                CaseFile::new(&scenario, &spec, Seed(first.0 + u64::from(number)), &options.directory)
            };
            let mut files = (0..most).map(file).collect::<Result<Vec<_>, _>>()?;
            let spare = files.split_off(repetitions as usize).into();
            cases.push(Case { spec, files, spare });
        }
        remember_engines(&options.directory, &engines(&with_engines))?;
        let order = order(scenario.run.seed, cases.len(), repetitions as usize);
        let rounds = repetitions as usize;
        Ok(Self { scenario: with_engines, options, repetitions, cases, order, rounds, said })
    }

    /// Plays what was not played yet, simulates all of it, and compares.
    ///
    /// # Errors
    /// Where a program is not there, the simulator refuses a case, or somebody asks for the end.
    pub fn hold(mut self) -> Result<Session, Error> {
        // Simulations first: what the simulator refuses need not be played.
        let mut simulated = Vec::new();
        for case in &self.cases {
            let records = self.simulate(&case.files)?;
            simulated.push(records);
        }
        let mut failures = Failures::new();
        self.play(0, &mut failures)?;
        let mut compared = Vec::new();
        for (place, records) in simulated.iter().enumerate() {
            compared.push(self.compare(place, records, &failures)?);
        }
        loop {
            let round = self.another_round(&compared);
            if round.is_empty() {
                break;
            }
            for (case, _) in &round {
                let added = self.cases[*case].files.last().expect("a file was added just now");
                simulated[*case].extend(self.simulate(std::slice::from_ref(added))?);
            }
            let before = self.order.len();
            self.order.extend(&round);
            self.play(before, &mut failures)?;
            for (case, _) in round {
                compared[case] = self.compare(case, &simulated[case], &failures)?;
            }
        }
        let mut results = self.empty_results();
        let mut pairs = Vec::new();
        for (place, (case, pair)) in compared.into_iter().enumerate() {
            results.cases.push(case);
            pairs.extend(pair.map(|(simulated, measured)| (place, simulated, measured)));
        }
        Ok(Session { results, pairs })
    }

    /// Gives the cases that are too noisy to tell a further seed each, where they have one left; what is to be played, in an order by
    /// chance. How far off they are plays no part in that, only how much it varies.
    fn another_round(&mut self, compared: &[Compared]) -> Vec<(usize, usize)> {
        let is_noisy = |case: usize| {
            let result = &compared[case].0;
            result.doubts.is_empty() && result.cells.iter().any(judge::is_too_noisy)
        };
        let shuffled = order(self.scenario.run.seed, self.cases.len(), self.rounds + 1);
        let mut round = Vec::new();
        for (case, _) in shuffled.into_iter().skip(self.rounds * self.cases.len()) {
            let Case { files, spare, .. } = &mut self.cases[case];
            if is_noisy(case)
                && let Some(file) = spare.pop_front()
            {
                round.push((case, files.len()));
                files.push(file);
            }
        }
        self.rounds += 1;
        if !round.is_empty() {
            let (some, all) = (round.len(), self.cases.len());
            self.said.line(&format!("{some} of {all} cases are too noisy to tell: another seed for each"));
        }
        round
    }

    fn empty_results(&self) -> Results {
        let file = self.scenario.source.path.file_name().unwrap_or_default();
        let machine = results::provenance::Machine::this();
        let played = |(case, seed): &(usize, usize)| {
            let case = &self.cases[*case];
            format!("{} seed {}", case.spec.name, case.files[*seed].scenario.run.seed.0)
        };
        Results {
            format: FORMAT.to_owned(),
            version: VERSION,
            title: self.scenario.title.clone(),
            file: file.to_string_lossy().into_owned(),
            hash: self.scenario.source.hash.clone(),
            engines: engines(&self.scenario),
            machine: format!("{} cores, {}", machine.cores, machine.processor),
            repetitions: self.repetitions,
            first_seed: self.options.first_seed.unwrap_or(self.scenario.run.seed).0,
            order: self.order.iter().map(played).collect(),
            targets: Targets::from(&self.scenario.twin.targets),
            cases: Vec::new(),
        }
    }

    /// Plays whatever has no good run yet, and then what the hypervisor disturbed, from a place in the order on; why there is none of
    /// what failed, by case and seed.
    fn play(&mut self, from: usize, failures: &mut Failures) -> Result<(), Error> {
        let all = self.order.len() - from;
        let left = self.those(from, |file| file.good().is_none());
        if left.len() < all {
            self.said.line(&format!("{} of {all} runs are there already", all - left.len()));
        }
        self.play_all(left, failures)?;
        let attempts = self.options.attempts;
        for _ in 1..attempts {
            // Other machines' load lasts for minutes: at the end of a round it may be over.
            let again = self.those(from, |file| file.is_worth_another(attempts));
            if again.is_empty() {
                break;
            }
            self.said.line(&format!(
                "{} of {all} runs lost more than {:.0}% of the machine to its hypervisor, and are played again",
                again.len(),
                MUCH_STOLEN * 100.0
            ));
            self.play_all(again, failures)?;
        }
        Ok(())
    }

    /// The cases and seeds of whose files this is true, in the order in which they are played, from a place in it on.
    fn those(&self, from: usize, is_so: impl Fn(&CaseFile) -> bool) -> Vec<(usize, usize)> {
        let of = |(case, seed): &(usize, usize)| is_so(&self.cases[*case].files[*seed]);
        self.order[from..].iter().copied().filter(of).collect()
    }

    /// Plays these; why there is no run of what failed.
    fn play_all(&mut self, places: Vec<(usize, usize)>, failures: &mut Failures) -> Result<(), Error> {
        let (begun, all) = (Instant::now(), places.len());
        for (done, place) in places.into_iter().enumerate() {
            let took = Instant::now();
            let outcome = self.play_one(place)?;
            let each = begun.elapsed().as_secs_f64() / (done + 1) as f64;
            let eta = each * (all - done - 1) as f64;
            let case = &self.cases[place.0];
            let name = format!("{}, seed {}", case.spec.name, case.files[place.1].scenario.run.seed.0);
            let told =
                outcome.as_ref().err().map_or_else(String::new, |why| format!(": NOT MEASURED: {why}"));
            self.said.line(&format!(
                "{} of {all}: {name}: {:.0} s, {} left{told}",
                done + 1,
                took.elapsed().as_secs_f64(),
                minutes(eta)
            ));
            if let Err(why) = outcome {
                failures.insert(place, why);
            }
        }
        Ok(())
    }

    /// Plays a case with a seed until the machine lets it be, a few times at most; why there is no run, if so.
    fn play_one(&self, (case, seed): (usize, usize)) -> Result<Result<(), String>, Error> {
        let file = &self.cases[case].files[seed];
        let mut why = String::new();
        for _ in 0..self.options.attempts {
            let out = file.directory.join("loadgen");
            let mut more = vec!["--no-report".to_owned()];
            for (component, engine) in &self.options.engines {
                more.extend(["--engine".to_owned(), format!("{component}={engine}")]);
            }
            let mut running = self.start("loadgen", &self.options.loadgen, file, &out, &more)?;
            let ended =
                running.end(&self.options.stop).map_err(|source| Error::Write { path: out, source })?;
            match ended {
                Ended::Interrupted => return Err(Error::Interrupted),
                Ended::Late => why = "it did not end".to_owned(),
                Ended::With(status) => match status.code() {
                    Some(code) if is_run(code) => match file.good() {
                        Some(_) => return Ok(Ok(())),
                        None => why = file.why_bad(),
                    },
                    Some(code) if code == i32::from(exit::INTERRUPTED) => return Err(Error::Interrupted),
                    // What is refused once is refused again.
                    _ => return Ok(Err(format!("loadgen ended with {status}: {}", running.said()))),
                },
            }
        }
        Ok(Err(why))
    }

    fn start(
        &self,
        option: &'static str,
        program: &Path,
        file: &CaseFile,
        out: &Path,
        more: &[String],
    ) -> Result<Running, Error> {
        if self.options.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let most = PATIENCE + file.scenario.run.total().as_duration() * 2;
        let log = file.directory.join(format!("{option}.log"));
        Running::start(program, &file.path, out, more, log, most).map_err(|source| Error::Program {
            path: program.to_owned(),
            option,
            source,
        })
    }

    /// The simulated records of some files, all at once.
    pub(super) fn simulate(&self, files: &[CaseFile]) -> Result<Vec<RunRecord>, Error> {
        let mut running = Vec::new();
        for file in files {
            let out = file.directory.join("sim");
            // A simulation is made anew by the simulator that is there now.
            let _ = fs::remove_dir_all(&out);
            running.push((
                file,
                self.start("sim", &self.options.sim, file, &out, &self.options.sim_options)?,
                out,
            ));
        }
        let mut records = Vec::new();
        for (file, mut running, out) in running {
            let failed = |source| Error::Write { path: file.path.clone(), source };
            match running.end(&self.options.stop).map_err(failed)? {
                Ended::Interrupted => return Err(Error::Interrupted),
                Ended::With(status) if status.code().is_some_and(is_run) => {}
                Ended::With(_) | Ended::Late => {
                    return Err(Error::Refused { file: file.path.clone(), said: running.said() });
                }
            }
            let run = runs(&out).pop();
            let run = run.ok_or_else(|| Error::Refused { file: file.path.clone(), said: running.said() })?;
            records.push(RunRecord::read(run)?);
        }
        Ok(records)
    }
}

/// A run was made, whatever its thresholds or the machine said.
fn is_run(code: i32) -> bool {
    [exit::GOOD, exit::THRESHOLDS, exit::INVALID].map(i32::from).contains(&code)
}

fn minutes(seconds: f64) -> String {
    if seconds < 90.0 { format!("{seconds:.0} s") } else { format!("{:.0} min", seconds / 60.0) }
}

/// The cases that were asked for, which may be variants that the file does not list; without names, those that it lists.
fn chosen(scenario: &Scenario, names: &[String]) -> Result<Vec<TwinCase>, Error> {
    if names.is_empty() {
        return Ok(scenario.twin.cases.clone());
    }
    let of = |name: &String| {
        let known = || std::iter::once(BASE_CASE).chain(scenario.variants.iter().map(|v| v.name.as_str()));
        let known = || known().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        scenario.twin_case(name).ok_or_else(|| Error::NoCase { name: name.clone(), known: known() })
    };
    names.iter().map(of).collect()
}

/// Every case once a repetition, in an order by chance, so that whatever changes on the machine in the course of a session meets all.
fn order(seed: Seed, cases: usize, repetitions: usize) -> Vec<(usize, usize)> {
    let mut order = Vec::new();
    for repetition in 0..repetitions {
        let mut stream = Stream::new(seed, Purpose::named("twin order"), repetition as u64);
        let mut block: Vec<usize> = (0..cases).collect();
        // Fisher and Yates's shuffle.
        for last in (1..cases).rev() {
            block.swap(last, stream.below(last as u64 + 1) as usize);
        }
        order.extend(block.into_iter().map(|case| (case, repetition)));
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_repetition_plays_every_case_once_in_its_own_order() {
        let all = order(Seed(1), 10, 4);
        assert_eq!(all.len(), 40);
        for (repetition, block) in all.chunks(10).enumerate() {
            assert!(block.iter().all(|(_, seed)| *seed == repetition));
            let mut cases: Vec<usize> = block.iter().map(|(case, _)| *case).collect();
            assert_ne!(cases, (0..10).collect::<Vec<_>>(), "in the file's order");
            cases.sort_unstable();
            assert_eq!(cases, (0..10).collect::<Vec<_>>());
        }
        assert_eq!(all, order(Seed(1), 10, 4));
    }
}
