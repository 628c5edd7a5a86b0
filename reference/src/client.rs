//! The stack as those see it who use it: started, asked, broken, stopped. Blocking, and without a runtime.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin};
use std::sync::{Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use scenarios::Scenario;

use crate::message::{self, Opening, Place, Reply, Request, Stage};
use crate::process::{self, Role};

/// How long a stack may take to stop by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What went wrong with a stack.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The scenario is broken, or asks for what the reference stack does not have.
    #[error("{0}")]
    Scenario(scenarios::Diagnostics),
    /// The supervisor could not be started or talked to.
    #[error("the reference stack's supervisor: {0}")]
    Io(#[from] io::Error),
    /// The supervisor says what it could not do.
    #[error("the reference stack: {0}")]
    Refused(String),
}

/// How a stack is started, beside what the scenario says.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Options {
    /// The executable of its processes, which must begin with [`process::run_if_child`]; this one by default.
    pub executable: Option<PathBuf>,
    /// A directory for the processes' logs, one file each, which is made where it is not there; they go to standard error by
    /// default.
    pub logs: Option<PathBuf>,
    /// The port on which clients find the scenario's first component, that of each further one being one more, on the
    /// addresses of its machines; ports that are free by default.
    pub first_port: Option<u16>,
}

/// An instance and where it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// The component's name.
    pub component: String,
    /// Which instance of it, from one, as files count.
    pub instance: u32,
    /// The name of its host.
    pub host: String,
    /// Where it listens; the same after a restart.
    pub address: SocketAddr,
    /// Its process at the start; another one after a restart.
    pub pid: u32,
}

/// The figures of an instance at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct InstanceStats {
    /// The component's name; of a background job, `job:` and its name.
    pub component: String,
    /// Which instance of it, from one, as files count; of a job, the number of its machine.
    pub instance: u32,
    /// Counters since the start of its process (`busy_core_seconds`, `hits`) and levels (`waiting`, `keys`). `up` is 0
    /// where the process is dead or silent; the others are then the last that it told.
    pub metrics: BTreeMap<String, f64>,
}

/// A running stack. It stops when this is dropped, and when this process dies, however it dies.
#[derive(Debug)]
pub struct Stack {
    /// The names of the components, and of the jobs behind them.
    names: Vec<String>,
    listeners: Vec<Listener>,
    admin: (SocketAddr, String),
    /// Faults and figures are talked about on connections of their own: a restart takes its time.
    faults: Mutex<Line>,
    figures: Mutex<Line>,
    supervisor: Option<Supervisor>,
}

/// The supervisor's process. The thread that started it stays until its end, as the kernel's death signal demands.
#[derive(Debug)]
struct Supervisor {
    /// Closing it tells the supervisor that nobody wants it any more.
    stdin: ChildStdin,
    release: mpsc::Sender<()>,
    keeper: JoinHandle<()>,
}

impl Stack {
    /// Starts the stack that a scenario file describes; returns when all of it listens.
    ///
    /// The processes are this executable, started again: its `main` must begin with
    /// [`process::run_if_child`].
    ///
    /// ```no_run
    /// let stack = reference::client::Stack::start("shop.toml".as_ref())?;
    /// let address = stack.entry("balancer")[0];
    /// # Ok::<(), reference::client::Error>(())
    /// ```
    ///
    /// # Errors
    /// Where the scenario is broken or not supported, or a process cannot be started.
    pub fn start(path: &Path) -> Result<Self, Error> {
        Self::start_scenario(&Scenario::load(path).map_err(Error::Scenario)?)
    }

    /// As [`Stack::start`], for a scenario that was read already.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub fn start_scenario(scenario: &Scenario) -> Result<Self, Error> {
        Self::start_with(scenario, &Options::default())
    }

    /// As [`Stack::start_scenario`], with the processes in another executable that begins with
    /// [`process::run_if_child`]: for tests, whose own `main` is not theirs to write.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub fn start_hosted(scenario: &Scenario, executable: &Path) -> Result<Self, Error> {
        let options = Options { executable: Some(executable.to_owned()), ..Options::default() };
        Self::start_with(scenario, &options)
    }

    /// As [`Stack::start_scenario`], with options.
    ///
    /// # Errors
    /// As [`Stack::start`].
    pub fn start_with(scenario: &Scenario, options: &Options) -> Result<Self, Error> {
        crate::support::check(scenario).map_err(Error::Scenario)?;
        if let Some(directory) = &options.logs {
            std::fs::create_dir_all(directory)?;
        }
        let stage = Stage {
            path: scenario.source.path.clone(),
            text: scenario.source.text.clone(),
            engines: scenario.source.engines.clone(),
            logs: options.logs.clone(),
            first_port: options.first_port,
        };
        let executable = options.executable.clone().unwrap_or_else(process::this_executable);
        let (supervisor, opening) = Supervisor::start(&stage, &executable)?;
        let (control, admin, token, places) = match opening {
            Opening::Ready { control, admin, token, listeners } => (control, admin, token, listeners),
            Opening::Failed { message } => {
                supervisor.stop();
                return Err(Error::Refused(message));
            }
        };
        let listener = |place: Place| {
            let component = &scenario.components[place.component];
            Listener {
                component: component.name.clone(),
                instance: place.instance + 1,
                host: scenario.host(component.host).name.clone(),
                address: place.address,
                pid: place.pid,
            }
        };
        let lines = Line::open(control, &token).and_then(|a| Ok((a, Line::open(control, &token)?)));
        let (faults, figures) = match lines {
            Ok(lines) => lines,
            Err(error) => {
                supervisor.stop();
                return Err(error.into());
            }
        };
        Ok(Self {
            names: message::names(scenario),
            listeners: places.into_iter().map(listener).collect(),
            admin: (admin, token),
            faults: Mutex::new(faults),
            figures: Mutex::new(figures),
            supervisor: Some(supervisor),
        })
    }

    /// Where the admin API listens, and the token that it asks for; `GET /metrics` needs none.
    pub fn admin(&self) -> (SocketAddr, &str) {
        (self.admin.0, &self.admin.1)
    }

    /// All instances, in the file's order.
    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    /// Where the instances of a component are found: one address each, or the one that they share; empty where there is no
    /// such component.
    pub fn entry(&self, component: &str) -> Vec<SocketAddr> {
        let mut addresses: Vec<_> =
            self.listeners.iter().filter(|l| l.component == component).map(|l| l.address).collect();
        addresses.dedup();
        addresses
    }

    /// Says that the run begins, on whose timeline background jobs are due; they start once. Faults are begun by
    /// [`Stack::begin_fault`].
    ///
    /// # Errors
    /// Where the supervisor is gone.
    pub fn begin(&self) -> Result<(), Error> {
        self.order(&Request::Begin)
    }

    /// Begins the scenario's fault of this index; returns when it is so.
    ///
    /// # Errors
    /// Where the supervisor cannot do it or is gone.
    pub fn begin_fault(&self, index: usize) -> Result<(), Error> {
        self.order(&Request::BeginFault(index))
    }

    /// Ends it; returns when what it broke answers again.
    ///
    /// # Errors
    /// Where the supervisor cannot do it or is gone.
    pub fn end_fault(&self, index: usize) -> Result<(), Error> {
        self.order(&Request::EndFault(index))
    }

    fn order(&self, request: &Request) -> Result<(), Error> {
        match ask(&self.faults, request)? {
            Reply::Done => Ok(()),
            Reply::Failed(message) => Err(Error::Refused(message)),
            Reply::Stats(_) => Err(Error::Refused("answered with figures".to_owned())),
        }
    }

    /// The figures of all instances, and of the jobs behind them, in the file's order.
    ///
    /// # Errors
    /// Where the supervisor is gone.
    pub fn stats(&self) -> Result<Vec<InstanceStats>, Error> {
        match ask(&self.figures, &Request::Stats)? {
            Reply::Stats(all) => Ok(all
                .into_iter()
                .map(|one| InstanceStats {
                    component: self.names[one.component].clone(),
                    instance: one.instance + 1,
                    metrics: one.figures,
                })
                .collect()),
            Reply::Failed(message) => Err(Error::Refused(message)),
            Reply::Done => Err(Error::Refused("answered without figures".to_owned())),
        }
    }

    /// Stops everything; returns when it is gone. Dropping does the same.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        if let Some(supervisor) = self.supervisor.take() {
            supervisor.stop();
        }
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.end();
    }
}

/// A connection to the supervisor.
#[derive(Debug)]
struct Line {
    read: BufReader<TcpStream>,
    write: TcpStream,
}

impl Line {
    fn open(control: SocketAddr, token: &str) -> io::Result<Self> {
        let mut write = TcpStream::connect(control)?;
        write.set_nodelay(true)?;
        write.write_all(format!("{token}\n").as_bytes())?;
        Ok(Self { read: BufReader::new(write.try_clone()?), write })
    }
}

fn ask(line: &Mutex<Line>, request: &Request) -> Result<Reply, Error> {
    // A panic of another thread in mid-sentence leaves the line unusable, which the next answer would show.
    let mut line = line.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    line.write.write_all(message::line(request).as_bytes())?;
    let mut answer = String::new();
    line.read.read_line(&mut answer)?;
    message::read(&answer).ok_or_else(|| Error::Io(io::ErrorKind::UnexpectedEof.into()))
}

impl Supervisor {
    fn start(stage: &Stage, executable: &Path) -> Result<(Self, Opening), Error> {
        let mut command = process::command(executable, Role::Supervisor, "supervisor");
        // A Ctrl-C in the terminal is ours to act on, not theirs.
        command.process_group(0);
        let (started, child) = mpsc::channel::<io::Result<(ChildStdin, _)>>();
        let (release, released) = mpsc::channel::<()>();
        let keeper = std::thread::Builder::new().name("stack-keeper".to_owned()).spawn(move || {
            let child = command.spawn().and_then(|mut child| {
                let pipes = child.stdin.take().zip(child.stdout.take());
                pipes.map(|pipes| (child, pipes)).ok_or_else(|| io::Error::other("no pipes"))
            });
            match child {
                Ok((child, pipes)) => {
                    let _ = started.send(Ok(pipes));
                    // Returns when the stack is to stop, or nobody is left to say so.
                    let _ = released.recv();
                    end(child);
                }
                Err(error) => {
                    let _ = started.send(Err(error));
                }
            }
        })?;
        let (mut stdin, stdout) = child.recv().map_err(|_| io::Error::other("no answer"))??;
        let told = stdin.write_all(message::line(stage).as_bytes()).and_then(|()| stdin.flush());
        let mut line = String::new();
        let read = told.and_then(|()| BufReader::new(stdout).read_line(&mut line));
        let supervisor = Self { stdin, release, keeper };
        let opening = read.ok().and_then(|_| message::read(&line));
        match opening {
            Some(opening) => Ok((supervisor, opening)),
            None => {
                supervisor.stop();
                Err(Error::Io(io::Error::other("it ended without a word")))
            }
        }
    }

    fn stop(self) {
        drop(self.stdin);
        let _ = self.release.send(());
        // The keeper does not panic; if it did, the death signal has done its work.
        let _ = self.keeper.join();
    }
}

/// Waits for the supervisor, whose standard input has ended, and kills it with its whole group if it takes too long.
fn end(mut child: Child) {
    let group = Pid::from_raw(child.id() as i32);
    let deadline = Instant::now() + STOP_PATIENCE;
    while Instant::now() < deadline {
        match child.try_wait() {
            Ok(None) => std::thread::sleep(Duration::from_millis(2)),
            _ => return,
        }
    }
    // Not reaped yet, so the number is still its own.
    if let Some(group) = group {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
}
