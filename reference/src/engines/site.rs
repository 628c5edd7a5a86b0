//! Where a server and those around it are. The same configuration is written for a run on this machine and for elsewhere; only the
//! addresses and the directory differ.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use scenarios::Scenario;
use scenarios::scenario::{Component, ComponentId};
use scenarios::units::SimTime;

use crate::support::is_announced;

/// Where something listens: an address, or a name that will be resolved to one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self { host: address.ip().to_string(), port: address.port() }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// Ports that only a server and what belongs to it use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnPorts {
    /// Where it is known under its name.
    pub(crate) names: u16,
    /// Where others of its kind would talk to it.
    pub(crate) nodes: u16,
}

/// A server's place.
#[derive(Clone, Debug)]
pub(crate) struct Site<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) component: ComponentId,
    /// Which instance, from zero.
    pub(crate) instance: u32,
    /// Where it listens.
    pub(crate) listen: Address,
    /// Where the instances of each component are found from there.
    pub(crate) addresses: Vec<Vec<Address>>,
    /// A directory of its own, in which its files are.
    pub(crate) directory: PathBuf,
    /// Where it shares an address with others, as on this machine; of those that need some.
    pub(crate) own_ports: Option<OwnPorts>,
}

impl Site<'_> {
    /// Its component.
    pub(crate) fn description(&self) -> &Component {
        self.scenario.component(self.component)
    }

    /// Its component's name, as far as every server takes it as a name.
    pub(crate) fn name(&self) -> String {
        plain(&self.description().name)
    }

    /// Where the instances of a component are found.
    pub(crate) fn instances(&self, of: ComponentId) -> &[Address] {
        &self.addresses[of.index()]
    }

    /// A file in its directory.
    pub(crate) fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    /// Whether connections to it begin with the head of the PROXY protocol.
    pub(crate) fn is_announced(&self) -> bool {
        is_announced(self.scenario, self.component)
    }
}

/// A name of letters, digits and low lines.
pub(crate) fn plain(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

/// A time in milliseconds, as HAProxy and Redis write it; at least one.
pub(crate) fn millis(time: SimTime) -> u64 {
    (time.as_nanos() / 1_000_000).max(1)
}

/// A time in seconds with three decimals, as Varnish's VCL writes it.
pub(crate) fn seconds(time: SimTime) -> String {
    format!("{:.3}s", time.as_secs_f64())
}

/// The directory of a server in a container.
pub(crate) fn elsewhere() -> &'static Path {
    Path::new("/rehearsal")
}
