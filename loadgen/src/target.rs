//! Where load may go: targets are resolved before the run, and one that is not this machine or a private network
//! needs its owner's word. So does a server that a scenario names, wherever it is not on this machine.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs as _};
use std::sync::Arc;
use std::time::Duration;

use crate::engine::{Address, Entry};
use crate::http::host_field;
use crate::named::{Named, keep_fresh};

/// A target that is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not a URL that can be played against.
    #[error(
        "target: found {found:?}, {problem}\nhint: write it as http://127.0.0.1:8080 or unix:/run/shop.sock"
    )]
    Url {
        /// What was written.
        found: String,
        /// What was expected.
        problem: &'static str,
    },
    /// The host has no address.
    #[error("target: the host {host:?} cannot be resolved")]
    Resolve {
        /// The host.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// A public address, without the word of whoever runs the test.
    #[error(
        "target: {host:?} is {address}, a public address\nhint: load only what is yours or what its owner lets you load; then add --i-am-authorised"
    )]
    Public {
        /// The host.
        host: String,
        /// The first of its addresses that is public.
        address: IpAddr,
    },
}

/// A target, resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host's name where connections are to be encrypted.
    pub secure: Option<String>,
    /// One of its addresses: connections do not spread over several.
    pub entry: Entry,
    /// What stands before every path.
    pub base_path: String,
    /// Host and port, as written; none of a socket in the file system.
    pub place: Option<(String, u16)>,
}

impl Target {
    /// Has its host's name asked for again every so often; an address stays what it is.
    pub fn refreshed(mut self, every: Duration, authorised: bool) -> Self {
        if let (Some((host, port)), Address::Tcp(current)) = (&self.place, &self.entry.address)
            && host.parse::<IpAddr>().is_err()
        {
            let named = Arc::new(Named::new(host, *port, authorised, *current));
            keep_fresh(&named, every);
            self.entry.address = Address::Named(named);
        }
        self
    }
}

/// The first of a host's addresses. All of them are judged: a name that has one public address is a public name.
pub(crate) fn judged(
    host: &str,
    addresses: &[SocketAddr],
    authorised: bool,
) -> Result<SocketAddr, TargetError> {
    let none = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
    let first = addresses.first();
    let first = first.ok_or_else(|| TargetError::Resolve { host: host.to_owned(), source: none() })?;
    match addresses.iter().map(SocketAddr::ip).find(|ip| !is_private(*ip) && !authorised) {
        Some(address) => Err(TargetError::Public { host: host.to_owned(), address }),
        None => Ok(*first),
    }
}

/// Reads `http://host[:port][/base]` or `unix:/path/of/a/socket`, resolves the host, and refuses public addresses unless `authorised`.
///
/// # Errors
/// What is wrong with the target.
///
/// ```
/// let target = loadgen::target::resolve("http://127.0.0.1:8080/shop/", false).expect("this machine may be loaded");
/// assert_eq!((target.entry.host.as_str(), target.base_path.as_str()), ("127.0.0.1:8080", "/shop"));
/// assert!(loadgen::target::resolve("http://203.0.113.7", false).is_err());
/// ```
pub fn resolve(url: &str, authorised: bool) -> Result<Target, TargetError> {
    if let Some(path) = url.strip_prefix("unix:") {
        let problem = "expected the absolute path of a socket after unix:";
        if !path.starts_with('/') {
            return Err(TargetError::Url { found: url.to_owned(), problem });
        }
        let entry = Entry { address: Address::Unix(path.into()), host: "localhost".to_owned() };
        return Ok(Target { entry, base_path: String::new(), place: None, secure: None });
    }
    let wrong = |problem| TargetError::Url { found: url.to_owned(), problem };
    let (secure, host, port, base_path) = split(url).map_err(wrong)?;
    let unresolved = |source| TargetError::Resolve { host: host.to_owned(), source };
    let addresses: Vec<SocketAddr> = (host, port).to_socket_addrs().map_err(unresolved)?.collect();
    let address = judged(host, &addresses, authorised)?;
    Ok(Target {
        entry: Entry { address: address.into(), host: host_field(host, port, if secure { 443 } else { 80 }) },
        base_path: base_path.to_owned(),
        place: Some((host.to_owned(), port)),
        secure: secure.then(|| host.to_owned()),
    })
}

/// Where a URL points, as written: whether it asks for TLS, the host in lower case, and the port; none of a socket in the file system.
/// Nothing is resolved.
///
/// # Errors
/// What is wrong with it.
///
/// ```
/// let place = loadgen::target::place("http://Shop.test/basket").expect("a URL");
/// assert_eq!(place, Some((false, "shop.test".to_owned(), 80)));
/// ```
pub fn place(url: &str) -> Result<Option<(bool, String, u16)>, TargetError> {
    if url.starts_with("unix:") {
        return Ok(None);
    }
    let (secure, host, port, _) =
        split(url).map_err(|problem| TargetError::Url { found: url.to_owned(), problem })?;
    Ok(Some((secure, host.to_ascii_lowercase(), port)))
}

/// Whether a URL asks for TLS, its host, port and base path, or what was expected.
fn split(url: &str) -> Result<(bool, &str, u16, &str), &'static str> {
    let (secure, rest) = match (url.strip_prefix("http://"), url.strip_prefix("https://")) {
        (Some(rest), _) => (false, rest),
        (None, Some(rest)) if cfg!(feature = "tls") => (true, rest),
        (None, Some(_)) => return Err("expected http:// (TLS needs a build with --features tls)"),
        (None, None) => return Err("expected a URL that starts with http:// or https://"),
    };
    let printable = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
    if !printable(rest) || rest.contains(['?', '#', '@', '"', '<', '>', '\\']) {
        return Err("expected host, port and path, without user, query or fragment");
    }
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("expected a closing bracket after the address")?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or("expected :port")?) })
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    if host.is_empty() {
        return Err("expected a host");
    }
    let port = port
        .map_or(Ok(if secure { 443 } else { 80 }), str::parse)
        .map_err(|_| "expected a port from 1 to 65535")?;
    if port == 0 {
        return Err("expected a port from 1 to 65535");
    }
    Ok((secure, host, port, path.trim_end_matches('/')))
}

/// How far away a server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reach {
    /// On this machine.
    Own,
    /// In a private network.
    Private,
    /// Anywhere.
    Public,
}

/// How far away a host is: the farthest of its addresses decides.
///
/// # Errors
/// Where it has none.
///
/// ```
/// use loadgen::target::{Reach, reach};
/// assert_eq!(reach("127.0.0.1").expect("an address"), Reach::Own);
/// assert_eq!(reach("203.0.113.7").expect("an address"), Reach::Public);
/// ```
pub fn reach(host: &str) -> Result<Reach, TargetError> {
    let unresolved = |source| TargetError::Resolve { host: host.to_owned(), source };
    let of = |address: SocketAddr| match address.ip() {
        ip if ip.is_loopback() => Reach::Own,
        ip if is_private(ip) => Reach::Private,
        _ => Reach::Public,
    };
    // Ports are all as far away.
    let farthest = (host, 0).to_socket_addrs().map_err(unresolved)?.map(of).max();
    farthest.ok_or_else(|| unresolved(io::Error::new(io::ErrorKind::NotFound, "it has no address")))
}

/// The host that a URL of any scheme names, without user, password and port; none where it could be read in more ways than one, for
/// those who connect may read it in another.
///
/// ```
/// assert_eq!(loadgen::target::host_of("mysql://me:secret@db.test:3306/shop"), Some("db.test"));
/// ```
pub fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split('/').next()?;
    let (user, place) = authority.split_once('@').unwrap_or(("", authority));
    let plain =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic()) && !text.contains(['?', '#', '\\']);
    if !plain(user) || !plain(place) || place.contains(['@', '%']) {
        return None;
    }
    let host = match place.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => place.split(':').next()?,
    };
    (!host.is_empty()).then_some(host)
}

/// Whether an address is this machine's own or of a private network.
pub fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(IpAddr::V4(v4)),
            None => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn own_and_private_addresses_are_told_from_public_ones() {
        let private = [
            "127.0.0.1",
            "127.9.8.7",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.3.4",
            "169.254.1.1",
            "::1",
            "fd00::1",
        ];
        let public = [
            "8.8.8.8",
            "172.32.0.1",
            "0.0.0.0",
            "100.64.0.1",
            "2001:4860:4860::8888",
            "::ffff:8.8.8.8",
            "::",
        ];
        let address = |text: &str| text.parse::<IpAddr>().expect("an address literal");
        assert!(private.iter().all(|text| is_private(address(text))));
        assert!(public.iter().all(|text| !is_private(address(text))));
    }

    #[test]
    fn a_public_address_needs_a_word() {
        let refused = resolve("http://203.0.113.7/", false).expect_err("a public address is refused");
        assert!(matches!(refused, TargetError::Public { .. }), "{refused}");
        let target = resolve("http://203.0.113.7/", true).expect("with the word it is accepted");
        assert_eq!(target.entry.host, "203.0.113.7");
        assert!(resolve("http://127.0.0.1:8080/", false).is_ok());
    }

    #[test]
    fn a_url_is_host_port_and_base_path() {
        assert_eq!(split("http://shop.test"), Ok((false, "shop.test", 80, "")));
        assert_eq!(split("http://shop.test:81/a/b/"), Ok((false, "shop.test", 81, "/a/b")));
        assert_eq!(split("http://[::1]:81/"), Ok((false, "::1", 81, "")));
        for wrong in [
            "ftp://x",
            "x:80",
            "http://",
            "http://:80",
            "http://x:0",
            "http://x:1:2",
            "http://u@x",
            "http://x/?q",
        ] {
            assert!(split(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_is_read_in_one_way_or_not_at_all() {
        for (url, host) in [
            ("amqp://mail", "mail"),
            ("mysql://me:p%40ss@db.test:3306/shop?pool_max=3", "db.test"),
            ("mariadb://[::1]:3306/shop", "::1"),
            ("amqp://a:b@10.0.0.7/shop", "10.0.0.7"),
        ] {
            assert_eq!(host_of(url), Some(host), "{url}");
        }
        for url in [
            "db.test",
            "mysql://",
            "mysql:///shop",
            "mysql://127.0.0.1?@db.test/shop",
            "mysql://127.0.0.1#@db.test/shop",
            "mysql://db.test?@127.0.0.1/shop",
            "mysql://a@127.0.0.1@db.test/shop",
            "mysql://127.0.0.1\\@db.test/shop",
            "mysql://127.0.0.%31/shop",
            "mysql://127.0.0.1 /shop",
        ] {
            assert_eq!(host_of(url), None, "{url}");
        }
    }

    #[test]
    fn a_host_is_as_far_away_as_its_addresses() {
        for (host, expected) in [
            ("127.9.8.7", Reach::Own),
            ("::1", Reach::Own),
            ("10.0.0.1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("203.0.113.7", Reach::Public),
            ("0.0.0.0", Reach::Public),
        ] {
            assert_eq!(reach(host).expect("an address literal"), expected, "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_url_panics(url in "(http://)?[\\PC]{0,30}") {
            let _ = split(&url);
            let _ = host_of(&url);
        }
    }
}
