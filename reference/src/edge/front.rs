//! What may stand between a client and a conversation in HTTP/1.1: TLS, and HTTP/2.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use scenarios::scenario::LoadBalancer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::{http2, tls};
use crate::http::Connection;
use crate::http::connection::prepare;
use crate::http::requests::{HEAD_TIMEOUT, IDLE_TIMEOUT};

/// What a client that knows of HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at a client that sends its first bytes one by one.
const LOOK_INTERVAL: Duration = Duration::from_millis(5);

/// What clients speak.
pub(crate) struct Front {
    tls: Option<TlsAcceptor>,
    http2: bool,
    idle: Duration,
}

impl fmt::Debug for Front {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Front")
            .field("tls", &self.tls.is_some())
            .field("http2", &self.http2)
            .field("idle", &self.idle)
            .finish()
    }
}

impl Front {
    /// What the settings, which stand in this file, want of clients; none where that is plain HTTP/1.1.
    ///
    /// # Errors
    /// Where there is no usable certificate or key.
    pub(crate) fn new(settings: &LoadBalancer, file: &Path) -> io::Result<Option<Self>> {
        if settings.tls.is_none() && !settings.http2 {
            return Ok(None);
        }
        let acceptor = |tls| tls::acceptor(tls, file, settings.http2);
        let idle = settings.client_timeout.map_or(IDLE_TIMEOUT, |span| span.as_duration());
        Ok(Some(Self { tls: settings.tls.as_ref().map(acceptor).transpose()?, http2: settings.http2, idle }))
    }

    /// Serves a connection until its end. `converse` answers what comes over a connection of HTTP/1.1.
    pub(crate) async fn serve<F>(&self, stream: TcpStream, converse: impl Fn(Connection) -> F + 'static)
    where
        F: Future<Output = ()> + 'static,
    {
        prepare(&stream);
        let Some(tls) = &self.tls else {
            return match begins_with_preface(&stream, self.idle, HEAD_TIMEOUT).await {
                Some(true) => http2::serve(stream, self.idle, converse).await,
                Some(false) => converse(Connection::new(stream)).await,
                None => {}
            };
        };
        // Who never ends his handshake, or speaks no TLS, is sent away.
        let Ok(Ok(stream)) = timeout(HEAD_TIMEOUT, tls.accept(stream)).await else { return };
        match stream.get_ref().1.alpn_protocol() {
            Some(tls::HTTP2) => http2::serve(stream, self.idle, converse).await,
            _ => converse(boxed(stream)).await,
        }
    }
}

fn boxed(stream: impl AsyncRead + AsyncWrite + Unpin + fmt::Debug + 'static) -> Connection {
    Connection::over(Box::new(stream))
}

/// Whether a connection begins with the preface of HTTP/2; none where a client says nothing for the time for which connections
/// may be idle, or takes longer than `patience` once it has begun. Nothing is taken from the connection.
async fn begins_with_preface(stream: &TcpStream, idle: Duration, patience: Duration) -> Option<bool> {
    let mut start = [0; PREFACE.len()];
    // A broken connection is the conversation's to notice.
    let _ = timeout(idle, stream.peek(&mut start)).await.ok()?;
    let begins = async {
        loop {
            let Ok(count) = stream.peek(&mut start).await else { return false };
            if count == 0 || start[..count] != PREFACE[..count] {
                return false;
            }
            if count == PREFACE.len() {
                return true;
            }
            // A part of it is there already, so that the socket would say at once that it can be read.
            sleep(LOOK_INTERVAL).await;
        }
    };
    timeout(patience, begins).await.ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::sleep;

    use super::{PREFACE, begins_with_preface};

    const SHORT: Duration = Duration::from_millis(50);
    const LONG: Duration = Duration::from_secs(60);

    /// Both ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port is free");
        let address = listener.local_addr().expect("it has an address");
        let client = TcpStream::connect(address).await.expect("it listens");
        let (server, _) = listener.accept().await.expect("somebody connects");
        (client, server)
    }

    #[test]
    fn a_new_connection_may_be_idle_for_longer_than_a_preface_may_take() {
        let runtime = crate::child::runtime().expect("a runtime can be built");
        runtime.block_on(async {
            let (mut client, server) = pair().await;
            let late = async {
                sleep(4 * SHORT).await;
                client.write_all(PREFACE).await.expect("the connection is there");
            };
            let (begins, ()) = tokio::join!(begins_with_preface(&server, LONG, SHORT), late);
            assert_eq!(begins, Some(true));
        });
    }

    #[test]
    fn a_preface_that_does_not_go_on_and_a_client_that_says_nothing_are_sent_away() {
        let runtime = crate::child::runtime().expect("a runtime can be built");
        runtime.block_on(async {
            let (mut client, server) = pair().await;
            assert_eq!(begins_with_preface(&server, SHORT, LONG).await, None);
            client.write_all(&PREFACE[..3]).await.expect("the connection is there");
            assert_eq!(begins_with_preface(&server, LONG, SHORT).await, None);
        });
    }
}
