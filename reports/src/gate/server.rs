//! One side's server: started by a command at a free port, or somewhere already; and the processor time that it takes.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::time::clock_getcpuclockid;
use rustix::process::{Pid, Signal, kill_process_group};

/// What stands for the port in a command.
pub(crate) const PORT: &str = "{port}";
/// How long a server may take until it accepts connections, and how long until it has ended.
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(5);
const LOOK: Duration = Duration::from_millis(5);

/// Where a side's server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// At this URL, whoever runs it.
    At(String),
    /// To be started for each block by this command of the shell, at the port that it is told.
    Command(String),
}

impl Side {
    /// Reads a URL, or a command that says where the port goes.
    ///
    /// # Errors
    /// If it is neither.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with("http://") || text.starts_with("https://") {
            Ok(Self::At(text.to_owned()))
        } else if text.contains(PORT) {
            Ok(Self::Command(text.to_owned()))
        } else {
            Err(format!(
                "expected a URL, or a command with {PORT} where the port goes that its server is to listen at"
            ))
        }
    }
}

/// Why a server is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be started.
    #[error("{command}: cannot be started: {source}")]
    Start {
        /// The command.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended instead of listening.
    #[error(
        "{command}: ended ({status}) before it accepted a connection at 127.0.0.1:{port}; it said:\n{said}"
    )]
    Ended {
        /// The command.
        command: String,
        /// How it ended.
        status: String,
        /// Where it should have listened.
        port: u16,
        /// The end of its output.
        said: String,
    },
    /// It does not listen.
    #[error("{command}: accepts no connection at 127.0.0.1:{port} after {} s; it said:\n{said}", START.as_secs())]
    Deaf {
        /// The command.
        command: String,
        /// Where it should listen.
        port: u16,
        /// The end of its output.
        said: String,
    },
}

/// A server that accepts connections.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) url: String,
    process: Option<Process>,
}

/// A process and all of its group, which end with this.
#[derive(Debug)]
struct Process {
    child: Child,
    group: Pid,
}

impl Server {
    /// The side's server, started if need be; its output goes to a file in `directory`.
    pub(crate) fn start(side: &Side, directory: &Path) -> Result<Self, Error> {
        let template = match side {
            Side::At(url) => return Ok(Self { url: url.clone(), process: None }),
            Side::Command(template) => template,
        };
        let failed = |source| Error::Start { command: template.clone(), source };
        let free =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).map_err(failed)?;
        let command = template.replace(PORT, &free.port().to_string());
        let log = directory.join("server.log");
        let output = fs::create_dir_all(directory).and_then(|()| File::create(&log)).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        // In a group of its own, so that whatever it starts ends with it and is counted with it.
        let child = Command::new("sh")
            .args(["-c", &command])
            .stdin(Stdio::null())
            .stdout(output)
            .stderr(errors)
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let group = Pid::from_child(&child);
        let mut process = Process { child, group };
        process.await_listening(&command, free, &log)?;
        Ok(Self { url: format!("http://{free}"), process: Some(process) })
    }

    /// The processor time that its processes have taken; none where it is not ours.
    pub(crate) fn processor_seconds(&self) -> Option<f64> {
        self.process.as_ref().map(|process| group_seconds(process.group))
    }
}

impl Process {
    fn await_listening(&mut self, command: &str, at: SocketAddr, log: &Path) -> Result<(), Error> {
        let (command, port, begun) = (command.to_owned(), at.port(), Instant::now());
        while TcpStream::connect_timeout(&at, Duration::from_secs(1)).is_err() {
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(Error::Ended { command, status: status.to_string(), port, said: end_of(log) });
            }
            if begun.elapsed() > START {
                return Err(Error::Deaf { command, port, said: end_of(log) });
            }
            thread::sleep(LOOK);
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whoever is gone already needs no signal.
        let _ = kill_process_group(self.group, Signal::TERM);
        let begun = Instant::now();
        while matches!(self.child.try_wait(), Ok(None)) && begun.elapsed() < END {
            thread::sleep(LOOK);
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        let _ = self.child.wait();
    }
}

/// The last lines of a server's output.
fn end_of(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(10)..].join("\n")
}

fn group_seconds(group: Pid) -> f64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0.0 };
    let of = |path: PathBuf| {
        let stat = fs::read_to_string(path.join("stat")).ok()?;
        // After the name, which may hold anything: state, parent, group (proc_pid_stat(5)).
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        if fields.get(2)?.parse() != Ok(group.as_raw_nonzero().get()) {
            return None;
        }
        let seconds = |ticks: &[&str]| {
            let ticks: f64 = ticks.iter().filter_map(|f| f.parse::<f64>().ok()).sum();
            ticks / rustix::param::clock_ticks_per_second() as f64
        };
        // Of children that it has waited for, only whole ticks are known.
        let of_children = seconds(fields.get(13..15)?);
        let id: i32 = path.file_name()?.to_str()?.parse().ok()?;
        Some(clock_seconds(id).unwrap_or(seconds(fields.get(11..13)?)) + of_children)
    };
    processes.flatten().filter_map(|entry| of(entry.path())).sum()
}

/// What a process has taken, to the nanosecond and with threads that have ended: a server with a thread for each connection
/// has none left when the load is over (clock_getcpuclockid(3)).
fn clock_seconds(process: i32) -> Option<f64> {
    let clock = clock_getcpuclockid(nix::unistd::Pid::from_raw(process)).ok()?;
    let time = clock.now().ok()?;
    Some(Duration::from(time).as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_side_is_a_url_or_a_command_with_a_port() {
        assert_eq!(Side::parse("http://127.0.0.1:80"), Ok(Side::At("http://127.0.0.1:80".to_owned())));
        assert!(matches!(Side::parse("./shop --port {port}"), Ok(Side::Command(_))));
        assert!(Side::parse("./shop").expect_err("no port").contains("{port}"));
    }

    #[test]
    fn a_command_may_be_all_that_a_shell_understands() {
        let directory = tempfile::tempdir().expect("a directory");
        let side =
            Side::Command("cd / && SAYS=hello sh -c 'echo $SAYS from $PWD: {port}; exit 3'".to_owned());
        let error = Server::start(&side, directory.path()).expect_err("it ends").to_string();
        assert!(error.contains("hello from /: "), "{error}");
    }

    #[test]
    fn a_server_that_ends_says_why() {
        let directory = tempfile::tempdir().expect("a directory");
        let side = Side::Command("sh -c 'echo no such flag: {port}; exit 3'".to_owned());
        let error = Server::start(&side, directory.path()).expect_err("it ends").to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such flag"), "{error}");
    }

    #[test]
    fn processor_time_of_ended_threads_is_known_to_less_than_a_tick() {
        let me = i32::try_from(std::process::id()).expect("a process's number");
        let before = clock_seconds(me).expect("there is a clock");
        let worked = thread::spawn(|| {
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_micros(100) {}
        });
        worked.join().expect("it ends");
        let taken = clock_seconds(me).expect("there is a clock") - before;
        let ticks = taken * rustix::param::clock_ticks_per_second() as f64;
        assert!(ticks > 0.0 && ticks != ticks.round(), "{taken} s");
    }

    #[test]
    fn processor_time_is_that_of_the_whole_group() {
        let directory = tempfile::tempdir().expect("a directory");
        let log = File::create(directory.path().join("log")).expect("a file");
        // A shell whose child works.
        let child = Command::new("sh")
            .args(["-c", "sh -c 'i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; sleep 60' & wait"])
            .stdout(log)
            .process_group(0)
            .spawn()
            .expect("there is a shell");
        let process = Process { group: Pid::from_child(&child), child };
        let begun = Instant::now();
        while group_seconds(process.group) < 0.05 {
            assert!(begun.elapsed() < Duration::from_secs(30), "its child's time is counted");
            thread::sleep(LOOK);
        }
    }
}
