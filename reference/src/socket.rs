//! Listening sockets: reserved by the supervisor, shared by nobody, with a backlog that can be changed while they listen.

use std::cell::Cell;
use std::io;
use std::net::{SocketAddr, TcpStream as StdTcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};

/// A socket bound to `address` that does not listen: connections to it are refused, and the port is nobody else's.
///
/// Both this one and the one that listens later allow reuse, so that the two can be bound at once.
///
/// # Errors
/// The kernel's.
pub(crate) fn reserve(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    listener: TcpListener,
    backlog: u32,
    /// Whether the backlog is closed because the owner is at its limit.
    closed: Cell<bool>,
}

impl Listener {
    /// Listens.
    ///
    /// # Errors
    /// The kernel's.
    pub(crate) fn bind(address: SocketAddr, backlog: u32) -> io::Result<Self> {
        let socket = reserve(address)?;
        socket.set_nonblocking(true)?;
        socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
        let listener = TcpListener::from_std(socket.into())?;
        Ok(Self { listener, backlog, closed: Cell::new(false) })
    }

    /// The next connection. Errors that concern one connection are passed over; out of descriptors, it waits a little.
    pub(crate) async fn accept(&self) -> TcpStream {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => return stream,
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    }

    /// Lets the kernel queue new connections, or (but for one) drop them.
    pub(crate) fn set_closed(&self, closed: bool) {
        if self.closed.replace(closed) != closed {
            self.listen(if closed { 0 } else { self.backlog });
        }
    }

    /// Whether new connections are dropped.
    #[cfg(test)]
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.get()
    }

    fn listen(&self, backlog: u32) {
        // Linux takes a new backlog for a socket that listens already.
        let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        rustix::net::listen(&self.listener, backlog).expect("a listening socket of ours can listen again");
    }

    /// Fills the backlog so that SYNs go unanswered as long as the result lives and nobody accepts.
    pub(crate) fn block(&self) -> Blocked<'_> {
        self.listen(0);
        let mut fillers = Vec::new();
        if let Ok(address) = self.listener.local_addr() {
            // The kernel answers a handshake itself while there is room: the first that is not answered shows that
            // there is none. What is queued already also fills the room, so few are needed.
            while fillers.len() < 4 {
                match StdTcpStream::connect_timeout(&address, Duration::from_millis(5)) {
                    Ok(filler) => fillers.push(filler),
                    Err(_) => break,
                }
            }
        }
        Blocked { listener: self, fillers }
    }

    /// As [`Listener::block`], but other tasks go on meanwhile.
    pub(crate) async fn block_gently(&self) -> Blocked<'_> {
        self.listen(0);
        let mut blocked = Blocked { listener: self, fillers: Vec::new() };
        let Ok(address) = self.listener.local_addr() else { return blocked };
        while blocked.fillers.len() < 4 {
            let filler = tokio::time::timeout(Duration::from_millis(5), TcpStream::connect(address)).await;
            match filler.ok().and_then(Result::ok).map(TcpStream::into_std) {
                Some(Ok(filler)) => blocked.fillers.push(filler),
                _ => break,
            }
        }
        blocked
    }
}

/// A listener whose backlog is full; dropping it opens the backlog again.
#[derive(Debug)]
pub(crate) struct Blocked<'a> {
    listener: &'a Listener,
    fillers: Vec<StdTcpStream>,
}

impl Blocked<'_> {
    /// The near ends of the connections that fill the backlog.
    pub(crate) fn fillers(&self) -> impl Iterator<Item = SocketAddr> {
        self.fillers.iter().filter_map(|filler| filler.local_addr().ok())
    }
}

impl Drop for Blocked<'_> {
    fn drop(&mut self) {
        self.fillers.clear();
        self.listener.listen(if self.listener.closed.get() { 0 } else { self.listener.backlog });
    }
}
