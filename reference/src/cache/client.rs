//! A client's connection while a request of his is answered: he may not stand still for longer than clients may.

use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;

use crate::http::{Connection, Patience};

/// The connection, and how long it is waited for.
#[derive(Debug)]
pub(super) struct Client<'c> {
    pub(super) connection: &'c mut Connection,
    pub(super) patience: &'c mut Patience,
}

impl Client<'_> {
    /// What has come and was not consumed.
    pub(super) fn input(&self) -> &[u8] {
        self.connection.input()
    }

    /// So many bytes of that are done with.
    pub(super) fn consume(&mut self, count: usize) {
        self.connection.consume(count);
    }

    /// Waits for more.
    ///
    /// # Errors
    /// The connection's, `UnexpectedEof` at its end, or `TimedOut`.
    pub(super) async fn more(&mut self) -> io::Result<()> {
        self.patience.limit(self.connection.more()).await
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The connection's, or `TimedOut`.
    pub(super) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.patience.limit(self.connection.write_all(bytes)).await
    }

    /// Writes all of one and then all of the other.
    ///
    /// # Errors
    /// The connection's, or `TimedOut`.
    pub(super) async fn write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<()> {
        self.patience.limit(self.connection.write_both(first, second)).await
    }

    /// Writes all of a head and then a part of a file.
    ///
    /// # Errors
    /// The connection's, or `TimedOut`.
    pub(super) async fn write_file(
        &mut self,
        head: &[u8],
        file: BorrowedFd<'_>,
        bytes: Range<usize>,
    ) -> io::Result<()> {
        self.patience.limit(self.connection.write_file(head, file, bytes)).await
    }
}
