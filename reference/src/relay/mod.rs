//! The relay: the network between the machines of a scenario, as one process. A connection whose way takes time, loses packets
//! or may be cut goes through it, by an address that stands for the one at its other end; the others are direct.
//!
//! - [`network`]: what the ways do to what is sent
//! - [`door`]: an address that stands for an instance; [`passage`]: a connection

mod door;
pub(crate) mod network;
mod passage;

use std::cell::{Cell, RefCell};
use std::process::ExitCode;
use std::rc::Rc;

use scenarios::units::Seed;
use tokio::sync::watch;

use crate::child::{self, Orders, say};
use crate::emulated::Timer;
use crate::message::{RelayOrder, RelaySetup, Word};
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
    let start = async |setup: RelaySetup| {
        let relay = Rc::new(Relay::new(&setup)?);
        for door in &relay.doors {
            tokio::task::spawn_local(Rc::clone(door).keep(Rc::clone(&relay)));
        }
        // They listen before anything else is said to be ready.
        tokio::task::yield_now().await;
        Ok(relay)
    };
    child::run("the relay", start, async |relay, orders| relay.obey(orders).await)
}

impl Relay {
    fn new(setup: &RelaySetup) -> Result<Self, String> {
        let scenario = setup.scenario().map_err(|problems| problems.to_string())?;
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

    async fn obey(&self, mut orders: Orders) {
        while let Some(order) = orders.next().await {
            match order {
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
