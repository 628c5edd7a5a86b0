//! Connections of HTTP/2, and the slots that share them.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::Waker;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use http::Uri;

use super::Address;
use super::exchange::{Asked, Exchange};
use super::wire::Wire;
use crate::http::Limits;

/// HTTP/2's first bytes on their way.
pub(super) type Handshake =
    Pin<Box<dyn Future<Output = Result<(SendRequest<Bytes>, Connection<Wire, Bytes>), h2::Error>>>>;

/// Bytes of answers that a server may send before they are read: of one stream, and of a connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;
/// Streams that were given up and of which a server may go on to speak.
const RESET_STREAMS: usize = 4096;

/// Begins to speak HTTP/2.
pub(super) fn handshake(wire: Wire) -> Handshake {
    let mut settings = Builder::new();
    settings
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(Limits::default().head_bytes as u32)
        .max_concurrent_reset_streams(RESET_STREAMS);
    Box::pin(async move { settings.handshake(wire).await })
}

/// A server that some slots share a connection to.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) address: Address,
    pub(super) host: Rc<str>,
    pub(super) slots: Vec<u32>,
    /// The connection that takes requests, or will.
    pub(super) line: Option<u32>,
    /// It found the server's backlog full, and tries again.
    pub(super) backlogged: bool,
}

/// One connection.
pub(super) struct Line {
    pub(super) link: usize,
    pub(super) state: State,
    pub(super) waker: Waker,
    /// Requests under way over it.
    pub(super) under_way: u32,
    /// Whether it has answered any.
    pub(super) answered: bool,
}

pub(super) enum State {
    /// TCP's handshake, or TLS's; nothing for a moment, when they are done.
    Connecting(Option<Wire>),
    /// The first bytes of HTTP/2 are being written.
    Shaking(Handshake),
    Up(Box<Connection<Wire, Bytes>>, SendRequest<Bytes>),
}

/// One slot.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) link: usize,
    pub(super) generation: u32,
    pub(super) phase: Phase,
    pub(super) limits: Limits,
    /// What was answered last.
    pub(super) asked: Uri,
    /// The last answer's head, and what was extracted of it, for its user.
    pub(super) head: Vec<u8>,
    pub(super) kept: Vec<(u16, String)>,
}

impl Place {
    pub(super) fn new(link: usize, limits: Limits) -> Self {
        Self {
            link,
            generation: 0,
            phase: Phase::Closed,
            limits,
            asked: Uri::default(),
            head: Vec::new(),
            kept: Vec::new(),
        }
    }
}

#[derive(Debug)]
pub(super) enum Phase {
    Closed,
    /// Asked to open, or to send this; its link's connection does not stand yet.
    Waiting(Option<Box<Asked>>),
    Open,
    Busy(Box<Exchange>),
}
