//! A socket with the input that was read from it and not used yet.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Read at once at most; a whole request or answer of ordinary size fits.
const READ_SIZE: usize = 16 << 10;

/// A connection. Nagle's algorithm is off: we write whole messages.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    input: Vec<u8>,
    used: usize,
}

impl Connection {
    /// Takes a socket over.
    pub(crate) fn new(stream: TcpStream) -> Self {
        // It fails only on a socket that is already dead, which the next read will tell.
        let _ = stream.set_nodelay(true);
        // Some machines' default (BBR) spaces packets by a timer, which has no place on a loopback interface. Reno is
        // part of every kernel.
        let _ = SockRef::from(&stream).set_tcp_congestion(b"reno");
        Self { stream, input: Vec::new(), used: 0 }
    }

    /// Connects, within a limit where one is given.
    ///
    /// # Errors
    /// The kernel's, or `TimedOut`.
    pub(crate) async fn connect(address: SocketAddr, limit: Option<Duration>) -> io::Result<Self> {
        let connecting = TcpStream::connect(address);
        let stream = match limit {
            Some(limit) => tokio::time::timeout(limit, connecting).await??,
            None => connecting.await?,
        };
        Ok(Self::new(stream))
    }

    /// Input that was read and not consumed.
    pub(crate) fn input(&self) -> &[u8] {
        &self.input[self.used..]
    }

    /// Marks the first `n` bytes of [`Connection::input`] as used.
    pub(crate) fn consume(&mut self, n: usize) {
        self.used += n;
        debug_assert!(self.used <= self.input.len(), "no more is consumed than was read");
        if self.used == self.input.len() {
            self.input.clear();
            self.used = 0;
        }
    }

    /// Waits for more input; zero at the end of the stream.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        if self.used > 0 && self.input.capacity() - self.input.len() < READ_SIZE / 2 {
            self.input.drain(..self.used);
            self.used = 0;
        }
        self.input.reserve(READ_SIZE / 2);
        self.stream.read_buf(&mut self.input).await
    }

    /// As [`Connection::fill`], but the end of the stream is an error.
    ///
    /// # Errors
    /// The kernel's, or `UnexpectedEof`.
    pub(crate) async fn more(&mut self) -> io::Result<()> {
        if self.fill().await? == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Writes both, one after the other, with as few system calls as the socket takes.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn write_both(&mut self, first: &[u8], second: &[u8]) -> io::Result<()> {
        let mut written = 0;
        while written < first.len() {
            let slices = [IoSlice::new(&first[written..]), IoSlice::new(second)];
            match self.stream.write_vectored(&slices).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                n => written += n,
            }
        }
        self.stream.write_all(&second[written - first.len()..]).await
    }

    /// Whether an idle connection can be used again: still open, and nothing came unasked. Costs no system call
    /// unless something happened on the socket.
    pub(crate) fn is_reusable(&self) -> bool {
        let would_block = |e: &io::Error| e.kind() == io::ErrorKind::WouldBlock;
        self.input.is_empty() && self.stream.try_read(&mut [0]).is_err_and(|e| would_block(&e))
    }
}
