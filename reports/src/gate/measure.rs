//! Rounds that are measured: a server is started, `loadgen` plays the scenarios against it, and the server ends.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use results::RunRecord;
use results::figure::{Selection, estimate};
use scenarios::scenario::Executor;
use scenarios::threshold::{Aggregate, Metric as Figure};
use scenarios::{Diagnostics, Scenario, exit};

use super::quantity::{Metric, Quantity};
use super::rounds::{Arm, Round};
use super::server::{self, Server};
use super::session::Source;

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
    base: Side,
    candidate: Side,
    loadgen: PathBuf,
    directory: PathBuf,
    stop: Arc<AtomicBool>,
    begun: Instant,
    said: Box<dyn Progress>,
}

/// Who wants to know how a session goes on.
pub trait Progress: std::fmt::Debug {
    /// A round is over, or was disturbed.
    fn round(&mut self, good: bool, elapsed: Duration);
}

impl Bench {
    /// Of these scenarios, each played against both sides. Records and logs of the present block lie in `directory`.
    ///
    /// # Errors
    /// If a file is no scenario.
    pub fn new(
        files: &[PathBuf],
        (base, candidate): (Side, Side),
        loadgen: PathBuf,
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
        let loads = files.iter().map(load).collect::<Result<_, Error>>()?;
        let (directory, begun) = (directory.to_owned(), Instant::now());
        Ok(Self { loads, base, candidate, loadgen, directory, stop, begun, said })
    }

    /// What each arm came to; none where the machine disturbed it.
    fn block(&self, arm: Arm) -> Result<Option<Vec<f64>>, Error> {
        let side = if arm == Arm::Candidate { &self.candidate } else { &self.base };
        let server = Server::start(side, &self.directory)?;
        let mut values = Vec::new();
        for load in &self.loads {
            let before = server.processor_seconds();
            let Some(record) = self.play(load, &server.url)? else { return Ok(None) };
            let cpu = before.zip(server.processor_seconds()).map(|(before, after)| after - before);
            for metric in self.metrics(load) {
                let value = read(&record, metric, cpu);
                let nothing = || Error::Nothing { file: load.name.clone(), metric: metric.name() };
                values.push(value.filter(|v| !v.is_nan()).map(|v| bounded(metric, v)).ok_or_else(nothing)?);
            }
        }
        Ok(Some(values))
    }

    /// The record of a run; none where the run was invalid.
    fn play(&self, load: &Load, url: &str) -> Result<Option<RunRecord>, Error> {
        let runs = self.directory.join("runs");
        let started = Command::new(&self.loadgen)
            .arg("run")
            .arg(&load.file)
            .args(["--target", url, "--skip-faults", "--no-report", "--quiet", "--out"])
            .arg(&runs)
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

    fn round(&mut self, order: [Arm; 3]) -> Result<Option<Round>, Error> {
        let begun = Instant::now();
        let mut values = [const { Vec::new() }; 3];
        for arm in order {
            match self.block(arm)? {
                Some(block) => values[arm as usize] = block,
                None => {
                    self.said.round(false, self.begun.elapsed());
                    return Ok(None);
                }
            }
        }
        self.said.round(true, self.begun.elapsed());
        Ok(Some(Round { order, values, seconds: begun.elapsed().as_secs_f64() }))
    }

    fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }
}
