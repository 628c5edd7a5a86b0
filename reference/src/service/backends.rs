//! Connections to the stores and to other services: kept when idle, opened when none is.
//!
//! A connection serves one request at a time, as those of PHP workers do, so there are never more than workers.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use scenarios::scenario::{ComponentId, ComponentKind};

use crate::component::Context;
use crate::http::Connection;
use crate::resp::Client;

/// The backends of a service, by component.
#[derive(Debug)]
pub(super) struct Backends {
    stores: Vec<Pool<Client>>,
    services: Vec<Vec<Pool<Connection>>>,
    /// Which instance of a service is asked next.
    turn: Cell<usize>,
}

impl Backends {
    /// No connection is opened yet.
    pub(super) fn new(context: &Context) -> Self {
        let stores = context.addresses.iter().map(|instances| Pool::new(instances[0])).collect();
        let services =
            context.scenario.components.iter().zip(&context.addresses).map(|(component, instances)| {
                let is_service = matches!(component.kind, ComponentKind::Service(_));
                if is_service { instances.iter().map(|a| Pool::new(*a)).collect() } else { Vec::new() }
            });
        Self { services: services.collect(), stores, turn: Cell::new(0) }
    }

    /// A connection to a store.
    ///
    /// # Errors
    /// Where none can be opened.
    pub(super) async fn store(&self, id: ComponentId) -> io::Result<Lent<'_, Client>> {
        let pool = &self.stores[id.index()];
        let connection = match pool.take(Client::is_reusable) {
            Some(connection) => connection,
            None => Client::connect(pool.address).await?,
        };
        Ok(Lent { pool, connection: Some(connection), usable: Client::is_reusable })
    }

    /// A connection to an instance of a service, each in turn.
    ///
    /// # Errors
    /// Where none can be opened.
    pub(super) async fn service(&self, id: ComponentId) -> io::Result<Lent<'_, Connection>> {
        let instances = &self.services[id.index()];
        let turn = self.turn.replace(self.turn.get().wrapping_add(1));
        let pool = &instances[turn % instances.len()];
        let connection = match pool.take(Connection::is_reusable) {
            Some(connection) => connection,
            None => Connection::connect(pool.address, None).await?,
        };
        Ok(Lent { pool, connection: Some(connection), usable: Connection::is_reusable })
    }
}

/// Idle connections to one address.
#[derive(Debug)]
struct Pool<C> {
    address: SocketAddr,
    idle: RefCell<Vec<C>>,
}

impl<C> Pool<C> {
    fn new(address: SocketAddr) -> Self {
        Self { address, idle: RefCell::default() }
    }

    /// The connection used last, as long as it is still usable; the others are thrown away.
    fn take(&self, usable: fn(&C) -> bool) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if usable(&connection) {
                return Some(connection);
            }
        }
        None
    }
}

/// A connection on loan; it goes back when dropped, unless something is still owed on it.
#[derive(Debug)]
pub(super) struct Lent<'a, C> {
    pool: &'a Pool<C>,
    connection: Option<C>,
    usable: fn(&C) -> bool,
}

impl<C> Deref for Lent<'_, C> {
    type Target = C;
    fn deref(&self) -> &C {
        self.connection.as_ref().expect("present until dropped")
    }
}

impl<C> DerefMut for Lent<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        self.connection.as_mut().expect("present until dropped")
    }
}

impl<C> Drop for Lent<'_, C> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take().filter(self.usable) {
            self.pool.idle.borrow_mut().push(connection);
        }
    }
}
