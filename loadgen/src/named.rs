//! A host's name, and the address that it has now: names are asked for again while a run goes on, and connections that are opened
//! then follow.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::target::{TargetError, judged};

/// Whoever refreshes notices this soon that nobody cares any more.
const LOOK: Duration = Duration::from_millis(100);

/// A host by its name.
#[derive(Debug)]
pub struct Named {
    host: String,
    port: u16,
    /// Whether it may be public.
    authorised: bool,
    current: Mutex<SocketAddr>,
}

impl PartialEq for Named {
    fn eq(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

impl Eq for Named {}

impl Named {
    /// A host that has this address now.
    pub fn new(host: impl Into<String>, port: u16, authorised: bool, current: SocketAddr) -> Self {
        Self { host: host.into(), port, authorised, current: Mutex::new(current) }
    }

    /// Its address now.
    pub fn current(&self) -> SocketAddr {
        *self.current.lock().expect("nobody panics with the address")
    }

    /// From now on it has this address.
    pub fn point_to(&self, address: SocketAddr) {
        *self.current.lock().expect("nobody panics with the address") = address;
    }

    /// Asks for its address again. One that it still has is kept, so that connections do not wander without need.
    ///
    /// # Errors
    /// Where it has none, or a public one that may not be loaded; it then keeps the one it had.
    pub fn refresh(&self) -> Result<(), TargetError> {
        let unresolved = |source| TargetError::Resolve { host: self.host.clone(), source };
        let addresses = (self.host.as_str(), self.port).to_socket_addrs().map_err(unresolved)?;
        let addresses: Vec<SocketAddr> = addresses.collect();
        let first = judged(&self.host, &addresses, self.authorised)?;
        if !addresses.contains(&self.current()) {
            self.point_to(first);
        }
        Ok(())
    }
}

/// Refreshes a host every so often, on a thread of its own, for as long as somebody else knows the host.
pub fn keep_fresh(named: &Arc<Named>, every: Duration) {
    let known = Arc::downgrade(named);
    thread::spawn(move || {
        let mut asked = Instant::now();
        loop {
            thread::sleep(LOOK.min(every));
            let Some(named) = known.upgrade() else { return };
            if asked.elapsed() >= every {
                asked = Instant::now();
                // A resolver that fails for a while changes nothing: the address is the one that it was.
                let _ = named.refresh();
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_the_address_that_the_resolver_tells() {
        let elsewhere: SocketAddr = "127.0.0.77:80".parse().expect("an address");
        let named = Named::new("127.0.0.1", 80, false, elsewhere);
        assert_eq!(named.current(), elsewhere);
        named.refresh().expect("an address is its own name");
        assert_eq!(named.current(), "127.0.0.1:80".parse().expect("an address"));
    }

    /// An address is its own name: nobody has to be asked for it.
    #[test]
    fn a_name_is_asked_for_again_and_again_for_as_long_as_somebody_knows_it() {
        let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
        let named = Arc::new(Named::new("127.0.0.1", 80, false, address("127.0.0.77:80")));
        keep_fresh(&named, Duration::from_millis(5));
        let soon = |what: &str, holds: &dyn Fn() -> bool| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !holds() {
                assert!(Instant::now() < deadline, "{what}");
                thread::sleep(Duration::from_millis(1));
            }
        };
        for _ in 0..2 {
            soon("it is asked for", &|| named.current() == address("127.0.0.1:80"));
            named.point_to(address("127.0.0.77:80"));
        }
        let known = Arc::downgrade(&named);
        drop(named);
        soon("whoever asks lets go of it", &|| known.strong_count() == 0);
    }

    #[test]
    fn a_name_that_becomes_public_keeps_the_address_that_it_had() {
        let before: SocketAddr = "127.0.0.1:80".parse().expect("an address");
        let named = Named::new("203.0.113.7", 80, false, before);
        assert!(matches!(named.refresh(), Err(TargetError::Public { .. })));
        assert_eq!(named.current(), before);
    }
}
