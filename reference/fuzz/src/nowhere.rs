//! In place of connections, which the client of RESP needs and which nothing here looks at.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// Is never made.
#[derive(Debug)]
pub(crate) enum Connection {}

impl Connection {
    pub(crate) async fn connect(_: SocketAddr, _: Option<Duration>) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(crate) fn is_reusable(&self) -> bool {
        match *self {}
    }

    pub(crate) fn input(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn consume(&mut self, _: usize) {
        match *self {}
    }

    pub(crate) async fn more(&mut self) -> io::Result<()> {
        match *self {}
    }

    pub(crate) async fn write_all(&mut self, _: &[u8]) -> io::Result<()> {
        match *self {}
    }
}
