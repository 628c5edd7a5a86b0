//! How a connection is begun, and what it means that it cannot be.

use std::os::fd::OwnedFd;

use results::Failure;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, sockopt};

use super::Address;

/// A socket that does not block, and how its connection began: `Ok` or `INPROGRESS` mean that an edge will tell.
pub(super) fn connect(address: &Address) -> Result<(OwnedFd, Result<(), Errno>), Errno> {
    let of_family = |family| {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        rustix::net::socket_with(family, SocketType::STREAM, flags, None)
    };
    match address {
        Address::Named(named) => connect(&Address::Tcp(named.current())),
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
