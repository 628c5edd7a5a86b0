//! The processes of a stack are this very executable, started again with a hidden first argument, so that every binary
//! that links this crate can hold a stack.
//!
//! None of them outlives the one that started it: each asks the kernel for a signal at its parent's death, and reads
//! its standard input, whose end means that nobody is left who could want anything. A server of another make asks for that signal in
//! one of these processes, which then becomes the server.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

use crate::engines::keeper;
use crate::{component, relay, supervisor};

const HIDDEN: &str = "__rehearsal-reference-process";

/// What a process of the stack is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Supervisor,
    Component,
    /// The network between the components.
    Relay,
    /// Keeps a server of another make.
    Keeper,
    /// Is about to be such a server.
    Server,
}

impl Role {
    const fn name(self) -> &'static str {
        match self {
            Self::Supervisor => "supervisor",
            Self::Component => "component",
            Self::Relay => "relay",
            Self::Keeper => "keeper",
            Self::Server => "server",
        }
    }
}

/// Runs this process as a part of a stack, if it was started as one. To be called first thing in `main`.
///
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     if let Some(code) = reference::process::run_if_child() {
///         return code;
///     }
///     // … what the program is for.
///     ExitCode::SUCCESS
/// }
/// ```
pub fn run_if_child() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != HIDDEN {
        return None;
    }
    let (role, parent) = (arguments.next()?, arguments.next()?);
    // These have something to put away when their parent dies: they are only to be awake then, and the end of their standard input
    // says the rest.
    let ends_in_order = [Role::Supervisor, Role::Keeper].map(Role::name).iter().any(|name| role == *name);
    let signal = if ends_in_order { Signal::CONT } else { Signal::KILL };
    if let Err(error) = follow_parent(&parent, signal) {
        complain(&format!("cannot follow the parent process: {error}"));
        return Some(ExitCode::FAILURE);
    }
    if let Some(name) = arguments.next().and_then(|name| CString::new(name.into_encoded_bytes()).ok()) {
        // What `top` shows; without it, the name of the kernel's link that we were started by.
        let _ = rustix::thread::set_name(&name);
    }
    let roles = [Role::Supervisor, Role::Component, Role::Relay, Role::Keeper, Role::Server];
    Some(match roles.into_iter().find(|known| role == known.name()) {
        Some(Role::Supervisor) => supervisor::run(),
        Some(Role::Component) => component::run(),
        Some(Role::Relay) => relay::run(),
        Some(Role::Keeper) => keeper::run(),
        Some(Role::Server) => keeper::become_server(arguments),
        None => {
            complain("a process was started for a part of the stack that does not exist");
            ExitCode::FAILURE
        }
    })
}

/// Is sent this signal when the parent dies; an error if that has already happened.
fn follow_parent(parent: &OsStr, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    let expected = parent.to_str().and_then(|p| p.parse().ok()).and_then(Pid::from_raw);
    if getppid() == expected { Ok(()) } else { Err(io::Error::other("the parent is gone")) }
}

/// This executable, by the kernel's link: what stands at its path may be a newer build by now.
pub(crate) fn this_executable() -> PathBuf {
    "/proc/self/exe".into()
}

/// The command that starts such a process; `name` is for readers of the list of processes. It must be spawned from a
/// thread that lasts as long as the process shall: the kernel's death signal follows the thread.
pub(crate) fn command(executable: &Path, role: Role, name: &str) -> Command {
    let mut command = Command::new(executable);
    // For those who read the list of processes.
    command.arg0(std::env::args_os().next().unwrap_or_else(|| executable.into()));
    command.args([HIDDEN, role.name(), &std::process::id().to_string(), name]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// The processes that one has started, or has taken in as orphans; `proc_pid_task(5)`: they stand with the thread that did so.
pub(crate) fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let parse = |list: String| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>();
    lists.flat_map(parse).collect()
}

/// A line on standard error: these processes have no other voice that reaches the user.
#[allow(
    clippy::print_stderr,
    reason = "standard error is inherited, standard output speaks to the supervisor"
)]
pub(crate) fn complain(message: &str) {
    eprintln!("reference: {message}");
}
