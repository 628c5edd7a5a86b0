//! The door at which clients' connections come in: who they are, by the kernel or by what a trusted peer says.
//!
//! - [`announcement`]: the PROXY protocol
//! - `front`: TLS (`tls`) and HTTP/2 (`http2`), in builds with the feature `tls`

pub(crate) mod announcement;
#[cfg(feature = "tls")]
pub(crate) mod front;
#[cfg(feature = "tls")]
mod http2;
#[cfg(feature = "tls")]
mod tls;

use std::net::{Ipv4Addr, SocketAddr};

use scenarios::scenario::Peers;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::http::requests::HEAD_TIMEOUT;
use announcement::Told;

/// Whose a connection is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// The client.
    pub(crate) from: SocketAddr,
    /// Where it connected to.
    pub(crate) to: SocketAddr,
}

impl Arrival {
    /// As the kernel sees it.
    pub(crate) fn of(stream: &TcpStream) -> Self {
        // A socket that is dead already has none, which its first read will tell.
        let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        Self { from: stream.peer_addr().unwrap_or(nobody), to: stream.local_addr().unwrap_or(nobody) }
    }
}

/// Who is believed to speak for others.
#[derive(Clone, Debug)]
pub(crate) enum Trust {
    /// The peers of these networks.
    Peers(Vec<Peers>),
    /// Everybody.
    Everybody,
}

impl Trust {
    /// In these networks' peers; none where there are none.
    pub(crate) fn of(networks: &[Peers]) -> Option<Self> {
        (!networks.is_empty()).then(|| Self::Peers(networks.to_vec()))
    }

    /// Takes a connection in. None where a peer that is to say whose it is does not: as the protocol wants it, nobody guesses
    /// whether a connection begins with a header.
    pub(crate) async fn welcome(&self, stream: &mut TcpStream) -> Option<Arrival> {
        let arrival = Arrival::of(stream);
        let announces = match self {
            Self::Everybody => true,
            Self::Peers(trusted) => {
                let peer = arrival.from.ip().to_canonical();
                trusted.iter().any(|network| network.contains(peer))
            }
        };
        if !announces {
            return Some(arrival);
        }
        match timeout(HEAD_TIMEOUT, announcement::read(stream)).await {
            Ok(Ok(Told::Client { from, to })) => Some(Arrival { from, to }),
            Ok(Ok(Told::Nothing)) => Some(arrival),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}
