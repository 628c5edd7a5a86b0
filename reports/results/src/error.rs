//! The crate's one error type.

use std::io;
use std::path::PathBuf;

/// Why a record could not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read.
    #[error("{}: cannot be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file could not be written.
    #[error("{}: cannot be written", path.display())]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory holds neither a record nor a journal.
    #[error(
        "{}: no run record: found neither run.json nor run.journal\n  hint: name the directory of a run, as `runs/20260101-120000-quickstart-sim`",
        path.display()
    )]
    NotARun {
        /// Which directory.
        path: PathBuf,
    },
    /// A file is no run record at all, or is damaged.
    #[error("{}:{line}: not a run record: {problem}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A file is no interval log of HdrHistogram, or is damaged.
    #[error("{}:{line}: not an interval log of HdrHistogram: {problem}", path.display())]
    Log {
        /// Which file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong.
        problem: String,
    },
    /// A record of another version.
    #[error(
        "{}: run record of version {found}, expected one of versions 1 to {newest}\n  hint: read it with the release that wrote it, or repeat the run with the command in its provenance",
        path.display()
    )]
    Version {
        /// Which file.
        path: PathBuf,
        /// The version it states.
        found: u64,
        /// The newest version that this release reads.
        newest: u64,
    },
}
