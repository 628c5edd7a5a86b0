//! Where a server listens on this machine: at its component's address, or, where something stands before it, at another one of the
//! same machine; and the ports that only it uses, held until it takes them.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use scenarios::scenario::Server;
use socket2::Socket;

use super::site::OwnPorts;
use crate::socket;

/// Such a place.
#[derive(Debug)]
pub(super) struct Place {
    /// Where the server itself listens.
    pub(super) listens: SocketAddr,
    pub(super) own_ports: Option<OwnPorts>,
    /// Bound and never listening, so that the ports are nobody else's as long as this process lives.
    _reservations: Vec<Socket>,
}

impl Place {
    /// For a server in the place of a component at this address.
    ///
    /// # Errors
    /// The kernel's.
    pub(super) fn of(server: Server, address: SocketAddr) -> io::Result<Self> {
        if server != Server::Rabbitmq {
            return Ok(Self { listens: address, own_ports: None, _reservations: Vec::new() });
        }
        // Its start looks whether a port is free on all addresses, though it will listen on one.
        let everywhere = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        let reserved =
            [address.ip(), everywhere, everywhere].map(|ip| socket::reserve(SocketAddr::new(ip, 0)));
        let reservations = reserved.into_iter().collect::<io::Result<Vec<Socket>>>()?;
        let ports = reservations.iter().map(port).collect::<io::Result<Vec<u16>>>()?;
        Ok(Self {
            listens: SocketAddr::new(address.ip(), ports[0]),
            own_ports: Some(OwnPorts { names: ports[1], nodes: ports[2] }),
            _reservations: reservations,
        })
    }
}

fn port(socket: &Socket) -> io::Result<u16> {
    let address = socket.local_addr()?.as_socket().ok_or_else(|| io::Error::other("no address"))?;
    Ok(address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_with_ports_of_its_own_can_listen_on_them_and_nobody_gets_them_by_chance() {
        let address: SocketAddr = "127.0.3.1:4000".parse().expect("an address");
        let place = Place::of(Server::Redis, address).expect("nothing is reserved");
        assert_eq!((place.listens, place.own_ports), (address, None));
        let place = Place::of(Server::Rabbitmq, address).expect("reserved");
        assert_eq!(place.listens.ip(), address.ip());
        let OwnPorts { names, nodes } = place.own_ports.expect("it needs some");
        assert!(names != nodes && ![0, 4000].contains(&place.listens.port()));
        for port in [names, nodes] {
            let socket = socket::reserve(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)).expect("bound");
            socket.listen(1).expect("whoever allows reuse can listen");
        }
    }
}
