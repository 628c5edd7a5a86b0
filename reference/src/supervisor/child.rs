//! One child process: started, told things, killed.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, kill_process_group, waitpgid, waitpid};
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child as Process, ChildStdin};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::words::Words;
use crate::message::{self, Word};
use crate::process::{self, Role, complain};

/// An order is answered within this, or the child is taken for silent.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether a group is gone.
const GROUP_LOOK: Duration = Duration::from_millis(1);

thread_local! {
    /// The children of this process that somebody waits for.
    static AWAITED: RefCell<BTreeSet<u32>> = const { RefCell::new(BTreeSet::new()) };
}

/// A child process and what is known of it. Orders are given one at a time.
#[derive(Debug)]
pub(super) struct Child {
    /// For messages and for the list of processes.
    pub(super) name: String,
    role: Role,
    running: RefCell<Option<Running>>,
    /// Held by whoever talks to the child.
    talk: tokio::sync::Mutex<()>,
    /// Whether it has been started and has not said yet that it is ready.
    starts: Cell<bool>,
    exited: Rc<Notify>,
    /// Whether its death is our doing.
    expected_to_die: Rc<Cell<bool>>,
    claims: Rc<Notify>,
    deaths: Rc<Notify>,
    /// Where what it says on its standard error is kept, beside being said to the user.
    log: RefCell<Option<PathBuf>>,
}

#[derive(Debug)]
struct Running {
    pid: Pid,
    orders: mpsc::UnboundedSender<String>,
    words: Rc<tokio::sync::Mutex<Words>>,
    alive: Rc<Cell<bool>>,
}

impl Child {
    /// Not started yet.
    pub(super) fn new(name: String, role: Role) -> Self {
        Self {
            name,
            role,
            running: RefCell::default(),
            talk: tokio::sync::Mutex::default(),
            starts: Cell::default(),
            exited: Rc::default(),
            expected_to_die: Rc::default(),
            claims: Rc::default(),
            deaths: Rc::default(),
            log: RefCell::default(),
        }
    }

    /// Starts a process of it and tells it this first.
    pub(super) fn spawn(&self, setup: &impl Serialize) -> io::Result<()> {
        let mut command = process::command(&process::this_executable(), self.role, &self.name);
        if let Some(log) = &*self.log.borrow() {
            command.stderr(File::options().create(true).append(true).open(log)?);
        }
        if self.role == Role::Keeper {
            command.process_group(0);
        }
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let (Some(pid), Some(stdin), Some(stdout)) = (pid, child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the child has no id or no pipes"));
        };
        AWAITED.with_borrow_mut(|awaited| awaited.insert(pid.as_raw_nonzero().get() as u32));
        let (orders, orders_out) = mpsc::unbounded_channel();
        let (words_in, words) = mpsc::unbounded_channel();
        let alive = Rc::new(Cell::new(true));
        let _ = orders.send(message::line(setup));
        tokio::task::spawn_local(write_orders(stdin, orders_out));
        let claims = Rc::clone(&self.claims);
        tokio::task::spawn_local(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                match message::read(&line) {
                    Some(Word::Claim) => claims.notify_one(),
                    Some(word) => match words_in.send(word) {
                        Ok(()) => {}
                        Err(_) => break,
                    },
                    None => break,
                }
            }
        });
        self.expected_to_die.set(false);
        self.starts.set(true);
        let group = Some(pid).filter(|_| self.role == Role::Keeper);
        tokio::task::spawn_local(reap(child, group, self.name.clone(), Rc::clone(&alive), self.ends()));
        let mut words = Words::new(words);
        // That it is ready, or why not.
        words.expect_one();
        let words = Rc::new(tokio::sync::Mutex::new(words));
        *self.running.borrow_mut() = Some(Running { pid, orders, words, alive });
        Ok(())
    }

    /// Waits until the child is ready. There is no limit of time: filling a store can take long; a child that dies ends
    /// the wait.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let _talk = self.talk.lock().await;
        let words = self.running.borrow().as_ref().map(|running| Rc::clone(&running.words));
        let Some(words) = words else { return Err("was not started".to_owned()) };
        let word = words.lock().await.last().await;
        self.starts.set(false);
        match word {
            Some(Word::Ready) => Ok(()),
            Some(Word::Failed(message)) => Err(message),
            Some(other) => Err(format!("said {other:?} instead of being ready")),
            None => Err("died before it listened".to_owned()),
        }
    }

    /// Whether it was started and is not ready yet: whoever gives it an order waits until it is.
    pub(super) fn starts(&self) -> bool {
        self.starts.get()
    }

    /// Gives an order and waits for the answer; none where the child is dead or silent.
    pub(super) async fn order(&self, order: &impl Serialize) -> Option<Word> {
        self.order_unless(|| false, order).await
    }

    /// As [`Child::order`], unless a condition holds at the moment at which it would be given.
    pub(super) async fn order_unless(
        &self,
        unless: impl Fn() -> bool,
        order: &impl Serialize,
    ) -> Option<Word> {
        let _talk = self.talk.lock().await;
        if unless() {
            return None;
        }
        let words = {
            let running = self.running.borrow();
            let running = running.as_ref().filter(|running| running.alive.get())?;
            running.orders.send(message::line(order)).ok()?;
            Rc::clone(&running.words)
        };
        let mut words = words.lock().await;
        words.expect_one();
        timeout(PATIENCE, words.last()).await.ok()?
    }

    /// Has what the child says on its standard error written to a file, from its next start on.
    pub(super) fn log_to(&self, file: PathBuf) {
        *self.log.borrow_mut() = Some(file);
    }

    /// Told when the child has died and nobody wanted it to.
    pub(super) fn deaths(&self) -> Rc<Notify> {
        Rc::clone(&self.deaths)
    }

    fn ends(&self) -> Ends {
        Ends {
            exited: Rc::clone(&self.exited),
            expected: Rc::clone(&self.expected_to_die),
            deaths: Rc::clone(&self.deaths),
        }
    }

    /// Told when the child claims the address that it shares.
    pub(super) fn claims(&self) -> Rc<Notify> {
        Rc::clone(&self.claims)
    }

    /// Stops the child in its tracks, but never between an order and its answer.
    pub(super) async fn pause(&self) {
        let _talk = self.talk.lock().await;
        self.signal(Signal::STOP);
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.living().map(|pid| pid.as_raw_nonzero().get() as u32)
    }

    fn living(&self) -> Option<Pid> {
        let running = self.running.borrow();
        running.as_ref().filter(|running| running.alive.get()).map(|running| running.pid)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.living().is_some()
    }

    /// Kills the child at once. Also works on one that is stopped.
    pub(super) fn kill(&self) {
        self.expected_to_die.set(true);
        self.signal(Signal::KILL);
    }

    /// Sends a signal to the child, if it lives: it is reaped only here, so its number cannot be another's.
    pub(super) fn signal(&self, signal: Signal) {
        match self.living() {
            // The server of another make that it keeps is meant as well.
            Some(pid) if self.role == Role::Keeper => drop(kill_process_group(pid, signal)),
            Some(pid) => drop(kill_process(pid, signal)),
            None => {}
        }
    }

    /// Waits until the child is dead and reaped.
    pub(super) async fn gone(&self) {
        while self.is_alive() {
            let exited = self.exited.notified();
            if self.is_alive() {
                exited.await;
            }
        }
    }
}

async fn write_orders(mut stdin: ChildStdin, mut orders: mpsc::UnboundedReceiver<String>) {
    while let Some(order) = orders.recv().await {
        if stdin.write_all(order.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// Ends what is left of a group whose leader is dead and reaped; its members have become this process's own.
async fn end_group(group: Pid) {
    loop {
        // None is left where this fails, and then there is nobody to wait for.
        let _ = kill_process_group(group, Signal::KILL);
        match waitpgid(group, WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => tokio::time::sleep(GROUP_LOOK).await,
            Err(_) => return,
        }
    }
}

/// Ends what has left its group before its keeper died: as that took in the orphans while it lived, all that this process has now are
/// those of keepers that are dead.
async fn end_orphans() {
    loop {
        let orphans = orphans();
        if orphans.is_empty() {
            return;
        }
        for orphan in orphans {
            let _ = kill_process(orphan, Signal::KILL);
            let _ = waitpid(Some(orphan), WaitOptions::NOHANG);
        }
        tokio::time::sleep(GROUP_LOOK).await;
    }
}

/// The children of this process that nobody waits for.
fn orphans() -> Vec<Pid> {
    AWAITED.with_borrow(|awaited| {
        let children = process::children(std::process::id()).into_iter();
        children.filter(|pid| !awaited.contains(pid)).filter_map(|pid| Pid::from_raw(pid as i32)).collect()
    })
}

/// Who is told of an end.
struct Ends {
    exited: Rc<Notify>,
    expected: Rc<Cell<bool>>,
    deaths: Rc<Notify>,
}

async fn reap(mut child: Process, group: Option<Pid>, name: String, alive: Rc<Cell<bool>>, ends: Ends) {
    let pid = child.id();
    let status = child.wait().await;
    if let Some(pid) = pid {
        AWAITED.with_borrow_mut(|awaited| awaited.remove(&pid));
    }
    if let Some(group) = group {
        end_group(group).await;
        end_orphans().await;
    }
    alive.set(false);
    ends.exited.notify_waiters();
    if !ends.expected.get() {
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        complain(&format!("{name}, process {}, died: {status}", pid.unwrap_or(0)));
        ends.deaths.notify_one();
    }
}
