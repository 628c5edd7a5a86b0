//! Purges of caches by tags, at once or later; the request that asks for one does not wait for it.

use std::rc::Rc;
use std::time::Duration;

use scenarios::plan::RequestId;
use scenarios::scenario::Purge;
use tokio::time::timeout;

use super::Service;
use super::caching::write_tag;
use super::calls::status_of_answer;
use crate::http::Connection;

/// An instance that does not answer in this time keeps what it has.
const PATIENCE: Duration = Duration::from_secs(2);

impl Service {
    /// Has every instance of the cache throw out what has these tags.
    pub(super) fn purge(&self, id: RequestId, step: usize, purge: &Purge) {
        let context = Rc::clone(&self.context);
        let first_key = |keyspace| context.draws.keys(id, keyspace).next().unwrap_or(0);
        let mut request = b"PURGE / HTTP/1.1\r\nhost: purge\r\nconnection: close\r\n".to_vec();
        request.extend_from_slice(if purge.soft { b"xkey-softpurge:" } else { b"xkey-purge:" });
        for tag in &purge.tags {
            request.push(b' ');
            write_tag(tag, first_key, &mut request);
        }
        request.extend_from_slice(b"\r\n\r\n");
        let request: Rc<[u8]> = request.into();
        let delay = purge.delay.as_ref().map_or(0, |law| context.draws.step(id, step, law).as_nanos());
        for address in context.addresses[purge.cache.index()].clone() {
            let (request, context) = (Rc::clone(&request), Rc::clone(&context));
            tokio::task::spawn_local(async move {
                if delay > 0 {
                    context.timer.sleep_nanos(delay).await;
                }
                let purging = async {
                    let mut connection = Connection::connect(address, None).await?;
                    connection.write_all(&request).await?;
                    status_of_answer(&mut connection).await.map_err(std::io::Error::other)
                };
                // A cache that is down or hangs keeps what it has.
                let _ = timeout(PATIENCE, purging).await;
            });
        }
    }
}
