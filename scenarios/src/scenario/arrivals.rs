//! How clients' connections come to a proxy, and how it passes on whose they were.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::quantity::Misread;

/// A version of the PROXY protocol (`doc/proxy-protocol.txt` of HAProxy's sources).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyVersion {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// TLS that ends at a component.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tls {
    /// The certificate with those that vouch for it and the private key, as PEM files beside the scenario; none where the
    /// component makes a certificate of its own, which nobody vouches for.
    pub files: Option<(String, String)>,
}

/// A network, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peers {
    address: IpAddr,
    /// Bits that all of its addresses have in common.
    prefix: u8,
}

impl Peers {
    /// Whether an address belongs to it.
    pub fn contains(&self, address: IpAddr) -> bool {
        let shift = |bits: u8| u32::from(bits - self.prefix);
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(32)).unwrap_or(0) == 0
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                (own.to_bits() ^ other.to_bits()).checked_shr(shift(128)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl FromStr for Peers {
    type Err = Misread;

    /// Reads `10.0.0.0/8`, `2001:db8::/32`, `192.0.2.7`.
    fn from_str(text: &str) -> Result<Self, Misread> {
        let misread = || {
            Misread::new("an address, or a network with the length of its prefix")
                .hint("write \"10.0.0.0/8\"")
        };
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| misread())?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            Some(prefix) => prefix.parse::<u8>().ok().filter(|prefix| *prefix <= bits).ok_or_else(misread)?,
            None => bits,
        };
        Ok(Self { address, prefix })
    }
}

impl fmt::Display for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_has_the_addresses_of_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::/0", "::1", "127.0.0.1"),
        ] {
            let network: Peers = network.parse().expect("it is one");
            let contains = |text: &str| network.contains(text.parse().expect("an address"));
            assert!(contains(inside) && !contains(outside), "{network}");
            assert_eq!(network.to_string().parse(), Ok(network));
        }
        for text in ["10.0.0.0/33", "10.0.0/8", "", "10.0.0.0/", "10.0.0.0/-1", "::/129"] {
            assert!(text.parse::<Peers>().is_err(), "{text}");
        }
    }
}
