//! Purges of caches by tags, at once or later. A request that asks for one does not wait for it; a message does, and is delivered
//! again where a cache did not answer, so that what goes by a queue is thrown out at least once.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use scenarios::scenario::{ProxyVersion, Purge};
use tokio::time::timeout;

use super::Service;
use super::caching::write_tag;
use super::calls::status_of_answer;
use super::walk::Errand;
use crate::edge::announcement;
use crate::http::Connection;
use crate::resp::Failed;
use crate::support::is_announced;

/// An instance that does not answer in this time keeps what it has.
const PATIENCE: Duration = Duration::from_secs(2);

impl Service {
    /// Has every instance of the cache throw out what has these tags.
    ///
    /// # Errors
    /// Of a message: where an instance is there and did not do it.
    pub(super) async fn purge(&self, errand: Errand, draw: usize, purge: &Purge) -> Result<(), Failed> {
        let context = Rc::clone(&self.context);
        let first_key = |keyspace| context.draws.keys(errand.id, keyspace).next().unwrap_or(0);
        let mut request = Vec::new();
        if is_announced(&context.scenario, purge.cache) {
            request.extend_from_slice(announcement::own(ProxyVersion::V2));
        }
        request.extend_from_slice(b"PURGE / HTTP/1.1\r\nhost: purge\r\nconnection: close\r\n");
        request.extend_from_slice(if purge.soft { b"xkey-softpurge:" } else { b"xkey-purge:" });
        for tag in &purge.tags {
            request.push(b' ');
            write_tag(tag, first_key, &mut request);
        }
        request.extend_from_slice(b"\r\n\r\n");
        let request: Rc<[u8]> = request.into();
        let delay = purge.delay.as_ref().map_or(0, |law| context.draws.step(errand.id, draw, law).as_nanos());
        let mut purging = Vec::new();
        for address in context.addresses[purge.cache.index()].clone() {
            let (request, context) = (Rc::clone(&request), Rc::clone(&context));
            purging.push(tokio::task::spawn_local(async move {
                if delay > 0 {
                    context.timer.sleep_nanos(delay).await;
                }
                timeout(PATIENCE, purge_one(address, &request)).await.unwrap_or(false)
            }));
        }
        if !errand.is_message {
            return Ok(());
        }
        let mut all = true;
        for one in purging {
            all &= one.await.unwrap_or(false);
        }
        if all { Ok(()) } else { Err(Failed::Server("a cache did not answer a purge".to_owned())) }
    }
}

/// Whether an instance of a cache has nothing with these tags any more: also where it is dead, for it holds nothing then.
async fn purge_one(address: SocketAddr, request: &[u8]) -> bool {
    let purging = async {
        let mut connection = Connection::connect(address, None).await?;
        connection.write_all(request).await?;
        status_of_answer(&mut connection).await
    };
    match purging.await {
        Ok(status) => status == 200,
        Err(Failed::Io(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}
