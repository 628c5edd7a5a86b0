//! The command line.

use std::io::Write as _;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, CommandFactory as _, Parser, Subcommand};
use jiff::Timestamp;
use loadgen::Share;
use programs::{Part, Problem};
use scenarios::scenario::Engine;
use scenarios::units::{Bytes, SimTime};

use crate::capacity::{self, Objective};
use crate::measure::{self, Measurement};
use crate::{doctor, play};

/// Plays scenarios over sockets: open loop, every request on time.
///
/// Without a command it plays the quickstart scenario, which is compiled in, against a stack that it starts on this machine.
#[derive(Debug, Parser)]
#[command(
    name = "loadgen",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  loadgen
  loadgen run scenarios/library/quickstart.toml
  loadgen run week.toml --from 2d20h --for 1m --rate 10%
  loadgen run shop.toml --target http://127.0.0.1:8080 --skip-faults
  loadgen capacity shop.toml --slo 'response_time p(99)<250ms'
  loadgen measure shop.toml --out runs/costs
  loadgen doctor

Exit codes: 0 good, 99 thresholds failed, 104 bad scenario or configuration, 105 interrupted, 111 invalid run.

Environment: REHEARSAL_MAX_RATE (requests a second) and REHEARSAL_MAX_DURATION (seconds) limit every run."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Plays a scenario against the reference stack, or against a target
    #[command(after_help = "Examples:
  loadgen run scenarios/library/quickstart.toml
  loadgen run week.toml --from 2d20h --for 1m --rate 10%
  loadgen run shop.toml --target http://127.0.0.1:8080 --skip-faults
  loadgen run shop.toml --target http://10.0.0.7 --skip-faults --segment 2/4 --start-at 2026-01-31T20:00:00Z
                                          the second of four machines that play it together")]
    Run {
        /// A scenario file
        file: PathBuf,
        #[command(flatten)]
        together: Together,
        #[command(flatten)]
        options: Options,
    },
    /// Plays segments of runs that `loadgen run --agents` coordinates, against targets that this command allows
    #[cfg(feature = "nats")]
    #[command(after_help = "Examples:
  loadgen agent --nats nats://10.0.0.5:4222 --allow http://10.0.0.7     on each machine, then anywhere:
  loadgen run shop.toml --agents 4 --nats nats://10.0.0.5:4222 --target http://10.0.0.7 --skip-faults

It dials out, waits for a run, plays its segment and ends with 0, or 105 and 111 as runs do; thresholds are the coordinator's to
judge. It stops when the coordinator says so, or has been silent for five seconds.")]
    Agent(Agency),
    /// Finds the greatest rate under which an objective holds
    #[command(after_help = "Example:
  loadgen capacity shop.toml --slo 'response_time p(99)<250ms' --for 10s

Every trial is a run of its own: the scenario's traffic times a factor, and everything else as it is.")]
    Capacity {
        #[command(flatten)]
        objective: Objective,
        #[command(flatten)]
        options: Options,
    },
    /// Measures what each part of the stack costs a request when there is no work and no queue
    #[command(after_help = "Example:
  loadgen measure shop.toml --repetitions 5 --for 20s --out runs/costs
  sim calibrate shop.toml --from runs/costs -o shop.calibration.toml

Plays requests that differ by one thing each, mixed, against the scenario's own stack at low load; sim calibrate makes costs of
their differences. --engine measures another server in a component's place.")]
    Measure {
        #[command(flatten)]
        measure: Measurement,
        #[command(flatten)]
        options: Options,
    },
    /// Looks at what this machine can do as a generator
    #[command(after_help = "Example:\n  loadgen doctor")]
    Doctor,
    /// Prints a completion script
    #[command(
        after_help = "Example:\n  loadgen completions bash > ~/.local/share/bash-completion/completions/loadgen"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Whom connections to a target trust.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Trusted {
    /// Trusts the authorities of this file, in PEM, instead of the machine's
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca_file: Option<PathBuf>,
    /// Asks for this name over TLS, and expects a certificate for it, instead of the target's own
    #[cfg(feature = "tls")]
    #[arg(long, value_name = "NAME")]
    pub(crate) sni: Option<String>,
    /// Trusts every certificate
    #[cfg(feature = "tls")]
    #[arg(long, conflicts_with = "ca_file")]
    pub(crate) insecure: bool,
}

/// Who plays a scenario, where this machine does not.
#[derive(Debug, Default, Args)]
pub(crate) struct Together {
    /// Has so many agents play it, each its segment of the plan and all from the same time on (see `loadgen agent`)
    #[cfg(feature = "nats")]
    #[arg(long, value_name = "N", requires = "nats", conflicts_with_all = ["segment", "dns_refresh"])]
    pub(crate) agents: Option<NonZeroU32>,
    /// How long agents are waited for; two minutes where nothing is said
    #[cfg(feature = "nats")]
    #[arg(long, value_name = "DURATION", requires = "agents", value_parser = every)]
    pub(crate) wait: Option<SimTime>,
    #[cfg(feature = "nats")]
    #[command(flatten)]
    pub(crate) nats: fleet::Options,
}

/// What an agent lets others have it do.
#[cfg(feature = "nats")]
#[derive(Debug, Args)]
pub(crate) struct Agency {
    #[command(flatten)]
    pub(crate) nats: fleet::Options,
    /// A target that may be loaded from here, such as http://10.0.0.7:8080, whatever the coordinator asks for; once for each.
    /// Without any, only this machine's own loopback addresses may
    #[arg(long, value_name = "TARGET")]
    pub(crate) allow: Vec<String>,
    /// Allows targets that are neither this machine nor in a private network: only with their owner's consent
    #[arg(long)]
    pub(crate) i_am_authorised: bool,
    #[command(flatten)]
    pub(crate) trusted: Trusted,
    /// What it is called in reports; the machine's name and the process's number where nothing is said
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Waits for another run after each, until it is interrupted
    #[arg(long)]
    pub(crate) stay: bool,
    /// Does not look before at what this machine can do, which takes four seconds
    #[arg(long)]
    pub(crate) no_doctor: bool,
    /// Where the records of its segments are kept
    #[arg(long, value_name = "DIRECTORY", default_value = "runs")]
    pub(crate) out: PathBuf,
    /// Says nothing but where its records are
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// How a scenario is played.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Plays against this URL instead of the reference stack, such as http://127.0.0.1:8080
    #[arg(long, value_name = "URL")]
    pub(crate) target: Option<String>,
    /// Allows a target that is neither this machine nor in a private network, and servers elsewhere that the file names as a component's
    /// engine: only with their owner's consent
    #[arg(long)]
    pub(crate) i_am_authorised: bool,
    /// Asks for the address of the target's host again this often; connections opened later go there
    #[arg(long, value_name = "DURATION", requires = "target", value_parser = every)]
    pub(crate) dns_refresh: Option<SimTime>,
    #[command(flatten)]
    pub(crate) trusted: Trusted,
    /// What does a component's work in the stack, instead of what the file says, such as varnish=varnish; once for each
    #[arg(long, value_name = "COMPONENT=ENGINE", conflicts_with = "target", value_parser = Engine::choice)]
    pub(crate) engine: Vec<(String, String)>,
    /// Leaves the scenario's faults out
    #[arg(long)]
    pub(crate) skip_faults: bool,
    #[command(flatten)]
    pub(crate) part: Part,
    /// Plays a segment of the plan, such as 2/4, the second of four; `report merge` joins the records of all
    #[arg(long, value_name = "SEGMENT", requires_all = ["target", "start_at"], value_parser = Share::parse)]
    pub(crate) segment: Option<Share>,
    /// Begins at this time by the machine's clock, such as 2026-01-31T20:00:00Z; connections are open by then
    #[arg(long, value_name = "TIME", requires = "target", value_parser = str::parse::<Timestamp>)]
    pub(crate) start_at: Option<Timestamp>,
    /// Engine threads
    #[arg(long, default_value = "1")]
    pub(crate) threads: NonZeroU32,
    /// The longest answer accepted
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = str::parse::<Bytes>)]
    pub(crate) max_body: Bytes,
    /// Serves how the run stands to Prometheus at this address, such as 127.0.0.1:9464
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) metrics: Option<std::net::SocketAddr>,
    /// Where runs are kept
    #[arg(long, value_name = "DIRECTORY", default_value = "runs")]
    pub(crate) out: PathBuf,
    /// Writes no HTML report
    #[arg(long)]
    pub(crate) no_report: bool,
    /// Shows no progress and no summary, only where the record is
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

impl Trusted {
    /// Whether anything was said.
    pub(crate) fn is_given(&self) -> bool {
        #[cfg(feature = "tls")]
        return self.insecure || self.ca_file.is_some() || self.sni.is_some();
        #[cfg(not(feature = "tls"))]
        false
    }
}

impl Together {
    /// How many agents play it; none where this machine does.
    ///
    /// # Errors
    /// Where they would be asked over NATS, and nobody says how many.
    #[cfg(feature = "nats")]
    pub(crate) fn agents(&self) -> Result<Option<NonZeroU32>, Problem> {
        match (&self.nats.nats, self.agents) {
            (Some(place), None) => Err(Problem::configuration(anyhow::anyhow!(
                "--nats: found {place} and nobody to be asked there\nhint: --agents 4 has four agents play"
            ))),
            (_, agents) => Ok(agents),
        }
    }

    /// A build without NATS knows no agents.
    #[cfg(not(feature = "nats"))]
    pub(crate) fn agents(&self) -> Result<Option<std::convert::Infallible>, Problem> {
        Ok(None)
    }
}

/// How often something is to be done: a pause of nothing would be no pause.
fn every(text: &str) -> Result<SimTime, String> {
    let every = text.parse::<SimTime>().map_err(|problem| problem.to_string())?;
    if every == SimTime::ZERO { Err("expected more than nothing, such as 30s".to_owned()) } else { Ok(every) }
}

impl Arguments {
    /// Does what the command line says; the exit code.
    pub(crate) fn carry_out(self) -> Result<u8, Problem> {
        match self.command {
            None => play::play(None, &self.options, &Together::default()),
            Some(Command::Run { file, together, options }) => play::play(Some(&file), &options, &together),
            #[cfg(feature = "nats")]
            Some(Command::Agent(agency)) => crate::together::agent(&agency),
            Some(Command::Capacity { objective, options }) => capacity::find(&objective, &options),
            Some(Command::Measure { measure, options }) => measure::measure(&measure, &options),
            Some(Command::Doctor) => doctor::examine(),
            Some(Command::Completions { shell }) => {
                let mut script = Vec::new();
                clap_complete::generate(shell, &mut Self::command(), "loadgen", &mut script);
                std::io::stdout().lock().write_all(&script)?;
                Ok(0)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use scenarios::units::Ratio;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_name_is_not_asked_for_without_a_pause() {
        let with = |every| {
            Arguments::try_parse_from(["loadgen", "--target", "http://shop.test", "--dns-refresh", every])
        };
        assert!(with("30s").is_ok());
        let refused = with("0s").expect_err("it would never end").to_string();
        assert!(refused.contains("expected more than nothing, such as 30s"), "{refused}");
    }

    #[test]
    fn options_without_a_command_are_the_quickstarts() {
        let arguments =
            Arguments::try_parse_from(["loadgen", "--rate", "10%", "--seed", "3"]).expect("they are known");
        assert!(arguments.command.is_none());
        let part = arguments.options.part;
        assert_eq!((part.rate, part.seed), (Some(Ratio::new(0.1)), Some(3)));
    }
}
