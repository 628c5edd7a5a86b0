//! What the processes of a stack say to each other: one JSON object a line.
//!
//! client ⇄ supervisor over TCP (after the first lines over pipes), supervisor ⇄ component over the component's
//! standard input and output. Indices are the scenario's, and instances count from zero here.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use scenarios::{Diagnostics, Scenario};
use serde::{Deserialize, Serialize};

use crate::trouble::Trouble;

/// What the supervisor is told on its standard input, first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Stage {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    /// Engines that were chosen beside the file.
    #[serde(default)]
    pub(crate) engines: Vec<(String, String)>,
    /// Where the processes' logs are written; to standard error without.
    pub(crate) logs: Option<PathBuf>,
    /// The port of the first component, that of each further one being one more; any that is free without.
    pub(crate) first_port: Option<u16>,
}

/// Reads a scenario with the engines that were chosen beside it.
fn scenario(path: &Path, text: &str, engines: &[(String, String)]) -> Result<Scenario, Diagnostics> {
    let mut scenario = Scenario::parse(path, text)?;
    scenario.choose_engines(engines)?;
    Ok(scenario)
}

impl Stage {
    /// The scenario.
    pub(crate) fn scenario(&self) -> Result<Scenario, Diagnostics> {
        scenario(&self.path, &self.text, &self.engines)
    }

    /// The port on which clients find a component; zero for any that is free.
    pub(crate) fn port(&self, component: usize) -> Result<u16, String> {
        let Some(first) = self.first_port else { return Ok(0) };
        let port = u16::try_from(component).ok().and_then(|number| first.checked_add(number));
        port.ok_or_else(|| format!("there are too many components for ports from {first} on"))
    }
}

/// What the supervisor answers on its standard output, once.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Opening {
    Ready { control: SocketAddr, admin: SocketAddr, token: String, listeners: Vec<Place> },
    Failed { message: String },
}

/// Where an instance listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) component: usize,
    pub(crate) instance: u32,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
}

/// What a component is told on its standard input, first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) engines: Vec<(String, String)>,
    pub(crate) component: usize,
    pub(crate) instance: u32,
    /// A directory of its own; of servers of another make.
    #[serde(default)]
    pub(crate) directory: Option<PathBuf>,
    /// Whether this instance starts for the first time in this run.
    pub(crate) first_start: bool,
    /// Whether it is the one that clients talk to, rather than a copy of it.
    pub(crate) leads: bool,
    /// The file that a store has its records from, and where it saves them.
    #[serde(default)]
    pub(crate) dump: Option<PathBuf>,
    /// Two files for a store's snapshots, which it writes by turns.
    #[serde(default)]
    pub(crate) snapshots: Option<[PathBuf; 2]>,
    /// Where the instances of each component listen.
    pub(crate) addresses: Vec<Vec<SocketAddr>>,
    /// The names of the sockets on which the instances of this component hear each other, where they share an address.
    pub(crate) peers: Vec<String>,
    /// A file for what outlives the process, though not the stack.
    pub(crate) disk: Option<PathBuf>,
    /// Steps that are left out: classes and the steps' numbers.
    pub(crate) switched_off: Vec<(usize, u32)>,
    /// What the cores of its machine are at, where other processes hold them as well.
    pub(crate) book: Option<PathBuf>,
}

impl Setup {
    /// The scenario.
    pub(crate) fn scenario(&self) -> Result<Scenario, Diagnostics> {
        scenario(&self.path, &self.text, &self.engines)
    }
}

/// What a component is told after that.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Order {
    /// Answer with the figures.
    Figures,
    /// From now on suffer from this.
    Suffer(Trouble),
    /// Send this server, counted from zero, nothing new from now on, or again; of balancers.
    Hold {
        server: u32,
        held: bool,
    },
    /// Throw away all that is held; for caches.
    Flush,
    /// Fall silent until [`Order::Plug`].
    Unplug,
    Plug,
    /// From now on be the one that clients talk to; for copies of stores, and instances that share an address.
    Lead,
    /// Leave a step out from now on, or take it again; for services.
    Switch {
        class: usize,
        step: u32,
        on: bool,
    },
    /// Take nothing new, and answer when what is under way is done.
    Finish,
    /// Answer with how much of the store's history is known; of copies of stores.
    Position,
    /// The cable of the store that is copied is pulled: what is on the way from it does not arrive; of copies of stores.
    Cut,
}

/// What the relay is told on its standard input, first.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RelaySetup {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    #[serde(default)]
    pub(crate) engines: Vec<(String, String)>,
    pub(crate) doors: Vec<DoorSetup>,
}

impl RelaySetup {
    /// The scenario.
    pub(crate) fn scenario(&self) -> Result<Scenario, Diagnostics> {
        scenario(&self.path, &self.text, &self.engines)
    }
}

/// An address that stands for an instance's, seen from a machine, which is a host and a number there; none for the clients.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DoorSetup {
    pub(crate) from: Option<(usize, u32)>,
    pub(crate) to: (usize, u32),
    /// The component and the number of its instance.
    pub(crate) instance: (usize, u32),
    pub(crate) address: SocketAddr,
    pub(crate) target: SocketAddr,
}

/// What the relay is told after that.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) enum RelayOrder {
    /// A fault of the network begins or ends.
    Trouble { fault: usize, lasts: bool },
    /// Nobody listens at an instance's address any more, or somebody does again.
    Down { component: usize, instance: u32, is_down: bool },
}

/// What a component, or the relay, says.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Word {
    /// It listens.
    Ready,
    /// It cannot.
    Failed(String),
    /// The order was carried out.
    Done,
    /// How long the history is that is known entirely; none where it is not.
    Position(Option<u64>),
    Figures(BTreeMap<String, f64>),
    /// It wants the address that it shares with others. No answer to an order.
    Claim,
}

/// What a client of the supervisor asks for, after a line that is the token alone.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// The run begins.
    Begin,
    BeginFault(usize),
    EndFault(usize),
    Stats,
    Stop,
}

/// What the supervisor answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    Failed(String),
    Stats(Vec<InstanceFigures>),
}

/// The figures of an instance, or of a job: those are numbered on from the components.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InstanceFigures {
    pub(crate) component: usize,
    pub(crate) instance: u32,
    pub(crate) figures: BTreeMap<String, f64>,
}

/// The names under which figures are shown: those of the components, then of the jobs.
pub(crate) fn names(scenario: &Scenario) -> Vec<String> {
    let components = scenario.components.iter().map(|component| component.name.clone());
    components.chain(scenario.jobs.iter().map(|job| format!("job:{}", job.name))).collect()
}

/// As a line.
pub(crate) fn line<T: Serialize>(message: &T) -> String {
    let mut line = serde_json::to_string(message).expect("messages have string keys and finite numbers only");
    line.push('\n');
    line
}

/// From a line; none where it is not a message of this kind.
pub(crate) fn read<'a, T: Deserialize<'a>>(line: &'a str) -> Option<T> {
    serde_json::from_str(line).ok()
}
