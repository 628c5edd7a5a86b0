//! The command line.

use std::io::Write as _;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use programs::{Part, Problem};

use crate::{run, verify};

const EXAMPLES: &str = "\
Examples:
  sim run scenarios/library/quickstart.toml
  sim run scenarios/library/octivi/week.toml --from '2d 20h' --for 30m
  sim run scenarios/library/octivi/week.toml --for 1h --rate 10% --seed 7 --json
  sim verify --quick
  sim completions bash > ~/.local/share/bash-completion/completions/sim

Exit codes: 0 good, 1 no record could be written or the simulator differs from mathematics, 99 a threshold failed, 104 a bad scenario, 105 interrupted, 111 an
invalid run.";

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
