//! A socket with the input that was read from it and not used yet.
//!
//! A connection on which nothing is to be read has no buffer: those that are idle, or send nothing, cost no memory.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::stream::Stream;

/// Read at once at first; a whole request or answer of ordinary size fits.
const READ_SIZE: usize = 16 << 10;
/// Read at once where the last read filled what there was.
const LONG_READ_SIZE: usize = 64 << 10;
/// Buffers kept for the next connection that has something to read.
const SPARE_LIMIT: usize = 64;

thread_local!(static SPARE: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) });

/// A connection. Nagle's algorithm is off: we write whole messages.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: Stream,
    input: Vec<u8>,
    used: usize,
    read_size: usize,
}

impl Connection {
    /// Takes a socket over.
    pub(crate) fn new(stream: TcpStream) -> Self {
        prepare(&stream);
        Self::of(Stream::Socket(stream))
    }

    /// What is no socket, but carries bytes as one does.
    #[cfg(feature = "tls")]
    pub(crate) fn over(stream: Box<dyn super::stream::Duplex>) -> Self {
        Self::of(Stream::Other(stream))
    }

    fn of(stream: Stream) -> Self {
        Self { stream, input: Vec::new(), used: 0, read_size: READ_SIZE }
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

    /// Takes the input with its buffer, so that it outlives the connection's next use.
    pub(crate) fn take_input(&mut self) -> Input {
        Input { bytes: std::mem::take(&mut self.input), used: std::mem::take(&mut self.used) }
    }

    /// Waits for more input; zero at the end of the stream.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn fill(&mut self) -> io::Result<usize> {
        poll_fn(|cx| {
            if self.stream.poll_read_ready(cx)?.is_pending() {
                if self.input.is_empty() {
                    keep_spare(std::mem::take(&mut self.input));
                }
                return Poll::Pending;
            }
            if self.input.capacity() == 0 {
                self.input = SPARE.with_borrow_mut(Vec::pop).unwrap_or_default();
            }
            if self.used > 0 && self.input.capacity() - self.input.len() < READ_SIZE / 2 {
                self.input.drain(..self.used);
                self.used = 0;
            }
            if self.input.capacity() - self.input.len() < self.read_size / 2 {
                self.input.reserve(self.read_size);
            }
            let room = self.input.capacity() - self.input.len();
            let n = ready!(pin!(self.stream.read_buf(&mut self.input)).poll(cx))?;
            self.read_size = if n == room { LONG_READ_SIZE } else { READ_SIZE };
            Poll::Ready(Ok(n))
        })
        .await
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
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// Writes all of one and then all of the other, in one system call where the kernel takes it.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn write_both(&mut self, mut first: &[u8], mut second: &[u8]) -> io::Result<()> {
        while !first.is_empty() && !second.is_empty() {
            let slices = [IoSlice::new(first), IoSlice::new(second)];
            let n = poll_fn(|cx| Pin::new(&mut self.stream).poll_write_vectored(cx, &slices)).await?;
            if n == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let of_first = n.min(first.len());
            first = &first[of_first..];
            second = &second[n - of_first..];
        }
        self.write_all(if first.is_empty() { second } else { first }).await
    }

    /// Writes all of a head and then a part of a file, whose pages the kernel sends as they are: the file must not change any more.
    /// Only sockets can.
    ///
    /// # Errors
    /// The kernel's, or `Unsupported`.
    pub(crate) async fn write_file(
        &mut self,
        mut head: &[u8],
        file: BorrowedFd<'_>,
        mut bytes: Range<usize>,
    ) -> io::Result<()> {
        while !head.is_empty() {
            let written = poll_fn(|cx| self.stream.poll_write_with_more(cx, head)).await?;
            head = &head[written..];
        }
        while !bytes.is_empty() {
            let (from, count) = (bytes.start as u64, bytes.len());
            let written = poll_fn(|cx| self.stream.poll_write_file(cx, file, from, count)).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes.start += written;
        }
        Ok(())
    }

    /// Writes as much of it as the kernel takes at once.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes).await
    }

    /// Whether an idle connection can be used again: still open, and nothing came unasked. Costs no system call
    /// unless something happened on the socket.
    pub(crate) fn is_reusable(&self) -> bool {
        let would_block = |e: &io::Error| e.kind() == io::ErrorKind::WouldBlock;
        self.input.is_empty() && self.stream.try_read(&mut [0]).is_err_and(|e| would_block(&e))
    }

    /// Says that nothing more will be written, and reads away what still comes, up to a limit of bytes: a socket that is
    /// closed with unread input resets its connection, and the peer may lose the answer that it was sent.
    pub(crate) async fn finish(mut self, limit: usize) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let mut read = 0;
        while read < limit {
            self.consume(self.input.len() - self.used);
            match self.fill().await {
                Ok(n @ 1..) => read += n,
                _ => return,
            }
        }
    }
}

/// Makes a socket ready for whole messages.
pub(crate) fn prepare(stream: &TcpStream) {
    // It fails only on a socket that is already dead, which the next read will tell.
    let _ = stream.set_nodelay(true);
    // Some machines' default (BBR) spaces packets by a timer, which has no place on a loopback interface. Reno is part of
    // every kernel.
    let _ = SockRef::from(stream).set_tcp_congestion(b"reno");
}

impl Drop for Connection {
    fn drop(&mut self) {
        keep_spare(std::mem::take(&mut self.input));
    }
}

/// Input taken from its connection.
#[derive(Debug)]
pub(crate) struct Input {
    bytes: Vec<u8>,
    used: usize,
}

impl std::ops::Deref for Input {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes[self.used..]
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        keep_spare(std::mem::take(&mut self.bytes));
    }
}

fn keep_spare(mut buffer: Vec<u8>) {
    if !(READ_SIZE / 2..=LONG_READ_SIZE).contains(&buffer.capacity()) {
        return;
    }
    buffer.clear();
    SPARE.with_borrow_mut(|spare| {
        if spare.len() < SPARE_LIMIT {
            spare.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;
    use std::os::fd::AsFd;

    use rustix::fs::{MemfdFlags, memfd_create};
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn a_head_and_a_part_of_a_file_arrive_whole() {
        // More than the sockets hold, so that it is written in pieces.
        let all: Vec<u8> = (0..20_000_000_u32).map(|n| (n % 251) as u8).collect();
        let mut file = File::from(memfd_create("test", MemfdFlags::CLOEXEC).expect("a file"));
        file.write_all(&all).expect("written");
        let part = 7..all.len() - 7;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let got = runtime.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
            let address = listener.local_addr().expect("it is bound");
            let mut reader = TcpStream::connect(address).await.expect("it listens");
            let mut writer = Connection::new(listener.accept().await.expect("one connects").0);
            let range = part.clone();
            let sends = async {
                let sent = writer.write_file(b"head", file.as_fd(), range).await;
                drop(writer);
                sent
            };
            let mut got = Vec::new();
            let (read, sent) = tokio::join!(reader.read_to_end(&mut got), sends);
            sent.expect("it is taken");
            read.expect("it ends");
            got
        });
        assert!(got == [&b"head"[..], &all[part]].concat(), "{} bytes", got.len());
    }
}
