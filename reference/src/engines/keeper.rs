//! The process that keeps a server of another make: it writes its files, starts it, waits until it answers, fills it, and then does
//! what the supervisor says. Both are one process group, which the supervisor kills, stops and lets go on as one.
//!
//! Before a server that speaks another protocol than the stack's components do this process speaks theirs, at the component's address.
//!
//! Nothing stays behind. The server's own process dies with this one by the kernel's death signal; whatever else it started goes with
//! the group; and where the supervisor is gone without a word, this process ends the group and takes the directory away. It can do
//! so even where the group was stopped, for its own death signal lets it go on.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, getpgrp, getpid, getppid, kill_process, kill_process_group,
    set_child_subreaper, wait,
};
use scenarios::Scenario;
use scenarios::scenario::{ComponentId, Server};
use tokio::net::TcpStream;
use tokio::process::Child;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep, timeout};

use super::figures::{self, Figures};
use super::front::{self, Front};
use super::place::Place;
use super::plan::{Beside, Plan, plan};
use super::site::Site;
use super::{fill, haproxy};
use crate::child::{self, Orders, say};
use crate::message::{Order, Setup, Word};
use crate::process::{self, Role, complain};

/// A server that says nothing for so long after its start does not start.
const START_PATIENCE: Duration = Duration::from_secs(120);
/// How often it is asked meanwhile.
const START_LOOK: Duration = Duration::from_millis(20);
/// How long it may take to tell its figures.
const FIGURES_PATIENCE: Duration = Duration::from_secs(1);
/// How often this process looks whether its parent lives.
const PARENT_LOOK: Duration = Duration::from_millis(100);
/// How long what was killed may take to be gone, before its directory goes all the same.
const LAST_WAIT: Duration = Duration::from_secs(5);
/// How often it is looked whether it is.
const LAST_LOOK: Duration = Duration::from_millis(2);
/// What is shown of the words of a server that does not start.
const LAST_LINES: usize = 12;
/// The file of what it says.
const LOG: &str = "server.log";
/// RabbitMQ's start script.
const RABBITMQ: &str = "rabbitmq-server";
/// Where servers are that are not in every user's path.
const PLACES: &[&str] =
    &["/usr/sbin", "/usr/local/sbin", "/sbin", "/usr/lib/rabbitmq/bin", "/usr/lib/erlang/bin"];

/// A server and what is known of it.
#[derive(Debug)]
struct Keeper {
    scenario: Scenario,
    server: Server,
    component: ComponentId,
    name: String,
    address: SocketAddr,
    directory: PathBuf,
    /// Its own process.
    pid: u32,
    /// What the stack's components talk to in its place.
    front: Option<Front>,
    /// What runs beside it, and ends when this is dropped.
    _beside: Option<Child>,
    _place: Place,
    last: RefCell<Figures>,
}

/// Runs this process as the keeper of a server until its standard input ends.
pub(crate) fn run() -> ExitCode {
    child::run(
        "a keeper",
        async |setup| Keeper::start(setup).await,
        async |keeper, orders| {
            obey(&keeper, orders).await;
        },
    )
}

/// Becomes a server: what follows in the arguments is its program and its own arguments. It keeps the death signal.
pub(crate) fn become_server(mut arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(program) = arguments.next() else { return ExitCode::FAILURE };
    let error = Command::new(&program).args(arguments).exec();
    complain(&format!("{} cannot be started: {error}", Path::new(&program).display()));
    ExitCode::FAILURE
}

impl Keeper {
    async fn start(setup: Setup) -> Result<Rc<Self>, String> {
        let scenario = setup.scenario().map_err(|problems| problems.to_string())?;
        let directory = setup.directory.clone().ok_or("has no directory")?;
        // Whatever the server lets go of comes here, and ends with the rest.
        let _ = set_child_subreaper(Some(getpid()));
        watch_parent(directory.clone());
        let component = scenario.component_ids().nth(setup.component).ok_or("is no component")?;
        let server = scenario.component(component).server().ok_or("is no server of another make")?;
        let address = setup.addresses[setup.component][setup.instance as usize];
        let place = Place::of(server, address).map_err(|error| format!("no ports: {error}"))?;
        let site = Site {
            scenario: &scenario,
            component,
            instance: setup.instance,
            listen: place.listens.into(),
            addresses: setup.addresses.iter().map(|all| all.iter().map(|a| (*a).into()).collect()).collect(),
            directory: directory.clone(),
            own_ports: place.own_ports,
        };
        let plan = plan(server, &site).ok_or("cannot be such a server")?;
        let (process, beside) = launch(server, &plan, &directory).await?;
        let pid = process.id().ok_or("the server has no process")?;
        let name = format!("{}[{}]", scenario.component(component).name, setup.instance + 1);
        let first_start = setup.first_start;
        let front = front::before(server, setup, place.listens)?;
        let keeper = Rc::new(Self {
            scenario,
            server,
            component,
            name,
            address,
            directory,
            pid,
            front,
            _beside: beside,
            _place: place,
            last: RefCell::default(),
        });
        keeper.wait_until_it_answers(process).await?;
        keeper.fill(first_start).await?;
        if let Some(front) = &keeper.front {
            front.listen().map_err(|error| format!("{} cannot listen: {error}", keeper.name))?;
        }
        Ok(keeper)
    }

    /// Waits until the server answers, and from then on for its end.
    async fn wait_until_it_answers(self: &Rc<Self>, mut process: Child) -> Result<(), String> {
        let start = Instant::now();
        loop {
            if let Ok(Some(status)) = process.try_wait() {
                return Err(format!(
                    "{} ended: {status}\n{}",
                    self.server.name(),
                    last_words(&self.directory)
                ));
            }
            if self.answers().await {
                break;
            }
            if start.elapsed() > START_PATIENCE {
                let words = last_words(&self.directory);
                return Err(format!("{} does not answer at {}\n{words}", self.server.name(), self.address));
            }
            sleep(START_LOOK).await;
        }
        let keeper = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let status = process.wait().await;
            let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
            let words = last_words(&keeper.directory);
            complain(&format!("{}: {} ended: {status}\n{words}", keeper.name, keeper.server.name()));
            // As one of the stack's own components ends; what is left of the group is the supervisor's matter.
            std::process::exit(1);
        });
        Ok(())
    }

    async fn answers(&self) -> bool {
        if let Some(front) = &self.front {
            return front.is_linked();
        }
        let asked = async {
            match self.server {
                // Its statistics need what is only there once it serves.
                Server::Varnish => TcpStream::connect(self.address).await.is_ok(),
                server => {
                    figures::ask(server, self.address, &self.directory).await.is_ok_and(|f| !f.is_empty())
                }
            }
        };
        timeout(FIGURES_PATIENCE, asked).await.unwrap_or(false)
    }

    async fn fill(&self, first_start: bool) -> Result<(), String> {
        let filled = match self.server {
            Server::Redis => fill::store(&self.scenario, self.component, self.address, first_start).await,
            // Its files outlive its process.
            Server::Mariadb if first_start => fill::database(&self.scenario, self.address).await,
            _ => Ok(()),
        };
        filled.map_err(|error| format!("{} cannot be filled: {error}", self.server.name()))
    }

    /// What the server tells; where it does not in time, what it told last.
    async fn ask(&self) -> Figures {
        let asked = figures::ask(self.server, self.address, &self.directory);
        if let Ok(Ok(figures)) = timeout(FIGURES_PATIENCE, asked).await {
            *self.last.borrow_mut() = figures;
        }
        self.last.borrow().clone()
    }

    /// What it tells, and what it takes of this machine.
    async fn figures(&self) -> Figures {
        let mut figures = match &self.front {
            Some(front) => front.figures(),
            None => self.ask().await,
        };
        let cpu = figures::cpu_seconds(self.pid);
        let cores = match self.server {
            // As it is configured here, or by its nature.
            Server::Haproxy | Server::Nginx | Server::Redis => 1,
            _ => self.scenario.host(self.scenario.component(self.component).host).cores,
        };
        let own =
            [("cpu_seconds", cpu), ("busy_core_seconds", cpu), ("cores", f64::from(cores)), ("up", 1.0)];
        figures.extend(own.map(|(name, value)| (name.to_owned(), value)));
        figures
    }

    /// Sends a server nothing new from now on, or again.
    async fn hold(&self, server: u32, held: bool) -> Result<(), String> {
        if self.server != Server::Haproxy {
            return Err(format!("{} cannot be told to", self.server.name()));
        }
        let (backend, name) = (haproxy::BACKEND, haproxy::server_name(server as usize));
        let state = if held { "drain" } else { "ready" };
        let line = format!("set server {backend}/{name} state {state}\n");
        let said = figures::ask_socket(&self.directory.join(haproxy::SOCKET), &line).await;
        match said {
            // It says nothing where there is nothing to object to.
            Ok(said) if said.trim().is_empty() => Ok(()),
            Ok(said) => Err(said),
            Err(error) => Err(error.to_string()),
        }
    }

    async fn flush(&self) -> Result<(), String> {
        match self.server {
            Server::Redis => fill::flush_store(&self.scenario, self.component, self.address)
                .await
                .map_err(|error| error.to_string()),
            Server::Varnish => {
                let output = tokio::process::Command::new(find("varnishadm")?)
                    .arg("-n")
                    .arg(self.directory.join("work"))
                    .args(["ban", "obj.status", "!=", "0"])
                    .kill_on_drop(true)
                    .output()
                    .await
                    .map_err(|error| error.to_string())?;
                let said = String::from_utf8_lossy(&output.stdout).into_owned();
                if output.status.success() { Ok(()) } else { Err(said) }
            }
            server => Err(format!("{} holds nothing that could be flushed", server.name())),
        }
    }
}

async fn obey(keeper: &Keeper, mut orders: Orders) {
    while let Some(order) = orders.next().await {
        let done = |result: Result<(), String>| match result {
            Ok(()) => Word::Done,
            Err(message) => Word::Failed(message),
        };
        say(&match order {
            Some(Order::Figures) => Word::Figures(keeper.figures().await),
            Some(Order::Hold { server, held }) => done(keeper.hold(server, held).await),
            Some(Order::Flush) => done(keeper.flush().await),
            Some(Order::Position) => Word::Position(None),
            Some(Order::Lead) => Word::Failed("this is no copy".to_owned()),
            // What else there is concerns the stack's own components, or is done by the relay.
            Some(_) => Word::Done,
            None => {
                complain("an order was not understood");
                continue;
            }
        });
    }
    end(&keeper.directory);
}

/// Ends the group as soon as the parent is gone, whatever else is under way.
fn watch_parent(directory: PathBuf) {
    let parent = getppid();
    tokio::task::spawn_local(async move {
        // The kernel sends it to a group that is stopped and has lost its parent; it is not to end without the rest.
        let _ignored = signal(SignalKind::hangup());
        while getppid() == parent {
            sleep(PARENT_LOOK).await;
        }
        end(&directory);
    });
}

/// Ends the group, this process included, and takes the directory away.
fn end(directory: &Path) {
    let begun = std::time::Instant::now();
    // They write no more once they are gone; whoever is started meanwhile, or was when the list was read, is in the next one.
    while kill_family() && begun.elapsed() < LAST_WAIT {
        std::thread::sleep(LAST_LOOK);
    }
    let _ = fs::remove_dir_all(directory);
    let _ = kill_process_group(getpgrp(), Signal::KILL);
    std::process::exit(1);
}

/// Kills all that comes from this process and reaps those of them that are dead: whether anything was left.
fn kill_family() -> bool {
    let own = std::process::id();
    for pid in figures::family(own).into_iter().filter(|pid| *pid != own) {
        let _ = Pid::from_raw(pid as i32).map(|pid| kill_process(pid, Signal::KILL));
    }
    while let Ok(Some(_)) = wait(WaitOptions::NOHANG) {}
    figures::family(own).len() > 1
}

/// Writes the server's files and starts it, after what runs beside it.
async fn launch(server: Server, plan: &Plan, directory: &Path) -> Result<(Child, Option<Child>), String> {
    for (name, text) in &plan.files {
        fs::write(directory.join(name), text)
            .map_err(|error| format!("{name} cannot be written: {error}"))?;
    }
    let log = directory.join(LOG);
    let log_file = || File::options().create(true).append(true).open(&log);
    // MariaDB refuses root unless it is named, and then wants to be another user with files of its own.
    let as_root: &[&str] = match server {
        Server::Mariadb if rustix::process::getuid().is_root() => &["--user=root"],
        _ => &[],
    };
    let start = |words: &[String]| -> Result<Child, String> {
        let program = find(&words[0])?;
        let mut command = process::command(&process::this_executable(), Role::Server, &words[0]);
        command.arg(program).args(&words[1..]).args(as_root).current_dir(directory);
        command.envs(plan.environment.iter().map(|(name, value)| (name, value)));
        let outputs = log_file().and_then(|out| Ok((out, log_file()?)));
        let (out, err) = outputs.map_err(|error| format!("no log: {error}"))?;
        command.stdin(Stdio::null()).stdout(out).stderr(err);
        tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(|error| error.to_string())
    };
    let was_prepared = directory.join("data").exists();
    if let Some(words) = plan.before.as_ref().filter(|_| !was_prepared) {
        let status = start(words)?.wait().await.map_err(|error| error.to_string())?;
        if !status.success() {
            return Err(format!("{} ended: {status}\n{}", words[0], last_words(directory)));
        }
    }
    let beside = match &plan.beside {
        Some(Beside { command, port }) => {
            let process = start(command)?;
            listens(*port).await.map_err(|error| format!("{} does not answer: {error}", command[0]))?;
            Some(process)
        }
        None => None,
    };
    Ok((start(&plan.command)?, beside))
}

/// Waits until somebody listens on a port of 127.0.0.1.
async fn listens(port: u16) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
            Err(_) if start.elapsed() < START_PATIENCE => sleep(START_LOOK).await,
            connected => return connected.map(drop),
        }
    }
}

/// Where a program is.
fn find(program: &str) -> Result<PathBuf, String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(PLACES.iter().map(PathBuf::from));
    let found = places.map(|place| place.join(program)).find(|file| file.is_file() && !is_wrapper(file));
    found.ok_or_else(|| {
        format!("{program} is not on this machine: install it, or choose engine = \"embedded\"")
    })
}

/// Packages put a `rabbitmq-server` into the path that becomes another user first. RabbitMQ's own goes by that name whatever leads to
/// it, and has what it reads its settings with beside it.
fn is_wrapper(file: &Path) -> bool {
    let is_its_own =
        |real: PathBuf| real.ends_with(RABBITMQ) && real.with_file_name("rabbitmq-env").is_file();
    file.ends_with(RABBITMQ) && !file.canonicalize().is_ok_and(is_its_own)
}

/// The end of what a server said.
fn last_words(directory: &Path) -> String {
    let text = fs::read(directory.join(LOG)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LAST_LINES)..].join("\n")
}
