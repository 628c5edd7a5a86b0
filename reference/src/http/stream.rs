//! What a connection's bytes go through: a socket, or what is put before one.

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::fs::sendfile;
use rustix::net::{SendFlags, send};
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

/// What carries bytes as a socket does.
#[cfg(feature = "tls")]
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug {}

#[cfg(feature = "tls")]
impl<T: AsyncRead + AsyncWrite + Unpin + std::fmt::Debug> Duplex for T {}

/// A socket, or what carries bytes as one does.
#[derive(Debug)]
pub(super) enum Stream {
    Socket(TcpStream),
    #[cfg(feature = "tls")]
    Other(Box<dyn Duplex>),
}

impl Stream {
    /// Whether something can be read, or it is not known whether.
    pub(super) fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Socket(socket) => socket.poll_read_ready(cx),
            #[cfg(feature = "tls")]
            Self::Other(_) => Poll::Ready(Ok(())),
        }
    }

    /// Reads what is there; only of sockets is that known.
    pub(super) fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Socket(socket) => socket.try_read(buffer),
            #[cfg(feature = "tls")]
            Self::Other(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Writes as much as the kernel takes at once of what is followed by more; only to sockets.
    pub(super) fn poll_write_with_more(&self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_socket(cx, |socket| send(socket, bytes, SendFlags::MORE | SendFlags::NOSIGNAL))
    }

    /// Writes as much as the kernel takes at once of a part of a file; only to sockets.
    pub(super) fn poll_write_file(
        &self,
        cx: &mut Context<'_>,
        file: BorrowedFd<'_>,
        from: u64,
        count: usize,
    ) -> Poll<io::Result<usize>> {
        self.poll_socket(cx, |socket| {
            let mut offset = from;
            sendfile(socket, file, Some(&mut offset), count)
        })
    }

    /// Writes to a socket as soon as it takes something.
    fn poll_socket(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> rustix::io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Socket(socket) => loop {
                ready!(socket.poll_write_ready(cx))?;
                let written = socket.try_io(Interest::WRITABLE, || write(socket).map_err(io::Error::from));
                match written {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    written => return Poll::Ready(written),
                }
            },
            #[cfg(feature = "tls")]
            Self::Other(_) => Poll::Ready(Err(io::ErrorKind::Unsupported.into())),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_read(cx, buffer),
            #[cfg(feature = "tls")]
            Self::Other(other) => Pin::new(other).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_write(cx, bytes),
            #[cfg(feature = "tls")]
            Self::Other(other) => Pin::new(other).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_write_vectored(cx, slices),
            #[cfg(feature = "tls")]
            Self::Other(other) => Pin::new(other).poll_write_vectored(cx, slices),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_flush(cx),
            #[cfg(feature = "tls")]
            Self::Other(other) => Pin::new(other).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Socket(socket) => Pin::new(socket).poll_shutdown(cx),
            #[cfg(feature = "tls")]
            Self::Other(other) => Pin::new(other).poll_shutdown(cx),
        }
    }
}
