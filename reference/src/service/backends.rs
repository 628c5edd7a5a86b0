//! Connections to the stores and to other services: kept when idle, opened when none is.
//!
//! A connection serves one request at a time, as those of PHP workers do, so there are never more than workers.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use scenarios::scenario::{ComponentId, ComponentKind};

use super::database::{Database, Spot};
use crate::component::Context;
use crate::http::Connection;
use crate::resp::Client;

/// The backends of a service, by component.
#[derive(Debug)]
pub(super) struct Backends {
    stores: Vec<Pool<Client>>,
    databases: Vec<Pool<Database>>,
    services: Vec<Vec<Pool<Connection>>>,
    /// Which instance of each is asked next.
    turns: Vec<Cell<usize>>,
}

impl Backends {
    /// No connection is opened yet.
    pub(super) fn new(context: &Context) -> Self {
        let stores = context.addresses.iter().map(|instances| Pool::new(instances[0])).collect();
        let databases = context.scenario.component_ids().zip(&context.addresses);
        let databases =
            databases.map(|(id, all)| Pool::new(Spot::new(&context.scenario, id, all[0]))).collect();
        let services =
            context.scenario.components.iter().zip(&context.addresses).map(|(component, instances)| {
                let is_entry =
                    matches!(component.kind, ComponentKind::Service(_) | ComponentKind::LoadBalancer(_));
                if is_entry { instances.iter().map(|a| Pool::new(*a)).collect() } else { Vec::new() }
            });
        let turns = context.addresses.iter().map(|_| Cell::new(0)).collect();
        Self { services: services.collect(), stores, databases, turns }
    }

    /// A connection to a store.
    ///
    /// # Errors
    /// Where none can be opened.
    pub(super) async fn store(&self, id: ComponentId) -> io::Result<Lent<'_, Client>> {
        self.stores[id.index()].lend(usize::MAX).await
    }

    /// A connection to an SQL store.
    ///
    /// # Errors
    /// Where none can be opened.
    pub(super) async fn database(&self, id: ComponentId) -> io::Result<Lent<'_, Database>> {
        self.databases[id.index()].lend(usize::MAX).await
    }

    /// A connection to an instance of a service or a balancer, each in turn; kept when it is done where no more than
    /// `most_idle` are.
    ///
    /// # Errors
    /// Where none can be opened.
    pub(super) async fn service(
        &self,
        id: ComponentId,
        most_idle: usize,
    ) -> io::Result<Lent<'_, Connection>> {
        let instances = &self.services[id.index()];
        let turn = &self.turns[id.index()];
        let place = turn.replace(turn.get().wrapping_add(1)) % instances.len();
        instances[place].lend(most_idle).await
    }
}

/// What can be kept in a pool.
pub(super) trait Kept: Sized {
    /// Where it leads to.
    type Place: Copy;
    /// Connects.
    ///
    /// # Errors
    /// The kernel's, or the server's.
    async fn open(place: Self::Place) -> io::Result<Self>;
    /// Whether another call can go over it.
    fn is_usable(&self) -> bool;
    /// Whether it tells by itself when nothing is owed on it any more.
    const TELLS: bool;
}

impl Kept for Client {
    type Place = SocketAddr;
    async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::connect(address).await
    }
    fn is_usable(&self) -> bool {
        self.is_reusable()
    }
    const TELLS: bool = true;
}

impl Kept for Connection {
    type Place = SocketAddr;
    async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::connect(address, None).await
    }
    fn is_usable(&self) -> bool {
        self.is_reusable()
    }
    const TELLS: bool = false;
}

/// Idle connections to one address.
struct Pool<C: Kept> {
    place: C::Place,
    idle: RefCell<Vec<C>>,
}

impl<C: Kept> fmt::Debug for Pool<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("idle", &self.idle.borrow().len()).finish()
    }
}

impl<C: Kept> Pool<C> {
    fn new(place: C::Place) -> Self {
        Self { place, idle: RefCell::default() }
    }

    /// The connection used last, as long as it is still usable, or a new one.
    async fn lend(&self, most_idle: usize) -> io::Result<Lent<'_, C>> {
        let (connection, was_idle) = match self.take() {
            Some(connection) => (connection, true),
            None => (C::open(self.place).await?, false),
        };
        Ok(Lent { pool: self, connection: Some(connection), is_done: C::TELLS, was_idle, most_idle })
    }

    /// The connection used last, as long as it is still usable; the others are thrown away.
    fn take(&self) -> Option<C> {
        let mut idle = self.idle.borrow_mut();
        while let Some(connection) = idle.pop() {
            if connection.is_usable() {
                return Some(connection);
            }
        }
        None
    }
}

/// A connection on loan; it goes back when dropped, unless something is still owed on it or enough are kept.
pub(super) struct Lent<'a, C: Kept> {
    pool: &'a Pool<C>,
    connection: Option<C>,
    is_done: bool,
    /// Whether it was opened for an earlier call.
    pub(super) was_idle: bool,
    most_idle: usize,
}

impl<C: Kept> fmt::Debug for Lent<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lent").field("was_idle", &self.was_idle).finish()
    }
}

impl<C: Kept> Lent<'_, C> {
    /// Says that nothing is owed on it any more.
    pub(super) fn is_done(&mut self) {
        self.is_done = true;
    }

    /// Says that something is owed on it still, so that it is closed where nobody says otherwise.
    pub(super) fn is_owed(&mut self) {
        self.is_done = false;
    }

    /// Takes a new connection instead.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) async fn renew(&mut self) -> io::Result<()> {
        self.connection = Some(C::open(self.pool.place).await?);
        self.was_idle = false;
        Ok(())
    }
}

impl<C: Kept> Deref for Lent<'_, C> {
    type Target = C;
    fn deref(&self) -> &C {
        self.connection.as_ref().expect("present until dropped")
    }
}

impl<C: Kept> DerefMut for Lent<'_, C> {
    fn deref_mut(&mut self) -> &mut C {
        self.connection.as_mut().expect("present until dropped")
    }
}

impl<C: Kept> Drop for Lent<'_, C> {
    fn drop(&mut self) {
        let mut idle = self.pool.idle.borrow_mut();
        let is_kept = self.is_done && idle.len() < self.most_idle;
        idle.extend(self.connection.take().filter(|connection| is_kept && connection.is_usable()));
    }
}
