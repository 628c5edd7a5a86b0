//! Runs in the browser: lists a directory's runs, draws each when it is asked for, and compares two.
//!
//! Names in requests are looked up among those that were listed and never joined to a path. Who may ask at all is
//! [`crate::web`]'s matter.

mod listing;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use results::{IntervalLog, RunRecord, TimeUnit};

use crate::web::{self, Request, Response, Site};
use listing::Kind;

/// A server of one directory.
#[derive(Debug)]
pub struct Server(web::Server<Runs>);

#[derive(Debug)]
struct Runs {
    root: PathBuf,
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
        web::Server::bind(Runs { root, drawing: Mutex::new(()) }, port).map(Self)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.0.address()
    }

    /// Answers until the process ends.
    pub fn run(&self) -> ! {
        self.0.run()
    }
}

impl Site for Runs {
    fn answer(&self, request: &Request) -> Response {
        match request.path() {
            "/" => match listing::list(&self.root) {
                Ok(runs) => Response::page(listing::page(&self.root, &runs)),
                Err(error) => Response::problem(500, &format!("The directory cannot be read: {error}.")),
            },
            "/run" => request.argument("name").map_or_else(|| not_found(""), |name| self.report(&name)),
            "/compare" => match (request.argument("a"), request.argument("b")) {
                (Some(a), Some(b)) => self.comparison(&a, &b),
                _ => Response::problem(400, "Choose one run as A and another as B."),
            },
            // Browsers ask for it by themselves.
            "/favicon.ico" => Response::of(204, String::new()),
            path => not_found(path),
        }
    }
}

impl Runs {
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
