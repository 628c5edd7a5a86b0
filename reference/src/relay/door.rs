//! An address that stands for an instance, as it is seen from one machine: whoever connects to it goes the way between the two.
//! It refuses where the instance refuses, and is silent where its SYNs would be lost or are not answered.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::sync::watch;

use super::network::Machine;
use super::{Relay, passage};
use crate::process::complain;
use crate::socket::Listener;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 4096;

/// A door.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) from: Machine,
    pub(super) to: Machine,
    /// The component's place in the scenario, and the instance's number.
    pub(super) instance: (usize, u32),
    pub(super) address: SocketAddr,
    pub(super) target: SocketAddr,
    /// Whether nobody listens there.
    pub(super) is_down: Cell<bool>,
    /// Connections that the instance's kernel does not answer.
    stuck: Cell<u32>,
    pub(super) changed: watch::Sender<()>,
}

/// What a door does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Refuse,
    Ignore,
    Accept,
}

/// A connection that is not answered; the door is silent as long as there is one.
#[derive(Debug)]
pub(super) struct Stuck<'a>(&'a Door);

impl Drop for Stuck<'_> {
    fn drop(&mut self) {
        self.0.stuck.set(self.0.stuck.get() - 1);
        self.0.changed.send_replace(());
    }
}

impl Door {
    pub(super) fn new(
        (from, to): (Machine, Machine),
        instance: (usize, u32),
        address: SocketAddr,
        target: SocketAddr,
    ) -> Self {
        let (is_down, stuck) = (Cell::new(false), Cell::new(0));
        Self { from, to, instance, address, target, is_down, stuck, changed: watch::Sender::new(()) }
    }

    pub(super) fn stuck(&self) -> Stuck<'_> {
        self.stuck.set(self.stuck.get() + 1);
        self.changed.send_replace(());
        Stuck(self)
    }

    fn manner(&self, relay: &Relay) -> Manner {
        let is_cut = relay.network.borrow().is_silent((self.from, self.to), self.instance);
        match self.is_down.get() {
            // Where nothing gets through, neither does the refusal.
            _ if is_cut => Manner::Ignore,
            true => Manner::Refuse,
            false if self.stuck.get() > 0 => Manner::Ignore,
            false => Manner::Accept,
        }
    }

    /// Keeps the door until the end of the process.
    pub(super) async fn keep(self: Rc<Self>, relay: Rc<Relay>) {
        let mut changes = (self.changed.subscribe(), relay.changed.subscribe());
        let mut listener: Option<Listener> = None;
        // Connections of ours that took the places of others.
        let mut fillers = BTreeSet::new();
        loop {
            let manner = self.manner(&relay);
            if manner == Manner::Refuse {
                listener = None;
                changed(&mut changes).await;
                continue;
            }
            let opened = match listener.take() {
                Some(listener) => Ok(listener),
                None => Listener::bind(self.address, BACKLOG),
            };
            let open = match opened {
                Ok(open) => listener.insert(open),
                Err(error) => {
                    return complain(&format!("the relay cannot listen on {}: {error}", self.address));
                }
            };
            if manner == Manner::Ignore {
                let blocked = open.block_gently().await;
                fillers.extend(blocked.fillers());
                while self.manner(&relay) == Manner::Ignore {
                    changed(&mut changes).await;
                }
                continue;
            }
            tokio::select! {
                stream = open.accept() => {
                    if !stream.peer_addr().is_ok_and(|peer| fillers.remove(&peer)) {
                        tokio::task::spawn_local(passage::serve(Rc::clone(&relay), Rc::clone(&self), stream));
                    }
                }
                () = changed(&mut changes) => {}
            }
        }
    }
}

/// Waits until something is different, of the door or of the network.
async fn changed((door, network): &mut (watch::Receiver<()>, watch::Receiver<()>)) {
    tokio::select! {
        _ = door.changed() => {}
        _ = network.changed() => {}
    }
}
