//! Where goose's users go, and what with.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use http::header::HeaderValue;

use super::super::{Address, Entry, Shared};
use crate::error::Error;

/// How long somebody is waited for before the run.
const OPENING: Duration = Duration::from_secs(4);

/// One instance of the entry.
#[derive(Debug)]
pub(super) struct Instance {
    address: SocketAddr,
    pub(super) url: reqwest::Url,
    pub(super) host: String,
    /// The same as a field's value.
    pub(super) field: HeaderValue,
}

impl Instance {
    /// All of them.
    ///
    /// # Errors
    /// Where goose is no match for one.
    pub(super) fn all(shared: &Shared<'_>) -> Result<Vec<Self>, Error> {
        let unfit = |problem| Error::Unfit { problem };
        if shared.entries.tls.is_some() {
            return Err(unfit("goose speaks no TLS here"));
        }
        let instance = |entry: &Entry| {
            let address = match &entry.address {
                Address::Tcp(address) => *address,
                Address::Named(_) => {
                    return Err(unfit("goose does not follow a name to another address (--dns-refresh)"));
                }
                Address::Unix(_) => return Err(unfit("goose knows no sockets in the file system")),
            };
            let url = reqwest::Url::parse(&format!("http://{address}"));
            let field = HeaderValue::from_str(&entry.host);
            match (url, field) {
                (Ok(url), Ok(field)) => Ok(Self { address, url, host: entry.host.clone(), field }),
                _ => Err(unfit("the host's name has characters that no request can carry")),
            }
        };
        shared.entries.by_traffic[0].iter().map(instance).collect()
    }

    pub(super) fn listens(&self) -> bool {
        TcpStream::connect_timeout(&self.address, OPENING).is_ok()
    }
}

/// A user's client: neither a redirect nor a proxy takes load to where nobody allowed it, and what is judged is what came.
pub(super) fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    let client = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    client.no_gzip().http1_only().cookie_store(true).timeout(timeout).build()
}
