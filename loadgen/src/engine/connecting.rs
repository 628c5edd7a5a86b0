//! How a connection is begun, and what it means that it cannot be.

use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::IpBindAddressNoPort;
use results::Failure;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::Address;
use crate::clock::monotonic_nanos;

/// A socket that does not block, and how its connection began: `Ok` or `INPROGRESS` mean that an edge will tell. `source` is where it is
/// to come from, over the loopback interface.
pub(super) fn connect(
    address: &Address,
    source: Option<Ipv4Addr>,
) -> Result<(OwnedFd, Result<(), Errno>), Errno> {
    let of_family = |family| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        rustix::net::socket_with(family, SocketType::STREAM, flags, None)
    };
    match address {
        Address::Named(named) => connect(&Address::Tcp(named.current()), source),
        Address::Tcp(address) => {
            let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let descriptor = of_family(family)?;
            // Without TCP_NODELAY a request could wait for the acknowledgement of the one before.
            sockopt::set_tcp_nodelay(&descriptor, true)?;
            // Where the system's default is BBR, packets are spaced by a timer. That belongs to a network's path, but on the
            // loopback interface it would only be measured as the server's time. Reno is part of every kernel.
            if address.ip().is_loopback() {
                let _ = sockopt::set_tcp_congestion(&descriptor, "reno");
            }
            if let Some(source) = source {
                // The port is chosen when it is known where to, so that one that is in use towards others will do.
                let _ = setsockopt(&descriptor, IpBindAddressNoPort, &true);
                rustix::net::bind(&descriptor, &SocketAddr::from((source, 0)))?;
            }
            let begun = rustix::net::connect(&descriptor, address);
            Ok((descriptor, begun))
        }
        Address::Unix(path) => {
            let descriptor = of_family(AddressFamily::UNIX)?;
            let begun = rustix::net::connect(&descriptor, &SocketAddrUnix::new(path)?);
            Ok((descriptor, begun))
        }
    }
}

/// Whether a connection failed for nothing but a full backlog of a socket in the file system: TCP would wait for it, and so do we.
pub(super) fn is_backlogged(address: &Address, error: Errno) -> bool {
    error == Errno::AGAIN && matches!(address, Address::Unix(_))
}

/// Between two attempts to reach a socket in the file system whose backlog is full: nothing tells when it is not.
const BACKLOG_NANOS: u64 = 1_000_000;

/// Those who found a backlog full, and when they try again.
#[derive(Debug)]
pub(super) struct Backlogged<T> {
    waiting: Vec<T>,
    again_nanos: u64,
}

impl<T> Default for Backlogged<T> {
    fn default() -> Self {
        Self { waiting: Vec::new(), again_nanos: 0 }
    }
}

impl<T> Backlogged<T> {
    pub(super) fn push(&mut self, who: T) {
        if self.waiting.is_empty() {
            self.again_nanos = monotonic_nanos() + BACKLOG_NANOS;
        }
        self.waiting.push(who);
    }

    /// Takes those whose turn it is.
    #[inline]
    pub(super) fn due(&mut self) -> Vec<T> {
        let due = !self.waiting.is_empty() && monotonic_nanos() >= self.again_nanos;
        if due { std::mem::take(&mut self.waiting) } else { Vec::new() }
    }

    /// The end of a wait that would last until then.
    #[inline]
    pub(super) fn until(&self, until_nanos: u64) -> u64 {
        if self.waiting.is_empty() { until_nanos } else { until_nanos.min(self.again_nanos) }
    }
}

/// What an error means before a connection stands.
pub(super) fn of_connecting(error: Errno) -> Failure {
    if error == Errno::TIMEDOUT { Failure::Timeout } else { Failure::Refused }
}

/// What this machine lacks, where that is why there is no connection.
pub(super) fn lacked(error: Errno) -> Option<String> {
    let what = match error {
        Errno::ADDRNOTAVAIL => "local ports for connections",
        Errno::MFILE | Errno::NFILE => "file descriptors for connections",
        Errno::NOBUFS | Errno::NOMEM => "memory for connections",
        _ => return None,
    };
    Some(what.to_owned())
}
