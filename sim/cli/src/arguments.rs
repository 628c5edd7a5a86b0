//! The command line.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use programs::{Part, Problem};
use scenarios::quantity::Misread;
use scenarios::quantity::selector::Selector;
use scenarios::units::{Ratio, SimTime};

use crate::calibrate::{self, Calibrate};
use crate::capacity::{self, Capacity};
use crate::changes::Changes;
use crate::executor::Makers;
use crate::plan::{self, PlanArguments};
use crate::whatif::{self, WhatIf};
#[cfg(feature = "nats")]
use crate::workers;
use crate::{compare, run, scorecard, serve, verify};

const EXAMPLES: &str = "\
Examples:
  sim run scenarios/library/quickstart.toml
  sim run scenarios/library/octivi/week.toml --from '2d 20h' --for 30m
  sim run scenarios/library/octivi/week.toml --for 1h --rate 10% --seed 7 --json
  sim run scenarios/library/quickstart.toml --replications 10
  sim run scenarios/library/quickstart.toml --precision 5% --of 'response_time{p(99)}'
  sim run scenarios/library/octivi/week.toml --replications 10 --replication-scale 1%
  sim run scenarios/library/quickstart.toml --replications 200 --nats nats://10.0.0.5:4222   # by sim worker elsewhere
  sim run scenarios/library/octivi/week.toml --for 1h --rate 1% --exact --skip-faults
  sim run scenarios/library/quickstart.toml --slowest 3
  sim compare shop.toml shop-with-two-nodes.toml
  sim serve shop.toml
  sim whatif scenarios/library/quickstart.toml --set hosts.app.count=3
  sim capacity scenarios/library/quickstart.toml --html capacity.html
  sim plan scenarios/library/octivi/ten-times.toml --html plan.html
  sim calibrate shop.toml --from runs/costs -o shop.calibration.toml
  sim verify --quick
  sim scorecard
  sim completions bash > ~/.local/share/bash-completion/completions/sim

Exit codes: 0 good, 1 no record could be written or the simulator differs from mathematics, 99 a threshold failed,
104 a bad scenario, 105 interrupted, 111 an invalid run.";

const SERVE_EXAMPLES: &str = "\
Examples:
  sim serve scenarios/library/quickstart.toml
  sim serve scenarios/library/octivi/week.toml --port 8080

Prints the address, which is on loopback, and answers until it is interrupted. Simulated is a part of the run, around its first
fault or its peak, short enough for an answer within a second or two. The page's address holds all that was moved, and the seed.";

#[cfg(feature = "nats")]
const WORKER_EXAMPLES: &str = "\
Examples:
  nats-server -js -sd /var/lib/nats                                                   # one, somewhere
  sim worker --nats nats://10.0.0.5:4222                                              # on each machine
  sim run shop.toml --replications 200 --nats nats://10.0.0.5:4222                    # anywhere
  sim plan shop.toml --nats nats://10.0.0.5:4222 --html plan.html
  sim worker --nats tls://nats.example:4222 --nats-credentials worker.creds --idle 10m --threads 8

All of them must be the same file of the program: runs are the same byte for byte then, whoever makes them. What a worker has made
stays on the server for a week: a command that was killed goes on where it was when it is started again. A worker that is told to
end (SIGTERM) gives back what it is at; one that dies has its run made by another.";

/// Simulates a scenario, event by event
#[derive(Debug, Parser)]
#[command(name = "sim", version, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulates a scenario and writes its run record
    #[command(after_help = EXAMPLES)]
    Run(RunArguments),
    /// Simulates two scenarios with the same random numbers, and tells how they differ
    #[command(after_help = "Example:\n  sim compare shop.toml shop-with-two-nodes.toml --replications 20")]
    Compare(CompareArguments),
    /// Shows a page in the browser on which machines, memory, load and what dies are moved, and what follows is seen
    #[command(after_help = SERVE_EXAMPLES)]
    Serve(ServeArguments),
    /// Simulates a file as it is and with some values changed, and tells what differs
    #[command(
        name = "whatif",
        after_help = "Examples:\n  sim whatif shop.toml --set hosts.app.count=2 --set hosts.app.cores=8\n  sim whatif shop.toml --set \
                      traffic.users.rate=300/s --html whatif.html"
    )]
    WhatIf(WhatIf),
    /// Looks for the multiple of the load at which each threshold breaks, and tells what gives first
    #[command(
        after_help = "Examples:\n  sim capacity shop.toml --precision 2% --html capacity.html\n  sim capacity shop.toml --replications 20 \
                      --nats nats://10.0.0.5:4222"
    )]
    Capacity(Capacity),
    /// Looks for the cheapest of the set-ups that the file's section [plan] allows in which its thresholds hold
    #[command(
        after_help = "Examples:\n  sim plan scenarios/library/octivi/ten-times.toml --html plan.html --out plan.json\n  \
                      sim plan scenarios/library/octivi/ten-times.toml --nats nats://10.0.0.5:4222"
    )]
    Plan(PlanArguments),
    /// Makes runs for others, who ask for them by way of a NATS server: sim run, sim plan, sim capacity and report twin with --nats
    #[cfg(feature = "nats")]
    #[command(after_help = WORKER_EXAMPLES)]
    Worker(workers::WorkerArguments),
    /// Makes the fixed costs of a stack from runs of loadgen measure, for a scenario to include
    #[command(
        after_help = "Example:\n  loadgen measure shop.toml --repetitions 5 --for 20s --out runs/costs\n  sim calibrate shop.toml \
                      --from runs/costs -o shop.calibration.toml\n\nThe scenario then says: [calibration] include = \
                      \"shop.calibration.toml\""
    )]
    Calibrate(Calibrate),
    /// Holds the simulator against systems with closed solutions, and prints the table
    Verify(VerifyArguments),
    /// Runs a directory of scenarios, and holds what comes out against what was published and what must hold
    #[command(
        after_help = "Example:\n  sim scorecard scenarios/library/octivi\n  sim scorecard --page scenarios/library/scorecard.md"
    )]
    Scorecard(ScorecardArguments),
    /// Prints a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
}

/// What is run, and what is told of it.
#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    /// The scenario file
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) part: Part,
    /// Simulates what loadgen plays of the file: the part that its [play] names
    #[arg(long, conflicts_with_all = ["from", "length", "rate"])]
    pub(crate) play: bool,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// How long the load lasts before what is measured; auto finds out by MSER-5, in a run before the run
    #[arg(long, value_name = "TIME|auto", value_parser = warmup)]
    pub(crate) warmup: Option<Warmup>,
    #[command(flatten)]
    pub(crate) replication: Replication,
    #[command(flatten)]
    pub(crate) tracing: Tracing,
    #[command(flatten)]
    pub(crate) makers: Makers,
    /// Where the runs' directories are made
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    pub(crate) out: PathBuf,
    /// Prints neither progress nor summary
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Prints the summary as JSON
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
}

/// A warm-up as it is asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Warmup {
    /// As long as MSER-5 says.
    Auto,
    /// So long.
    Fixed(SimTime),
}

fn warmup(text: &str) -> Result<Warmup, Misread> {
    if text == "auto" { Ok(Warmup::Auto) } else { text.parse().map(Warmup::Fixed) }
}

/// Which requests are followed through the stack.
#[derive(Debug, Args)]
pub(crate) struct Tracing {
    /// Follows so many requests through the stack, and prints each as a waterfall
    #[arg(long, value_name = "N")]
    pub(crate) trace: Option<usize>,
    /// From here on the scenario's timeline
    #[arg(long, value_name = "TIME", requires = "trace", value_parser = str::parse::<SimTime>)]
    pub(crate) trace_at: Option<SimTime>,
    /// Only requests of this class
    #[arg(long, value_name = "CLASS", requires = "trace")]
    pub(crate) trace_class: Option<String>,
    /// Follows the slowest: the run is repeated for it, which changes nothing but the time that it takes
    #[arg(long, value_name = "N", conflicts_with = "trace")]
    pub(crate) slowest: Option<usize>,
}

impl Tracing {
    /// Whether any request is to be followed.
    pub(crate) fn is_wanted(&self) -> bool {
        self.trace.or(self.slowest).is_some()
    }
}

/// How two scenarios are compared.
#[derive(Debug, Args)]
pub(crate) struct CompareArguments {
    /// A scenario file
    pub(crate) a: PathBuf,
    /// Another, which differs in what is to be judged
    pub(crate) b: PathBuf,
    #[command(flatten)]
    pub(crate) part: Part,
    #[command(flatten)]
    pub(crate) changes: Changes,
    /// With so many seeds, the same for both
    #[arg(long, value_name = "N", default_value = "10", value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub(crate) replications: u32,
    /// How many replications run at once; by default as many as there are cores. The result does not depend on it
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Prints no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Prints JSON instead of a table
    #[arg(long, conflicts_with = "markdown")]
    pub(crate) json: bool,
    /// Prints Markdown instead of a table
    #[arg(long)]
    pub(crate) markdown: bool,
}

/// What is served, and where.
#[derive(Debug, Args)]
pub(crate) struct ServeArguments {
    /// The scenario file
    pub(crate) file: PathBuf,
    /// Where to listen; by default at a free port
    #[arg(long, default_value = "0")]
    pub(crate) port: u16,
}

/// How often a scenario is run, with how many seeds.
#[derive(Debug, Args)]
pub(crate) struct Replication {
    /// Runs the scenario with so many seeds, and tells each figure's interval
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) replications: Option<u32>,
    /// Goes on with further seeds until the intervals are this narrow, as a share of their figures: 5%
    #[arg(long, value_name = "SHARE", value_parser = programs::part::ratio)]
    pub(crate) precision: Option<Ratio>,
    /// Of which figures; by default response_time{avg} and response_time{p(99)}
    #[arg(long = "of", value_name = "FIGURE", requires = "precision", value_parser = figure)]
    pub(crate) figures: Vec<Selector>,
    /// How sure the intervals of --precision are
    #[arg(long, value_name = "SHARE", default_value = "95%", requires = "precision", value_parser = programs::part::ratio)]
    pub(crate) confidence: Ratio,
    /// Where --precision gives up
    #[arg(long, value_name = "N", default_value = "100", requires = "precision")]
    pub(crate) max_replications: u32,
    /// Runs the scenario once, and the replications beside it with this share of its traffic, keys, memory and cores
    #[arg(long, value_name = "SHARE", requires = "replications", conflicts_with = "precision", value_parser = programs::part::ratio)]
    pub(crate) replication_scale: Option<Ratio>,
    /// How many replications run at once; by default as many as there are cores. The record does not depend on it
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
}

/// A figure with its aggregate.
fn figure(text: &str) -> Result<Selector, Misread> {
    let selector = Selector::read(text)?;
    match selector.aggregate {
        Some(_) => Ok(selector),
        None => {
            let form = Misread::new("a figure: a metric with an aggregate");
            Err(form.hint(format!("write \"{}{{avg}}\"", selector.metric.name())))
        }
    }
}

/// Which scenarios are held against what.
#[derive(Debug, Args)]
pub(crate) struct ScorecardArguments {
    /// A scenario file, or a directory of them and of directories
    #[arg(default_value = "scenarios/library")]
    pub(crate) place: PathBuf,
    /// Another number of seeds than the files say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) replications: Option<u32>,
    /// Writes what was run as a page of Markdown, too, in place of the whole file if there is one
    #[arg(long, value_name = "FILE")]
    pub(crate) page: Option<PathBuf>,
    /// How many replications run at once; by default as many as there are cores. The result does not depend on it
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Prints no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// How an answer that takes many runs comes about, and how it is told.
#[derive(Debug, Args)]
pub(crate) struct Told {
    /// How many runs there are at once; by default as many as there are cores. The answer does not depend on it
    #[arg(long, value_name = "N")]
    pub(crate) threads: Option<NonZeroUsize>,
    /// Writes a page, too
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
    /// Prints no progress
    #[arg(long, short)]
    pub(crate) quiet: bool,
    /// Prints JSON instead of tables
    #[arg(long)]
    pub(crate) json: bool,
}

/// On how many threads replications run: on as many as are asked for, or else as there are cores.
pub(crate) fn threads(asked: Option<NonZeroUsize>) -> usize {
    asked.or_else(|| std::thread::available_parallelism().ok()).map_or(1, usize::from)
}

/// How much is verified.
#[derive(Debug, Args)]
pub(crate) struct VerifyArguments {
    /// A twenty-fifth of the work, with intervals five times as wide
    #[arg(long)]
    pub(crate) quick: bool,
    /// How many replications run at once; by default as many as there are cores. The table does not depend on it
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Prints no progress
    #[arg(long, short = 'q')]
    pub(crate) quiet: bool,
}

impl Arguments {
    /// Does what the command line says; the exit code.
    pub(crate) fn carry_out(self) -> Result<u8, Problem> {
        match self.command {
            Command::Run(arguments) => run::run(&arguments),
            Command::Compare(arguments) => compare::run(&arguments),
            Command::Serve(arguments) => serve::run(&arguments),
            Command::WhatIf(arguments) => whatif::run(&arguments),
            Command::Capacity(arguments) => capacity::run(&arguments),
            Command::Plan(arguments) => plan::run(&arguments),
            #[cfg(feature = "nats")]
            Command::Worker(arguments) => workers::run(&arguments),
            Command::Calibrate(arguments) => calibrate::run(&arguments),
            Command::Verify(arguments) => verify::run(&arguments),
            Command::Scorecard(arguments) => scorecard::run(&arguments),
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "sim", &mut script);
                std::io::stdout().lock().write_all(&script)?;
                Ok(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
