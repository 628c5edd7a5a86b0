//! The commands of the `scenario` program.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{CommandFactory as _, Parser, Subcommand};
use flate2::read::MultiGzDecoder;
use scenarios::exit::BAD_SCENARIO;
use scenarios::fit::Fit;
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
  scenario fit access.log > traffic.toml
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
    /// Writes a scenario with the traffic of an access log: its curve, mix, popularity, sizes
    #[command(
        after_help = "Reads the Common and the Combined log format, also of gzip files and, for -, of the standard input. \
Lines of another format are counted, and the first few shown.

Example:
  scenario fit /var/log/nginx/access.log.gz > traffic.toml"
    )]
    Fit {
        /// An access log, or - for the standard input
        log: PathBuf,
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
                    out.write_all(derived.scenario.source.text.as_bytes())
                }
                Err(error) => return bad(&error),
            }
        }
        Command::Fit { log } => return fit(&log, out),
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
                writeln!(out, "{}: good: {}", file.display(), scenario.title).context("cannot write")?;
                for variant in &scenario.variants {
                    match derive::variant(&scenario, &variant.name) {
                        Ok(_) => writeln!(out, "  {}: good: {}", variant.name, variant.what)
                            .context("cannot write")?,
                        Err(error) => code = bad(&format_args!("{}: {error}", file.display()))?,
                    }
                }
                if scenario.play.as_ref().is_some_and(|play| play.impossible.is_none())
                    && let Err(error) = derive::played(&scenario, None, None)
                {
                    code = bad(&format_args!("{}: {error}", file.display()))?;
                }
                for warning in explain::warnings(&scenario) {
                    writeln!(std::io::stderr(), "{}: warning: {warning}", file.display())
                        .context("cannot write to standard error")?;
                }
            }
            Err(problems) => code = bad(&problems)?,
        }
    }
    Ok(code)
}

/// Reads an access log, as it is or unpacked, and writes what it suggests.
fn fit(log: &Path, out: &mut impl Write) -> anyhow::Result<ExitCode> {
    let name = if log == Path::new("-") { "the standard input".into() } else { log.to_string_lossy() };
    let input: Box<dyn Read> = match log == Path::new("-") {
        true => Box::new(std::io::stdin().lock()),
        false => Box::new(File::open(log).with_context(|| format!("cannot read {name}"))?),
    };
    let mut input = BufReader::with_capacity(1 << 18, input);
    let packed = input.fill_buf().with_context(|| format!("cannot read {name}"))?.starts_with(&[0x1f, 0x8b]);
    let read = match packed {
        true => Fit::read(BufReader::with_capacity(1 << 18, MultiGzDecoder::new(input))),
        false => Fit::read(input),
    };
    let fit = read.with_context(|| format!("cannot read {name}"))?;
    let (broken, shown) = fit.broken();
    if broken > 0 {
        writeln!(
            std::io::stderr(),
            "note: {broken} lines are in neither the Common nor the Combined log format:"
        )?;
        for (number, text) in shown {
            writeln!(std::io::stderr(), "  {name}:{number}: {text}")?;
        }
    }
    match fit.scenario(&name) {
        Some(text) => {
            out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("cannot write")?;
            Ok(ExitCode::SUCCESS)
        }
        None => {
            bad(&format!("{name}: found no request, expected an access log in the Common or Combined format"))
        }
    }
}

fn bad(problems: &dyn std::fmt::Display) -> anyhow::Result<ExitCode> {
    writeln!(std::io::stderr(), "{problems}").context("cannot write to standard error")?;
    Ok(ExitCode::from(BAD_SCENARIO))
}
