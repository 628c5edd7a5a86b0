//! Who makes runs: the threads of this machine, or workers on others (feature `nats`). Whoever it is, what a run leaves is the
//! same, and everything that is made of it is made here.

use std::num::NonZeroUsize;
use std::sync::atomic::AtomicBool;

use clap::Args;
#[cfg(feature = "nats")]
use fleet::Options;
use programs::Problem;
use scenarios::Scenario;
use sim::{SimOutcome, Simulation};

use crate::arguments::threads;

/// Who makes runs.
pub(crate) trait Executor: Sync {
    /// How many runs are worth asking for at a time, on a thread each. No answer may depend on it.
    fn at_once(&self) -> usize;

    /// Makes one run of a scenario, and tells the share that is done. What was broken off is not complete; none where there is
    /// nothing of it.
    ///
    /// # Errors
    /// Where the simulator does not take the scenario, or nobody could make the run.
    fn run(
        &self,
        scenario: &Scenario,
        observe: &mut dyn FnMut(f64),
        stop: &AtomicBool,
    ) -> Result<Option<SimOutcome>, Problem>;

    /// Who makes them, to be put behind a line of progress: `, 3 workers`; nothing where nobody would ask.
    fn told(&self) -> String {
        String::new()
    }
}

/// The threads of this machine.
pub(crate) struct Threads(pub(crate) usize);

impl Executor for Threads {
    fn at_once(&self) -> usize {
        self.0
    }

    fn run(
        &self,
        scenario: &Scenario,
        observe: &mut dyn FnMut(f64),
        stop: &AtomicBool,
    ) -> Result<Option<SimOutcome>, Problem> {
        let mut simulation = Simulation::with_threads(scenario, 1)?;
        Ok(Some(simulation.run(&mut |progress| observe(progress.share()), stop)))
    }
}

/// Who is to make the runs.
#[derive(Debug, Args)]
pub(crate) struct Makers {
    #[command(flatten)]
    options: Options,
}

/// Without workers there is the option alone, so that who asks for them is told how to come by them.
#[cfg(not(feature = "nats"))]
#[derive(Debug, Args)]
struct Options {
    #[arg(long, value_name = "URL", hide = true)]
    nats: Option<String>,
}

impl Makers {
    /// Whether they are others than this machine.
    pub(crate) fn are_elsewhere(&self) -> bool {
        self.options.nats.is_some()
    }

    /// The executor that the command asks for: workers, or so many threads.
    ///
    /// # Errors
    /// Where workers are asked for and cannot be reached, or this program knows none.
    pub(crate) fn executor(&self, asked: Option<NonZeroUsize>) -> Result<Box<dyn Executor>, Problem> {
        if self.are_elsewhere() { self.workers() } else { Ok(Box::new(Threads(threads(asked)))) }
    }

    #[cfg(feature = "nats")]
    fn workers(&self) -> Result<Box<dyn Executor>, Problem> {
        Ok(Box::new(crate::workers::Coordinator::connect(&self.options)?))
    }

    #[cfg(not(feature = "nats"))]
    fn workers(&self) -> Result<Box<dyn Executor>, Problem> {
        let why = "--nats: this program was built without it\n  hint: cargo build --release -p sim-cli --features nats";
        Err(Problem::configuration(anyhow::anyhow!(why)))
    }
}
