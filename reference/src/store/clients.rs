//! The clients that are connected.

use std::collections::BTreeSet;
use std::net::{SocketAddr, TcpStream};

use super::replication::original::Copy;
use crate::resp::request::{Parser, Range};

/// A command that has not come entirely.
#[derive(Debug, Default)]
pub(super) struct Partial {
    pub(super) input: Vec<u8>,
    pub(super) parser: Parser,
}

/// A command's bytes, and where its arguments are in them.
pub(super) type Queued = (Vec<u8>, Vec<Range>);

/// Whether commands are carried out at once.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    pub(super) queue: Vec<Queued>,
    pub(super) bytes: u64,
    /// A command could not be queued, so nothing will be carried out.
    pub(super) broken: bool,
}

/// What a name takes that is kept for a client: it stands in the client and in the table of all, each with its node.
pub(super) fn name_bytes(name: &[u8]) -> u64 {
    2 * (name.len() as u64 + 64)
}

/// What a client waits for: that so many copies have so much of the stream.
#[derive(Clone, Copy, Debug)]
pub(super) struct Awaited {
    pub(super) offset: u64,
    pub(super) wanted: u64,
    /// No longer than until then.
    pub(super) until_ms: Option<u64>,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) id: u64,
    /// None in tests, and for clients that are not connected.
    pub(super) stream: Option<TcpStream>,
    pub(super) address: Option<SocketAddr>,
    pub(super) name: String,
    /// RESP 3 instead of 2.
    pub(super) version3: bool,
    /// It has yet to give the password.
    pub(super) stranger: bool,
    /// To be closed once what it is owed is written.
    pub(super) over: bool,
    pub(super) transaction: Option<Box<Transaction>>,
    /// Keys that must not change before the transaction, and how often they had when it said so.
    pub(super) watches: Vec<(Box<[u8]>, u64)>,
    /// Where it is a copy of this store, or says that it will be.
    pub(super) copy: Option<Box<Copy>>,
    /// Whether it stands for the store that this one is a copy of.
    pub(super) is_original: bool,
    pub(super) channels: BTreeSet<Vec<u8>>,
    pub(super) patterns: BTreeSet<Vec<u8>>,
    /// What the names that it watches and listens to take.
    pub(super) kept_names_bytes: u64,
    pub(super) partial: Option<Box<Partial>>,
    /// What could not be written yet.
    pub(super) pending: Vec<u8>,
    /// How much of that was written since.
    pub(super) written: usize,
    /// Nothing is read before that is so.
    pub(super) waits_for: Option<Awaited>,
    /// Nothing is read before what is pending is written.
    pub(super) stalled: bool,
    pub(super) created_ms: u64,
    pub(super) last_ms: u64,
    pub(super) last_command: &'static str,
    /// Since when more is pending than may be for long.
    pub(super) over_soft_limit_since_ms: Option<u64>,
}

impl Client {
    pub(super) fn new(
        stream: Option<TcpStream>,
        address: Option<SocketAddr>,
        stranger: bool,
        now_ms: u64,
    ) -> Self {
        Self {
            id: 0,
            stream,
            address,
            name: String::new(),
            version3: false,
            stranger,
            over: false,
            transaction: None,
            watches: Vec::new(),
            copy: None,
            is_original: false,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            kept_names_bytes: 0,
            partial: None,
            pending: Vec::new(),
            written: 0,
            waits_for: None,
            stalled: false,
            created_ms: now_ms,
            last_ms: now_ms,
            last_command: "NULL",
            over_soft_limit_since_ms: None,
        }
    }

    /// Whether it listens to channels.
    pub(super) fn listens(&self) -> bool {
        !self.channels.is_empty() || !self.patterns.is_empty()
    }

    /// Bytes that it makes the store keep.
    pub(super) fn buffers(&self) -> u64 {
        let input = self.partial.as_ref().map_or(0, |partial| partial.input.capacity());
        let queued = self.transaction.as_ref().map_or(0, |transaction| transaction.bytes);
        // What is pending for copies has a limit of its own.
        let is_copy = self.copy.as_ref().is_some_and(|copy| copy.is_served);
        let output = if is_copy { 0 } else { self.pending.capacity() };
        (input + output + self.name.capacity()) as u64 + queued + self.kept_names_bytes
    }
}

/// All of them, by a number that is free again when one has left.
#[derive(Debug, Default)]
pub(super) struct Clients {
    places: Vec<Option<Client>>,
    free: Vec<usize>,
    /// Ever.
    count: u64,
}

impl Clients {
    /// Adds one; its place.
    pub(super) fn insert(&mut self, mut client: Client) -> usize {
        self.count += 1;
        client.id = self.count;
        match self.free.pop() {
            Some(index) => {
                self.places[index] = Some(client);
                index
            }
            None => {
                self.places.push(Some(client));
                self.places.len() - 1
            }
        }
    }

    pub(super) fn remove(&mut self, index: usize) -> Option<Client> {
        let client = self.places.get_mut(index)?.take()?;
        self.free.push(index);
        Some(client)
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<&Client> {
        self.places.get(index)?.as_ref()
    }

    #[inline]
    pub(super) fn get_mut(&mut self, index: usize) -> Option<&mut Client> {
        self.places.get_mut(index)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &Client)> {
        self.places.iter().enumerate().filter_map(|(index, client)| Some((index, client.as_ref()?)))
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }
}
