//! Who listens where: one loopback address per machine, `127.0.HOST.MACHINE`, counted from one in the file's order. Linux
//! answers on all of 127.0.0.0/8 without configuration.

use std::net::{IpAddr, Ipv4Addr};

/// The most hosts.
pub(crate) const HOSTS_LIMIT: usize = 250;
/// The most machines of a host.
pub(crate) const INSTANCES_LIMIT: u32 = 250;

/// The address of a machine; host and machine count from zero.
pub(crate) fn machine(host: usize, instance: u32) -> IpAddr {
    debug_assert!(host < HOSTS_LIMIT && instance < INSTANCES_LIMIT, "checked before the stack is started");
    IpAddr::V4(Ipv4Addr::new(127, 0, host as u8 + 1, instance as u8 + 1))
}
