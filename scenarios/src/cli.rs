//! The commands of the `scenario` program.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use scenarios::exit::BAD_SCENARIO;
use scenarios::quantity::Misread;
use scenarios::units::{Ratio, SimTime};
use scenarios::{Scenario, derive, explain, schema};

/// Checks and explains scenario files.
#[derive(Debug, Parser)]
#[command(
    name = "scenario",
    version,
    after_help = "Examples:
  scenario check scenarios/library/quickstart.toml
  scenario explain scenarios/library/quickstart.toml
  scenario derive week.toml --from 2d20h --for 1m --rate 10% > minute.toml
  scenario schema > scenario.schema.json

Exit codes: 0 good, 104 bad scenario."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Reports every problem of each file
    #[command(after_help = "Example:\n  scenario check scenarios/library/*.toml")]
    Check {
        /// Scenario files
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Says what a scenario means: topology, traffic, predicted load, faults, memory
    #[command(after_help = "Example:\n  scenario explain scenarios/library/quickstart.toml")]
    Explain {
        /// A scenario file
        file: PathBuf,
    },
    /// Writes a window of a scenario, at a reduced rate, as a scenario of its own
    #[command(
        after_help = "Example:\n  scenario derive week.toml --from 2d20h --for 1m --rate 10% > minute.toml"
    )]
    Derive {
        /// A scenario file
        file: PathBuf,
        /// Where on the timeline the window starts, such as 2d20h
        #[arg(long, value_parser = str::parse::<SimTime>)]
        from: Option<SimTime>,
        /// How long it is, such as 1m
        #[arg(long = "for", value_parser = str::parse::<SimTime>)]
        length: Option<SimTime>,
        /// The share of the traffic, keys, memory and cores that is kept, such as 10%
        #[arg(long, value_parser = rate)]
        rate: Option<Ratio>,
        /// Another seed
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Prints the JSON Schema of scenario files
    #[command(after_help = "Example:\n  scenario schema > scenario.schema.json")]
    Schema,
    /// Prints a completion script
    #[command(
        after_help = "Example:\n  scenario completions bash > ~/.local/share/bash-completion/completions/scenario"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

fn rate(text: &str) -> Result<Ratio, Misread> {
    text.parse()
}

/// Carries a command out.
pub(crate) fn run(arguments: Arguments, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let written = match arguments.command {
        Command::Check { files } => return check(&files, out),
        Command::Explain { file } => match Scenario::load(&file) {
            Ok(scenario) => out.write_all(explain::explain(&scenario).as_bytes()),
            Err(problems) => return bad(&problems),
        },
        Command::Derive { file, from, length, rate, seed } => {
            let scenario = match Scenario::load(&file) {
                Ok(scenario) => scenario,
                Err(problems) => return bad(&problems),
            };
            match derive::window(&scenario, from, length, rate, seed) {
                Ok(derived) => {
                    for warning in &derived.warnings {
                        writeln!(std::io::stderr(), "note: {warning}")?;
                    }
                    out.write_all(derived.text.as_bytes())
                }
                Err(error) => return bad(&error),
            }
        }
        Command::Schema => out.write_all(schema::text().as_bytes()),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "scenario", &mut script);
            out.write_all(&script)
        }
    };
    written.and_then(|()| out.flush()).context("cannot write")?;
    Ok(ExitCode::SUCCESS)
}

fn check(files: &[PathBuf], out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match Scenario::load(file) {
            Ok(scenario) => {
                writeln!(out, "{}: good: {}", file.display(), scenario.title).context("cannot write")?
            }
            Err(problems) => code = bad(&problems)?,
        }
    }
    Ok(code)
}

fn bad(problems: &dyn std::fmt::Display) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stderr(), "{problems}").context("cannot write to standard error")?;
    Ok(ExitCode::from(BAD_SCENARIO))
}
