//! One instance of a component: its place, what is wrong with it, and its process, which starts again on the same port.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use scenarios::scenario::ComponentId;
use socket2::Socket;
use tokio::time::Instant;

use super::child::Child;
use super::disk::{self, Directory};
use crate::message::{Order, Setup, Stage, Word};
use crate::process::Role;
use crate::trouble::Trouble;
use crate::{addresses, socket};

/// An instance.
#[derive(Debug)]
pub(super) struct Instance {
    /// Its process; named as the file's faults write it: `shop[1]`.
    pub(super) child: Child,
    pub(super) component: ComponentId,
    /// Which instance of it, from zero.
    pub(super) number: u32,
    pub(super) host: usize,
    pub(super) address: SocketAddr,
    /// Bound and never listening: the port stays ours while the child is dead, and connections to it are refused. A copy
    /// of a store has none, as it does not listen, nor has who shares its address.
    _reservation: Option<Socket>,
    /// Whether its child starts as the one that clients talk to.
    leads: Cell<bool>,
    /// What it keeps when its child dies.
    disk: Option<File>,
    /// What a store's snapshots are written into.
    snapshots: Option<[File; 2]>,
    /// Where its files are, if it is a server of another make.
    directory: Option<Directory>,
    /// What ails it by hand.
    pub(super) imposed: Cell<Trouble>,
    setup: RefCell<Option<Setup>>,
    pub(super) last_figures: RefCell<BTreeMap<String, f64>>,
    pub(super) faults: RefCell<Vec<usize>>,
    /// Where it stands in a deployment.
    pub(super) phase: Cell<super::deployment::Phase>,
    /// The servers that it was told to send nothing new; of balancers.
    pub(super) holds: RefCell<BTreeSet<u32>>,
    /// The steps that its process leaves out; of services.
    pub(super) left_out: RefCell<BTreeSet<(usize, u32)>>,
    pub(super) state: Cell<super::faults::State>,
    /// How often it went down.
    pub(super) outages: Cell<u64>,
    /// Whether it is broken down by chance: its process, and its machine.
    broken_down: Cell<[bool; 2]>,
    /// Whether its process died by itself so often that it is not started again, until something that broke it is over.
    pub(super) left_dead: Cell<bool>,
    /// When its process, which has been started, answers.
    pub(super) starts_at: Cell<Option<Instant>>,
}

impl Instance {
    pub(super) fn new(
        name: String,
        component: ComponentId,
        number: u32,
        host: usize,
        shared: Option<SocketAddr>,
        port: u16,
    ) -> io::Result<Self> {
        if let Some(address) = shared {
            // The first one holds it.
            return Ok(Self::at(name, component, number, host, address, None, number == 0));
        }
        let socket = socket::reserve(SocketAddr::new(addresses::machine(host, number), port))?;
        let address = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no address"))?;
        Ok(Self::at(name, component, number, host, address, Some(socket), true))
    }

    /// With a file for what outlives its child.
    pub(super) fn with_disk(self) -> io::Result<Self> {
        Ok(Self { disk: Some(disk::create()?), ..self })
    }

    /// With files for the snapshots of a store, if it takes any.
    pub(super) fn with_snapshots(self, are_taken: bool) -> io::Result<Self> {
        let snapshots = if are_taken { Some([disk::create()?, disk::create()?]) } else { None };
        Ok(Self { snapshots, ..self })
    }

    /// As a server of another make, with a directory for its files.
    pub(super) fn with_server(self) -> io::Result<Self> {
        let directory = Some(Directory::create(self.name())?);
        let child = Child::new(self.name().to_owned(), Role::Keeper);
        Ok(Self { child, directory, ..self })
    }

    /// A copy of a store, which may have to take its place.
    pub(super) fn copy_of(original: &Self, number: u32) -> Self {
        let name = format!("{} (copy {number})", original.name());
        Self::at(name, original.component, original.number, original.host, original.address, None, false)
    }

    fn at(
        name: String,
        component: ComponentId,
        number: u32,
        host: usize,
        address: SocketAddr,
        reservation: Option<Socket>,
        leads: bool,
    ) -> Self {
        Self {
            child: Child::new(name, Role::Component),
            component,
            number,
            host,
            address,
            _reservation: reservation,
            leads: Cell::new(leads),
            disk: None,
            snapshots: None,
            directory: None,
            imposed: Cell::default(),
            setup: RefCell::default(),
            last_figures: RefCell::default(),
            faults: RefCell::default(),
            phase: Cell::default(),
            holds: RefCell::default(),
            left_out: RefCell::default(),
            state: Cell::default(),
            outages: Cell::default(),
            broken_down: Cell::default(),
            left_dead: Cell::default(),
            starts_at: Cell::default(),
        }
    }

    /// Its host, and the number of its machine there.
    pub(super) fn machine(&self) -> (usize, u32) {
        (self.host, self.number)
    }

    /// As the file's faults write it.
    pub(super) fn name(&self) -> &str {
        &self.child.name
    }

    /// Its process, or its machine with it, breaks down.
    pub(super) fn break_down(&self, is_machine: bool) {
        let [process, machine] = self.broken_down.get();
        self.broken_down.set([process || !is_machine, machine || is_machine]);
    }

    /// The breakdown is over; whether there was one.
    pub(super) fn recover(&self, is_machine: bool) -> bool {
        let mut broken = self.broken_down.get();
        let was = std::mem::take(&mut broken[usize::from(is_machine)]);
        self.broken_down.set(broken);
        was
    }

    pub(super) fn is_broken_down(&self) -> bool {
        self.broken_down.get() != [false; 2]
    }

    /// Whether its machine is.
    pub(super) fn is_machine_down(&self) -> bool {
        self.broken_down.get()[1]
    }

    /// Whether its process takes its time to start.
    pub(super) fn is_starting(&self) -> bool {
        self.starts_at.get().is_some_and(|moment| moment > Instant::now())
    }

    /// Its machine is given back, with what is on its disk.
    pub(super) fn lose_disk(&self) -> Result<(), String> {
        let Some(disk) = &self.disk else { return Ok(()) };
        disk.set_len(0).map_err(|error| format!("the disk of {}: {error}", self.name()))
    }

    /// Says whether the next child of this instance is the one that clients talk to.
    pub(super) fn set_leads(&self, leads: bool) {
        self.leads.set(leads);
    }

    /// Writes down what the child will be told; `addresses` are those of all components, as it is to see them.
    pub(super) fn prepare(
        &self,
        stage: &Stage,
        addresses: Vec<Vec<SocketAddr>>,
        peers: Vec<String>,
        book: Option<PathBuf>,
    ) {
        *self.setup.borrow_mut() = Some(Setup {
            path: stage.path.clone(),
            text: stage.text.clone(),
            engines: stage.engines.clone(),
            component: self.component.index(),
            instance: self.number,
            directory: self.directory.as_ref().map(|directory| directory.path().to_owned()),
            first_start: true,
            leads: self.leads.get(),
            dump: None,
            snapshots: self.snapshots.as_ref().map(|files| files.each_ref().map(disk::path)),
            addresses,
            peers,
            book,
            disk: self.disk.as_ref().map(disk::path),
            switched_off: Vec::new(),
        });
    }

    /// Writes down which steps its next child leaves out.
    pub(super) fn set_switched_off(&self, steps: Vec<(usize, u32)>) {
        if let Some(setup) = self.setup.borrow_mut().as_mut() {
            setup.switched_off = steps;
        }
    }

    /// Starts the child, which was prepared.
    pub(super) fn spawn(&self) -> Result<(), String> {
        let mut setup = self.setup.borrow_mut();
        let setup = setup.as_mut().ok_or("was not prepared")?;
        setup.leads = self.leads.get();
        self.child.spawn(setup).map_err(|error| error.to_string())?;
        *self.left_out.borrow_mut() = setup.switched_off.iter().copied().collect();
        setup.first_start = false;
        Ok(())
    }

    /// Starts the child again after its death: same port, nothing kept but what is said to be persistent.
    pub(super) async fn restart(&self) -> Result<(), String> {
        self.child.gone().await;
        self.spawn()?;
        self.child.ready().await
    }

    /// Gives an order and waits for the answer; none where the child is dead or silent.
    pub(super) async fn order(&self, order: Order) -> Option<Word> {
        self.child.order(&order).await
    }

    /// Asks for the figures; none where the child is dead or silent. A silent one is not asked: it could not answer,
    /// and what it finds when it goes on would be taken for the end of its silence. It may fall silent while somebody else
    /// talks to it. Nor is one that starts: some take many seconds, and nobody's figures are to wait for them.
    pub(super) async fn figures(&self) -> Option<BTreeMap<String, f64>> {
        if self.child.starts() {
            return None;
        }
        let is_silent = || self.state.get().is_silent();
        match self.child.order_unless(is_silent, &Order::Figures).await {
            Some(Word::Figures(figures)) => Some(figures),
            _ => None,
        }
    }
}
