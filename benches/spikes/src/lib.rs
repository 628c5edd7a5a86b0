//! What the spikes share: arguments, and the object that is a hit.
//!
//! `spike-X LISTEN UPSTREAM`: whatever is asked for is fetched from the upstream, but for `/cached`, which is a hit of 1 KB.

use std::net::SocketAddr;

/// The path of the object that is there already.
pub const CACHED: &str = "/cached";

/// Where to listen and where the upstream is.
pub fn arguments() -> (SocketAddr, SocketAddr) {
    let mut all = std::env::args().skip(1).map(|text| text.parse().expect("an address"));
    (all.next().expect("where to listen"), all.next().expect("where the upstream is"))
}

/// The body of the hit.
pub fn object() -> Vec<u8> {
    vec![b'x'; 1024]
}
