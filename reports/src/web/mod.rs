//! Pages in a browser on the same machine: a small HTTP server that listens on loopback.
//!
//! Whoever can reach the port can read what it serves, so it listens on loopback alone and answers only requests that name it so:
//! a page from elsewhere whose name was pointed at this machine has another `Host` (DNS rebinding). Other sites may link to a
//! page here, as people share addresses, but neither embed nor ask for anything (the browser says so in `Sec-Fetch-Site`).
//! What a page is, is its [`Site`]'s matter.

mod http;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

pub(crate) use http::encoded;
pub use http::{Request, Response};

/// Connections that are answered at a time; more are sent away.
const MOST: usize = 16;

/// What is served.
pub trait Site: Send + Sync + 'static {
    /// The answer to a request, which is a `GET` or a `HEAD` that names this server.
    fn answer(&self, request: &Request) -> Response;
}

/// A server of one site.
#[derive(Debug)]
pub struct Server<S> {
    listener: TcpListener,
    shared: Arc<Shared<S>>,
}

#[derive(Debug)]
struct Shared<S> {
    site: S,
    port: u16,
    connections: AtomicUsize,
}

impl<S: Site> Server<S> {
    /// Listens on loopback; at a free port, if it is 0.
    ///
    /// # Errors
    /// If the port is taken.
    pub fn bind(site: S, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, shared: Arc::new(Shared { site, port, connections: AtomicUsize::new(0) }) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.shared.port))
    }

    /// Answers until the process ends.
    pub fn run(&self) -> ! {
        loop {
            let Ok((stream, _)) = self.listener.accept() else {
                // Out of descriptors: those in use become free when their requests are answered.
                thread::sleep(Duration::from_millis(50));
                continue;
            };
            let shared = Arc::clone(&self.shared);
            if shared.connections.fetch_add(1, Ordering::Relaxed) >= MOST {
                shared.connections.fetch_sub(1, Ordering::Relaxed);
                let _ = http::refuse(stream);
                continue;
            }
            let answering = thread::Builder::new().name("answer".to_owned()).spawn(move || {
                let _open = Open(&shared.connections);
                // Whoever asked may have gone.
                let _ = shared.converse(stream);
            });
            if answering.is_err() {
                self.shared.connections.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}

/// A connection that is counted until it ends, even by a panic.
struct Open<'a>(&'a AtomicUsize);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl<S: Site> Shared<S> {
    fn converse(&self, stream: TcpStream) -> io::Result<()> {
        let (stream, read) = http::read(stream)?;
        match read {
            Ok(request) => {
                let response = self.refusal(&request).unwrap_or_else(|| self.site.answer(&request));
                http::write(&stream, &response, request.method != "HEAD")
            }
            Err(response) => http::write(&stream, &response, true),
        }
    }

    /// The answer to those who must not ask.
    fn refusal(&self, request: &Request) -> Option<Response> {
        if !["GET", "HEAD"].contains(&request.method.as_str()) {
            return Some(Response::problem(405, "This server only shows what is there: GET and HEAD."));
        }
        let names = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port));
        if !names.iter().any(|name| request.host.eq_ignore_ascii_case(name)) {
            let text = format!("Ask for {}, which is what this server is called.", names[0]);
            return Some(Response::problem(403, &text));
        }
        let text = "Pages of other sites may link to this server, and that is all.";
        request.is_foreign().then(|| Response::problem(403, text))
    }
}
