//! Connections to a server that lie idle until somebody has use for them.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::Connection;

/// How often those are closed that nobody needs (as long as HAProxy's `pool-purge-delay`).
pub(crate) const CLEARING_INTERVAL: Duration = Duration::from_secs(5);

/// The idle connections to one server. The one used last is used next, so that those grow old that nobody needs.
#[derive(Debug, Default)]
pub(crate) struct Idle {
    /// The one used last is the last one.
    connections: RefCell<Vec<Connection>>,
    /// The fewest that there were since the last clearing: so many were not needed.
    unneeded: Cell<usize>,
}

impl Idle {
    /// One that is still open; closed ones are thrown away on the way.
    pub(crate) fn take(&self) -> Option<Connection> {
        let mut connections = self.connections.borrow_mut();
        let found = loop {
            match connections.pop() {
                Some(connection) if connection.is_reusable() => break Some(connection),
                Some(_closed) => {}
                None => break None,
            }
        };
        self.unneeded.set(self.unneeded.get().min(connections.len()));
        found
    }

    /// Keeps a connection, if another request can go over it.
    pub(crate) fn keep(&self, connection: Connection) {
        if connection.is_reusable() {
            self.connections.borrow_mut().push(connection);
        }
    }

    /// Closes all of them.
    pub(crate) fn clear(&self) {
        self.connections.borrow_mut().clear();
    }

    /// Closes those that the server has closed, and half of those that nobody needed since the last time (as HAProxy does), those
    /// first that were idle the longest.
    pub(crate) fn clear_unneeded(&self) {
        let mut connections = self.connections.borrow_mut();
        let half = self.unneeded.get().div_ceil(2).min(connections.len());
        connections.drain(..half);
        connections.retain(Connection::is_reusable);
        self.unneeded.set(connections.len());
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn what_nobody_needs_is_closed_by_halves_and_what_is_used_stays() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let idle = Idle::default();
            for _ in 0..9 {
                idle.keep(Connection::connect(address, None).await.expect("it listens"));
            }
            let left = || idle.connections.borrow().len();
            idle.clear_unneeded();
            assert_eq!(left(), 9, "they came since the last time");
            // Three at once are needed between two clearings.
            for expected in [6, 4, 3, 3] {
                let used: Vec<Connection> = std::iter::from_fn(|| idle.take()).take(3).collect();
                assert_eq!(used.len(), 3);
                used.into_iter().for_each(|connection| idle.keep(connection));
                idle.clear_unneeded();
                assert_eq!(left(), expected);
            }
            for expected in [1, 0] {
                idle.clear_unneeded();
                assert_eq!(left(), expected, "nobody needs them any more");
            }
            drop(listener);
        });
    }
}
