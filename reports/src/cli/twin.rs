//! `report twin`: from arguments to a session and its exit code.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use reports::twin::{Bench, Error, Options, Progress, Results, Session, Verdict};
use scenarios::exit;
use scenarios::scenario::Engine;
use scenarios::units::Seed;

pub(super) const EXAMPLES: &str = "\
Examples:
  report twin scenarios/library/twin/ours.toml -o twin.html --json twin.json
  report twin shop.toml --case base --case node-killed --repetitions 5
  report twin shop.toml --engine varnish=varnish --engine objects=redis --out runs/twin-real
  report twin --from twin.json --markdown           what came of a session, again

A case is the file as it is (`base`) or one of its variants; the section [twin] of the file says which, how often, and how far off is
still good. Runs that are there already are not played again, so that a session can be interrupted and goes on where it was.
Exit codes: 0 no cell misses, 99 some do, 111 nothing could be measured, 104 what was asked cannot be done, 105 interrupted.";

#[derive(Debug, Args)]
pub(super) struct Twin {
    /// The scenario
    #[arg(required_unless_present = "from")]
    file: Option<PathBuf>,
    /// Only this case of the file, or this variant; once for each
    #[arg(long = "case", value_name = "NAME")]
    cases: Vec<String>,
    /// The first of the seeds, instead of the file's
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// With so many seeds, instead of as many as the file says
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    repetitions: Option<u32>,
    /// Further seeds for the cases that are too noisy to tell, one by one, up to so many seeds in all
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    at_most: Option<u32>,
    /// How often a run is played at most that the machine disturbed, or from which its hypervisor took much; the calmest counts
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u32).range(1..=20))]
    attempts: u32,
    /// What does a component's work in the stack, instead of what the file says, such as varnish=varnish; once for each
    #[arg(long = "engine", value_name = "COMPONENT=ENGINE", value_parser = Engine::choice)]
    engines: Vec<(String, String)>,
    /// Where runs are kept; by default runs/twin- and the file's name
    #[arg(long, value_name = "DIRECTORY")]
    out: Option<PathBuf>,
    /// Writes an HTML page; with --from, without the charts of its runs
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Writes all numbers
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Prints Markdown instead of tables
    #[arg(long)]
    markdown: bool,
    /// Tells what came of a session that was written with --json
    #[arg(long, value_name = "FILE", conflicts_with_all = ["file", "cases", "seed", "repetitions", "at_most", "engines", "out"])]
    from: Option<PathBuf>,
    /// The simulator; by default the one beside this program
    #[arg(long, value_name = "PROGRAM")]
    sim: Option<PathBuf>,
    /// The load generator; by default the one beside this program
    #[arg(long, value_name = "PROGRAM")]
    loadgen: Option<PathBuf>,
    /// Has the simulator's runs made by `sim worker`s, by way of this NATS server
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Who we are to that server, as `sim run` has it
    #[arg(long, value_name = "FILE", requires = "nats")]
    nats_credentials: Option<String>,
    /// Whose certificates we trust, as `sim run` has it
    #[arg(long, value_name = "FILE", requires = "nats")]
    nats_ca_file: Option<String>,
    /// Our own certificate, as `sim run` has it
    #[arg(long, value_name = "FILE", requires_all = ["nats", "nats_key"])]
    nats_certificate: Option<String>,
    /// Its key
    #[arg(long, value_name = "FILE", requires_all = ["nats", "nats_certificate"])]
    nats_key: Option<String>,
    /// Prints no progress
    #[arg(long, short)]
    quiet: bool,
}

/// Says on standard error how the session stands.
#[derive(Debug)]
struct Said {
    quiet: bool,
}

impl Progress for Said {
    fn line(&mut self, line: &str) {
        if !self.quiet {
            // Whoever closed standard error does not want to know.
            let _ = writeln!(io::stderr(), "{line}");
        }
    }
}

impl Twin {
    /// Holds the session and says what came of it; the exit code.
    pub(super) fn run(&self, to: &mut impl Write) -> anyhow::Result<u8> {
        let session = match (&self.from, &self.file) {
            (Some(path), _) => Session { results: Results::read(path)?, pairs: Vec::new() },
            (None, Some(file)) => match self.hold(file)? {
                Some(session) => session,
                None => return Ok(exit::INTERRUPTED),
            },
            (None, None) => anyhow::bail!("a scenario is needed, or --from with what came of a session"),
        };
        if let Some(path) = &self.output {
            super::write_page(path, &session.html())?;
        }
        if let Some(path) = &self.json {
            super::write_page(path, &session.results.json())?;
        }
        let results = session.results;
        write!(to, "{}", if self.markdown { results.markdown() } else { results.text() })?;
        let measured = results.cells().any(|(_, cell)| cell.verdict != Verdict::Unmeasured);
        Ok(match results.count(Verdict::Misses) {
            0 if measured => exit::GOOD,
            0 => exit::INVALID,
            _ => exit::THRESHOLDS,
        })
    }

    /// What the simulator is told besides what it runs.
    fn sim_options(&self) -> Vec<String> {
        let options = [
            ("--nats", &self.nats),
            ("--nats-credentials", &self.nats_credentials),
            ("--nats-ca-file", &self.nats_ca_file),
            ("--nats-certificate", &self.nats_certificate),
            ("--nats-key", &self.nats_key),
        ];
        options.iter().filter_map(|(option, value)| Some(format!("{option}={}", value.as_ref()?))).collect()
    }

    /// Holds it; none where that was interrupted.
    fn hold(&self, file: &std::path::Path) -> anyhow::Result<Option<Session>> {
        let beside = |name: &str, chosen: &Option<PathBuf>| match chosen {
            Some(path) => Ok(path.clone()),
            None => {
                std::env::current_exe().map(|own| own.with_file_name(name)).context("where this program lies")
            }
        };
        let stem = file.file_stem().unwrap_or(file.as_os_str()).to_string_lossy();
        let directory = self.out.clone().unwrap_or_else(|| PathBuf::from(format!("runs/twin-{stem}")));
        std::fs::create_dir_all(&directory)
            .with_context(|| format!("{}: cannot be made", directory.display()))?;
        let options = Options {
            cases: self.cases.clone(),
            repetitions: self.repetitions,
            at_most: self.at_most,
            first_seed: self.seed.map(Seed),
            attempts: self.attempts,
            engines: self.engines.clone(),
            directory,
            sim: beside("sim", &self.sim)?,
            loadgen: beside("loadgen", &self.loadgen)?,
            sim_options: self.sim_options(),
            stop: programs::interrupt::listen().context("cannot listen for signals")?,
        };
        let held = Bench::new(file, options, Box::new(Said { quiet: self.quiet })).and_then(Bench::hold);
        match held {
            Err(Error::Interrupted) => {
                Said { quiet: self.quiet }.line(&Error::Interrupted.to_string());
                Ok(None)
            }
            session => Ok(Some(session?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(Debug, clap::Parser)]
    struct Line {
        #[command(flatten)]
        twin: Twin,
    }

    #[test]
    fn the_simulator_is_told_of_the_server_and_who_we_are_to_it() {
        let line = Line::try_parse_from([
            "twin",
            "shop.toml",
            "--nats",
            "tls://nats.example:4222",
            "--nats-ca-file",
            "ca.pem",
            "--nats-certificate",
            "own.pem",
            "--nats-key",
            "own.key",
        ]);
        let told = line.expect("it is well-formed").twin.sim_options();
        let expected = [
            "--nats=tls://nats.example:4222",
            "--nats-ca-file=ca.pem",
            "--nats-certificate=own.pem",
            "--nats-key=own.key",
        ];
        assert_eq!(told, expected);
        let alone = Line::try_parse_from(["twin", "shop.toml", "--nats-key", "own.key"]);
        assert!(alone.is_err(), "a key without a server and a certificate says nothing");
        let none = Line::try_parse_from(["twin", "shop.toml"]).expect("it is well-formed");
        assert_eq!(none.twin.sim_options(), Vec::<String>::new());
    }
}
