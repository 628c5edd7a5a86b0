//! One child process: started, told things, killed, started again on the same port.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use scenarios::scenario::ComponentId;
use socket2::Socket;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};
use tokio::sync::{Notify, mpsc};
use tokio::time::timeout;

use super::words::Words;
use crate::message::{self, Order, Setup, Stage, Word};
use crate::process::{self, Role, complain};

/// A component answers an order within this, or is taken for silent.
const PATIENCE: Duration = Duration::from_secs(2);

/// A child process and what is known of it. Orders are given one at a time.
#[derive(Debug)]
pub(super) struct Instance {
    /// As the file's faults write it: `shop[1]`.
    pub(super) name: String,
    pub(super) component: ComponentId,
    /// Which instance of it, from zero.
    pub(super) number: u32,
    pub(super) host: usize,
    pub(super) address: SocketAddr,
    /// Bound and never listening: the port stays ours while the child is dead, and connections to it are refused. A copy
    /// of a store has none, as it does not listen.
    reservation: Option<Socket>,
    setup: RefCell<Option<Setup>>,
    running: RefCell<Option<Running>>,
    /// Held by whoever talks to the child.
    talk: tokio::sync::Mutex<()>,
    exited: Rc<Notify>,
    /// Whether its death is our doing.
    expected_to_die: Rc<Cell<bool>>,
    pub(super) last_figures: RefCell<BTreeMap<String, f64>>,
    pub(super) faults: RefCell<Vec<usize>>,
    /// Where it stands in a deployment.
    pub(super) phase: Cell<super::deployment::Phase>,
    /// The servers that it was told to send nothing new; of balancers.
    pub(super) holds: RefCell<BTreeSet<u32>>,
    pub(super) state: Cell<super::faults::State>,
    /// How often it went down by a fault.
    pub(super) outages: Cell<u64>,
}

#[derive(Debug)]
struct Running {
    pid: Pid,
    orders: mpsc::UnboundedSender<String>,
    words: Rc<tokio::sync::Mutex<Words>>,
    alive: Rc<Cell<bool>>,
}

impl Instance {
    pub(super) fn new(
        name: String,
        component: ComponentId,
        number: u32,
        host: usize,
        socket: Socket,
    ) -> io::Result<Self> {
        let address = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no address"))?;
        Ok(Self::at(name, component, number, host, address, Some(socket)))
    }

    /// A copy of a store, which may have to take its place.
    pub(super) fn copy_of(original: &Self, number: u32) -> Self {
        let name = format!("{} (copy {number})", original.name);
        Self::at(name, original.component, original.number, original.host, original.address, None)
    }

    fn at(
        name: String,
        component: ComponentId,
        number: u32,
        host: usize,
        address: SocketAddr,
        reservation: Option<Socket>,
    ) -> Self {
        Self {
            name,
            component,
            number,
            host,
            address,
            reservation,
            setup: RefCell::default(),
            running: RefCell::default(),
            talk: tokio::sync::Mutex::default(),
            exited: Rc::default(),
            expected_to_die: Rc::default(),
            last_figures: RefCell::default(),
            faults: RefCell::default(),
            phase: Cell::default(),
            holds: RefCell::default(),
            state: Cell::default(),
            outages: Cell::default(),
        }
    }

    /// Says whether the next child of this instance is the one that clients talk to.
    pub(super) fn set_leads(&self, leads: bool) {
        if let Some(setup) = self.setup.borrow_mut().as_mut() {
            setup.leads = leads;
        }
    }

    /// Writes down what the child will be told.
    pub(super) fn prepare(&self, stage: &Stage, addresses: &[Vec<SocketAddr>]) {
        *self.setup.borrow_mut() = Some(Setup {
            path: stage.path.clone(),
            text: stage.text.clone(),
            component: self.component.index(),
            instance: self.number,
            first_start: true,
            leads: self.reservation.is_some(),
            addresses: addresses.to_vec(),
        });
    }

    /// Starts the child; [`Instance::ready`] says when it listens.
    pub(super) fn spawn(&self) -> io::Result<()> {
        let mut command = tokio::process::Command::from(process::command(
            &process::this_executable(),
            Role::Component,
            &self.name,
        ));
        let mut child = command.kill_on_drop(true).spawn()?;
        let pid = child.id().and_then(|pid| Pid::from_raw(pid as i32));
        let (Some(pid), Some(stdin), Some(stdout)) = (pid, child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("the child has no id or no pipes"));
        };
        let (orders, orders_out) = mpsc::unbounded_channel();
        let (words_in, words) = mpsc::unbounded_channel();
        let alive = Rc::new(Cell::new(true));
        if let Some(setup) = self.setup.borrow_mut().as_mut() {
            let _ = orders.send(message::line(setup));
            setup.first_start = false;
        }
        tokio::task::spawn_local(write_orders(stdin, orders_out));
        tokio::task::spawn_local(async move {
            let mut lines = BufReader::new(stdout).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let Some(word) = message::read(&line) else { break };
                if words_in.send(word).is_err() {
                    break;
                }
            }
        });
        self.expected_to_die.set(false);
        let expected = Rc::clone(&self.expected_to_die);
        tokio::task::spawn_local(reap(
            child,
            self.name.clone(),
            Rc::clone(&alive),
            Rc::clone(&self.exited),
            expected,
        ));
        let mut words = Words::new(words);
        // That it is ready, or why not.
        words.expect_one();
        let words = Rc::new(tokio::sync::Mutex::new(words));
        *self.running.borrow_mut() = Some(Running { pid, orders, words, alive });
        Ok(())
    }

    /// Starts the child again after its death: same port, nothing kept but what is said to be persistent.
    pub(super) async fn restart(&self) -> Result<(), String> {
        self.gone().await;
        self.spawn().map_err(|error| error.to_string())?;
        self.ready().await
    }

    /// Waits until the child listens. There is no limit of time: filling a store can take long; a child that dies ends
    /// the wait.
    pub(super) async fn ready(&self) -> Result<(), String> {
        let _talk = self.talk.lock().await;
        let words = self.running.borrow().as_ref().map(|running| Rc::clone(&running.words));
        let Some(words) = words else { return Err("was not started".to_owned()) };
        let word = words.lock().await.last().await;
        match word {
            Some(Word::Ready) => Ok(()),
            Some(Word::Failed(message)) => Err(message),
            Some(other) => Err(format!("said {other:?} instead of being ready")),
            None => Err("died before it listened".to_owned()),
        }
    }

    /// Gives an order and waits for the answer; none where the child is dead or silent.
    pub(super) async fn order(&self, order: Order) -> Option<Word> {
        let _talk = self.talk.lock().await;
        self.exchange(order).await
    }

    /// Asks for the figures; none where the child is dead or silent. A silent one is not asked: it could not answer,
    /// and what it finds when it goes on would be taken for the end of its silence.
    pub(super) async fn figures(&self) -> Option<BTreeMap<String, f64>> {
        let _talk = self.talk.lock().await;
        // Only now, because it may have fallen silent while somebody else talked to it.
        if self.state.get().is_silent() {
            return None;
        }
        match self.exchange(Order::Figures).await {
            Some(Word::Figures(figures)) => Some(figures),
            _ => None,
        }
    }

    /// Stops the child in its tracks, but never between an order and its answer.
    pub(super) async fn pause(&self) {
        let _talk = self.talk.lock().await;
        self.signal(Signal::STOP);
    }

    async fn exchange(&self, order: Order) -> Option<Word> {
        let words = {
            let running = self.running.borrow();
            let running = running.as_ref().filter(|running| running.alive.get())?;
            running.orders.send(message::line(&order)).ok()?;
            Rc::clone(&running.words)
        };
        let mut words = words.lock().await;
        words.expect_one();
        timeout(PATIENCE, words.last()).await.ok()?
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
        if let Some(pid) = self.living() {
            let _ = kill_process(pid, signal);
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

async fn reap(
    mut child: Child,
    name: String,
    alive: Rc<Cell<bool>>,
    exited: Rc<Notify>,
    expected: Rc<Cell<bool>>,
) {
    let pid = child.id();
    let status = child.wait().await;
    alive.set(false);
    exited.notify_waiters();
    if !expected.get() {
        let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        complain(&format!("{name}, process {}, died: {status}", pid.unwrap_or(0)));
    }
}
