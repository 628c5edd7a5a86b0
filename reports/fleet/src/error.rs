//! The crate's one error type.

use std::io;
use std::path::PathBuf;

/// Why machines cannot be one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody said where the server is.
    #[error("--nats: found nothing, expected the server's URL\nhint: --nats nats://127.0.0.1:4222")]
    Nowhere,
    /// A file that says who we are, or whom we trust, cannot be used.
    #[error("{path}: {problem}\nhint: {hint}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What it must hold.
        hint: &'static str,
    },
    /// The server cannot be reached, or does not want us.
    #[error("NATS at {place}: {problem}\nhint: {hint}")]
    Unreachable {
        /// Where it was looked for.
        place: String,
        /// What was found.
        problem: String,
        /// What to do.
        hint: &'static str,
    },
    /// The connection ended, or does not take any more.
    #[error("NATS at {place}: {problem}")]
    Lost {
        /// Where it led.
        place: String,
        /// What happened.
        problem: String,
    },
    /// A message that nobody would take.
    #[error("{what}: found {bytes} bytes, expected at most {most}\nhint: {hint}")]
    TooLarge {
        /// Which message.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        most: usize,
        /// What to do.
        hint: &'static str,
    },
    /// A message that is none of ours.
    #[error("{what}: {problem}\nhint: everybody of a fleet must be of the same version")]
    Malformed {
        /// Which message was expected.
        what: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// Nobody answered.
    #[error("{what}: no answer in {seconds:.1} s")]
    Silent {
        /// What was asked.
        what: &'static str,
        /// For how long an answer was waited for.
        seconds: f64,
    },
    /// A server of one's own did not start.
    #[error("nats-server: {problem}\nhint: it is in Debian: apt-get install nats-server")]
    Server {
        /// What happened.
        problem: &'static str,
        /// Why.
        source: io::Error,
    },
}
