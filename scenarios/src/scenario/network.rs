//! The network between machines.

use super::HostId;
use crate::law::DurationLaw;
use crate::units::{Bandwidth, Ratio};

/// Where a way through the network begins or ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// A machine of this host.
    Host(HostId),
    /// Outside, where requests come from.
    Clients,
}

/// A way between places.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Link {
    /// Its path in the file, such as `network[2]`.
    pub place: String,
    /// How long a packet takes one way.
    pub latency: Option<DurationLaw>,
    /// What all machines at one end can send to those at the other, in each direction. Each client has as much of its own.
    pub bandwidth: Option<Bandwidth>,
    /// The share of packets that are lost, in each direction.
    pub loss: Ratio,
}

/// All ways between machines. Places without one are joined at no cost.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Network {
    /// The ways, in the file's order.
    pub links: Vec<Link>,
    /// Hosts and the clients.
    pub(crate) places: usize,
    /// The link of each pair of places, by `a * places + b`.
    pub(crate) between: Vec<Option<u16>>,
}

impl Network {
    /// The way between two different machines at these places, as an index into `links`. A machine's way to itself is
    /// never over the network.
    pub fn between(&self, a: Place, b: Place) -> Option<usize> {
        let number = |place| match place {
            Place::Host(host) => host.index(),
            Place::Clients => self.places - 1,
        };
        if self.between.is_empty() {
            return None;
        }
        self.between[number(a) * self.places + number(b)].map(usize::from)
    }
}
