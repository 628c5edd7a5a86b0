//! The connection to NATS over which agents and workers on several machines are one: how it is asked for, opened and
//! held to sizes. What is said over it is its users' business.
//!
//! - [`options`]: what a command line says of the connection
//! - [`link`]: an open connection, and messages of a limited size as JSON
//! - [`error`]: what was tried, what was found, what to do
//! - [`server`]: a server of one's own on loopback, for tests

pub mod error;
pub mod link;
pub mod options;
pub mod server;

pub use async_nats;
pub use error::Error;
pub use futures_util::StreamExt;
pub use link::{Link, is_token, read};
pub use options::{Options, Place};

/// The largest message that is sent or taken, in bytes: what NATS servers take unless they are told otherwise (`max_payload`).
pub const MOST_BYTES: usize = 1 << 20;

/// What tells one process from the others of a fleet, as far as anybody needs to: the machine's name and the process's number, of
/// letters, digits, `-` and `_`.
pub fn own_name() -> String {
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let fits = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let machine: String = machine.trim().chars().filter(fits).take(40).collect();
    format!("{machine}-{}", std::process::id())
}

/// What waits for messages: one thread, the caller's.
///
/// # Errors
/// Where the system has no more descriptors.
pub fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}
