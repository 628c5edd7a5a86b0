//! Runs in the browser: lists a directory's runs, draws each when it is asked for, and compares two.
//!
//! Whoever can reach the port can read the runs, so it listens on loopback alone, and answers only requests that name it so:
//! a page from elsewhere whose name was pointed at this machine has another `Host` (DNS rebinding). Names in requests are
//! looked up among those that were listed and never joined to a path.

mod http;
mod listing;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use results::{IntervalLog, RunRecord, TimeUnit};

use http::{Request, Response};
use listing::Kind;

/// Connections that are answered at a time; more are sent away.
const MOST: usize = 16;

/// A server of one directory.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    port: u16,
    connections: AtomicUsize,
    /// Pages are drawn one at a time: a long run's takes much memory.
    drawing: Mutex<()>,
}

impl Server {
    /// Listens on loopback; at a free port, if it is 0.
    ///
    /// # Errors
    /// If there is no such directory, or the port is taken.
    pub fn bind(root: PathBuf, port: u16) -> io::Result<Self> {
        let root = root.canonicalize()?;
        if !root.is_dir() {
            return Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                "found a file, expected a directory of runs",
            ));
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
        let port = listener.local_addr()?.port();
        let shared = Shared { root, port, connections: AtomicUsize::new(0), drawing: Mutex::new(()) };
        Ok(Self { listener, shared: Arc::new(shared) })
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
                thread::sleep(std::time::Duration::from_millis(50));
                continue;
            };
            let shared = Arc::clone(&self.shared);
            if shared.connections.fetch_add(1, Ordering::Relaxed) >= MOST {
                shared.connections.fetch_sub(1, Ordering::Relaxed);
                let _ = http::refuse(stream);
                continue;
            }
            let answering = thread::Builder::new().name("answer".to_owned()).spawn(move || {
                let _open = Open(&shared);
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
struct Open<'a>(&'a Shared);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Shared {
    fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        let (response, with_body) = match http::read(&mut stream)? {
            Ok(request) => (self.answer(&request), request.method != "HEAD"),
            Err(response) => (response, true),
        };
        http::write(stream, &response, with_body)
    }

    fn answer(&self, request: &Request) -> Response {
        if !["GET", "HEAD"].contains(&request.method.as_str()) {
            return Response::problem(405, "This server only shows what is there: GET and HEAD.");
        }
        let names = ["127.0.0.1", "localhost"].map(|name| format!("{name}:{}", self.port));
        if !names.iter().any(|name| request.host.eq_ignore_ascii_case(name)) {
            return Response::problem(
                403,
                &format!("Ask for {}, which is what this server is called.", names[0]),
            );
        }
        let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
        let argument = |key: &str| {
            let pair = query.split('&').find_map(|pair| pair.strip_prefix(key)?.strip_prefix('='));
            pair.and_then(http::decoded)
        };
        match path {
            "/" => match listing::list(&self.root) {
                Ok(runs) => Response::page(listing::page(&self.root, &runs)),
                Err(error) => Response::problem(500, &format!("The directory cannot be read: {error}.")),
            },
            "/run" => argument("name").map_or_else(|| not_found(""), |name| self.report(&name)),
            "/compare" => match (argument("a"), argument("b")) {
                (Some(a), Some(b)) => self.comparison(&a, &b),
                _ => Response::problem(400, "Choose one run as A and another as B."),
            },
            _ => not_found(path),
        }
    }

    fn report(&self, name: &str) -> Response {
        let Some((path, kind)) = listing::find(&self.root, name) else { return not_found(name) };
        let _alone = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        let page = match kind {
            Kind::Log => {
                let log = IntervalLog::read(&path, TimeUnit::default());
                log.map(|log| crate::render_logs(&[log])).map_err(|e| e.to_string())
            }
            Kind::Run => RunRecord::read(&path).map(|run| crate::render(&[run])).map_err(|e| e.to_string()),
        };
        page.map_or_else(|problem| Response::problem(422, &problem), Response::page)
    }

    fn comparison(&self, a: &str, b: &str) -> Response {
        let read = |name: &str| -> Result<RunRecord, Response> {
            match listing::find(&self.root, name) {
                Some((path, Kind::Run)) => {
                    RunRecord::read(path).map_err(|e| Response::problem(422, &e.to_string()))
                }
                _ => Err(not_found(name)),
            }
        };
        let _alone = self.drawing.lock().unwrap_or_else(PoisonError::into_inner);
        let compared = || {
            let (a, b) = (read(a)?, read(b)?);
            let compared = crate::compare(&a, &b).map(|comparison| comparison.html());
            compared.map_err(|e| Response::problem(422, &e.to_string()))
        };
        compared().map_or_else(|problem| problem, Response::page)
    }
}

fn not_found(what: &str) -> Response {
    Response::problem(404, &format!("There is no run here called {what}."))
}
