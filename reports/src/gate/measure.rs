//! Rounds that are measured: servers are started, `loadgen` plays the scenarios against them, and the servers end.
//!
//! Open loops are played against all arms at the same time, where the gate starts the servers: whatever the machine does meanwhile, it does
//! to all of them, and cancels out (Bulej and others, *Duet benchmarking: improving measurement accuracy in the cloud*, ICPE
//! 2020). A closed loop takes all that it can get, and so has the machine for itself, one arm after the other.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use results::RunRecord;
use results::figure::{Selection, estimate};
use scenarios::scenario::Executor;
use scenarios::threshold::{Aggregate, Metric as Figure};
use scenarios::{Diagnostics, Scenario, exit};

use super::quantity::{Metric, Quantity};
use super::rounds::{Arm, Round};
use super::server::{self, Server};
use super::session::{Played, Source};

pub use super::server::Side;

/// Why a session ended without a verdict.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A scenario has problems.
    #[error("{0}")]
    Scenario(Diagnostics),
    /// A server is not there.
    #[error(transparent)]
    Server(#[from] server::Error),
    /// It is not there while others are.
    #[error(
        "{0}\n(other servers of the same round were there already: if they cannot run side by side, say --in-turn)"
    )]
    Beside(server::Error),
    /// The load generator cannot be started.
    #[error("{}: cannot be started: {source}; --loadgen names another", path.display())]
    Loadgen {
        /// Where it was looked for.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The load generator refused.
    #[error("loadgen refused to play {} against {url} (exit code {code}); it said:\n{said}", file.display())]
    Refused {
        /// The scenario.
        file: PathBuf,
        /// Whom it was to load.
        url: String,
        /// How it ended.
        code: i32,
        /// What it said.
        said: String,
    },
    /// Its record cannot be read.
    #[error(transparent)]
    Record(#[from] results::Error),
    /// A quantity that every block has was not there.
    #[error("{file}: no {metric} in the record of a block: no request of it was answered")]
    Nothing {
        /// The scenario.
        file: String,
        /// Which.
        metric: &'static str,
    },
    /// Somebody asked for the end.
    #[error("interrupted")]
    Interrupted,
}

/// A scenario that blocks play.
#[derive(Debug)]
struct Load {
    file: PathBuf,
    name: String,
    /// Whether users wait for answers, so that the throughput is what they get.
    closed: bool,
}

/// What is measured, and with what.
#[derive(Debug)]
pub struct Bench {
    loads: Vec<Load>,
    /// So many of them, the first, are played against all arms at the same time.
    together: usize,
    base: Side,
    candidate: Side,
    loadgen: PathBuf,
    directory: PathBuf,
    stop: Arc<AtomicBool>,
    begun: Instant,
    said: Box<dyn Progress>,
}

/// Who wants to know how a session goes on.
pub trait Progress: std::fmt::Debug + Send + Sync {
    /// A round is over, or was disturbed.
    fn round(&mut self, good: bool, elapsed: Duration);
}

impl Bench {
    /// Of these scenarios, each played against both sides: open loops at the same time, unless `in_turn` forbids it or somebody else runs
    /// the servers. Records and logs of the present blocks lie in `directory`.
    ///
    /// # Errors
    /// If a file is no scenario.
    pub fn new(
        files: &[PathBuf],
        (base, candidate): (Side, Side),
        loadgen: PathBuf,
        in_turn: bool,
        directory: &Path,
        stop: Arc<AtomicBool>,
        said: Box<dyn Progress>,
    ) -> Result<Self, Error> {
        let load = |file: &PathBuf| {
            let scenario = Scenario::load(file).map_err(Error::Scenario)?;
            let closed = scenario.traffic.iter().all(|traffic| is_closed(&traffic.executor));
            let name = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy().into_owned();
            Ok(Load { file: file.clone(), name, closed })
        };
        let mut loads = files.iter().map(load).collect::<Result<Vec<_>, Error>>()?;
        loads.sort_by_key(|load| load.closed);
        // What is at a URL is both base and control.
        let are_ours = [&base, &candidate].iter().all(|side| matches!(side, Side::Command(_)));
        let open = loads.iter().filter(|load| !load.closed).count();
        let together = if are_ours && !in_turn { open } else { 0 };
        let (directory, begun) = (directory.to_owned(), Instant::now());
        Ok(Self { loads, together, base, candidate, loadgen, directory, stop, begun, said })
    }

    fn start(&self, arm: Arm) -> Result<Server, server::Error> {
        let side = if arm == Arm::Candidate { &self.candidate } else { &self.base };
        Server::start(side, &self.directory_of(arm))
    }

    /// Plays loads against all arms at the same time; false where the machine disturbed one.
    fn together(&self, loads: &[Load], order: [Arm; 3], values: &mut [Vec<f64>; 3]) -> Result<bool, Error> {
        let mut servers = Vec::new();
        for arm in order.iter().filter(|_| !loads.is_empty()) {
            let failed = |error| if servers.is_empty() { Error::Server(error) } else { Error::Beside(error) };
            let server = self.start(*arm).map_err(failed)?;
            servers.push((*arm, server));
        }
        for load in loads {
            let blocks = thread::scope(|scope| {
                let mut begun = Vec::new();
                for (arm, server) in &servers {
                    begun.push((*arm, scope.spawn(move || self.block(load, *arm, server))));
                }
                begun.into_iter().map(|(arm, block)| (arm, block.join())).collect::<Vec<_>>()
            });
            for (arm, block) in blocks {
                match block.expect("a block does not panic")? {
                    Some(block) => values[arm as usize].extend(block),
                    None => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Plays loads against one arm after the other; whose block the machine disturbed, where it did.
    fn in_turn(
        &self,
        loads: &[Load],
        order: [Arm; 3],
        values: &mut [Vec<f64>; 3],
    ) -> Result<Option<Arm>, Error> {
        for arm in order.into_iter().filter(|_| !loads.is_empty()) {
            let server = self.start(arm)?;
            for load in loads {
                match self.block(load, arm, &server)? {
                    Some(block) => values[arm as usize].extend(block),
                    None => return Ok(Some(arm)),
                }
            }
        }
        Ok(None)
    }

    /// What the load came to with a server; none where the machine disturbed it.
    fn block(&self, load: &Load, arm: Arm, server: &Server) -> Result<Option<Vec<f64>>, Error> {
        let before = server.processor_seconds();
        let Some(record) = self.play(load, arm, &server.url)? else { return Ok(None) };
        let cpu = before.zip(server.processor_seconds()).map(|(before, after)| after - before);
        let value = |metric: Metric| {
            let nothing = || Error::Nothing { file: load.name.clone(), metric: metric.name() };
            let value = read(&record, metric, cpu).filter(|value| !value.is_nan());
            value.map(|value| bounded(metric, value)).ok_or_else(nothing)
        };
        self.metrics(load).into_iter().map(value).collect::<Result<_, Error>>().map(Some)
    }

    /// The record of a run; none where the run was invalid.
    fn play(&self, load: &Load, arm: Arm, url: &str) -> Result<Option<RunRecord>, Error> {
        let started = Command::new(&self.loadgen)
            .arg("run")
            .arg(&load.file)
            .args(["--target", url, "--skip-faults", "--no-report", "--quiet", "--out"])
            .arg(self.directory_of(arm).join("runs"))
            .stdin(Stdio::null())
            .output();
        let output = started.map_err(|source| Error::Loadgen { path: self.loadgen.clone(), source })?;
        if self.stop.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        let code = output.status.code().unwrap_or(-1);
        let known = [exit::GOOD, exit::THRESHOLDS, exit::INVALID].map(i32::from);
        let directory = String::from_utf8_lossy(&output.stdout);
        if !known.contains(&code) || directory.trim().is_empty() {
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::Refused { file: load.file.clone(), url: url.to_owned(), code, said });
        }
        let directory = Path::new(directory.trim());
        let record = RunRecord::read(directory)?;
        // Hundreds of blocks are played, and what they came to is kept elsewhere.
        let _ = std::fs::remove_dir_all(directory);
        Ok(record.validity.is_valid().then_some(record))
    }

    /// Where a side's server and generator write.
    fn directory_of(&self, arm: Arm) -> PathBuf {
        self.directory.join((arm as usize).to_string())
    }

    fn metrics(&self, load: &Load) -> Vec<Metric> {
        // Only where both sides' processes are ours can they be compared by what they take.
        let ours = [&self.base, &self.candidate].iter().all(|side| matches!(side, Side::Command(_)));
        let metrics = if load.closed {
            [Some(Metric::Throughput), None, Some(Metric::Failed)]
        } else {
            [Some(Metric::P50), Some(Metric::P99), Some(Metric::Failed)]
        };
        ours.then_some(Metric::CpuPerRequest).into_iter().chain(metrics.into_iter().flatten()).collect()
    }
}

fn is_closed(executor: &Executor) -> bool {
    matches!(executor, Executor::Users(_))
}

/// What has a logarithm: an hour stands for never, and as little as can be for nothing.
fn bounded(metric: Metric, value: f64) -> f64 {
    if metric.is_relative() {
        value.clamp(1e-12, if metric == Metric::Throughput { 1e12 } else { 3_600.0 })
    } else {
        value
    }
}

/// A metric of a run; processor time counts all of its requests, those of its warm-up as well.
fn read(record: &RunRecord, metric: Metric, cpu_seconds: Option<f64>) -> Option<f64> {
    let (figure, aggregate) = match metric {
        Metric::CpuPerRequest => {
            let requests: u64 = (0..record.frame.intervals()).map(|i| record.tallies.due(i)).sum();
            return cpu_seconds.filter(|_| requests > 0).map(|seconds| seconds / requests as f64);
        }
        Metric::P50 => (Figure::ResponseTime, Aggregate::Percentile(50.0)),
        Metric::P99 => (Figure::ResponseTime, Aggregate::Percentile(99.0)),
        Metric::Throughput => (Figure::Rate, Aggregate::Rate),
        Metric::Failed => (Figure::Failed, Aggregate::Rate),
    };
    estimate(record, &Selection::new(figure, aggregate)).map(|e| e.value)
}

impl Source for Bench {
    type Error = Error;

    fn quantities(&self) -> Vec<Quantity> {
        let of = |load: &Load| {
            let quantity = |metric| Quantity { scenario: load.name.clone(), metric };
            self.metrics(load).into_iter().map(quantity).collect::<Vec<_>>()
        };
        self.loads.iter().flat_map(of).collect()
    }

    fn round(&mut self, order: [Arm; 3]) -> Result<Played, Error> {
        let begun = Instant::now();
        let mut values = [const { Vec::new() }; 3];
        let (together, in_turn) = self.loads.split_at(self.together);
        let disturbed = if self.together(together, order, &mut values)? {
            self.in_turn(in_turn, order, &mut values)?.map(Some)
        } else {
            Some(None)
        };
        self.said.round(disturbed.is_none(), self.begun.elapsed());
        Ok(match disturbed {
            Some(arm) => Played::Disturbed(arm),
            None => Played::Well(Round { order, values, seconds: begun.elapsed().as_secs_f64() }),
        })
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
