//! Who listens where: one loopback address per machine, `127.0.HOST.MACHINE`, counted from one in the file's order; what the
//! machines of a host share is at `127.0.HOST.254`. Linux answers on all of 127.0.0.0/8 without configuration.

use std::net::{IpAddr, Ipv4Addr};

/// The most hosts.
pub(crate) const HOSTS_LIMIT: usize = 250;
/// The most machines of a host.
pub(crate) const INSTANCES_LIMIT: u32 = 250;

/// The address that instances on several machines of a host share.
pub(crate) fn shared(host: usize) -> IpAddr {
    debug_assert!(host < HOSTS_LIMIT, "checked before the stack is started");
    IpAddr::V4(Ipv4Addr::new(127, 0, host as u8 + 1, 254))
}

/// The address of a machine; host and machine count from zero.
pub(crate) fn machine(host: usize, instance: u32) -> IpAddr {
    debug_assert!(host < HOSTS_LIMIT && instance < INSTANCES_LIMIT, "checked before the stack is started");
    IpAddr::V4(Ipv4Addr::new(127, 0, host as u8 + 1, instance as u8 + 1))
}
