//! The `sim` command: arguments, the run with its record, exit codes.

// How long the user has waited is wall time; nothing that is simulated sees it.
#[allow(clippy::disallowed_methods)]
mod progress;
#[allow(clippy::disallowed_methods)]
mod run;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use scenarios::derive;
use scenarios::diagnostic::Diagnostics;
use scenarios::units::{Ratio, SimTime};

/// The exit code for a bad scenario or configuration.
const EXIT_BAD: u8 = 104;

#[derive(Debug, Parser)]
#[command(name = "sim", version, about = "Simulates a scenario, event by event", after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  sim run scenarios/library/quickstart.toml
  sim run scenarios/library/octivi/week.toml --from '2d 20h' --for 30m
  sim run scenarios/library/octivi/week.toml --for 1h --rate 10% --seed 7 --json
  sim completions bash > ~/.local/share/bash-completion/completions/sim

Exit codes: 0 good, 1 no record could be written, 99 a threshold failed, 104 a bad scenario, 105 interrupted.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Simulates a scenario and writes its run record.
    #[command(after_help = EXAMPLES)]
    Run(RunArguments),
    /// Prints a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// The scenario file.
    file: PathBuf,
    /// Where the measured part starts on the scenario's timeline, as in '2d 20h'.
    #[arg(long, value_name = "TIME")]
    from: Option<SimTime>,
    /// How long is measured.
    #[arg(long = "for", value_name = "DURATION")]
    length: Option<SimTime>,
    /// The share of the traffic, keys, memory and cores that is simulated, as in 10%.
    #[arg(long, value_name = "SHARE")]
    rate: Option<Ratio>,
    /// Another seed than the file's.
    #[arg(long)]
    seed: Option<u64>,
    /// Where the runs' directories are made.
    #[arg(long, default_value = "runs", value_name = "DIRECTORY")]
    out: PathBuf,
    /// Prints neither progress nor summary.
    #[arg(long, short)]
    quiet: bool,
    /// Prints the summary as JSON.
    #[arg(long, conflicts_with = "quiet")]
    json: bool,
}

/// Runs the command with this process's arguments.
pub fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "sim", &mut std::io::stdout());
            Ok(0)
        }
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            summary::complain(&format!("{error:#}"));
            let scenario = error.is::<Diagnostics>() || error.is::<derive::Error>();
            if scenario { ExitCode::from(EXIT_BAD) } else { ExitCode::FAILURE }
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
