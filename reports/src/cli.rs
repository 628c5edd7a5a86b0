//! What the command line means.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use reports::serve::Server;
use results::{IntervalLog, Provenance, RunRecord, TimeUnit};
use scenarios::exit;

mod gate;
mod twin;

const EXAMPLES: &str = "\
Examples:
  report render runs/20260101-120000-quickstart-loadgen
  report compare runs/20260101-120000-quickstart-sim runs/20260101-120100-quickstart-loadgen
  report compare A B -o difference.html --markdown > difference.md
  report summary runs/20260101-120000-quickstart-sim/run.json

  report gate steady.toml --base './old --port {port}' --candidate './new --port {port}'
  report twin scenarios/library/twin/ours.toml -o twin.html

A RUN is the directory of a run or its run.json; of a run that was killed, its run.journal.
Exit codes: 0 done, 104 a run cannot be read or two cannot be compared, 2 wrong arguments; 111 to 113 as `report gate --help` says.";

/// Draws run records as self-contained HTML, and compares two runs of a scenario.
#[derive(Debug, Parser)]
#[command(name = "report", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write one HTML page with a report of each run, or of each interval log that another tool wrote.
    #[command(
        after_help = "Examples:\n  report render runs/20260101-120000-quickstart-sim -o sim.html\n  report render latency.hlog --unit us            an interval log of HdrHistogram, of any length"
    )]
    Render {
        /// The runs; or interval logs of HdrHistogram.
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// Where to write; by default report.html in the directory of the first run.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// What the numbers in interval logs count: ns, us or ms.
        #[arg(long, value_name = "UNIT", default_value = "ns", value_parser = unit)]
        unit: TimeUnit,
        /// Write each chart of a run as PNG into this directory, instead of a page.
        #[cfg(feature = "png")]
        #[arg(long, value_name = "DIRECTORY")]
        png: Option<PathBuf>,
    },
    /// Hold runs of one scenario against the first of them, phase by phase.
    #[command(
        after_help = "Examples:\n  report compare SIM MEASURED            a table for the terminal\n  report compare SIM MEASURED -o c.html  and both runs drawn on the same axes"
    )]
    Compare {
        /// The runs: the first, and those that are held against it.
        #[arg(required = true, num_args = 2..=8, value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// Write an HTML page as well.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Print JSON instead of a table.
        #[arg(long, conflicts_with = "markdown")]
        json: bool,
        /// Print Markdown instead of a table.
        #[arg(long)]
        markdown: bool,
    },
    /// Join the records of a run's segments, which several machines played, into one run.
    #[command(
        after_help = "Example:\n  report merge a/*-shop-loadgen b/*-shop-loadgen -o runs/shop     after loadgen run --segment 1/2 … and 2/2\n\nExit codes: those of the joined run: 0 good, 99 a threshold failed, 111 invalid, as where a segment is missing."
    )]
    Merge {
        /// The runs of the segments, in whatever order.
        #[arg(required = true, value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// The directory of the joined run.
        #[arg(short, long, value_name = "DIRECTORY")]
        output: PathBuf,
    },
    /// Show latency against load: runs of one system under different loads, and where an objective breaks.
    #[command(
        after_help = "Example:\n  report loads runs/*-shop-loadgen -o loads.html      the trials of loadgen capacity shop.toml"
    )]
    Loads {
        /// The runs.
        #[arg(required = true, num_args = 2.., value_name = "RUN")]
        runs: Vec<PathBuf>,
        /// Write an HTML page as well.
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Say whether a candidate is slower than its base: both measured in turn, in one session.
    #[command(after_help = gate::EXAMPLES)]
    Gate(Box<gate::Gate>),
    /// Run cases of a scenario in both worlds, several times each, and say how far prediction and measurement are apart.
    #[command(after_help = twin::EXAMPLES)]
    Twin(Box<twin::Twin>),
    /// Say whether many sessions together show a loss that none of them could.
    #[command(
        after_help = "Example:\n  report drift history.jsonl\n\nExit codes: 0 no drift, 112 drift beyond the margin."
    )]
    Drift(gate::Drift),
    /// Hold two seeded simulations against each other, which must be the same, or two files of counts, to 1%.
    #[command(
        after_help = "Examples:\n  report exact runs/BASE-sim runs/CANDIDATE-sim\n  report exact base.json candidate.json     {\"name\": instructions, ...}\n\nExit codes: 0 the same, 112 not."
    )]
    Exact {
        /// What was.
        base: PathBuf,
        /// What is.
        candidate: PathBuf,
    },
    /// Print a run in a few lines.
    Summary {
        /// The run.
        run: PathBuf,
    },
    /// Print a run in a form that other tools read.
    #[command(
        after_help = "Example:\n  report export runs/20260101-120000-quickstart-loadgen --as junit > junit.xml"
    )]
    Export {
        /// The run.
        run: PathBuf,
        /// HdrHistogram's percentiles, JUnit's XML, Markdown, JMeter's CSV, or OpenMetrics' text.
        #[arg(long = "as", value_name = "FORMAT", value_parser = format)]
        format: results::Format,
    },
    /// Show the runs of a directory in the browser of this machine.
    #[command(
        after_help = "Example:\n  report serve runs\n\nPrints the address, which is on loopback; ends when it is interrupted."
    )]
    Serve {
        /// The directory that holds the runs' directories.
        directory: PathBuf,
        /// Where to listen; by default at a free port.
        #[arg(long, default_value = "0")]
        port: u16,
    },
    /// Print the JSON Schema of run.json.
    Schema,
    /// Print a completion script for a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

impl Arguments {
    /// Does it; the exit code.
    pub(crate) fn run(self, to: &mut impl Write) -> anyhow::Result<u8> {
        match self.command {
            #[cfg(feature = "png")]
            Command::Render { runs, png: Some(directory), .. } => write_pictures(&runs, &directory, to)?,
            Command::Render { runs, output, unit, .. } => {
                let page = render(&runs, unit)?;
                let path = output.unwrap_or_else(|| {
                    // A run's own log lies beside the run's page.
                    let is_log = IntervalLog::is_one(&runs[0]);
                    if is_log { runs[0].with_extension("html") } else { beside(&runs[0]) }
                });
                write_page(&path, &page)?;
                writeln!(to, "{}", path.display())?;
            }
            Command::Compare { runs, output, json, markdown } => {
                let records = runs.iter().map(RunRecord::read).collect::<Result<Vec<_>, _>>()?;
                let comparison = reports::compare_all(&records)?;
                if let Some(path) = &output {
                    write_page(path, &comparison.html())?;
                }
                if json {
                    writeln!(to, "{:#}", comparison.json())?;
                } else if markdown {
                    write!(to, "{}", comparison.markdown())?;
                } else {
                    write!(to, "{}", comparison.text())?;
                    if let Some(path) = output {
                        writeln!(to, "\n{}", path.display())?;
                    }
                }
            }
            Command::Merge { runs, output } => {
                let records = runs.iter().map(RunRecord::read).collect::<Result<Vec<_>, _>>()?;
                let provenance = Provenance::here(concat!("report ", env!("CARGO_PKG_VERSION")));
                let joined = results::join(records, provenance)?;
                results::writer::write(&output, &joined)?;
                write_page(&output.join("report.html"), &reports::render(std::slice::from_ref(&joined)))?;
                write!(to, "{}", reports::summary(&joined))?;
                writeln!(to, "{}", output.display())?;
                return Ok(joined.exit_code());
            }
            Command::Loads { runs, output } => {
                let records = runs.iter().map(RunRecord::read).collect::<Result<Vec<_>, _>>()?;
                let loads = reports::loads(&records)?;
                write!(to, "{}", loads.text())?;
                if let Some(path) = output {
                    write_page(&path, &loads.html())?;
                    writeln!(to, "\n{}", path.display())?;
                }
            }
            Command::Gate(gate) => return gate.run(to),
            Command::Twin(twin) => return twin.run(to),
            Command::Drift(drift) => return drift.run(to),
            Command::Exact { base, candidate } => {
                let exact = reports::exact(&base, &candidate)?;
                write!(to, "{}", exact.text())?;
                return Ok(if exact.same { exit::GOOD } else { exit::REGRESSED });
            }
            Command::Summary { run } => write!(to, "{}", reports::summary(&RunRecord::read(run)?))?,
            Command::Export { run, format } => results::export(&RunRecord::read(run)?, format, to)?,
            Command::Serve { directory, port } => {
                let path = directory.display().to_string();
                let server = Server::bind(directory, port)
                    .with_context(|| format!("{path}: cannot be served at 127.0.0.1:{port}"))?;
                writeln!(to, "http://{}/", server.address())?;
                to.flush()?;
                server.run()
            }
            Command::Schema => write!(to, "{}", results::RECORD_SCHEMA)?,
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "report", &mut script);
                to.write_all(&script)?;
            }
        }
        Ok(exit::GOOD)
    }
}

/// The page of these runs, or of these logs.
fn render(runs: &[PathBuf], unit: TimeUnit) -> anyhow::Result<String> {
    let logs = runs.iter().filter(|path| IntervalLog::is_one(path)).count();
    if logs == 0 {
        let records = runs.iter().map(RunRecord::read).collect::<Result<Vec<_>, _>>()?;
        return Ok(reports::render(&records));
    }
    if logs < runs.len() {
        bail!("found {logs} interval logs among {} runs, expected runs alone or logs alone", runs.len());
    }
    let logs = runs.iter().map(|path| IntervalLog::read(path, unit)).collect::<Result<Vec<_>, _>>()?;
    Ok(reports::render_logs(&logs))
}

/// The charts of these runs; of several, each run's in a directory of its own.
#[cfg(feature = "png")]
fn write_pictures(runs: &[PathBuf], directory: &Path, to: &mut impl Write) -> anyhow::Result<()> {
    for (number, run) in runs.iter().enumerate() {
        let directory = if runs.len() == 1 {
            directory.to_owned()
        } else {
            directory.join(format!("run-{}", number + 1))
        };
        fs::create_dir_all(&directory).with_context(|| format!("{}: cannot be made", directory.display()))?;
        for picture in reports::pictures(&RunRecord::read(run)?)? {
            let path = directory.join(format!("{}.png", picture.name));
            fs::write(&path, picture.png)
                .with_context(|| format!("{}: cannot be written", path.display()))?;
            writeln!(to, "{}", path.display())?;
        }
    }
    Ok(())
}

fn unit(name: &str) -> Result<TimeUnit, String> {
    match name {
        "ns" => Ok(TimeUnit::Nanoseconds),
        "us" => Ok(TimeUnit::Microseconds),
        "ms" => Ok(TimeUnit::Milliseconds),
        _ => Err("expected ns, us or ms".to_owned()),
    }
}

fn format(name: &str) -> Result<results::Format, String> {
    let all = results::Format::ALL;
    let expected = || format!("expected {}", all.map(results::Format::name).join(", "));
    all.into_iter().find(|format| format.name() == name).ok_or_else(expected)
}

/// The page of a run lies in its directory.
fn beside(run: &Path) -> PathBuf {
    let directory = if run.is_dir() { run } else { run.parent().unwrap_or(Path::new("")) };
    directory.join("report.html")
}

fn write_page(path: &Path, page: &str) -> anyhow::Result<()> {
    fs::write(path, page).with_context(|| format!("{}: cannot be written", path.display()))
}

/// Whether the reader of standard output has gone, which is no failure of ours.
pub(crate) fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
