//! A server of HTTP/2 with chosen manners, by h2 and tokio.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, Response};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// What becomes of a request.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Status, fields and body, after a while.
    Answer(u16, Vec<(&'static str, String)>, Vec<u8>, Duration),
    /// Nothing, ever.
    Silence,
    /// The stream is reset.
    Reset,
    /// A head and some bytes; then the stream is reset.
    CutShort,
    /// A head; then a byte now and then.
    Dribble,
    /// A body without an end.
    Endless,
    /// Answered, and the connection takes no further requests.
    Farewell,
}

impl Act {
    pub(crate) fn good() -> Self {
        Self::after(Duration::ZERO)
    }

    pub(crate) fn after(wait: Duration) -> Self {
        Self::Answer(200, Vec::new(), b"hello".to_vec(), wait)
    }
}

/// What is asked: the request's fields, with its number among all.
pub(crate) type Manner = dyn Fn(&HeaderMap, u64) -> Act + Send + Sync;

/// A server in a thread of this process. It ends with the process.
pub(crate) struct Http2Server {
    pub(crate) address: SocketAddr,
    /// Connections so far, and requests.
    pub(crate) connections: Arc<AtomicU64>,
}

impl Http2Server {
    pub(crate) fn start(manner: impl Fn(&HeaderMap, u64) -> Act + Send + Sync + 'static) -> Self {
        let (manner, requests): (Arc<Manner>, _) = (Arc::new(manner), Arc::new(AtomicU64::new(0)));
        Self::accepting(move |stream| {
            let (manner, requests) = (Arc::clone(&manner), Arc::clone(&requests));
            tokio::task::spawn_local(converse(stream, manner, requests));
        })
    }

    /// One that is handed each connection.
    pub(crate) fn accepting(mut each: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let connections = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&connections);
        let (listens, listening) = std::sync::mpsc::channel();
        thread::spawn(move || {
            tokio::task::LocalSet::new().block_on(&runtime(), async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
                let address = listener.local_addr().expect("a bound socket has an address");
                listens.send(address).expect("the test waits for it");
                while let Ok((stream, _)) = listener.accept().await {
                    counter.fetch_add(1, Ordering::Relaxed);
                    let _ = stream.set_nodelay(true);
                    each(stream);
                }
            });
        });
        Self { address: listening.recv().expect("the server starts"), connections }
    }
}

/// Serves whoever comes to a socket in the file system, with a pause after each.
pub(crate) fn at(listener: std::os::unix::net::UnixListener, pause: Duration) {
    thread::spawn(move || {
        tokio::task::LocalSet::new().block_on(&runtime(), async move {
            listener.set_nonblocking(true).expect("a socket takes options");
            let listener = tokio::net::UnixListener::from_std(listener).expect("it listens");
            let (manner, requests): (Arc<Manner>, _) = (Arc::new(|_, _| Act::good()), Arc::default());
            while let Ok((stream, _)) = listener.accept().await {
                tokio::task::spawn_local(converse(stream, Arc::clone(&manner), Arc::clone(&requests)));
                tokio::time::sleep(pause).await;
            }
        });
    });
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime can be made")
}

/// Serves a connection until its end.
pub(crate) async fn converse<S>(stream: S, manner: Arc<Manner>, requests: Arc<AtomicU64>)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, answer))) = connection.accept().await {
        let act = manner(request.headers(), requests.fetch_add(1, Ordering::Relaxed));
        if matches!(act, Act::Farewell) {
            connection.graceful_shutdown();
        }
        tokio::task::spawn_local(carry_out(act, answer));
    }
}

async fn carry_out(act: Act, mut answer: SendResponse<Bytes>) {
    let head = |status: u16| Response::builder().status(status).body(()).expect("a head");
    // Clients may go away at any time.
    match act {
        Act::Answer(status, fields, body, wait) => {
            tokio::time::sleep(wait).await;
            let mut response = head(status);
            for (name, value) in fields {
                response.headers_mut().append(name, value.parse().expect("a field's value"));
            }
            let Ok(mut stream) = answer.send_response(response, body.is_empty()) else { return };
            if !body.is_empty() {
                let _ = stream.send_data(body.into(), true);
            }
        }
        Act::Farewell => {
            let Ok(mut stream) = answer.send_response(head(200), false) else { return };
            let _ = stream.send_data(Bytes::from_static(b"hello"), true);
        }
        Act::Silence => std::future::pending::<()>().await,
        Act::Reset => answer.send_reset(Reason::INTERNAL_ERROR),
        Act::CutShort => {
            let Ok(mut stream) = answer.send_response(head(200), false) else { return };
            let _ = stream.send_data(Bytes::from_static(b"only this"), false);
            tokio::time::sleep(Duration::from_millis(10)).await;
            stream.send_reset(Reason::INTERNAL_ERROR);
        }
        Act::Dribble => {
            let Ok(mut stream) = answer.send_response(head(200), false) else { return };
            while stream.send_data(Bytes::from_static(b"."), false).is_ok() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Act::Endless => {
            let Ok(mut stream) = answer.send_response(head(200), false) else { return };
            loop {
                stream.reserve_capacity(64 << 10);
                let Some(Ok(room)) = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await else {
                    return;
                };
                if stream.send_data(vec![b'x'; room].into(), false).is_err() {
                    return;
                }
            }
        }
    }
}

/// A server that says this to whoever connects, and closes once it was asked something.
pub(crate) fn saying(bytes: &'static [u8]) -> Http2Server {
    Http2Server::accepting(move |mut stream| {
        tokio::task::spawn_local(async move {
            let _ = stream.write_all(bytes).await;
            let mut asked = [0; 4096];
            while tokio::io::AsyncReadExt::read(&mut stream, &mut asked).await.is_ok_and(|read| read > 0) {}
        });
    })
}

/// One of the certificates of the tests.
pub(crate) fn certificate(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/certificates").join(name)
}

/// A server over TLS for `localhost` that agrees to these protocols.
#[cfg(feature = "tls")]
pub(crate) fn over_tls(
    protocols: &[&str],
    manner: impl Fn(&HeaderMap, u64) -> Act + Send + Sync + 'static,
) -> Http2Server {
    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, PrivateKeyDer};
    let chain = CertificateDer::pem_file_iter(certificate("server.pem")).expect("it is there");
    let chain = chain.collect::<Result<Vec<_>, _>>().expect("they are certificates");
    let key = PrivateKeyDer::from_pem_file(certificate("server.key")).expect("it is a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.expect("versions").with_no_client_auth().with_single_cert(chain, key);
    let mut config = config.expect("key and certificate belong together");
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (manner, requests): (Arc<Manner>, _) = (Arc::new(manner), Arc::new(AtomicU64::new(0)));
    Http2Server::accepting(move |stream| {
        let (acceptor, manner, requests) = (acceptor.clone(), Arc::clone(&manner), Arc::clone(&requests));
        tokio::task::spawn_local(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                converse(stream, manner, requests).await;
            }
        });
    })
}
