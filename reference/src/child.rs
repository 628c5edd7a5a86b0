//! A process that the supervisor started, as it sees itself: what it is to be comes as the first line of its standard input, orders
//! follow there, and its answers go to its standard output.

use std::io::{self, BufRead, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::unix::pipe;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};

use crate::message::{self, Word};
use crate::process::complain;

/// Runs this process as what its first line says until its standard input ends; `start` returns when it is ready, or says why it
/// cannot be.
pub(crate) fn run<S: DeserializeOwned, T>(
    what: &str,
    start: impl AsyncFnOnce(S) -> Result<T, String>,
    obey: impl AsyncFnOnce(T, Orders),
) -> ExitCode {
    let mut line = String::new();
    let setup = match io::stdin().lock().read_line(&mut line) {
        Ok(_) => message::read::<S>(&line),
        Err(_) => None,
    };
    let Some(setup) = setup else {
        complain(&format!("{what} was started without a setup"));
        return ExitCode::FAILURE;
    };
    raise_descriptor_limit();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    runtime.block_on(async {
        let started = match start(setup).await {
            Ok(started) => started,
            Err(message) => return refuse(&message),
        };
        say(&Word::Ready);
        match Orders::new() {
            Some(orders) => obey(started, orders).await,
            None => complain("standard input is not a pipe"),
        }
        ExitCode::SUCCESS
    })
}

/// The orders that come after the first line.
#[derive(Debug)]
pub(crate) struct Orders(Lines<BufReader<pipe::Receiver>>);

impl Orders {
    fn new() -> Option<Self> {
        let own = io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd);
        own.ok().map(|stdin| Self(BufReader::new(stdin).lines()))
    }

    /// The next one, if it is understood; none at the end.
    pub(crate) async fn next<O: DeserializeOwned>(&mut self) -> Option<Option<O>> {
        let line = self.0.next_line().await.ok().flatten()?;
        Some(message::read(&line))
    }
}

/// A local runtime wakes its tasks without a system call, where a `LocalSet` writes to an eventfd each time.
pub(crate) fn runtime() -> io::Result<LocalRuntime> {
    Builder::new_current_thread().enable_all().build_local(LocalOptions::default())
}

/// A descriptor for every connection: the usual soft limit of 1024 is there for programs that use `select`.
pub(crate) fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    // Where it is not allowed, connections beyond the limit wait until there is room.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Says why this process cannot do what it was started for.
fn refuse(message: &str) -> ExitCode {
    say(&Word::Failed(message.to_owned()));
    ExitCode::FAILURE
}

/// A line to the supervisor. It reads at once, and what we say is short, so this does not block the data path.
pub(crate) fn say(word: &Word) {
    let mut out = io::stdout().lock();
    // A supervisor that is gone takes this process with it.
    let _ = out.write_all(message::line(word).as_bytes()).and_then(|()| out.flush());
}
