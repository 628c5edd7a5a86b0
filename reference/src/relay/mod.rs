//! The relay: the network between the machines of a scenario, as one process. A connection whose way takes time, loses packets
//! or may be cut goes through it, by an address that stands for the one at its other end; the others are direct.
//!
//! - [`network`]: what the ways do to what is sent
//! - [`door`]: an address that stands for an instance; [`passage`]: a connection

mod door;
pub(crate) mod network;
mod passage;

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead};
use std::process::ExitCode;
use std::rc::Rc;

use scenarios::Scenario;
use scenarios::units::Seed;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::watch;

use crate::component::{raise_descriptor_limit, refuse, runtime, say};
use crate::emulated::Timer;
use crate::message::{self, RelayOrder, RelaySetup, Word};
use crate::process::complain;
use door::Door;
use network::Network;

/// The relay's state.
#[derive(Debug)]
struct Relay {
    network: RefCell<Network>,
    doors: Vec<Rc<Door>>,
    timer: Timer,
    seed: Seed,
    /// Told when a way is different.
    changed: watch::Sender<()>,
    connections: Cell<u64>,
    /// What is read is first here.
    buffer: RefCell<Vec<u8>>,
}

/// Runs this process as the relay until its standard input ends.
pub(crate) fn run() -> ExitCode {
    let mut line = String::new();
    let setup = match io::stdin().lock().read_line(&mut line) {
        Ok(_) => message::read::<RelaySetup>(&line),
        Err(_) => None,
    };
    let Some(setup) = setup else {
        complain("the relay was started without a setup");
        return ExitCode::FAILURE;
    };
    raise_descriptor_limit();
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    runtime.block_on(async {
        match Relay::new(&setup) {
            Ok(relay) => {
                let relay = Rc::new(relay);
                for door in &relay.doors {
                    tokio::task::spawn_local(Rc::clone(door).keep(Rc::clone(&relay)));
                }
                // They listen before anything else is said to be ready.
                tokio::task::yield_now().await;
                say(&Word::Ready);
                relay.obey().await;
                ExitCode::SUCCESS
            }
            Err(message) => refuse(&message),
        }
    })
}

impl Relay {
    fn new(setup: &RelaySetup) -> Result<Self, String> {
        let scenario = Scenario::parse(&setup.path, &setup.text).map_err(|problems| problems.to_string())?;
        let hosts: Vec<_> = scenario.host_ids().collect();
        let machine = |place: Option<(usize, u32)>| place.map(|(host, number)| (hosts[host], number));
        let doors = setup.doors.iter().map(|door| {
            let way = (machine(door.from), machine(Some(door.to)));
            Rc::new(Door::new(way, door.instance, door.address, door.target))
        });
        Ok(Self {
            network: RefCell::new(Network::new(&scenario)),
            doors: doors.collect(),
            timer: Timer::start().map_err(|error| format!("no timer: {error}"))?,
            seed: scenario.run.seed,
            changed: watch::Sender::new(()),
            connections: Cell::new(0),
            buffer: RefCell::default(),
        })
    }

    async fn obey(&self) {
        use std::os::fd::AsFd;
        let own = io::stdin().as_fd().try_clone_to_owned().and_then(pipe::Receiver::from_owned_fd);
        let Ok(stdin) = own else { return complain("standard input is not a pipe") };
        let mut lines = BufReader::new(stdin).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match message::read::<RelayOrder>(&line) {
                Some(RelayOrder::Trouble { fault, lasts }) => {
                    self.network.borrow_mut().trouble(fault, lasts);
                    self.changed.send_replace(());
                }
                Some(RelayOrder::Down { component, instance, is_down }) => {
                    for door in self.doors.iter().filter(|door| door.instance == (component, instance)) {
                        door.is_down.set(is_down);
                        door.changed.send_replace(());
                    }
                }
                None => complain("an order was not understood"),
            }
            // Whoever is concerned acts on it before it is called done.
            tokio::task::yield_now().await;
            say(&Word::Done);
        }
    }
}
