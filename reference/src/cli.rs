//! The command line of `reference`.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;
use scenarios::scenario::{ComponentId, ComponentKind, Engine};
use scenarios::{Diagnostics, Scenario, exit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::client::{Error, Options, Stack};
use crate::engines::{self, bundle};
use crate::message::Setup;
use crate::socket::reserve;
use crate::status::Status;
use crate::{component, supervisor, support};

/// Runs the machine room of a scenario: a proxy, services and stores, as processes on loopback addresses.
#[derive(Debug, Parser)]
#[command(name = "reference", version, after_help = EXAMPLES)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

const EXAMPLES: &str = "\
Examples:
  reference check shop.toml          say whether the stack can run this scenario
  reference up shop.toml             start it, print who listens where, stop it with Ctrl-C
  reference up shop.toml --faults    the same, and break what the scenario breaks, when it does
  reference up shop.toml --logs logs --ports 7000
                                     a log for each process, and the file's components at ports 7000, 7001, ...
  reference up shop.toml --engine balancer=haproxy --engine objects=redis
                                     real servers in the places of two components, configured from the scenario
  reference config shop.toml --out etc
                                     write haproxy.cfg, default.vcl, redis.conf, my.cnf and a compose file for it
  reference proxy shop.toml balancer --listen 127.0.0.1:8080 --to 127.0.0.1:8081
                                     run one proxy of a scenario alone, before a server of yours
  reference store shop.toml objects --listen 127.0.0.1:6379 --dump dump.rdb
                                     run one store of a scenario alone, filled from a file
  reference completions bash         a completion script for a shell

Exit codes: 0 good, 104 bad scenario or one that the stack cannot run.";

#[derive(Debug, Subcommand)]
enum Command {
    /// Start what a scenario describes, and keep it running until Ctrl-C.
    Up {
        /// The scenario.
        file: PathBuf,
        /// Carry out the scenario's faults; its time zero is when everything listens.
        #[arg(long)]
        faults: bool,
        /// Write a log for each process into this directory, rather than all to standard error.
        #[arg(long, value_name = "DIRECTORY")]
        logs: Option<PathBuf>,
        /// Listen at this port for the file's first component, at the next for the second, and so on; at free ones by default.
        #[arg(long, value_name = "PORT")]
        ports: Option<u16>,
        /// What does a component's work, instead of what the file says; once for each.
        #[arg(long, value_name = "COMPONENT=ENGINE", value_parser = Engine::choice)]
        engine: Vec<(String, String)>,
        /// Print nothing after the table; by default a terminal shows every second what each instance is at.
        #[arg(long)]
        quiet: bool,
    },
    /// Say whether the stack can run a scenario.
    Check {
        /// The scenario.
        file: PathBuf,
        /// What does a component's work, instead of what the file says; once for each.
        #[arg(long, value_name = "COMPONENT=ENGINE", value_parser = Engine::choice)]
        engine: Vec<(String, String)>,
    },
    /// Print the configurations of real servers for a scenario: of those that the file or the command line names, and of the usual
    /// ones where neither says what does a component's work.
    Config {
        /// The scenario.
        file: PathBuf,
        /// Write them into this directory, with a compose file that runs them.
        #[arg(long, value_name = "DIRECTORY")]
        out: Option<PathBuf>,
        /// What does a component's work; `embedded` leaves it out. Once for each.
        #[arg(long, value_name = "COMPONENT=ENGINE", value_parser = Engine::choice)]
        engine: Vec<(String, String)>,
    },
    /// Run one proxy or HTTP cache of a scenario alone, before servers of yours, until Ctrl-C.
    Proxy {
        /// The scenario.
        file: PathBuf,
        /// The component that is run as the file configures it.
        component: String,
        /// Where it listens; at a free port with port 0.
        #[arg(long)]
        listen: SocketAddr,
        /// A server that it passes requests on to; once for each.
        #[arg(long, required = true)]
        to: Vec<SocketAddr>,
    },
    /// Run one key-value store of a scenario alone, for clients of yours, until Ctrl-C.
    Store {
        /// The scenario.
        file: PathBuf,
        /// The component that is run as the file configures it.
        component: String,
        /// Where it listens; at a free port with port 0.
        #[arg(long)]
        listen: SocketAddr,
        /// A file in Redis's format that it is filled from, if it is there, and that SAVE and BGSAVE write.
        #[arg(long)]
        dump: Option<PathBuf>,
    },
    /// Print a completion script.
    Completions {
        /// For this shell.
        shell: Shell,
    },
}

/// Parses the command line, does what it says, and returns the exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match &arguments.command {
        Command::Up { file, faults, logs, ports, engine, quiet } => {
            let mut options = Options::default();
            options.logs.clone_from(logs);
            options.first_port = *ports;
            up(file, engine, *faults, options, !quiet && io::stdout().is_terminal())
        }
        Command::Check { file, engine } => check(file, engine),
        Command::Config { file, out, engine } => config(file, engine, out.as_deref()),
        Command::Proxy { file, component, listen, to } => proxy(file, component, *listen, to),
        Command::Store { file, component, listen, dump } => store(file, component, *listen, dump.as_deref()),
        Command::Completions { shell } => {
            clap_complete::generate(*shell, &mut Arguments::command(), "reference", &mut io::stdout());
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = match &error {
                Error::Scenario(problems) => writeln!(io::stderr(), "{problems}"),
                error => writeln!(io::stderr(), "error: {error}"),
            };
            ExitCode::from(if matches!(error, Error::Scenario(_)) { exit::BAD_SCENARIO } else { 1 })
        }
    }
}

fn load(file: &Path, engines: &[(String, String)]) -> Result<Scenario, Error> {
    let supported = |mut scenario: Scenario| -> Result<Scenario, Diagnostics> {
        scenario.choose_engines(engines)?;
        support::check(&scenario)?;
        Ok(scenario)
    };
    Scenario::load(file).and_then(supported).map_err(Error::Scenario)
}

fn check(file: &Path, engines: &[(String, String)]) -> Result<(), Error> {
    let scenario = load(file, engines)?;
    let processes = supervisor::processes(&scenario);
    writeln!(io::stdout(), "{}: the stack can run it, as at most {processes} processes", file.display())?;
    Ok(())
}

fn config(file: &Path, engines: &[(String, String)], out: Option<&Path>) -> Result<(), Error> {
    let configured = |mut scenario: Scenario| -> Result<Scenario, Diagnostics> {
        scenario.choose_engines(engines)?;
        scenario.choose_engines(&bundle::usual_servers(&scenario))?;
        let problems = engines::support::problems(&scenario);
        if problems.is_empty() { Ok(scenario) } else { Err(Diagnostics::new(problems)) }
    };
    let scenario = Scenario::load(file).and_then(configured).map_err(Error::Scenario)?;
    for (path, text) in bundle::files(&scenario) {
        match out {
            Some(directory) => {
                let path = directory.join(path);
                path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
                std::fs::write(&path, text)?;
                writeln!(io::stdout(), "{}", path.display())?;
            }
            None => writeln!(io::stdout(), "==> {} <==\n{text}", path.display())?,
        }
    }
    Ok(())
}

fn proxy(file: &Path, name: &str, listen: SocketAddr, servers: &[SocketAddr]) -> Result<(), Error> {
    // Who connects to it, and from where, the file does not say here.
    let scenario = Scenario::load(file).map_err(Error::Scenario)?;
    let problems = support::check_components(&scenario);
    if !problems.is_empty() {
        return Err(Error::Scenario(Diagnostics::new(problems)));
    }
    let found = scenario.component_ids().find(|id| scenario.component(*id).name == name);
    let to = found.and_then(|id| scenario.component(id).kind.forwards_to());
    let (Some(component), Some(to)) = (found, to) else {
        return Err(Error::Refused(format!(
            "\"{name}\" is no component of {} that passes requests on",
            file.display()
        )));
    };
    if let ComponentKind::LoadBalancer(balancer) = &scenario.component(component).kind
        && !balancer.weights.is_empty()
        && balancer.weights.len() != servers.len()
    {
        let (weights, count) = (balancer.weights.len(), servers.len());
        return Err(Error::Refused(format!(
            "{name} has {weights} weights for {count} servers; give --to as often"
        )));
    }
    let servers = |id| if id == to { servers.to_vec() } else { Vec::new() };
    alone(&scenario, component, listen, servers, None)
}

fn store(file: &Path, name: &str, listen: SocketAddr, dump: Option<&Path>) -> Result<(), Error> {
    let scenario = load(file, &[])?;
    let is_it = |id: &ComponentId| {
        let component = scenario.component(*id);
        component.name == name && matches!(component.kind, ComponentKind::KvStore(_))
    };
    let Some(component) = scenario.component_ids().find(is_it) else {
        return Err(Error::Refused(format!("\"{name}\" is no key-value store of {}", file.display())));
    };
    // Relative to where we are, whatever becomes of that.
    let dump = dump.map(std::path::absolute).transpose()?;
    alone(&scenario, component, listen, |_| Vec::new(), dump)
}

/// Runs one component of a scenario in this process until a signal ends it.
fn alone(
    scenario: &Scenario,
    component: ComponentId,
    listen: SocketAddr,
    servers: impl Fn(ComponentId) -> Vec<SocketAddr>,
    dump: Option<PathBuf>,
) -> Result<(), Error> {
    let name = &scenario.component(component).name;
    // A free port stays ours while the component starts to listen on it.
    let reservation = reserve(listen)?;
    let listen = reservation.local_addr()?.as_socket().unwrap_or(listen);
    let addresses =
        scenario.component_ids().map(|id| if id == component { vec![listen] } else { servers(id) });
    let setup = Setup {
        path: scenario.source.path.clone(),
        text: scenario.source.text.clone(),
        engines: Vec::new(),
        component: component.index(),
        instance: 0,
        directory: None,
        // What is in the file is not filled in once more.
        first_start: !dump.as_ref().is_some_and(|dump| dump.exists()),
        leads: true,
        dump,
        snapshots: None,
        addresses: addresses.collect(),
        peers: Vec::new(),
        book: None,
        disk: None,
        switched_off: Vec::new(),
    };
    let end = async {
        // It listens; whoever started it and does not read this does without.
        let _ = writeln!(io::stdout(), "{name} listens on {listen}");
        // Where a signal cannot be waited for, it ends the process by itself.
        if let (Ok(mut interrupted), Ok(mut terminated)) =
            (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
        {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
        }
    };
    component::run_alone(setup, end).map_err(Error::Refused)
}

fn up(
    file: &Path,
    engines: &[(String, String)],
    with_faults: bool,
    options: Options,
    with_status: bool,
) -> Result<(), Error> {
    let scenario = load(file, engines)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before the stack is started, so that no signal can fall between.
        let mut interrupted = signal(SignalKind::interrupt())?;
        let mut terminated = signal(SignalKind::terminate())?;
        let mut hung_up = signal(SignalKind::hangup())?;
        let stack = tokio::select! {
            stack = start(&scenario, options) => stack?,
            // Whatever was started ends with this process.
            _ = interrupted.recv() => return Ok(()),
            _ = terminated.recv() => return Ok(()),
            _ = hung_up.recv() => return Ok(()),
        };
        let status = RefCell::new(Status::new());
        let start = Instant::now();
        stack.begin()?;
        print_table(&stack, &scenario)?;
        let faults = async {
            if with_faults {
                carry_out(&stack, &scenario, start, &status).await?;
            }
            std::future::pending::<Result<(), Error>>().await
        };
        let watch = async {
            loop {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let stats = stack.stats()?;
                if with_status {
                    status.borrow_mut().draw(&stats, &mut io::stdout().lock())?;
                }
            }
        };
        tokio::select! {
            _ = interrupted.recv() => Ok(()),
            _ = terminated.recv() => Ok(()),
            _ = hung_up.recv() => Ok(()),
            ended = faults => ended,
            gone = watch => gone,
        }
    })
}

/// Starts a stack on another thread, as filling its stores can take long.
async fn start(scenario: &Scenario, options: Options) -> Result<Stack, Error> {
    let (started, stack) = oneshot::channel();
    let scenario = scenario.clone();
    std::thread::Builder::new().spawn(move || {
        // Nobody waits for it any more where the start was interrupted.
        let _ = started.send(Stack::start_with(&scenario, &options));
    })?;
    stack.await.map_err(|_| Error::Refused("it was not started".to_owned()))?
}

async fn carry_out(
    stack: &Stack,
    scenario: &Scenario,
    start: Instant,
    status: &RefCell<Status>,
) -> Result<(), Error> {
    let begins = scenario.faults.iter().enumerate().map(|(i, fault)| (fault.from, true, i));
    let ends = scenario.faults.iter().enumerate().map(|(i, fault)| (fault.until, false, i));
    let mut moments: Vec<_> = begins.chain(ends).collect();
    moments.sort();
    for (at, begins, index) in moments {
        tokio::time::sleep_until((start + at.as_duration()).into()).await;
        if begins {
            stack.begin_fault(index)?
        } else {
            stack.end_fault(index)?
        }
        let verb = if begins { "begins" } else { "ends" };
        status.borrow_mut().leave();
        writeln!(io::stdout(), "{:8.1} s  {} {verb}", at.as_secs_f64(), scenario.faults[index].name)?;
    }
    Ok(())
}

fn print_table(stack: &Stack, scenario: &Scenario) -> io::Result<()> {
    let rows: Vec<[String; 4]> = stack
        .listeners()
        .iter()
        .map(|l| {
            [
                format!("{}[{}]", l.component, l.instance),
                format!("{}[{}]", l.host, l.instance),
                l.address.to_string(),
                l.pid.to_string(),
            ]
        })
        .collect();
    let heads = ["component", "host", "address", "process"];
    let widths: Vec<usize> = (0..heads.len())
        .map(|i| rows.iter().map(|row| row[i].len()).chain([heads[i].len()]).max().unwrap_or(0))
        .collect();
    let mut out = io::stdout().lock();
    let mut line = |cells: [&str; 4]| {
        let cells: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:<w$}")).collect();
        writeln!(out, "{}", cells.join("  ").trim_end())
    };
    line(heads)?;
    for row in &rows {
        line([&row[0], &row[1], &row[2], &row[3]])?;
    }
    let mut entries: Vec<&str> =
        scenario.traffic.iter().map(|t| scenario.component(t.to).name.as_str()).collect();
    entries.dedup();
    for entry in entries {
        for address in stack.entry(entry) {
            writeln!(out, "\nrequests go to http://{address}")?;
        }
    }
    let (admin, token) = stack.admin();
    writeln!(out, "\nfigures are at http://{admin}/metrics; the admin API there asks for the token {token}")?;
    writeln!(out, "Ctrl-C stops it.")?;
    out.flush()
}
