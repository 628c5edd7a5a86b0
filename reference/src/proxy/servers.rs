//! The servers behind the proxy: whose turn it is, who is up, and which connections to them lie idle.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;

use crate::http::Connection;

/// The servers, in the order of their instances.
#[derive(Debug)]
pub(super) struct Servers {
    list: Vec<Server>,
    /// Whose turn it is.
    turn: Cell<usize>,
}

#[derive(Debug)]
struct Server {
    address: SocketAddr,
    up: Cell<bool>,
    idle: RefCell<Vec<Connection>>,
}

impl Servers {
    /// All up, as HAProxy starts them.
    pub(super) fn new(addresses: &[SocketAddr]) -> Self {
        let server = |address: &SocketAddr| Server {
            address: *address,
            up: Cell::new(true),
            idle: RefCell::default(),
        };
        Self { list: addresses.iter().map(server).collect(), turn: Cell::new(0) }
    }

    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    pub(super) fn address(&self, server: usize) -> SocketAddr {
        self.list[server].address
    }

    pub(super) fn up_count(&self) -> usize {
        self.list.iter().filter(|server| server.up.get()).count()
    }

    /// The next server that is up.
    pub(super) fn next(&self) -> Option<usize> {
        self.next_but(None)
    }

    /// The next server that is up and not this one; none where there is no other.
    pub(super) fn next_but(&self, not: Option<usize>) -> Option<usize> {
        let n = self.list.len();
        let chosen =
            (0..n).map(|i| (self.turn.get() + i) % n).find(|i| Some(*i) != not && self.list[*i].up.get())?;
        self.turn.set((chosen + 1) % n);
        Some(chosen)
    }

    /// Takes a server in or out. One that goes out loses its idle connections: who knows in which state they are.
    pub(super) fn set_up(&self, server: usize, up: bool) {
        self.list[server].up.set(up);
        if !up {
            self.list[server].idle.borrow_mut().clear();
        }
    }

    /// An idle connection that is still open; closed ones are thrown away on the way.
    pub(super) fn take_idle(&self, server: usize) -> Option<Connection> {
        let mut idle = self.list[server].idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if connection.is_reusable() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(super) fn keep(&self, server: usize, connection: Connection) {
        if self.list[server].up.get() && connection.is_reusable() {
            self.list[server].idle.borrow_mut().push(connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_turn_passes_over_servers_that_are_down() {
        let addresses: Vec<SocketAddr> = (1..=3).map(|port| ([127, 0, 0, 1], port).into()).collect();
        let servers = Servers::new(&addresses);
        let turns = |n| (0..n).map(|_| servers.next()).collect::<Vec<_>>();
        assert_eq!(turns(4), [Some(0), Some(1), Some(2), Some(0)]);
        servers.set_up(1, false);
        assert_eq!(turns(3), [Some(2), Some(0), Some(2)]);
        assert_eq!(servers.next_but(Some(0)), Some(2));
        servers.set_up(2, false);
        assert_eq!(servers.next_but(Some(0)), None);
        servers.set_up(0, false);
        assert_eq!(servers.next(), None);
    }
}
