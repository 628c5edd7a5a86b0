//! The command line.

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use programs::{Part, Problem};
use scenarios::quantity::Misread;
use scenarios::quantity::selector::Selector;
use scenarios::units::Ratio;

use crate::{run, verify};

const EXAMPLES: &str = "\
Examples:
  sim run scenarios/library/quickstart.toml
  sim run scenarios/library/octivi/week.toml --from '2d 20h' --for 30m
  sim run scenarios/library/octivi/week.toml --for 1h --rate 10% --seed 7 --json
  sim run scenarios/library/quickstart.toml --replications 10
  sim run scenarios/library/quickstart.toml --precision 5% --of 'response_time{p(99)}'
  sim run scenarios/library/octivi/week.toml --replications 10 --replication-scale 1%
  sim verify --quick
  sim completions bash > ~/.local/share/bash-completion/completions/sim

Exit codes: 0 good, 1 no record could be written or the simulator differs from mathematics, 99 a threshold failed,
104 a bad scenario, 105 interrupted, 111 an invalid run.";

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
    /// Holds the simulator against systems with closed solutions, and prints the table
    Verify(VerifyArguments),
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
    #[command(flatten)]
    pub(crate) replication: Replication,
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
            Command::Verify(arguments) => verify::run(&arguments),
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
